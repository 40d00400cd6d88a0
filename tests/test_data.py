import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
from pathlib import Path

import pytest
import torch

from paper_utils import data, hub

NAMES = list(data.MNIST_MD5)


def idx_images(n: int) -> bytes:
    return struct.pack(">iiii", 2051, n, 28, 28) + bytes(784 * n)


def idx_labels(n: int) -> bytes:
    return struct.pack(">ii", 2049, n) + bytes(n)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A data folder with two well-formed images and labels of each kind, taken for the published files."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        (raw / name).write_bytes(idx_images(2) if "images" in name else idx_labels(2))
    md5 = {name: hashlib.md5((raw / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(data, "MNIST_MD5", md5)
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    return raw


@pytest.fixture
def silent(tmp_path, monkeypatch):
    """An empty data folder on a machine without a network."""
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    monkeypatch.setattr(hub, "answers", lambda url: False)
    monkeypatch.setattr(data.torchvision().datasets.MNIST, "mirrors", ["http://127.0.0.1:1/"])
    return tmp_path


def test_reads_well_formed_files_and_keeps_the_first_so_many(small):
    images = data.load_mnist()
    assert images.source == "mnist" and set(images.files) == {f"MNIST/raw/{name}" for name in NAMES}
    assert images.train_x.shape == (2, 784) and images.test_y.shape == (2,)
    few = images.first(1).to("cpu")
    assert torch.equal(few.train_x, images.train_x[:1]) and torch.equal(few.train_y, images.train_y[:1])
    assert torch.equal(few.test_x, images.test_x) and few.files == images.files


def test_the_true_mnist(mnist):
    assert mnist.train_x.shape == (60000, 784) and mnist.test_x.shape == (10000, 784)
    assert mnist.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train_x.min() == 0 and mnist.train_x.max() == 1
    assert mnist.train_x.mean().item() == pytest.approx(0.1307, abs=1e-4)  # the constant every MNIST recipe uses


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + b"\x01"], ids=["cut", "changed"])
def test_a_damaged_file_is_named_with_both_hashes_and_left_alone(small, name, damage):
    damaged = damage((small / name).read_bytes())
    (small / name).write_bytes(damaged)
    with pytest.raises(data.DataCorrupt, match="or set PAPER_DATA to another data folder") as error:
        data.load_mnist()
    assert f"expected md5 {data.MNIST_MD5[name]}, found {hashlib.md5(damaged).hexdigest()}" in str(error.value)
    assert str(small / name) in str(error.value) and (small / name).read_bytes() == damaged


def test_a_missing_sibling_is_an_error_and_no_stand_in(small):
    (small / NAMES[1]).unlink()
    with pytest.raises(data.DataCorrupt, match=f"{NAMES[1]} is missing though its siblings are there"):
        data.load_mnist()


def test_no_network_ends_with_the_stand_in_said_once(silent, capsys):
    images = data.load_mnist()
    assert images.source == "uci-digits" and images.files == {}
    assert images.train_x.shape == (1437, 784) and images.test_x.shape == (360, 784)
    assert images.train_x.min() >= 0 and images.train_x.max() <= 1
    said = capsys.readouterr().out
    assert said.count("STAND-IN DATA") == 1 and "cannot be downloaded (Error downloading" in said
    assert [path for path in silent.rglob("*") if path.is_file()] == []


def test_an_unwritable_folder_is_named(silent, monkeypatch):
    # A file in the way refuses even root, for whom permissions do not count.
    (silent / "MNIST").write_text("not a folder")
    with pytest.raises(PermissionError, match="PAPER_DATA") as error:
        data.load_mnist()
    assert str(silent / "MNIST") in str(error.value) and (silent / "MNIST").read_text() == "not a folder"


def test_a_download_that_breaks_off_leaves_nothing_behind(silent, monkeypatch):
    def breaks_off(self):
        os.makedirs(self.raw_folder)
        (Path(self.raw_folder) / NAMES[0]).write_bytes(b"half")
        raise RuntimeError("connection reset")

    monkeypatch.setattr(data.torchvision().datasets.MNIST, "download", breaks_off)
    assert data.load_mnist().source == "uci-digits"
    assert list((silent / "MNIST").iterdir()) == []


def test_the_download_from_a_mirror(tmp_path, monkeypatch, small):
    """torchvision's own download, whole: from a server on this machine, with one mirror before it that is silent."""
    served = tmp_path / "served"
    served.mkdir()
    resources = []
    for name in NAMES:
        packed = gzip.compress((small / name).read_bytes())
        (served / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mnist = data.torchvision().datasets.MNIST
        monkeypatch.setattr(mnist, "mirrors", ["http://127.0.0.1:1/", f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(mnist, "resources", resources)
        monkeypatch.setenv("PAPER_DATA", str(tmp_path / "fresh"))
        images = data.load_mnist()
        server.shutdown()
    assert images.source == "mnist" and images.train_x.shape == (2, 784)
    assert sorted(p.name for p in (tmp_path / "fresh" / "MNIST").rglob("*")) == sorted(["raw", *NAMES])


# ---- TinyStories


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    (tmp_path / "tinystories").mkdir()
    return tmp_path / "tinystories"


def test_stories_are_parted_by_the_mark(folder):
    (folder / "train.txt").write_text("One.\nTwo.\n<|endoftext|>\n\n<|endoftext|>\nThree <b>.\n<|endoftext|>\n")
    stories = data.load_stories("train")
    assert stories.texts == ["One.\nTwo.", "Three <b>."] and stories.source == "tinystories"
    assert stories.files == {"tinystories/train.txt": hashlib.sha256((folder / "train.txt").read_bytes()).hexdigest()}
    assert data.load_stories("train", limit=1).texts == ["One.\nTwo."]
    for split, limit in (("test", None), ("train", 0)):
        with pytest.raises(ValueError, match=r"\['train', 'validation'\] and limit at least 1"):
            data.load_stories(split, limit)


CUT, BYTES = b"One.\n<|endoftext|>\nTw", b"One \xff\n<|endoftext|>\n"


@pytest.mark.parametrize("content, complaint", [(CUT, "ends inside a story"), (BYTES, "no UTF-8"), (b"", "no story")])
def test_a_damaged_story_file_is_named_with_its_hash(folder, content, complaint):
    (folder / "validation.txt").write_bytes(content)
    with pytest.raises(data.DataCorrupt, match=complaint) as error:
        data.load_stories("validation")
    for told in (str(folder / "validation.txt"), hashlib.sha256(content).hexdigest()):
        assert told in str(error.value)


def test_without_file_and_network_stories_are_unavailable(silent, folder):
    with pytest.raises(data.DataUnavailable, match="hub does not answer"):
        data.load_stories("validation")
    assert list(folder.iterdir()) == []


def test_the_hubs_file_is_fetched_at_its_commit_and_held_against_its_hash(folder, monkeypatch):
    content, asked = b"One.\n<|endoftext|>\nTwo.", []

    def download(repository, names, commit, folder, kind):
        asked.append((repository, names, commit, kind))
        (folder / names[0]).write_bytes(content)

    monkeypatch.setattr(hub, "download", download)
    name, _ = data.STORIES_FILES["validation"]
    with pytest.raises(data.DataCorrupt, match=f"expected sha256 {data.STORIES_FILES['validation'][1]}, found"):
        data.load_stories("validation")
    monkeypatch.setitem(data.STORIES_FILES, "validation", (name, hashlib.sha256(content).hexdigest()))
    assert data.load_stories("validation").texts == ["One.", "Two."]  # known whole: its end needs no mark
    assert asked == [("roneneldan/TinyStories", [name], data.STORIES_HUB[1], "dataset")]


def test_the_true_stories():
    if not (data.data_folder() / "tinystories" / "validation.txt").exists():
        pytest.skip("needs TinyStories: set PAPER_DATA to a folder with tinystories/")
    stories = data.load_stories("validation")
    assert len(stories.texts) == 2000 and all(stories.texts)
    assert not any(data.STORY_END in text for text in stories.texts)
