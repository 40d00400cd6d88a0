"""`make colab`: does this package still fit Colab? Resolved against the newest list of versions that Colab publishes.

`make colab LIST=FILE` takes a list from a file, `make colab AT=COMMIT` that of an older runtime: its commit stands in
the README of googlecolab/backend-info. pip resolves for the Python that it runs in, so with that of the runtime: `make
colab PYTHON=python3.13`. Lists of past runtimes are kept beside this file, as colab-RUNTIME.txt.
"""

import re
import sys
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(Path(__file__).parents[1]))

from paper_utils import colab
from paper_utils.files import ROOT

PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/{}/pip-freeze.txt"
LISTS = sorted(Path(__file__).parent.glob("colab-*.txt"))
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def read(text: str) -> dict[str, str]:
    """Versions by name, as Colab has them; less what comes from no index, a file for example."""
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)}


def missing(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is not there in any version: missing(["einops>=0.8"], {}) -> ["einops>=0.8"]."""
    return [text for text in needed if canonicalize_name(Requirement(text).name) not in present]


def too_old(needed: Sequence[str], present: Mapping[str, str]) -> list[str]:
    """The requirements whose package is there, but older: too_old(["a>=2"], {"a": "1"}) -> ["a 1 (>=2)"]."""
    found = [(r, present.get(canonicalize_name(r.name))) for r in map(Requirement, needed)]
    return [f"{r.name} {v} ({r.specifier})" for r, v in found if v and not r.specifier.contains(v, prereleases=True)]


def fits(present: Mapping[str, str]) -> bool:
    """Whether what is missing there can be had from the index, while everything that is there stays as it is."""
    if old := too_old(NEEDED, present):
        print(f"older there than pyproject.toml asks for: {', '.join(old)}")
        return False
    # Less the part that names a build, which no index holds: "2.9.0+cpu" is "2.9.0".
    listed = "".join(f"{name}=={version.partition('+')[0]}\n" for name, version in present.items())
    return colab.add(missing(NEEDED, present), listed, "--dry-run", "--ignore-installed", "-q")


def main(given: Mapping[str, str]) -> int:
    if "LIST" in given:
        text = Path(given["LIST"]).read_text(encoding="utf-8")
    else:
        with urllib.request.urlopen(PUBLISHED.format(given.get("AT", "main")), timeout=60) as answer:
            text = answer.read().decode()
    present = read(text)
    print(
        f"{len(present)} packages, torch {present['torch']}, numpy {present['numpy']}; Python {sys.version.split()[0]}"
    )
    print(verdict := "fits" if fits(present) else "DOES NOT FIT")
    return int(verdict != "fits")


if __name__ == "__main__":
    sys.exit(main(dict(word.split("=", 1) for word in sys.argv[1:])))
