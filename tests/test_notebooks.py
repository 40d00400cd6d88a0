"""The committed notebooks: each .py beside an executed .ipynb of the same content, in the form that DESIGN fixes."""

import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from reproduce import notebook as nb


@pytest.fixture(params=nb.notebooks(), ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def source(path: Path) -> NotebookNode:
    return nb.read(path)


@pytest.fixture
def executed(path: Path) -> NotebookNode:
    return nbformat.read(path.with_suffix(".ipynb"), 4)


def lines(cell: NotebookNode) -> list[str]:
    """Its lines of code: neither blank nor a comment."""
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.committed
def test_a_pair_has_the_same_cells(source, executed):
    """By content: jupytext's own sync goes by time stamps, which a clone does not keep."""
    assert [(c.cell_type, c.source) for c in source.cells] == [(c.cell_type, c.source) for c in executed.cells]


@pytest.mark.committed
def test_the_committed_notebook_was_executed(path, executed):
    nbformat.validate(executed)
    cells = nb.code_cells(executed)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [o for c in cells for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert f"{path.stem} complete:" in "".join(cells[-1].outputs[-1].text)
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures and all(len(o.metadata["image/png"]["alt"].split()) >= 3 for o in pictures)
    assert all(base64.b64decode(o.data["image/png"])[:4] == b"\x89PNG" for o in pictures)


@pytest.mark.committed
def test_the_committed_notebook_is_small_and_holds_nothing_of_one_machine_or_one_run(path, executed):
    """Timings and warnings differ from run to run and would bury a real change."""
    text = path.with_suffix(".ipynb").read_text()
    assert len(text) < 1.5e6
    assert not re.search(r"/(home|root|Users|tmp)/|site-packages|papermill", text)
    outputs = [o for c in nb.code_cells(executed) for o in c.outputs]
    shown = "\n".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs)
    assert not re.search(r"\bit/s|\bs/it|\d:\d\d<|\d\.\d+ ?s\b|\d ?(ms|sec|seconds|minutes)\b|Warning", shown)
    assert not [c for c in executed.cells if "execution" in c.metadata]


def test_every_parameter_can_be_given_on_the_command_line(source):
    """None as a default would have no type to hold a given value against."""
    known = nb.parameters(source)
    assert known["MODE"] == "full" and isinstance(known["SEED"], int) and known.get("DEVICE", "cpu") == "cpu"
    given = nb.code_cells(source)[0].source.splitlines()
    fields = {line.split(" = ")[0] for line in given if re.search(r"  # @param [\[{].+[\]}]$", line)}
    assert fields == known.keys() - {"MODE"}, "each is a field of Colab's form, but MODE: the next cell asks for it"
    assert nb.parse_parameters({name: str(value) for name, value in known.items()}, known) == known


def test_the_head(path, source):
    head = source.cells[0].source
    assert re.match(r"# \d\. .+\n", head), "the title has the notebook's number"
    assert "colab-badge.svg" in head and f"notebooks/{path.stem}.ipynb" in head and "**Claim.**" in head
    # Not among all: a sixth notebook should not ask for a change in five.
    before = {other.stem for other in nb.notebooks() if other.stem < path.stem}
    missing = before - set(re.findall(r"\]\((\w+)\.ipynb\)", head))
    assert not missing, f"it says where the notebook stands among those before it: {missing}"


def test_the_prose(source):
    prose = "\n".join(c.source for c in source.cells if c.cell_type == "markdown")
    headings = "\n".join(re.findall(r"^#.*", prose, re.MULTILINE))
    for wanted in ("What we found", "Where the original notebook differs", "Limits", "References"):
        assert wanted in headings, f"there should be a heading {wanted!r}"
    assert "arXiv" in prose, "the references should have their arXiv numbers"
    assert not re.findall(r"[Tt]he seed(?:'s)?\b(?! \d)", prose), "it is the original notebook"


def test_the_code(source):
    given, on_colab, *others = nb.code_cells(source)
    # After the parameters: what they say of MODE holds everywhere but on Colab.
    assert "parameters" in given.metadata["tags"] and nb.only_on_colab(on_colab.source)
    assert on_colab.metadata["cellView"] == "form" and not [c.source for c in others if "google.colab" in c.source]
    for cell in (on_colab, *others):
        # The site folds by the tag, Jupyter by its own key; what is folded is set-up or drawing and may be longer.
        folded = "hide-input" in cell.metadata.get("tags", [])
        assert len(lines(cell)) <= (35 if folded else 25), f"{len(lines(cell))} lines:\n{cell.source[:200]}"
        assert "import *" not in cell.source
        assert folded == cell.metadata.get("jupyter", {}).get("source_hidden", False), cell.source[:100]


def test_the_first_picture_comes_within_40_lines_of_code(source):
    """The Colab cell and the parameters not counted."""
    code = [line for cell in nb.code_cells(source)[2:] for line in lines(cell)]
    assert any("save_figure(" in line for line in code[:40])


def test_a_notebook_that_trains_takes_a_device(source):
    """Refused before data is loaded where torch does not find it."""
    code = "\n".join(c.source for c in nb.code_cells(source))
    if "runs.cached" in code:
        assert nb.parameters(source)["DEVICE"] == "cpu"
        assert code.index("training.check_device(DEVICE)") < code.index("results.begin(")
        assert "load_mnist" not in code or code.index("training.check_device") < code.index("load_mnist")
