"""The record of a run: figures/<notebook>/ with its pictures and record.json, one unit that is swapped in whole.

results.finish() writes the first part of record.json, `complete` adds what the runner knows. A run was made on this
machine if its executed copy is under build/executed/, which names the record that the run led to. Captions have one
home, the notebook's .py: no record repeats them, so a change of prose makes nothing stale and needs no run.
"""

import base64
import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nbformat
from PIL import Image

from paper_utils.files import ROOT, data_folder, digest, normalised, read_json, replacing
from reproduce import notebook as nb


def place(record: Mapping, own: bool) -> Path:
    """Say where a run's folder goes: figures/ only for the full recipe, with its own parameters, on the real data."""
    if record["mode"] == "quick":
        return ROOT / "build" / "quick"
    if record["stamp"]:
        return ROOT / "build" / "stand-in"
    return ROOT / "figures" if own else ROOT / "build" / "variants"


def executed_copy(folder: Path, root: Path = ROOT) -> Path:
    return root / "build" / "executed" / folder.parent.name / f"{folder.name}.ipynb"


def pictures(record: Mapping) -> dict[str, str]:
    """List the files of a record's figures and interactive pages, with their hashes."""
    shown = (*record["figures"].values(), *record["pages"].values())
    return {file: sha for each in shown for file, sha in each.get("files", {}).items()}


