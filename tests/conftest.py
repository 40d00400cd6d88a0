"""What several test files need: the true MNIST, where it is at hand, and a checkout to try things in."""

import shutil
from pathlib import Path

import pytest
import torch
from browser import running_browser, tab  # noqa: F401 - fixtures of every test that opens a page

from paper_utils import data
from paper_utils.files import ROOT

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
