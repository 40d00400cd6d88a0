"""A notebook as it stands on disk: cells, parameters, captions, and what decides its result."""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import jupytext
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from paper_utils import numerics
from paper_utils.files import ROOT, normalised

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
HEADING_OR_CAPTION = re.compile(r"^#+ ([^\n]+)|\*\*Figure `([a-z0-9_*]+)`\.\*\*(.*?)(?=\n\s*\n|\Z)", re.M | re.S)
# Every line below the condition is indented, so the cell does nothing elsewhere but name what its form offers.
COLAB = re.compile(
    r'(#.*\n)*(ON_COLAB = .*\n)?import sys\n\nif "google\.colab" in sys\.modules:\n(( {4}.*)?\n)*( {4}.*)?'
)


def notebooks(root: Path = ROOT, pattern: str = "") -> list[Path]:
    """List the notebooks' sources whose name starts with `pattern`, in order; a ValueError if none does."""
    found = sorted((root / "notebooks").glob("*.py"))
    picked = [path for path in found if path.stem.startswith(pattern)]
    if not picked:
        raise ValueError(f"no notebook starts with {pattern!r}: there are {', '.join(p.stem for p in found) or 'none'}")
    return picked


def read(path: Path) -> NotebookNode:
    """Read the notebook that a jupytext percent script stands for, with ids that do not change from run to run."""
    notebook = jupytext.read(path)
    # A script needs no jupytext header: this is what such a header would say.
    notebook.metadata.setdefault("kernelspec", KERNELSPEC)
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """List the cells that must execute: code that is not only white space."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def headings(notebook: NotebookNode, index: int | None = None) -> list[str]:
    """List its headings in order; with `index`, those down to the cell at `index`, which stands under the last one."""
    cells = notebook.cells if index is None else notebook.cells[: index + 1]
    lines = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").splitlines()
    return [line.strip("# ") for line in lines if line.startswith("#")]


def captions(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    """Find paragraphs that begin with **Figure `name`.** (a family: `maps_*`), each as one line, with its heading."""
    found, under = {}, ""
    prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for new_heading, name, text in HEADING_OR_CAPTION.findall(prose):
        under = new_heading.strip() or under
        if name:
            found[name] = (" ".join(text.split()), under)
    return found


def head_of(figure: str, heads: Iterable[str]) -> str | None:
    """Find the caption that a figure stands under: its own, else the longest family that fits; None without one."""
    fitting = [head for head in heads if re.fullmatch(head.replace("*", ".*"), figure)]
    return max(fitting, key=lambda head: (head == figure, len(head)), default=None)


def unmatched(notebook: NotebookNode, figures: Iterable[str]) -> list[str]:
    """Say where captions and figures disagree: a caption is what declares a figure, or a family of them."""
    found = captions(notebook)
    heads = {figure: head_of(figure, found) for figure in figures}
    without = [f"figure {figure} has no caption **Figure `{figure}`.**" for figure, head in heads.items() if not head]
    idle = sorted(found.keys() - set(heads.values()))
    return without + [f"the caption `{name}` names no figure that was written" for name in idle]


def literals(notebook: NotebookNode, function: str) -> list[ast.Call]:
    """List the calls results.<function>(...) in a notebook's cells."""
    calls = [node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source))]
    calls = [node for node in calls if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [node for node in calls if node.func.attr == function and ast.unparse(node.func.value) == "results"]


def unmatched_literals(notebook: NotebookNode) -> list[str]:
    """Say where captions and the figures that the code names disagree, as far as no run is needed to see it."""
    named, all_literal = [], True
    for call in literals(notebook, "save_figure"):
        name = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "name"), None)
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            named.append(name.value)
        else:
            all_literal = False
    wrong = unmatched(notebook, named)
    # A name that the code puts together may be that of any caption.
    return wrong if all_literal else [line for line in wrong if line.startswith("figure ")]


def first_line(path: Path, index: int) -> int | None:
    """Find the line of the .py at which the cell at `index` begins; None where its lines do not tell its cells."""
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines, 2) if re.match(r"# %%(\s|$)", line)]
    return starts[index] if len(starts) == len(read(path).cells) else None


