"""What runs leave behind: figures/ and its accounts, whether they are up to date, and the committed notebooks."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import nbformat

from paper_utils import sources
from paper_utils.files import ROOT, data_folder, digest, replacing


def stale_because(path: Path, values: Mapping[str, object], out: Path, root: Path = ROOT) -> list[str]:
    """The reasons to run a notebook again; empty where its figures are what a run would write."""
    stamp = stamp_path(path.stem, out, root)
    if not stamp.exists():
        return ["no run recorded here"]
    last = json.loads(stamp.read_text())
    now = sources.fingerprint(path, values, root)
    reasons = [
        f"{name} changed"
        for name in sorted(last["fingerprint"].keys() | now)
        if last["fingerprint"].get(name) != now.get(name)
    ]
    if last["stand_in"]:
        reasons.append("the last run had stand-in data")
    for name, expected in last["files"].items():
        if input_digest(name, "md5" if len(expected) == 32 else "sha256", root) != expected:
            reasons.append(f"input file {name} changed")
    reasons += [f"{n} is missing or altered" for n, expected in last["outputs"].items() if digest(out / n) != expected]
    return reasons


def stamp_path(name: str, out: Path, root: Path = ROOT) -> Path:
    return root / "build" / "stamps" / f"{name}-{hashlib.sha256(str(out).encode()).hexdigest()[:8]}.json"


def input_digest(name: str, algorithm: str, root: Path = ROOT) -> str | None:
    """The digest of a file a run read: of the repository (checkpoints/...), else of the data folder."""
    return digest((root if name.startswith("checkpoints/") else data_folder()) / name, algorithm)


def publish(account: dict, staging: Path, out: Path, values: Mapping[str, object]) -> None:
    """Bring a complete run's figures to `out`/<notebook>/ by two renames, then its numbers and manifest entry."""
    name = account["notebook"]
    new, old, target = out / f".{name}.new", out / f".{name}.old", out / name
    recover(out)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    outputs = {f: d for entry in account["figures"].values() for f, d in entry["files"].items()}
    for file in outputs:
        shutil.copyfile(staging / file, new / file)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    _merge(out / "numbers.json", name, account["numbers"])
    shared = {k: account[k] for k in ("mode", "seeds", "source", "files", "environment", "seconds", "peak_mb")}
    shared |= {"parameters": dict(values), **commit(), "lock": digest(ROOT / "requirements.lock")}
    _merge(out / "manifest.json", name, {**shared, "figures": account["figures"]})
    if account["pages"]:
        pages = out / name / "pages" if out != ROOT / "figures" else ROOT / "build" / "interactive" / name
        shutil.rmtree(pages, ignore_errors=True)
        shutil.copytree(staging / "pages", pages)


def recover(out: Path) -> None:
    """Undo what a run left behind that was killed between its two renames."""
    for old in out.glob(".*.old"):
        target = out / old.name[1 : -len(".old")]
        if target.exists():
            shutil.rmtree(old)
        else:
            old.rename(target)


def _merge(path: Path, name: str, entry: object) -> None:
    merged = json.loads(path.read_text()) if path.exists() else {}
    # A notebook that is no longer there leaves nothing behind.
    merged = {k: v for k, v in merged.items() if (ROOT / "notebooks" / f"{k}.py").exists()} | {name: entry}
    with replacing(path) as beside:
        beside.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def commit() -> dict[str, object]:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    # Generated files do not make a tree dirty: every run writes them.
    dirty = git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!figures", ":!notebooks/*.ipynb", ":!README.md"
    )
    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(dirty)}


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
            # What third parties print to stderr is about this machine, not about the paper.
            mine.outputs = [o for o in done.outputs if not (o.output_type == "stream" and o.name == "stderr")]
            mine.execution_count = done.execution_count
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        text = nbformat.writes(notebook)
        if str(ROOT) in text or str(Path.home()) in text or str(data_folder()) in text:
            problems.append(f"{path.stem}: a path of this machine stands in its outputs")
            continue
        with replacing(path.with_suffix(".ipynb")) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
    return problems
