import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
import time

import pytest
import torch

from paper_utils import data

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


def silence(monkeypatch):
    monkeypatch.setattr(data, "_answering", lambda mirrors: [])


def test_reads_well_formed_files(small):
    images = data.load_mnist()
    assert images.source == "mnist"
    assert images.train_x.shape == (2, 784) and images.test_y.shape == (2,)
    assert set(images.files) == {f"MNIST/raw/{name}" for name in NAMES}


def test_the_true_mnist(mnist):
    assert mnist.train_x.shape == (60000, 784) and mnist.test_x.shape == (10000, 784)
    assert mnist.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train_x.min() == 0 and mnist.train_x.max() == 1
    assert mnist.train_x.mean().item() == pytest.approx(0.1307, abs=1e-4)  # the constant every MNIST recipe uses


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_named_with_both_hashes_and_left_alone(small, name):
    cut = (small / name).read_bytes()[:-1]
    (small / name).write_bytes(cut)
    with pytest.raises(data.DataCorrupt) as error:
        data.load_mnist()
    message = str(error.value)
    assert name in message and data.MNIST_MD5[name] in message and hashlib.md5(cut).hexdigest() in message
    assert "PAPER_DATA" in message
    assert (small / name).read_bytes() == cut


def test_a_changed_byte_is_found_by_its_hash(small):
    changed = bytearray((small / NAMES[0]).read_bytes())
    changed[100] ^= 1
    (small / NAMES[0]).write_bytes(changed)
    with pytest.raises(data.DataCorrupt, match=rf"{NAMES[0]}: expected md5 {data.MNIST_MD5[NAMES[0]]}, found"):
        data.load_mnist()


def test_labels_and_images_of_different_length(small):
    (small / "t10k-labels-idx1-ubyte").write_bytes(idx_labels(3))
    with pytest.raises(data.DataCorrupt, match=r"t10k-images-idx3-ubyte holds 2 images but .*t10k-labels-idx1-ubyte 3"):
        data.load_mnist()


def test_a_missing_sibling_is_an_error_not_a_stand_in(small):
    (small / NAMES[1]).unlink()
    with pytest.raises(data.DataCorrupt, match=NAMES[1]):
        data.load_mnist()


def test_no_network_ends_with_the_stand_in_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    silence(monkeypatch)
    images = data.load_mnist()
    assert images.source == "uci-digits" and images.files == {}
    assert images.train_x.shape == (1437, 784) and images.test_x.shape == (360, 784)
    assert images.train_x.min() >= 0 and images.train_x.max() <= 1
    assert capsys.readouterr().out.count("STAND-IN DATA") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_silent_network_is_given_up_within_20_seconds(monkeypatch):
    """A name that is never resolved, as behind a firewall that drops packets: the look-up has no limit of its own."""

    def never(*args, **kwargs):
        time.sleep(30)

    monkeypatch.setattr(data.urllib.request, "urlopen", never)
    started = time.monotonic()
    assert data._answering(["http://a.invalid/", "http://b.invalid/", "http://c.invalid/"], seconds=0.5) == []
    assert time.monotonic() - started < 10


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_answering", lambda mirrors: mirrors)
    # A file in the way refuses even root, for whom permissions do not count.
    (tmp_path / "MNIST").write_text("not a folder")
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    with pytest.raises(PermissionError, match="PAPER_DATA") as error:
        data.load_mnist()
    assert str(tmp_path / "MNIST") in str(error.value)
    assert (tmp_path / "MNIST").read_text() == "not a folder"


def test_a_download_that_breaks_off_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER_DATA", str(tmp_path))
    monkeypatch.setattr(data, "_answering", lambda mirrors: mirrors)

    def breaks_off(self):
        os.makedirs(self.raw_folder)
        with open(os.path.join(self.raw_folder, NAMES[0]), "wb") as file:
            file.write(b"half")
        raise RuntimeError("connection reset")

    monkeypatch.setattr(data.torchvision().datasets.MNIST, "download", breaks_off)
    assert data.load_mnist().source == "uci-digits"
    assert list((tmp_path / "MNIST").iterdir()) == []


def test_a_finished_download_is_moved_in_place(tmp_path, monkeypatch, small):
    contents = {name: (small / name).read_bytes() for name in NAMES}
    monkeypatch.setenv("PAPER_DATA", str(tmp_path / "fresh"))
    monkeypatch.setattr(data, "_answering", lambda mirrors: mirrors)

    def download(self):
        os.makedirs(self.raw_folder)
        for name, content in contents.items():
            with open(os.path.join(self.raw_folder, name), "wb") as file:
                file.write(content)

    monkeypatch.setattr(data.torchvision().datasets.MNIST, "download", download)
    assert data.load_mnist().source == "mnist"
    assert sorted(p.name for p in (tmp_path / "fresh" / "MNIST").iterdir()) == ["raw"]


def test_torchvision_is_usable():
    grid = data.torchvision().utils.make_grid(torch.zeros(4, 1, 8, 8), nrow=2)
    assert grid.shape[0] == 3


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
    assert sorted(p.name for p in (tmp_path / "fresh" / "MNIST" / "raw").iterdir()) == sorted(NAMES)
