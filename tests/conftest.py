"""What several test files need: the true MNIST, where it is at hand, and a checkout to try things in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from browser import tab  # noqa: F401 - the fixture of every test that opens a page
from throwaway import packages

from paper_utils import data
from paper_utils.files import ROOT

# As the Makefile finds it: the notebooks and the package, without figures.
MADE_OF = ("Makefile", "README.md", "CITATION.cff", "pyproject.toml", "requirements.lock", "claims.yml")

# One thread: the models here are tiny, and results must not depend on how many cores a machine has.
torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what judges figures/, build/ and executed notebooks: a user's own run may have left others there."""
    if "committed" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("committed")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def mnist() -> data.Images:
    if not (data.data_folder() / "MNIST" / "raw").exists():
        pytest.skip("needs the true MNIST: set PAPER_DATA to a folder with MNIST/raw/")
    return data.load_mnist()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout with the packages in it: notebooks/ is free to fill, nothing of the real one is touched."""
    monkeypatch.chdir(packages(tmp_path))
    return tmp_path


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`make` in a copy of the project, whose .venv is this very environment: make("quick", "NB=06") in make.root."""
    root = tmp_path / "copy"
    root.mkdir()
    packages(root)
    plain = shutil.ignore_patterns(".*", "__pycache__")
    for folder in ("notebooks", "sweeps", "figures/sweeps"):
        shutil.copytree(ROOT / folder, root / folder, ignore=plain, dirs_exist_ok=True)
    for name in MADE_OF:
        shutil.copyfile(ROOT / name, root / name)
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    lock = (root / "requirements.lock").read_bytes()
    summed = subprocess.run(["cksum"], input=lock, capture_output=True, check=True).stdout.split()[0].decode()
    (root / ".venv" / f"made-from-{summed}").touch()

    def run(*words: str) -> subprocess.CompletedProcess:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PAPER_OUT", "PAPER_PROGRESS"))}
        command = ["make", "--no-print-directory", *words]
        env = kept | {"PYTHONPATH": str(root)}
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=300)

    run.root = root
    return run
