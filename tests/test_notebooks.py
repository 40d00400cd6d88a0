"""The committed notebooks: each .py beside an executed .ipynb of the same content, in the form that DESIGN fixes."""

import base64
import re

import nbformat
import pytest

from paper_utils import sources
from paper_utils.files import ROOT

SOURCES = sources.notebooks()
each = pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)


@each
def test_a_pair_has_the_same_cells(path):
    """By content: jupytext's own sync goes by time stamps, which a clone does not keep."""
    script, notebook = sources.read(path), nbformat.read(path.with_suffix(".ipynb"), 4)
    assert [(c.cell_type, c.source) for c in script.cells] == [(c.cell_type, c.source) for c in notebook.cells]


@each
def test_the_committed_notebook_was_executed(path):
    notebook = nbformat.read(path.with_suffix(".ipynb"), 4)
    nbformat.validate(notebook)
    cells = sources.code_cells(notebook)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [o for c in cells for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert f"{path.stem} complete:" in "".join(cells[-1].outputs[-1].text)


@each
def test_the_committed_notebook_is_small_and_names_no_machine(path):
    text = path.with_suffix(".ipynb").read_text()
    assert len(text) < 1.5e6
    assert not re.search(r"/(home|root|Users|tmp)/|site-packages|papermill", text)


@each
def test_the_committed_notebook_holds_no_timings_and_no_warnings(path):
    """They differ from run to run and would bury a real change."""
    notebook = nbformat.read(path.with_suffix(".ipynb"), 4)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    text = "\n".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs)
    assert not re.search(r"\bit/s|\bs/it|\d:\d\d<|\d\.\d+ ?s\b|\d ?(ms|sec|seconds|minutes)\b|Warning", text)
    assert not [c for c in notebook.cells if c.metadata.keys() & {"papermill", "execution"}]


@each
def test_every_picture_has_an_alt_text(path):
    notebook = nbformat.read(path.with_suffix(".ipynb"), 4)
    pictures = [o for c in sources.code_cells(notebook) for o in c.outputs if "image/png" in o.get("data", {})]
    assert pictures
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"].split()) >= 3
        assert base64.b64decode(picture.data["image/png"])[:4] == b"\x89PNG"


@each
def test_the_parameters_are_literals(path):
    values = sources.parameters(sources.read(path))
    assert values["MODE"] == "full" and isinstance(values["SEED"], int) and values.get("DEVICE", "cpu") == "cpu"


@each
def test_the_form(path):
    cells = sources.read(path).cells
    assert re.match(r"# \d\. .+\n", cells[0].source), "the title has the notebook's number"
    assert "colab-badge.svg" in cells[0].source and f"notebooks/{path.stem}.ipynb" in cells[0].source
    assert "**Claim.**" in cells[0].source
    headings = [
        line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines() if line.startswith("#")
    ]
    for wanted in ("What we found", "Where the seed differs", "Beyond the seed", "Limits", "References"):
        assert any(wanted in h for h in headings), f"there should be a heading {wanted!r}"
    assert "arXiv" in "".join(c.source for c in cells), "the references should have their arXiv numbers"
    for cell in sources.code_cells(sources.read(path)):
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= 25, f"a cell of {len(lines)} lines:\n{cell.source[:200]}"
        assert not re.search(r"import \*", cell.source)


@each
def test_every_figure_has_a_caption(path):
    notebook = sources.read(path)
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    captions = re.findall(r"\*\*Figure `([a-z0-9_*]+)`\.\*\*", prose)
    account_names = declared_names(path)
    assert account_names, "the committed figures name this notebook"
    patterns = [re.compile(c.replace("*", ".*") + "$") for c in captions]
    without = [name for name in account_names if not any(p.match(name) for p in patterns)]
    assert not without


def declared_names(path) -> list[str]:
    return sorted({p.stem for p in (ROOT / "figures" / path.stem).glob("*.png")})


@each
def test_nothing_happens_outside_colab(path):
    """The bootstrap cell, the first one, does all its work below one condition; no other cell speaks of Colab."""
    first, *others = sources.code_cells(sources.read(path))
    assert sources.only_on_colab(first.source)
    assert not [c.source for c in others if "google.colab" in c.source]


@each
def test_the_head_says_where_the_notebook_stands_among_those_before_it(path):
    """Not among all: a sixth notebook should not ask for a change in five."""
    linked = set(re.findall(r"\]\((\w+)\.ipynb\)", sources.read(path).cells[0].source))
    before = {other.stem for other in SOURCES if other.stem < path.stem}
    assert linked >= before, f"the first cell should link to {', '.join(sorted(before - linked))}"


@each
def test_every_parameter_can_be_given_on_the_command_line(path):
    """None as a default would have no type to hold a given value against."""
    known = sources.parameters(sources.read(path))
    assert sources.parse_parameters({name: str(value) for name, value in known.items()}, known) == known