def seal(record: Mapping) -> str:
    """Hash a record: tells one that was edited by hand from the one that its run left."""
    return hashlib.sha256(json.dumps({**record, "sealed": None}, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> dict:
    """Read a published record; a ValueError says that it is missing, damaged, or not as its run left it."""
    if not (folder / "record.json").exists():
        raise ValueError("there is no record.json")
    record = read_json(folder / "record.json")
    if record.get("sealed") != seal(record):
        raise ValueError("record.json is not as its run left it")
    return record


def complete(record: Mapping, values: Mapping, fingerprint: Mapping, cost: Mapping) -> dict:
    """Add to a run's record what the runner knows; of the modules hashed before the run, those that the run loaded."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    # Every run writes generated files: they do not make a tree dirty. A module that git does not know yet does.
    generated = [f":!{path}" for path in ("figures", "notebooks/*.ipynb", "README.md", "CLAIMS.md", "ROBUSTNESS.md")]
    commit = {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", ".", *generated))}
    parts = {"code", "parameters", "numerics", *(f"module {name}" for name in record["modules"])}
    made_from = {part: sha for part, sha in fingerprint.items() if part in parts}
    whole = {**record, **cost, **commit, "parameters": dict(values), "made_from": made_from}
    return whole | {"sealed": seal(whole)}


def publish(record: Mapping, staging: Path, folder: Path, executed: Mapping) -> None:
    """Swap a judged run in for `folder`: all of it, or nothing.

    The new folder is written beside the old one, where a full disk can still be met; two renames swap them. `recover`
    undoes what breaks off before the second rename. After it the new folder stands, but without the executed copy,
    which comes last, it does not count as run here.
    """
    recover(folder.parent)
    new, old = (folder.with_name(f".{folder.name}.{which}") for which in ("new", "old"))
    try:
        new.mkdir(parents=True)
        if record["pages"]:  # with the plotly.js that they load
            shutil.copytree(staging / "pages", new / "pages")
        for file in pictures(record):
            shutil.copyfile(staging / file, new / file)
        (new / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        recover(folder.parent)
    metadata = {**executed["metadata"], "paper": {"record": digest(folder / "record.json")}}
    with replacing(executed_copy(folder)) as beside:  # last: only what got as far as here is up to date
        beside.write_text(json.dumps({**executed, "metadata": metadata}, indent=1) + "\n", encoding="utf-8")


def recover(out: Path) -> None:
    """Tidy up after a run that broke off while it published: each folder is the old one or the new one, whole."""
    for old in out.glob(".*.old"):
        if not (target := out / old.name[1 : -len(".old")]).exists():
            old.rename(target)
    for leftover in (*out.glob(".*.old"), *out.glob(".*.new")):
        shutil.rmtree(leftover, ignore_errors=True)


def stale_because(now: Mapping[str, str], folder: Path, root: Path = ROOT) -> list[str]:
    """List the reasons to run a notebook of this fingerprint again; none where `folder` holds what it would write."""
    try:
        ran = read_json(executed_copy(folder, root))["metadata"]["paper"]["record"]
    except (OSError, ValueError, KeyError):
        return ["no run recorded here"]
    if digest(folder / "record.json") != ran:
        return ["record.json is missing or altered"]
    record = read(folder)
    return [
        *changes(now, record, root, data_folder()),
        *(["the last run had stand-in data"] if "stand-in" in record["stamp"] else []),
        *altered(folder, record),
    ]


def changes(now: Mapping[str, str], record: Mapping, root: Path, data: Path | None = None) -> list[str]:
    """List the inputs of a record that changed since its run, in words; without `data`, only what git has."""
    made_from = {"numerics": "free", **record["made_from"]}  # which records of the second edition do not say
    reasons = [f"{part} changed" for part, sha in sorted(made_from.items()) if now.get(part) != sha]
    if made_from["numerics"] == "exact" and "numerics changed" in reasons:
        reasons.remove("numerics changed")  # exact numbers serve where free ones are asked for
    for name, there in record["environment"].items():
        with suppress(PackageNotFoundError):  # what is no package: threads, the processor
            # Builds for a CPU and for CUDA are of one version.
            if (here := version(name)).partition("+")[0] != str(there).partition("+")[0]:
                reasons.append(f"{name} is {here}, was {there}")
    for name, sha in record["inputs"].items():
        folder = root if (root / name).exists() or name.startswith(("checkpoints/", "figures/sweeps/")) else data
        if folder and digest(folder / name, "md5" if len(sha) == 32 else "sha256") != sha:
            reasons.append(f"input file {name} changed")
    return reasons


def altered(folder: Path, record: Mapping) -> list[str]:
    """Say where the pictures in a folder are not those of its record."""
    listed, there = pictures(record), {file.name for file in folder.glob("[!.]*")} - {"record.json", "pages"}
    missing = [f"{file} is missing or altered" for file, sha in listed.items() if digest(folder / file) != sha]
    return missing + [f"{file} stands in no record" for file in sorted(there - listed.keys())]


def problems(root: Path = ROOT) -> list[str]:
    """List where figures/, its records and the notebooks disagree; no data is looked at, as in `make why`."""
    paths = {path.stem: path for path in nb.notebooks(root)}
    folders = {folder.name for folder in (root / "figures").glob("[!.]*/")} - {"sweeps"}
    found = [f"figures/{name} is of no notebook" for name in sorted(folders - paths.keys())]
    for name, path in paths.items():
        folder = root / "figures" / name
        try:
            record, source = read(folder), nb.read(path)
        except ValueError as error:
            found.append(f"figures/{name}: {error}: `make figures` runs the notebook")
            continue
        if reasons := changes(nb.fingerprint(path, nb.parameters(source), root), record, root):
            found.append(f"the figures of {name} are stale: {'; '.join(reasons)}. `make figures` runs it again")
        if record["mode"] != "full" or record["stamp"]:
            found.append(f"figures/{name}: its record is of {record['stamp'] or 'a quick run'}, not of a full one")
        if wrong := nb.unmatched(source, record["figures"]):
            found.append(f"notebooks/{path.name}: {'; '.join(wrong)}")
        found += [f"figures/{name}/{line}" for line in altered(folder, record)]
    return found


def refresh(root: Path = ROOT, pattern: str = "") -> list[str]:
    """Write each notebooks/*.ipynb from its .py and the outputs of the last full run; return the problems found."""
    found = []
    for path in nb.notebooks(root, pattern):
        notebook, executed = nb.read(path), executed_copy(root / "figures" / path.stem, root)
        ours, ran = nb.code_cells(notebook), nb.code_cells(nbformat.read(executed, 4)) if executed.exists() else []
        # The cell for Colab may differ: `make address` changes it, and no figure.
        plain = [[nb.only_on_colab(cell.source) or normalised(cell.source) for cell in cells] for cells in (ran, ours)]
        done, asked = plain
        if done != asked:
            found.append(f"{path.stem}: no full run on the real data of its code as it is: `make figures` first")
            continue
        for mine, done in zip(ours, ran, strict=True):
            mine.outputs, mine.execution_count = [], done.execution_count
            # Less what depends on machine and clock: third parties' remarks, and where a stream is cut.
            for output in (output for output in done.outputs if output.get("name") != "stderr"):
                if picture := output.get("data", {}).get("image/png"):
                    output.data["image/png"] = _with_palette(picture)
                if mine.outputs and output.output_type == mine.outputs[-1].output_type == "stream":
                    mine.outputs[-1].text += output.text
                else:
                    mine.outputs.append(output)
        notebook.metadata["kernelspec"] = nb.KERNELSPEC
        text = nbformat.writes(notebook)
        if any(str(folder) in text for folder in (root, Path.home(), data_folder())):
            found.append(f"{path.stem}: a path of this machine stands in its outputs")
            continue
        with replacing(path.with_suffix(".ipynb")) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
    return found


def _with_palette(png: str) -> str:
    """Reduce a picture, base64, to 256 colours: a third of the size in the .ipynb. figures/ holds it in full."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return min(base64.b64encode(small.getvalue()).decode(), png, key=len)
