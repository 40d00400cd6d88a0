"""What a notebook's first cell does on Colab: add what the package needs and Colab lacks, and touch nothing else.

Colab has loaded numpy, and much besides, before the first cell runs: another version of it would need a restart, and
half of what is loaded would no longer fit. So everything that is there stays, as a constraint on what is added.
"""

import importlib
import platform
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from paper_utils.files import ROOT

# The runtime whose published list of versions the tests hold pyproject.toml against (tests/colab-2026.01.txt).
CHECKED = "2026.01 (Python 3.12, numpy 2.0.2, torch 2.9.0)"


def installed() -> dict[str, str]:
    """The version of every package there is, by its canonical name; of two copies the one that Python imports."""
    found: dict[str, str] = {}
    for each in distributions():
        # A folder that a broken installation left has a name or a version of None.
        if each.metadata["Name"] and each.version:
            found.setdefault(canonicalize_name(each.metadata["Name"]), each.version)
    return found


def missing(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is not there in any version.

    Example:
        >>> missing(["numpy>=2", "einops>=0.8"], {"numpy": "2.0.2"})
        ['einops>=0.8']
    """
    return [text for text in needed if canonicalize_name(Requirement(text).name) not in present]


def too_old(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is there, but older than asked for, in words.

    Example:
        >>> too_old(["plotly>=5.24"], {"plotly": "5.15.0"})
        ['plotly 5.15.0 (>=5.24)']
    """
    asked = [Requirement(text) for text in needed]
    pairs = [(r, present.get(canonicalize_name(r.name))) for r in asked]
    return [f"{r.name} {v} ({r.specifier})" for r, v in pairs if v and not r.specifier.contains(v, prereleases=True)]


def install(root: Path = ROOT) -> None:
    """Add the dependencies of `root`/pyproject.toml that are missing, at versions that fit what is there.

    Raises:
        RuntimeError: no such versions exist, or they cannot be fetched; says what pip said, and the way out.
    """
    needed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    present = installed()
    lacking = missing(needed, present)
    if lacking:
        _pip(lacking, present)
        importlib.invalidate_caches()
    print("Added: " + (", ".join(lacking) or "nothing, all is there"))
    here = ", ".join(f"{name} {present[name]}" for name in ("numpy", "torch") if name in present)
    print(f"Checked against the versions that Colab publishes of its runtime {CHECKED}.")
    print(f"This is Python {platform.python_version()}, {here}.")
    if old := too_old(needed, present):
        print(f"Older here than pyproject.toml asks for, and left as it is: {', '.join(old)}.")


def _pip(lacking: Sequence[str], present: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in present.items()))
        command = [sys.executable, "-m", "pip", "install", "--constraint", str(constraints), *lacking]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-15:])
        raise RuntimeError(
            f"pip could not add {', '.join(lacking)} to this runtime without changing what it has:\n{said}\n"
            f"Choose runtime {CHECKED.split()[0]} under Runtime, Change runtime type, and run this cell again."
        )