def refuse_shell(path: Path, notebook: NotebookNode) -> None:
    """Raise a ValueError for a shell line or magic: IPython lets it fail unseen, and no module says what it does."""
    for index, cell in enumerate(notebook.cells):
        # As IPython reads them: `!ls` is get_ipython().system('ls') in the same line.
        lines = TransformerManager().transform_cell(cell.source).splitlines() if cell.cell_type == "code" else []
        for number, line in enumerate(lines):
            if re.search(r"get_ipython\(\)\.(system|getoutput|run_)", line):
                at = f"line {first + number}" if (first := first_line(path, index)) else f"code cell at {index}"
                written = cell.source.splitlines()[number].strip()
                raise ValueError(f"{at}: {written!r}: a notebook has no shell lines or magics")


def parameters(notebook: NotebookNode) -> dict[str, object]:
    """Read the names and literal values of the one cell tagged "parameters"; any other form is a ValueError."""
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"a notebook has exactly one cell tagged 'parameters', found {len(tagged)}")
    values = {}
    for node in ast.parse(tagged[0].source).body:
        try:
            values[node.targets[0].id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError) as error:
            raise ValueError(f"parameters cell, line {node.lineno}: only NAME = literal may stand there") from error
    return values


def choices(notebook: NotebookNode) -> dict[str, list]:
    """Read the values that a comment `# @param [...]` in the parameters cell lists, by the parameter's name."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    found = re.findall(r"^(\w+) = .*# @param (\[.*\])", cell.source, re.M)
    return {name: ast.literal_eval(listed) for name, listed in found}


def parse_parameters(given: Mapping[str, str], known: Mapping[str, object]) -> dict[str, object]:
    """Read NAME=text as values of the type of the notebook's own default; a ValueError for another type or name."""
    values = {}
    for name, text in given.items():
        if name not in known:
            listing = ", ".join(f"{k}={v!r}" for k, v in known.items())
            raise ValueError(f"unknown parameter {name}: this notebook knows {listing}")
        kind = type(known[name])
        try:
            value = text if kind is str else ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        values[name] = float(value) if kind is float and type(value) is int else value
        if type(values[name]) is not kind:
            raise ValueError(f"parameter {name} takes {kind.__name__} ({known[name]!r} by default), got {text!r}")
    return values


def only_on_colab(source: str) -> bool:
    """Tell whether a cell does all its work below `if "google.colab" in sys.modules:`, and so nothing here."""
    return bool(COLAB.fullmatch(source))


def numerics_asked(values: Mapping[str, object]) -> str:
    """Return the numerics of a run with these parameters: quick runs are free, others as PAPER_NUMERICS says."""
    return "free" if values.get("MODE") == "quick" else numerics.chosen()


def fingerprint(path: Path, values: Mapping[str, object], root: Path = ROOT) -> dict[str, str]:
    """Hash what can decide a notebook's result, part by part: code cells, parameters, numerics, each module.

    Python counts as `files.normalised`; the cell for Colab, where the repository's address stands, not at all.
    """
    cells = [normalised(cell.source) for cell in code_cells(read(path)) if not only_on_colab(cell.source)]
    parts = {"code": "\n\f".join(cells), "parameters": json.dumps(dict(values), sort_keys=True)}
    modules = {f"module {file.stem}": file for file in (root / "paper_utils").glob("[!.]*.py")}
    modules |= {f"module draw.{file.stem}": file for file in (root / "notebooks" / "draw").glob("[!.]*.py")}
    parts |= {part: normalised(file.read_text(encoding="utf-8")) for part, file in sorted(modules.items())}
    # The template of interactive pages belongs to the module that reads it.
    for file in sorted((root / "paper_utils").glob("[!.]*.html")):
        parts["module results"] = parts.get("module results", "") + file.read_text(encoding="utf-8")
    made = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}
    return made | {"numerics": numerics_asked(values)}
