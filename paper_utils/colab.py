"""What a notebook's first cell does on Colab: add what the package needs and Colab lacks, and change nothing else.

Colab has loaded numpy, and much besides, before the first cell runs: another version of it would need a restart, and
half of what is loaded would no longer fit. So everything that is there stays, as a constraint on what is added.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from paper_utils.files import ROOT

# The runtime whose published list of versions the tests hold pyproject.toml against (tests/colab-2026.01.txt).
CHECKED = "2026.01 (Python 3.12, numpy 2.0.2, torch 2.9.0)"


def missing(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is not there in any version: missing(["einops>=0.8"], {}) -> ["einops>=0.8"]."""
    return [text for text in needed if canonicalize_name(Requirement(text).name) not in present]


def too_old(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is there, but older: too_old(["a>=2"], {"a": "1"}) -> ["a 1 (>=2)"]."""
    found = [(r, present.get(canonicalize_name(r.name))) for r in map(Requirement, needed)]
    return [f"{r.name} {v} ({r.specifier})" for r, v in found if v and not r.specifier.contains(v, prereleases=True)]


def install(root: Path = ROOT) -> None:
    """Add the missing dependencies of `root`/pyproject.toml; RuntimeError where no version fits what is there."""
    needed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pip = [sys.executable, "-m", "pip"]
    listed = subprocess.run([*pip, "list", "--format=freeze"], check=True, text=True, capture_output=True).stdout
    present = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in listed.split() if "==" in line}
    lacking = missing(needed, present)
    with tempfile.TemporaryDirectory() as folder:
        (constraints := Path(folder) / "constraints.txt").write_text(listed)
        if lacking and subprocess.run([*pip, "install", "--constraint", str(constraints), *lacking]).returncode:
            raise RuntimeError(
                f"pip could not add {', '.join(lacking)} to this runtime without changing what it has. Choose runtime "
                f"{CHECKED.split()[0]} under Runtime, Change runtime type, and run this cell again."
            )
    print("Added: " + (", ".join(lacking) or "nothing, all is there") + f". Checked against Colab's runtime {CHECKED}.")
    if old := too_old(needed, present):
        print(f"Older here than pyproject.toml asks for, and left as it is: {', '.join(old)}.")
