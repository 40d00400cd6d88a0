"""Runs sweeps: `python -m sweeps [why] [NB=03] [N=8] [DEVICE=cuda] [SCHEDULER=tcp://host:port]`.

What is missing of each `Sweep` in the files beside this one is trained (`runs.cached`), every point is measured, and
all rows are written to figures/sweeps/<name>.csv, with their provenance beside them. With N the points are repeated
over N seeds, with DEVICE they are trained there; such rows go to build/variants/, those of stand-in data to
build/stand-in/.
"""

import csv
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
    """The sweeps whose name starts with `pattern`, by name."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    modules = [importlib.import_module(f"sweeps.{stem}") for stem in stems]
    found = {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Sweep)}
    return [found[name] for name in sorted(found) if name.startswith(pattern)]


def points(grid: Mapping[str, Sequence]) -> list[dict[str, object]]:
    """All combinations of the grid's values, the last name running fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def provenance(sweep: Sweep, loaded: data.Images | data.Stories | None, grid: Mapping[str, Sequence]) -> dict:
    """What decides a sweep's rows: its grid, its version and the data."""
    return {
        "grid": {name: list(values) for name, values in grid.items()},
        "version": sweep.version,
        "source": loaded.source if loaded else "exact",
        "inputs": dict(loaded.files) if loaded else {},
    }


def write(sweep: Sweep, n_seeds: int | None = None, device: str = "") -> Path:
    """Train what is missing of a sweep, measure all points and write the rows; return the file that they went to.

    Raises: what a training raises; ValueError for N without a seed in the grid, or a measure that is neither a finite
        number nor a text.
    """
    if n_seeds and "seed" not in sweep.grid:
        raise ValueError(f"N={n_seeds}: {sweep.name} has no seed in its grid, only {', '.join(sweep.grid)}: see NB")
    grid = {**sweep.grid, **({"seed": range(first := sweep.grid["seed"][0], first + n_seeds)} if n_seeds else {})}
    loaded, asked = sweep.load() if sweep.load else None, points(grid)
    calls = [(sweep.build(**point).to(device or "cpu"), point) for point in asked]
    trained = runs.trained(sweep.train, calls, loaded)
    to_measure = zip(trained, asked, strict=True)
    given = [(sweep.measure, model.cpu(), history, point) for (model, history, _), point in to_measure]
    measures = runs.side_by_side(_measured, given, loaded)
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
    about = {"why": " ".join(sweep.why.split()), **provenance(sweep, loaded, grid)}
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
    *loaded, measure, model, history, point = given
    model.eval().requires_grad_(False)
    return measure(model, history, *loaded, **point)


def stale_because(sweep: Sweep) -> list[str]:
    """The reasons to run a sweep again; empty where figures/sweeps/ holds what it would write."""
    try:
        about = read_json(ROOT / "figures" / "sweeps" / f"{sweep.name}.json")
    except FileNotFoundError:
        return ["it was never run"]
    if digest(ROOT / "figures" / "sweeps" / f"{sweep.name}.csv") != about.get("rows"):
        return ["its rows are missing or altered"]
    now = provenance(sweep, sweep.load() if sweep.load else None, sweep.grid)
    return [f"its {part} changed" for part in now if now[part] != about.get(part)]


def parse(words: Sequence[str]) -> tuple[str, int | None, str]:
    """NB's pattern, the number N, and DEVICE, of the words that make passes on; SCHEDULER goes into the environment.

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
    why = words[:1] == ["why"]
    try:
        pattern, *options = parse(words[why:])
        found = find(pattern)
        if not found and not why:  # not every notebook has one
            names = ", ".join(sweep.name for sweep in find(""))
            raise ValueError(f"NB={pattern}: no sweep starts with it: there are {names or 'none'}")
        for sweep in found:
            if why:
                told = "; ".join(stale_because(sweep))
                print(f"{sweep.name}: " + (f"would run: {told}" if told else "up to date"))
            else:
                print(f"{sweep.name}: {os.path.relpath(write(sweep, *options), ROOT)}", flush=True)
    except KeyboardInterrupt:
        print("\nsweeps: interrupted; finished runs are kept, the same command goes on with the rest", file=sys.stderr)
        return 130
    except Exception as error:
        print("\n".join([f"sweeps: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 2 if isinstance(error, (ValueError, OSError, ModuleNotFoundError, data.DataCorrupt)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
