"""figures/manifest.json: an entry a figure, and below it what its notebook's figures share; what disagrees with it.

{notebook: {mode, seeds, source, files, environment, weights, seconds, peak_mb, parameters, commit, dirty, lock,
fingerprint, numbers, figures: {name: {files: {file: sha256}, alt, caption, cell: {index, heading}, seconds}},
pages: {name: {alt}}}}
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from nbformat import NotebookNode

from paper_utils import sources
from paper_utils.files import ROOT, digest, read_json

SHARED = ("mode", "seeds", "source", "files", "environment", "weights", "seconds", "peak_mb")


def written_by(executed: NotebookNode) -> dict[str, int]:
    """Which code cell wrote each figure, as a number among the code cells, from the lines that save_figure printed."""
    # papermill adds a cell of its own where a parameter is given.
    cells = [c for c in sources.code_cells(executed) if "injected-parameters" not in c.metadata.get("tags", [])]
    found = {}
    for number, cell in enumerate(cells):
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
        found |= dict.fromkeys(re.findall(r"^figure (\w+) \(png(?:, svg)?\)$", printed, re.MULTILINE), number)
    return found


def describe(account: Mapping, notebook: NotebookNode) -> dict[str, dict]:
    """The entries of a run's figures, with the captions and the cells' places as `notebook` has them now."""
    code = [notebook.cells.index(cell) for cell in sources.code_cells(notebook)]
    described = {}
    for name, entry in account["figures"].items():
        index = code[account["cells"][name]]
        place = {"index": index, "heading": sources.heading(notebook, index)}
        described[name] = {**entry, "caption": sources.caption(notebook, name), "cell": place}
    return described


def entry(account: Mapping, notebook: NotebookNode, values: Mapping[str, object], fingerprint: Mapping) -> dict:
    """A notebook's part of the manifest: the provenance its figures share, and each figure."""
    pages = {name: {"alt": alt} for name, alt in account["pages"].items()}
    return {
        **{key: account[key] for key in SHARED},
        **commit(),
        "parameters": dict(values),
        "lock": digest(ROOT / "requirements.lock"),
        "fingerprint": dict(fingerprint),
        "numbers": numbers_digest(account["numbers"]),
        "figures": describe(account, notebook),
        **({"pages": pages} if pages else {}),
    }


def numbers_digest(numbers: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def commit() -> dict[str, object]:
    """The commit that the tree stands on, and whether anything but generated files differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    # Generated files do not make a tree dirty: every run writes them. A module that git does not know yet does.
    dirty = git("status", "--porcelain", "--", ".", ":!figures", ":!notebooks/*.ipynb", ":!README.md")
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(dirty)}


def problems(root: Path = ROOT) -> list[str]:
    """What disagrees between figures/, its manifest and the notebooks, a line each; empty where all agrees.

    Needs no run and no data: it hashes the figures, and of what they were made from all that lies in the repository
    (code cells, modules, parameters, lock, checkpoints). Whether the data are still the same, `make why` tells.
    """
    manifest, numbers = (read_json(root / "figures" / f"{name}.json") for name in ("manifest", "numbers"))
    paths = {path.stem: path for path in sources.notebooks(root)}
    found = [f"figures/manifest.json has an entry of {name}, which is no notebook" for name in manifest.keys() - paths]
    for name, path in paths.items():
        if name not in manifest:
            found.append(f"notebooks/{path.name} has no entry in figures/manifest.json: `make figures` runs it")
            continue
        if lacking := {"files", "fingerprint", "numbers", "figures"} - manifest[name].keys():
            lacks = f"lacks {', '.join(sorted(lacking))}"
            found.append(f"figures/manifest.json: the entry of {name} {lacks}: `make figures` runs it again")
            continue
        if reasons := _made_from_something_else(path, manifest[name], root):
            found.append(f"the figures of {name} are stale: {'; '.join(reasons)}. `make figures` runs it again")
        if numbers_digest(numbers.get(name, {})) != manifest[name]["numbers"]:
            found.append(f"figures/numbers.json: the numbers of {name} are not those that its run recorded")
        found += _captions(path, manifest[name]["figures"])
    return found + _files(root / "figures", manifest)


def _made_from_something_else(path: Path, entry: Mapping, root: Path) -> list[str]:
    now = sources.fingerprint(path, sources.parameters(sources.read(path)), root)
    reasons = sources.changed(entry["fingerprint"], now)
    for name, expected in entry["files"].items():
        if name.startswith("checkpoints/") and sources.input_digest(name, expected, root) != expected:
            reasons.append(f"{name} changed")
    return reasons


def _captions(path: Path, figures: Mapping[str, Mapping]) -> list[str]:
    notebook = sources.read(path)
    now = {name: sources.caption(notebook, name) for name in figures}
    without = [name for name, text in now.items() if not text]
    other = [name for name, text in now.items() if text and text != figures[name].get("caption")]
    found = [f"notebooks/{path.name} has no caption **Figure `{name}`.**" for name in without]
    if other:
        names = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
        told = "`make figures` brings them over and executes nothing"
        found.append(f"notebooks/{path.name}: other captions than in figures/manifest.json, of {names}. {told}")
    return found


def _files(figures: Path, manifest: Mapping[str, Mapping]) -> list[str]:
    listed = {
        f"{name}/{file}": expected
        for name, entry in manifest.items()
        for figure in entry.get("figures", {}).values()
        for file, expected in figure["files"].items()
    }
    # `make seeds` keeps the account of its own figures.
    seeds = read_json(figures / "seeds.json") if (figures / "seeds.json").exists() else {}
    for experiment in seeds.values():
        drawn = experiment.get("provenance", {}).get("figure", {}).get("files", {})
        listed |= {f"seeds/{file}": expected for file, expected in drawn.items()}
    # What lies beside the folders (the gallery) is made from these figures and is none.
    there = {p.relative_to(figures).as_posix() for kind in ("png", "svg") for p in figures.glob(f"*/**/*.{kind}")}
    found = [f"figures/{file} has no entry in figures/manifest.json" for file in sorted(there - listed.keys())]
    found += [f"figures/{file} is missing, but has an entry" for file in sorted(listed.keys() - there)]
    for file in sorted(there & listed.keys()):
        if (measured := digest(figures / file)) != listed[file]:
            found.append(f"figures/{file} was altered: sha256 {measured[:12]}..., its run wrote {listed[file][:12]}...")
    return found
