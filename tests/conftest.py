"""What several test files need: the true MNIST, where it is at hand, and a checkout to try things in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from browser import running_browser, tab  # noqa: F401 - fixtures of every test that opens a page

from paper_utils import data
from paper_utils.files import ROOT

# As the Makefile finds it: the notebooks and the package, without figures.
MADE_OF = ("Makefile", "README.md", "CITATION.cff", "pyproject.toml", "requirements.lock", "claims.yml")

# One thread: the models here are tiny, and results must not depend on how many cores a machine has.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist() -> data.Images:
    if not (data.data_folder() / "MNIST" / "raw").exists():
        pytest.skip("needs the true MNIST: set PAPER_DATA to a folder with MNIST/raw/")
    return data.load_mnist()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout with this package in it: notebooks/ is free to fill, nothing of the real one is touched."""
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(ROOT / "paper_utils", tmp_path / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "requirements.lock", tmp_path / "requirements.lock")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`make` in a copy of the project, whose .venv is this very environment: make("quick", "NB=06") in make.root."""
    root = tmp_path / "copy"
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(ROOT / "paper_utils", root / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
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
