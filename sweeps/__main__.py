"""Runs sweeps: `python -m sweeps [why|verify] [NB=03] [N=8] [DEVICE=cuda] [SCHEDULER=tcp://host:port]`.

What is missing of each `Sweep` in the files beside this one is trained (`runs.cached`), every point is measured, and
all rows are written to figures/sweeps/<name>.csv, with their provenance beside them. With N the points are repeated
over N seeds, with DEVICE they are trained there; such rows go to build/variants/, those of stand-in data to
build/stand-in/. "why" names what would run, and because of what; "verify" reads no data, and fails where a committed
table is not that of its sweep.
"""

import csv
import functools
import hashlib
import importlib
import io
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sweeps import Sweep  # first: it chooses the numerics

from paper_utils import data, results, runs, training  # isort: skip
from paper_utils.files import ROOT, digest, read_json, replacing  # isort: skip

MAKES_OWN = ("PYTHON", "TORCH", "PAPER_DATA")  # variables of make's command line that say nothing about sweeps


def sweeps(pattern: str = "") -> list[Sweep]:
    """List the sweeps whose name starts with `pattern`, by name."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    modules = [importlib.import_module(f"sweeps.{stem}") for stem in stems]
    found = {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Sweep)}
    return [found[name] for name in sorted(found) if name.startswith(pattern)]


def points(grid: Mapping[str, Sequence]) -> list[dict[str, object]]:
    """List all combinations of the grid's values, the last name running fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


@functools.cache
def loaded(load: Callable | None) -> data.Images | data.Stories | None:
    """Load the data of a sweep, once for all that have it."""
    return load() if load else None


def told(grid: Mapping[str, Sequence]) -> dict[str, list]:
    """Spell a grid as JSON holds it."""
    return {name: list(values) for name, values in grid.items()}


def write(sweep: Sweep, n_seeds: int | None = None, device: str = "") -> Path:
    """Train what is missing of a sweep, measure all points and write the rows; return the file that they went to.

    Raises: what a training raises; ValueError for N without a seed in the grid, or a measure that is neither a finite
        number nor a text.
    """
    if n_seeds and "seed" not in sweep.grid:
        raise ValueError(f"N={n_seeds}: {sweep.name} has no seed in its grid, only {', '.join(sweep.grid)}: see NB")
    grid = {**sweep.grid, **({"seed": range(first := sweep.grid["seed"][0], first + n_seeds)} if n_seeds else {})}
    given_data, asked = loaded(sweep.load), points(grid)
    calls = [(sweep.build(**point).to(device or "cpu"), point) for point in asked]
    trained = runs.trained(sweep.train, calls, given_data)
    to_measure = zip(trained, asked, strict=True)
    given = [(sweep.measure, model.cpu(), history, point) for (model, history, _), point in to_measure]
    measures = runs.side_by_side(_measured, given, given_data)
    rows = []
    for point, found in zip(asked, measures, strict=True):
        for row in found if isinstance(found, list) else [found]:
            if not all(isinstance(v, str) or (isinstance(v, (int, float)) and math.isfinite(v)) for v in row.values()):
                raise ValueError(f"{sweep.name}, {point}: a measure must be a finite number or a text, got {row}")
            rows.append(point | row)
    machines = [machine for *_, machine in trained]
    # A cluster's machines may differ in what does not stop a run: each version found is named.
    versions = {key: sorted({m[key] for m in machines}) for key in machines[0]}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = {"why": " ".join(sweep.why.split()), "grid": told(grid), "version": sweep.version}
    about |= {"source": "exact", "inputs": {}}
    about |= {"source": given_data.source, "inputs": dict(given_data.files)} if given_data else {}
    about |= {"device": device} if device else {}
    about |= {"runs": len(trained), "threads": 1, "versions": versions, "commit": commit}
    stand_in = about["source"] in results.STAND_INS
    place = ROOT / ("build/stand-in" if stand_in else "build/variants" if n_seeds or device else "figures") / "sweeps"
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    about["rows"] = hashlib.sha256(table.getvalue().encode()).hexdigest()
    for file, text in (
        (f"{sweep.name}.csv", table.getvalue()),
        (f"{sweep.name}.json", json.dumps(about, indent=1) + "\n"),
    ):
        with replacing(place / file) as beside:
            beside.write_text(text, encoding="utf-8")
    return place / f"{sweep.name}.csv"


