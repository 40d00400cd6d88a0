"""One address, stated in pyproject.toml: it is the same wherever it is repeated, and one command changes it."""

import re

import nbformat
import pytest

from paper_utils import address, sources
from paper_utils.files import ROOT

NEW = "https://github.com/some-one/paper.2"


def test_every_badge_and_every_first_cell_has_the_stated_address():
    slug = address.FORM.fullmatch(address.current())[1]
    for path in sources.notebooks():
        for notebook in (sources.read(path), nbformat.read(path.with_suffix(".ipynb"), 4)):
            links = re.findall(r"\((https://colab\.research\.google\.com/github/[^)]+)\)", notebook.cells[0].source)
            assert links == [f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{path.stem}.ipynb"]
            cell = next(c.source for c in sources.code_cells(notebook) if "google.colab" in c.source)
            assert re.findall(r'"(https://[^"]+)"', cell) == [address.current()]


def test_readme_and_citation_have_it():
    for name in ("README.md", "CITATION.cff"):
        assert address.current() in (ROOT / name).read_text(), name
    slug = address.FORM.fullmatch(address.current())[1]
    badges = re.findall(r"colab\.research\.google\.com/github/([^)]+)\)", (ROOT / "README.md").read_text())
    assert badges == [f"{slug}/blob/main/notebooks/{path.stem}.ipynb" for path in sources.notebooks()]


def test_one_command_changes_it_everywhere_and_makes_no_figure_stale(make):
    """By `make`, on a copy: each file that had the address has the new one, and a run of before is still good."""
    root, old = make.root, address.FORM.fullmatch(address.current())[1]
    executed = root / "build" / "executed" / "figures" / sources.notebooks()[0].with_suffix(".ipynb").name
    executed.parent.mkdir(parents=True)
    nbformat.write(sources.read(sources.notebooks(root)[0]), executed)
    (root / "README.md").write_text((root / "README.md").read_text() + f"\ngithub.com/{old}-2 github.com/{old}.\n")
    had = {path for path in root.rglob("*") if path.is_file() and address.current().encode() in path.read_bytes()}
    had -= {path for path in had if "paper_utils" in path.parts or path.name == "Makefile"}
    before = [sources.fingerprint(path, {}, root) for path in sources.notebooks(root)]

    done = make("address", f"URL={NEW}")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {path.relative_to(root).as_posix() for path in had}
    assert address.current(root) == NEW
    for path in had:
        text = path.read_text()
        assert NEW in text and not re.search(rf"(github\.com|/github)/{old}(?!-2)", text), path
    assert (root / "README.md").read_text().endswith(f"github.com/{old}-2 github.com/some-one/paper.2.\n")
    assert executed in had and "CITATION.cff" in {path.name for path in had}
    assert [sources.fingerprint(path, {}, root) for path in sources.notebooks(root)] == before

    again = make("address", f"URL={NEW}")
    assert again.returncode == 0 and again.stdout == f"the address is {NEW} already\n"
    assert make("address", "URL=https://github.com/other/place").returncode == 0
    assert address.current(root) == "https://github.com/other/place"


@pytest.mark.parametrize(
    "url",
    [
        "github.com/me/repository",
        "http://github.com/me/repository",
        "https://github.com/me",
        "https://github.com/me/repository/",
        "https://github.com/me/repository.git",
        "https://github.com/me/repository/tree/main",
        "https://example.org/me/repository",
        "https://github.com/me/repo sitory",
        "git@github.com:me/repository.git",
    ],
)
def test_what_is_no_address_is_refused_and_nothing_changes(make, url):
    before = {path: path.read_bytes() for path in make.root.rglob("*") if path.is_file()}
    done = make("address", f"URL={url}")
    assert done.returncode == 2
    assert repr(url) in done.stderr and "as https://github.com/me/repository would be" in done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_without_a_url_it_says_what_the_address_is(make):
    done = make("address")
    assert done.returncode == 2 and f"The address is {address.current()}." in done.stdout
