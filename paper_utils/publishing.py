"""What runs leave behind: figures/ and its accounts, whether they are up to date, and the committed notebooks."""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from paper_utils import manifest, sources
from paper_utils.files import ROOT, data_folder, digest, read_json, replacing

# One notebook at a time is published: side by side they would read and write the same two accounts.
_publishing = threading.RLock()


def stale_because(path: Path, values: Mapping[str, object], out: Path, root: Path = ROOT) -> list[str]:
    """The reasons to run a notebook again; empty where its figures in `out` are what a run would write."""
    stamp = stamp_path(path.stem, out, root)
    if not stamp.exists():
        return ["no run recorded here"]
    last = json.loads(stamp.read_text())
    reasons = sources.changed(last["fingerprint"], sources.fingerprint(path, values, root))
    for name, expected in last["files"].items():
        if sources.input_digest(name, expected, root) != expected:
            reasons.append(f"input file {name} changed")
    if last["stand_in"]:
        return [*reasons, "the last run had stand-in data"]
    reasons += [f"{n} is missing or altered" for n, expected in last["outputs"].items() if digest(out / n) != expected]
    if _account_differs(path.stem, out.parent, last):
        reasons.append("its numbers or its entry in manifest.json are missing or altered")
    return reasons


def _account_differs(name: str, out: Path, last: Mapping) -> bool:
    try:
        entry, numbers = read_json(out / "manifest.json")[name], read_json(out / "numbers.json")[name]
    except (OSError, ValueError, KeyError):
        return True
    return entry.get("fingerprint") != last["fingerprint"] or numbers != last["account"]["numbers"]


def stamp_path(name: str, out: Path, root: Path = ROOT) -> Path:
    place = os.path.relpath(out, root)  # so that a checkout may be moved
    return root / "build" / "stamps" / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}.json"


def publish(account: dict, staging: Path, out: Path, entry: Mapping[str, object]) -> None:
    """Bring a complete run's figures to `out`/<notebook>/, with its numbers and its manifest entry: all or nothing.

    All is written beside its place first, where a full disk can still be met; then renames put it there. The manifest's
    is the one that counts: what breaks off before it is undone, what breaks off after it is done, by `recover`.

    Raises:
        OSError: it could not be written; the old figures and accounts stand as they did.
    """
    name = account["notebook"]
    new, old, target = out / f".{name}.new", out / f".{name}.old", out / name
    with _publishing:
        try:
            new.mkdir(parents=True)
            for file in outputs(account):
                shutil.copyfile(staging / file, new / file)
            (out / ".manifest.json.new").write_text(_merged(out / "manifest.json", name, entry), encoding="utf-8")
            numbers = _merged(out / "numbers.json", name, account["numbers"])
            (out / ".numbers.json.new").write_text(numbers, encoding="utf-8")
            if target.exists():
                target.rename(old)
            new.rename(target)
            (out / ".manifest.json.new").replace(out / "manifest.json")
            (out / ".numbers.json.new").replace(out / "numbers.json")
        except BaseException:
            recover(out)
            raise
        shutil.rmtree(old, ignore_errors=True)
        if account["pages"]:
            pages = out / name / "pages" if out != ROOT / "figures" else ROOT / "build" / "interactive" / name
            shutil.rmtree(pages, ignore_errors=True)
            shutil.copytree(staging / "pages", pages)


def outputs(account: Mapping) -> dict[str, str]:
    """The figure files of a run and their digests."""
    return {file: sha for figure in account["figures"].values() for file, sha in figure["files"].items()}


def update_captions(account: Mapping, out: Path, notebook: NotebookNode) -> bool:
    """Bring captions that changed without any code changing into the manifest; whether there were any."""
    with _publishing:
        entry = read_json(out / "manifest.json")[account["notebook"]]
        now = manifest.describe(account, notebook)
        if entry["figures"] == now:
            return False
        with replacing(out / "manifest.json") as beside:
            text = _merged(out / "manifest.json", account["notebook"], {**entry, "figures": now})
            beside.write_text(text, encoding="utf-8")
        return True


