"""Where things lie, what a file's content hashes to, and how a file is written whole or not at all."""

import ast
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """The folder that holds the data sets: $PAPER_DATA where set, else data/ in the repository."""
    return Path(os.environ.get("PAPER_DATA") or ROOT / "data")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed over it at the end, removed if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def digest(path: Path, algorithm: str = "sha256") -> str | None:
    """The hex digest of a file's content, or None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError:
        return None


def read_json(path: Path) -> dict:
    """The mapping that a JSON file holds; a ValueError names the file, and the line where it breaks off."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} must hold a mapping, holds a {type(content).__name__}")
    return content


def normalised(source: str) -> str:
    """Strip Python source of what decides no result: comments, docstrings, layout, and the texts of errors.

    What is no Python stays as it is.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        # A notebook's cell of one string shows it.
        alone = isinstance(node, ast.Module) and len(node.body) < 2
        if documented and not alone and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
    return ast.unparse(tree)
