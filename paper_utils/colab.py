"""What a notebook's cell for Colab does: add what the package needs and Colab lacks, and change nothing else.

Colab has loaded numpy, and much besides, before the first cell runs: another version of it would need a restart, and
half of what is loaded would no longer fit. So everything that is there stays, as a constraint on what is added.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from paper_utils.files import ROOT

# The runtime whose published list of versions the tests hold pyproject.toml against (tests/colab-2026.01.txt).
CHECKED = "2026.01 (Python 3.12, numpy 2.0.2, torch 2.9.0)"


def add(needed: Sequence[str], listed: str, *options: str) -> bool:
    """Install what is needed beside what is `listed`, print what pip says, and tell whether it could."""
    with tempfile.TemporaryDirectory() as folder:
        (constraints := Path(folder) / "constraints.txt").write_text(listed)
        command = [sys.executable, "-m", "pip", "install", "--progress-bar=off", "-c", constraints, *options, *needed]
        # Through print, line by line: of what a child process itself writes, Colab shows nothing.
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
            for line in pip.stdout:
                if not line.startswith("Requirement already satisfied"):
                    print(line, end="", flush=True)
    return pip.returncode == 0


def install(root: Path = ROOT) -> None:
    """Add the missing dependencies of `root`/pyproject.toml; RuntimeError where no version fits what is there."""
    needed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    command = [sys.executable, "-m", "pip", "list", "--format=freeze"]
    if not add(needed, subprocess.run(command, check=True, text=True, capture_output=True).stdout):
        raise RuntimeError(
            "pip could not add what this runtime lacks without changing what it has: its reason stands above. Choose "
            f"runtime {CHECKED.split()[0]} under Runtime, Change runtime type, and run this cell again."
        )
    # As in Jupyter, which starts in notebooks/: there lies draw/, with the drawings.
    sys.path.insert(0, str(root / "notebooks"))
    print(f"All that the notebook needs is there. Checked against Colab's runtime {CHECKED}.")