def prepare(out: Path) -> None:
    """See before a run, not after it, that its figures can be brought to `out`; tidy up after one that was killed.

    Raises:
        OSError: nothing can be written there.
        ValueError: an account there is damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        recover(out)
    for account in (out / "manifest.json", out / "numbers.json"):
        if account.exists():
            read_json(account)


def recover(out: Path) -> None:
    """Tidy up after a run that failed or was killed while it published: all old, or all new, as the manifest has it."""
    manifest_new, numbers_new = out / ".manifest.json.new", out / ".numbers.json.new"
    with _publishing:
        if numbers_new.exists() and not manifest_new.exists():
            numbers_new.replace(out / "numbers.json")
        numbers_new.unlink(missing_ok=True)
        manifest_new.unlink(missing_ok=True)
        for old in out.glob(".*.old"):
            target = out / old.name[1 : -len(".old")]
            if _as_listed(target, out / "manifest.json"):
                shutil.rmtree(old)
            else:
                shutil.rmtree(target, ignore_errors=True)
                old.rename(target)
        for new in out.glob(".*.new"):
            shutil.rmtree(new)


def _as_listed(folder: Path, accounts: Path) -> bool:
    listed = outputs(read_json(accounts).get(folder.name, {"figures": {}})) if accounts.exists() else {}
    return bool(listed) and all(digest(folder / file) == expected for file, expected in listed.items())


def _merged(path: Path, name: str, entry: object) -> str:
    merged = read_json(path) if path.exists() else {}
    # A notebook that is no longer there leaves nothing behind.
    merged = {k: v for k, v in merged.items() if (ROOT / "notebooks" / f"{k}.py").exists()} | {name: entry}
    return json.dumps(merged, indent=1, sort_keys=True) + "\n"


def place(account: dict, changed: bool) -> Path:
    """Where a run's figures go: figures/ only for the paper's recipe, with its own parameters, on the real data."""
    if account["mode"] == "quick":
        return ROOT / "build" / "quick"
    if account["stamp"]:
        return ROOT / "build" / "stand-in"
    return ROOT / "build" / "variants" if changed else ROOT / "figures"


def refresh() -> list[str]:
    """Write each notebooks/*.ipynb from its .py and the outputs of the last full run; the problems found."""
    problems = []
    for path in sources.notebooks():
        notebook = sources.read(path)
        executed = ROOT / "build" / "executed" / "figures" / path.with_suffix(".ipynb").name
        if not executed.exists():
            problems.append(f"{path.stem}: no full run on the real data yet: `make figures` first")
            continue
        ran = [c for c in nbformat.read(executed, 4).cells if c.cell_type == "code"]
        ours = [c for c in notebook.cells if c.cell_type == "code"]
        if [c.source for c in ran] != [c.source for c in ours]:
            problems.append(f"{path.stem}: its code changed since the last full run: `make figures` first")
            continue
        for mine, done in zip(ours, ran, strict=True):
            mine.outputs = _same_everywhere(done.outputs)
            mine.execution_count = done.execution_count
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        text = nbformat.writes(notebook)
        if str(ROOT) in text or str(Path.home()) in text or str(data_folder()) in text:
            problems.append(f"{path.stem}: a path of this machine stands in its outputs")
            continue
        with replacing(path.with_suffix(".ipynb")) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
    return problems


def _same_everywhere(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """A cell's outputs less what depends on machine and clock."""
    kept: list[NotebookNode] = []
    for output in outputs:
        stream = output.output_type == "stream"
        if stream and output.name == "stderr":
            continue  # third parties' remarks about this machine
        if stream and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text  # a kernel sends what is printed in chunks of a fraction of a second
        else:
            kept.append(output)
    return kept
