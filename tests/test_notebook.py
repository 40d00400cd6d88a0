"""What `reproduce` reads of a notebook on disk."""

import re

import pytest
from throwaway import notebook

from reproduce import notebook as nb


def test_captions_headings_and_lines(tmp_path):
    path = tmp_path / "01_try.py"
    prose = "**Figure `map_*`.** One\n# of many.\n#\n# Not of it.\n#\n# **Figure `map_all`.** All\n# **together.**"
    path.write_text(f"# %% [markdown]\n# # Title\n#\n# {prose}\n#\n# ## Next\n\n# %% [markdown]\n# a\n\n# %%\npass\n")
    book = nb.read(path)
    found = nb.captions(book)
    assert found == {"map_*": ("One of many.", "Title"), "map_all": ("All **together.**", "Title")}
    assert [nb.head_of(name, found) for name in ("map_3", "map_all", "other")] == ["map_*", "map_all", None]
    assert nb.headings(book, 0) == nb.headings(book) == ["Title", "Next"]
    assert nb.first_line(path, 2) == 18 and path.read_text().splitlines()[17] == "pass"
    assert nb.unmatched(book, ["map_3", "map_all"]) == []
    assert nb.unmatched(book, ["map_all", "extra"]) == [
        "figure extra has no caption **Figure `extra`.**",
        "the caption `map_*` names no figure that was written",
    ]


@pytest.mark.parametrize("path", nb.notebooks(), ids=lambda path: path.stem)
def test_the_papers_notebooks_are_found_in_their_files(path):
    lines = path.read_text().splitlines()
    book = nb.read(path)
    nb.refuse_shell(path, book)
    # The gallery shows captions elsewhere: a relative link would lead astray there.
    assert not [text for text, _ in nb.captions(book).values() if re.search(r"\]\((?!https?:)", text)]
    for index, cell in enumerate(book.cells):
        if cell.cell_type == "code":
            assert lines[nb.first_line(path, index) - 1] == cell.source.splitlines()[0]


@pytest.mark.parametrize("line", ["!ls", "x = !ls", "# %matplotlib inline", "ls?", "get_ipython().system('ls')"])
def test_a_shell_line_or_magic_is_refused_with_its_place(checkout, line):
    """jupytext reads a magic that stands as a comment as a magic."""
    path = notebook(checkout, middle=f"pass\n{line}")
    with pytest.raises(ValueError, match=r"line 21: .*: a notebook has no shell lines or magics"):
        nb.refuse_shell(path, nb.read(path))


@pytest.mark.parametrize("lines", ["x = (7\n    % 2)", 'x = """\n%s and\n!\n"""', "x = = 1"])
def test_what_only_looks_like_a_magic_is_none(checkout, lines):
    path = notebook(checkout, middle=lines)
    nb.refuse_shell(path, nb.read(path))


def test_values_take_the_type_of_the_default():
    known = {"TOKEN": "swim", "SEED": 0, "SCALE": 1.0, "WORDS": ["a"], "FLAG": True}
    given = {"TOKEN": "3", "SEED": "7", "SCALE": "2", "WORDS": "['b', 'c']", "FLAG": "False"}
    right = {"TOKEN": "3", "SEED": 7, "SCALE": 2.0, "WORDS": ["b", "c"], "FLAG": False}
    assert nb.parse_parameters(given, known) == right


@pytest.mark.parametrize("given", [{"SEED": "a"}, {"SEED": "True"}, {"SCALE": "1j"}, {"SEDE": "1"}])
def test_another_type_or_name_is_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        nb.parse_parameters(given, {"SEED": 0, "SCALE": 1.0})


@pytest.mark.parametrize("line", ["MODE = str(1)", "import os", "A = B = 1 + x"])
def test_the_parameters_cell_holds_literals_only(checkout, line):
    path = notebook(checkout)
    path.write_text(path.read_text().replace("SEED = 0", line))
    with pytest.raises(ValueError, match="literal"):
        nb.parameters(nb.read(path))


def test_what_can_decide_a_result(checkout):
    path = notebook(checkout)
    before = nb.fingerprint(path, {"SEED": 0}, checkout)
    modules = {f"module {p.stem}" for p in (checkout / "paper_utils").glob("*.py")}
    assert before.keys() == {"code", "parameters", "numerics"} | modules
    colab = 'import sys\n\nif "google.colab" in sys.modules:\n    address = "https://github.com/OWNER/REPO"\n'
    path.write_text(path.read_text() + f"\n# %%\n{colab}\n# %% [markdown]\n# More.\n")
    assert nb.fingerprint(path, {"SEED": 0}, checkout) == before, "neither the cell for Colab nor prose"
    path.write_text(path.read_text() + "\n# %%\nprint()\n")
    assert nb.fingerprint(path, {"SEED": 0}, checkout)["code"] != before["code"]
    assert nb.fingerprint(path, {"SEED": 1}, checkout)["parameters"] != before["parameters"]
    (checkout / "paper_utils" / "page.html").write_text("another template")
    assert nb.fingerprint(path, {"SEED": 0}, checkout)["module results"] != before["module results"]
