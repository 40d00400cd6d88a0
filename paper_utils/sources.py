"""The notebooks as they stand on disk: their cells, their parameters, and what decides their result."""

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from threading import RLock

import jupytext
from nbformat import NotebookNode

from paper_utils.files import ROOT, data_folder, digest

_parsing = RLock()


def _one_at_a_time(function):
    """CPython 3.11 cannot be trusted to parse in two threads at once, as `make -j2` does.

    Where garbage is collected inside `ast.parse`, the other thread comes in, and one of the two ends in "SystemError:
    AST constructor recursion depth mismatch" (met with 3.11.7).
    """

    @wraps(function)
    def alone(*args, **kwargs):
        with _parsing:
            return function(*args, **kwargs)

    return alone


def notebooks(root: Path = ROOT, pattern: str = "") -> list[Path]:
    """The notebooks' sources in order; `pattern` picks those whose name starts with it."""
    found = sorted((root / "notebooks").glob("*.py"))
    picked = [path for path in found if path.stem.startswith(pattern)]
    if not picked:
        raise ValueError(f"no notebook starts with {pattern!r}: there are {', '.join(p.stem for p in found) or 'none'}")
    return picked


@_one_at_a_time
def read(path: Path) -> NotebookNode:
    """The notebook that a jupytext percent script stands for, with ids that do not change from run to run."""
    notebook = jupytext.read(path)
    # A script needs no jupytext header: this is what such a header would say.
    notebook.metadata.setdefault("kernelspec", {"display_name": "Python 3", "language": "python", "name": "python3"})
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that must execute: code that is not only white space."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def heading(notebook: NotebookNode, index: int) -> str:
    """The heading that the cell at `index` stands under; empty where there is none."""
    prose = (cell.source for cell in notebook.cells[: index + 1] if cell.cell_type == "markdown")
    headings = [line for text in prose for line in text.splitlines() if line.startswith("#")]
    return headings[-1].strip("# ") if headings else ""


def caption(notebook: NotebookNode, figure: str) -> str:
    """The paragraph that the notebook heads **Figure `figure`.**, as one line without that head; empty where none does.

    One caption may stand for a family, `maps_*`; of several that match, the longest name is the figure's own.
    """
    prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heads = re.findall(r"\*\*Figure `([a-z0-9_*]+)`\.\*\*(.*?)(?=\n\s*\n|\Z)", prose, re.DOTALL)
    found = {name: " ".join(text.split()) for name, text in heads}
    fitting = [n for n in found if re.fullmatch(n.replace("*", ".*"), figure)]
    return found[max(fitting, key=lambda n: (n == figure, len(n)))] if fitting else ""


def first_line(path: Path, index: int) -> int | None:
    """The line of the .py at which the cell at `index` begins; None where its cells cannot be told from its lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines, 2) if re.match(r"# %%(\s|$)", line)]
    return starts[index] if len(starts) == len(read(path).cells) else None


def parameters(notebook: NotebookNode) -> dict[str, object]:
    """The names and literal values of the one cell tagged "parameters".

    Raises:
        ValueError: no such cell, several, or a line in it that is no `NAME = literal`.
    """
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"a notebook has exactly one cell tagged 'parameters', found {len(tagged)}")
    values = {}
    for node in _one_at_a_time(ast.parse)(tagged[0].source).body:
        try:
            values[node.targets[0].id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError) as error:
            raise ValueError(f"parameters cell, line {node.lineno}: only NAME = literal may stand there") from error
    return values


def parse_parameters(given: Mapping[str, str], known: Mapping[str, object]) -> dict[str, object]:
    """Turn NAME=text of the command line into values of the type that the notebook's own default has.

    Raises:
        ValueError: an unknown name, or a text that is not of the default's type; names the known ones.
    """
    values = {}
    for name, text in given.items():
        if name not in known:
            listing = ", ".join(f"{k}={v!r}" for k, v in known.items())
            raise ValueError(f"unknown parameter {name}: this notebook knows {listing}")
        default = known[name]
        try:
            value = text if isinstance(default, str) else ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise ValueError(f"parameter {name} takes {type(default).__name__} ({default!r} by default), got {text!r}")
        values[name] = value
    return values


@_one_at_a_time
def only_on_colab(source: str) -> bool:
    """Whether a cell does all its work below `if "google.colab" in sys.modules:`, and so nothing here."""
    try:
        body = ast.parse(source).body if "google.colab" in source else []
    except SyntaxError:  # shell lines and magics
        return False
    if [type(node) for node in body] != [ast.Import, ast.If] or body[1].orelse:
        return False
    return ast.unparse(body[0]) == "import sys" and ast.unparse(body[1].test) == "'google.colab' in sys.modules"


def modules_reached(notebook: NotebookNode, root: Path = ROOT) -> list[Path]:
    """The files of paper_utils that the notebook's code imports, directly or through each other."""
    package = root / "paper_utils"
    todo = set().union(*(imported_modules(cell.source) for cell in code_cells(notebook)))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        path = package / f"{name}.py"
        if name not in seen and path.exists():
            seen.add(name)
            todo |= imported_modules(path.read_text())
    return sorted(package / f"{name}.py" for name in seen)


@_one_at_a_time
def imported_modules(source: str) -> set[str]:
    """The modules of paper_utils that a cell or a module imports; none where it is no Python."""
    # A cell may hold shell lines and magics, which are no Python.
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("!", "%"))]
    names = set()
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:  # is told, with its place, when the cell runs
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            # Inside the package "from . import x" and "from .x import y" mean the same as with its name.
            module = ".".join(filter(None, ["paper_utils" if node.level else "", node.module]))
            if module == "paper_utils":
                names |= {alias.name for alias in node.names}
            elif module.startswith("paper_utils."):
                names.add(module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("paper_utils.")}
    return names


def fingerprint(path: Path, values: Mapping[str, object], root: Path = ROOT) -> dict[str, str]:
    """What decides a notebook's result, each part by its hash: code cells, modules, parameters, the lock."""
    notebook = read(path)
    # Otherwise the repository's address, which stands in that cell, would decide figures.
    notebook.cells = [cell for cell in notebook.cells if not only_on_colab(cell.source)]
    lock = root / "requirements.lock"
    parts = {"code": "\n\f".join(cell.source for cell in code_cells(notebook))}
    parts |= {f"module {m.stem}": m.read_text() for m in modules_reached(notebook, root)}
    parts |= {"parameters": json.dumps(dict(values), sort_keys=True), "lock": lock.read_text() if lock.exists() else ""}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The parts that differ between two fingerprints, in words."""
    return [f"{part} changed" for part in sorted(before.keys() | now) if before.get(part) != now.get(part)]


def input_digest(name: str, expected: str, root: Path = ROOT) -> str | None:
    """The digest, of `expected`'s kind, of a file that a run read: checkpoints/... here, else of the data folder."""
    folder = root if name.startswith("checkpoints/") else data_folder()
    return digest(folder / name, "md5" if len(expected) == 32 else "sha256")