def _measured(*given: object) -> object:
    """Call a sweep's measure(model, history, data, **point), or without data where the sweep has none."""
    *given_data, measure, model, history, point = given
    model.eval().requires_grad_(False)
    return measure(model, history, *given_data, **point)


def stale_because(sweep: Sweep, by_data: bool = True) -> list[str]:
    """List the reasons to run a sweep again: none where figures/sweeps/ holds what it would write.

    Unless `by_data`, no data is loaded; the table must then only be of the true data, whichever file held it.
    """
    try:
        about = read_json(ROOT / "figures" / "sweeps" / f"{sweep.name}.json")
    except FileNotFoundError:
        return ["it was never run"]
    if digest(ROOT / "figures" / "sweeps" / f"{sweep.name}.csv") != about.get("rows"):
        return ["its rows are missing or altered"]
    now = {"grid": told(sweep.grid), "version": sweep.version}
    reasons = [f"its {part} changed" for part in now if now[part] != about.get(part)]
    if by_data and sweep.load:
        found = loaded(sweep.load)
        if (found.source, dict(found.files)) != (about.get("source"), about.get("inputs")):
            reasons.append("its data changed")
    elif about.get("source") in results.STAND_INS:
        reasons.append("its rows are of stand-in data")
    return reasons


def parse(words: Sequence[str]) -> tuple[str, int | None, str]:
    """Read NB's pattern, N and DEVICE from the words that make passes on; SCHEDULER goes into the environment.

    Raises:
        ValueError: says what was wrong and what would be right.
    """
    given = dict(word.partition("=")[::2] for word in words)
    if unknown := given.keys() - {"N", "NB", "DEVICE", "SCHEDULER", *MAKES_OWN}:
        raise ValueError(f"unknown variable {', '.join(sorted(unknown))}: known are N, NB, DEVICE and SCHEDULER")
    if given.get("SCHEDULER"):
        runs.check_scheduler(given["SCHEDULER"])
        os.environ["SCHEDULER"] = given["SCHEDULER"]
    training.check_device(device := given.get("DEVICE", "cpu"))
    n = given.get("N")
    if n is not None and not (n.isdecimal() and int(n) >= 2):
        raise ValueError(f"N={n}: must be a whole number of at least 2 (a spread needs two runs), as in N=5")
    return given.get("NB", ""), int(n) if n else None, "" if device == "cpu" else device


def main(words: Sequence[str], find: Callable[[str], list[Sweep]] = sweeps) -> int:
    verb = words[0] if words[:1] in (["why"], ["verify"]) else ""
    failed = False
    try:
        pattern, *options = parse(words[bool(verb) :])
        found = find(pattern)
        if not found and not verb:  # not every notebook has one
            names = ", ".join(sweep.name for sweep in find(""))
            raise ValueError(f"NB={pattern}: no sweep starts with it: there are {names or 'none'}")
        for sweep in found:
            if not verb:
                print(f"{sweep.name}: {os.path.relpath(write(sweep, *options), ROOT)}", flush=True)
                continue
            reasons = "; ".join(stale_because(sweep, by_data=verb == "why"))
            failed |= verb == "verify" and bool(reasons)
            if reasons:
                print(f"{sweep.name}: " + (f"would run: {reasons}" if verb == "why" else f"stale: {reasons}"))
            elif verb == "why":
                print(f"{sweep.name}: up to date")
    except KeyboardInterrupt:
        print("\nsweeps: interrupted; finished runs are kept, the same command goes on with the rest", file=sys.stderr)
        return 130
    except Exception as error:
        print("\n".join([f"sweeps: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 2 if isinstance(error, (ValueError, OSError, ModuleNotFoundError, data.DataCorrupt)) else 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
