"""Trainings too many for one notebook: `python -m sweeps [why] [NB=03] [N=8] [DEVICE=cuda] [SCHEDULER=tcp://host:port]`.

Each file beside this one is named after the notebook that reads it, with a word added where a notebook has several
(03_mnist_sae_deaths). Its docstring says what is repeated and why; it has GRID (names -> values), LOAD (the data set's
loader, or None) and run, which is called with the data and one point of the grid and returns a row of measures, or a
list of rows where it trains several models at once. Missing points are trained (`runs.measured`) and all rows are
written to figures/sweeps/<name>.csv, with their provenance beside them. With N the points are repeated over N seeds,
with DEVICE they are trained there; such rows go to build/variants/, those of stand-in data to build/stand-in/.
"""

import csv
import hashlib
import importlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from paper_utils import data, results, runs, training
from paper_utils.files import ROOT, digest, read_json, replacing

MAKES_OWN = ("PYTHON", "TORCH", "PAPER_DATA")  # variables of make's command line that say nothing about sweeps


def sweeps(pattern: str = "") -> list[ModuleType]:
    """The sweeps whose name starts with `pattern`."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[0-9]*.py"))
    return [importlib.import_module(f"sweeps.{name}") for name in names if name.startswith(pattern)]


def points(grid: Mapping[str, Sequence]) -> list[dict[str, object]]:
    """All combinations of the grid's values, the last name running fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def provenance(sweep: ModuleType, images: data.Images | None, grid: Mapping[str, Sequence]) -> dict[str, object]:
    """What decides a sweep's rows: its grid, code and data."""
    return {
        "grid": {name: list(values) for name, values in grid.items()},
        "code": runs.code(sweep.run),
        "source": images.source if images else "exact",
        "inputs": dict(images.files) if images else {},
    }


def write(sweep: ModuleType, n_seeds: int | None = None, device: str = "") -> Path:
    """Train what is missing of a sweep and write its rows; the file that they went to."""
    name = sweep.__name__.rpartition(".")[2]
    if n_seeds and "seed" not in sweep.GRID:
        raise ValueError(f"N={n_seeds}: {name} has no seed in its GRID, only {', '.join(sweep.GRID)}: see NB")
    grid = {**sweep.GRID, **({"seed": range(first := sweep.GRID["seed"][0], first + n_seeds)} if n_seeds else {})}
    images = sweep.LOAD() if sweep.LOAD else None
    where = {"device": device} if device else {}
    measured = runs.measured(sweep.run, [point | where for point in points(grid)], images)
    rows = []
    for point, (found, _) in zip(points(grid), measured, strict=True):
        rows += [point | row for row in (found if isinstance(found, list) else [found])]
    machines = [machine for _, machine in measured]
    # A cluster's machines may differ in what does not stop a run: each version found is named.
    versions = {key: sorted({m[key] for m in machines}) for key in machines[0]}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    about = {"why": " ".join(sweep.__doc__.split()), **provenance(sweep, images, grid)}
    about |= where | {"runs": len(measured), "threads": 1, "versions": versions, "commit": commit}
    stand_in = about["source"] in results.STAND_INS
    place = ROOT / ("build/stand-in" if stand_in else "build/variants" if n_seeds or device else "figures") / "sweeps"
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    about["rows"] = hashlib.sha256(table.getvalue().encode()).hexdigest()
    for file, text in ((f"{name}.csv", table.getvalue()), (f"{name}.json", json.dumps(about, indent=1) + "\n")):
        with replacing(place / file) as beside:
            beside.write_text(text, encoding="utf-8")
    return place / f"{name}.csv"


def stale_because(sweep: ModuleType) -> list[str]:
    """The reasons to run a sweep again; empty where figures/sweeps/ holds what it would write."""
    name = sweep.__name__.rpartition(".")[2]
    try:
        about = read_json(ROOT / "figures" / "sweeps" / f"{name}.json")
    except FileNotFoundError:
        return ["it was never run"]
    if digest(ROOT / "figures" / "sweeps" / f"{name}.csv") != about.get("rows"):
        return ["its rows are missing or altered"]
    now = provenance(sweep, sweep.LOAD() if sweep.LOAD else None, sweep.GRID)
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


def main(words: Sequence[str], find: Callable[[str], list[ModuleType]] = sweeps) -> int:
    why = words[:1] == ["why"]
    try:
        pattern, *options = parse(words[why:])
        found = find(pattern)
        if not found and not why:  # not every notebook has one
            names = ", ".join(sweep.__name__ for sweep in find(""))
            raise ValueError(f"NB={pattern}: no sweep starts with it: there are {names or 'none'}")
        for sweep in found:
            if why:
                told = "; ".join(stale_because(sweep))
                print(f"{sweep.__name__}: " + (f"would run: {told}" if told else "up to date"))
            else:
                print(f"{sweep.__name__}: {os.path.relpath(write(sweep, *options), ROOT)}", flush=True)
    except KeyboardInterrupt:
        print("\nsweeps: interrupted; finished runs are kept, the same command goes on with the rest", file=sys.stderr)
        return 130
    except Exception as error:
        print("\n".join([f"sweeps: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 2 if isinstance(error, (ValueError, OSError, ModuleNotFoundError, data.DataCorrupt)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
