"""The data sets: where they come from, how a file is known to be whole, and what stands in when they cannot be had."""

import gzip
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from paper_utils import hub
from paper_utils.files import data_folder, digest

MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}

# Eldan and Li 2023, arXiv 2305.07759: the data set on the hub at one revision, each file with its sha256.
STORIES_HUB = ("roneneldan/TinyStories", "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64")
STORIES_FILES = {
    "train": ("TinyStories-train.txt", "c5cf5e22ff13614e830afbe61a99fbcbe8bcb7dd72252b989fa1117a368d401f"),
    "validation": ("TinyStories-valid.txt", "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4"),
}
STORY_END = "<|endoftext|>"


class DataUnavailable(RuntimeError):
    """The data set is not on this machine and cannot be fetched within seconds."""


class DataCorrupt(RuntimeError):
    """A data file is on this machine, but is not the published one."""


@dataclass(frozen=True)
class Images:
    """A labelled image set: pixels in 0..1, one row of 784 = 28 x 28 per image.

    `source` is "mnist", or "uci-digits" for the stand-in; `files` maps each file read, relative to the
    data folder, to its md5.
    """

    train_x: Float[Tensor, "train 784"]
    train_y: Int[Tensor, " train"]
    test_x: Float[Tensor, "test 784"]
    test_y: Int[Tensor, " test"]
    source: str
    files: dict[str, str]

    def first(self, n: int) -> "Images":
        """Keep only the first n training images."""
        return replace(self, train_x=self.train_x[:n], train_y=self.train_y[:n])

    def to(self, device: torch.device | str) -> "Images":
        """Bring the tensors to `device`."""
        names = ("train_x", "train_y", "test_x", "test_y")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class Stories:
    """Story texts, one string each, paragraphs parted by newlines.

    `source` is "tinystories"; `files` maps the file read, relative to the data folder, to its sha256.
    """

    texts: list[str]
    source: str
    files: dict[str, str]


def torchvision() -> ModuleType:
    """Import torchvision, also where its compiled part does not fit the installed torch.

    torchvision's wheels on the package index are built for CUDA. Beside a CPU build of torch their compiled
    part does not load, and the import stops at registering fakes for two operators nobody declared. Declaring
    their schemas is enough for datasets, transforms and make_grid. Nothing is declared where the import works.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def load_mnist() -> Images:
    """Load MNIST: from the data folder, else downloaded there, else the stand-in, loudly.

    60,000 training and 10,000 test images (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/). The
    stand-in is scikit-learn's UCI digits, 1,437 and 360 images brought from 8 x 8 to 28 x 28.

    Raises: DataCorrupt, which names file and cure, where a file is there but is not the published one; PermissionError
        where the data must be downloaded and the folder cannot be written.
    """
    raw = data_folder() / "MNIST" / "raw"
    try:
        if not any((raw / name).exists() for name in MNIST_MD5):
            _download_mnist(raw)
        return _read_mnist(raw)
    except DataUnavailable as error:
        print(f"STAND-IN DATA: {error}. Going on with scikit-learn's UCI digits; no claim is judged on them.")
        return _uci_digits()


def _read_mnist(raw: Path) -> Images:
    cure = f"Move the files of {raw} away to have them downloaded anew, or set PAPER_DATA to another data folder."
    for name, expected in MNIST_MD5.items():
        if not (raw / name).exists():
            raise DataCorrupt(f"{raw / name} is missing though its siblings are there. {cure}")
        if (found := digest(raw / name, "md5")) != expected:
            raise DataCorrupt(f"{raw / name}: expected md5 {expected}, found {found}. {cure}")
    idx, tensors = torchvision().datasets.mnist, []
    for part in ("train", "t10k"):
        tensors.append(idx.read_image_file(str(raw / f"{part}-images-idx3-ubyte")).reshape(-1, 784).float() / 255)
        tensors.append(idx.read_label_file(str(raw / f"{part}-labels-idx1-ubyte")))
    return Images(*tensors, source="mnist", files={f"MNIST/raw/{name}": md5 for name, md5 in MNIST_MD5.items()})


def _download_mnist(raw: Path) -> None:
    """Fetch the four files with torchvision into a folder beside `raw`, then move them into it."""
    try:
        raw.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.mkdtemp(prefix=".download-", dir=raw.parent)
    except OSError as error:
        cure = "make it writable, or set PAPER_DATA to a folder that is"
        raise PermissionError(f"cannot write MNIST to {raw.parent} ({error.strerror}): {cure}") from error
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10.0)  # for a mirror that is silent or stalls: torchvision sets no limit of its own
    try:
        torchvision().datasets.MNIST(beside, train=True, download=True)
        raw.mkdir(exist_ok=True)
        for name in MNIST_MD5:
            os.replace(Path(beside) / "MNIST" / "raw" / name, raw / name)
    except (RuntimeError, OSError, EOFError, gzip.BadGzipFile) as error:
        why = " ".join(str(error).split())
        raise DataUnavailable(f"MNIST is not in {raw} and cannot be downloaded ({why})") from error
    finally:
        socket.setdefaulttimeout(before)
        shutil.rmtree(beside, ignore_errors=True)


def _uci_digits() -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] / 16
    # MNIST centres a 20 x 20 digit in 28 x 28: the stand-in gets the same margin.
    large = torch.nn.functional.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)
    x = torch.nn.functional.pad(large, (4, 4, 4, 4)).reshape(-1, 784).clamp(0, 1)
    y = torch.from_numpy(digits.target).long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    return Images(x[train], y[train], x[test], y[test], source="uci-digits", files={})


def load_stories(split: str, limit: int | None = None) -> Stories:
    """Load TinyStories: <split>.txt in the data folder's tinystories/, else the hub's file, downloaded there.

    `split` is "train" or "validation"; at most `limit` stories are read. In a file, a line `<|endoftext|>` ends each.
    Raises: ValueError for another split or a limit below 1; DataUnavailable where there is no file and the hub does not
        answer within seconds; DataCorrupt, which names file and hash, for one that was cut, is no text or is not what
        the hub publishes.
    """
    if split not in STORIES_FILES or (limit is not None and limit < 1):
        needed = f"split must be one of {sorted(STORIES_FILES)} and limit at least 1"
        raise ValueError(f"load_stories: {needed}, got {split!r}, {limit}")
    folder = data_folder() / "tinystories"
    (repository, commit), (hub_name, hub_digest) = STORIES_HUB, STORIES_FILES[split]
    own, published = folder / f"{split}.txt", folder / hub_name
    if not own.exists() and not published.exists():
        try:
            hub.download(repository, [hub_name], commit, folder, kind="dataset")
        except hub.Unreachable as error:
            raise DataUnavailable(f"TinyStories is not in {folder} and {error}") from error
    path = own if own.exists() else published
    found = digest(path)
    if path == published and found != hub_digest:
        raise DataCorrupt(f"{path}: expected sha256 {hub_digest}, found {found}. Remove it to have it downloaded anew.")
    texts = _read_stories(path, limit, known=path == published)
    return Stories(texts, source="tinystories", files={f"tinystories/{path.name}": found})


def _read_stories(path: Path, limit: int | None, known: bool) -> list[str]:
    """Read the stories of a file; one that is not `known` by its hash must end with the mark, or it was cut."""

    def stories() -> Iterator[str]:
        lines: list[str] = []
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip() != STORY_END:
                    lines.append(line)
                else:
                    yield "".join(lines).strip()
                    lines = []
        if "".join(lines).strip() and not known:
            how = f"it was cut; a line {STORY_END} ends each story"
            raise DataCorrupt(f"{path} ends inside a story, sha256 {digest(path)}: {how}")
        yield "".join(lines).strip()

    try:
        texts = list(itertools.islice((text for text in stories() if text), limit))
    except UnicodeDecodeError as error:
        raise DataCorrupt(f"{path} is no UTF-8 text ({error}), sha256 {digest(path)}") from error
    if not texts:
        raise DataCorrupt(f"{path} holds no story, sha256 {digest(path)}: a line {STORY_END} ends each story")
    return texts
