"""Behind the Makefile: `python -m reproduce figures|quick|why|robustness|notebooks|verify [NB=01] [NAME=value ...]`."""

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from paper_utils import numerics
from paper_utils.files import ROOT, read_json, replacing
from reproduce import claims, compare, notebook, record, report, run

# Of make: no notebook takes them.
MAKES_OWN = ("PYTHON", "N", "PAPER_DATA", "SCHEDULER", "TORCH", "EXACT", "FAST")


def main(words: Sequence[str]) -> int:
    command, *rest = words or ["help"]
    if command == "execute":  # by run.start, in a process of its own
        return run.execute(Path(rest[0]), rest[1], ast.literal_eval(rest[2]))
    given = dict(word.split("=", 1) for word in rest)
    for switch, mode in (("FAST", "free"), ("EXACT", "exact")):
        if given.get(switch, "0") not in ("", "0"):
            os.environ["PAPER_NUMERICS"] = mode
    given, pattern = {name: value for name, value in given.items() if name not in MAKES_OWN}, given.get("NB", "")
    given.pop("NB", None)
    try:
        if command == "verify":
            return report.verify()
        if command == "notebooks":
            wrong = record.refresh(pattern=pattern)
            print("\n".join(wrong) or "notebooks/*.ipynb hold the last full run")
            return 1 if wrong else 0
        if command == "robustness":
            return _robustness(given, pattern)
        if command in ("figures", "quick"):
            return _run(run.plan(command, given, pattern), command)
        if command == "why":
            for job in run.plan(command, given, pattern):
                reasons = record.stale_because(notebook.fingerprint(job.path, job.values), job.folder)
                print(f"{job.name}: {'would run: ' + '; '.join(reasons) if reasons else 'up to date'}")
            return 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-written; the same command goes on where this one stopped")
        return 130
    print(__doc__)
    return 2


def _stated(jobs: Sequence[run.Job]) -> claims.Claims | None:
    """Read claims.yml, if there is one, before anything runs: a slip in it should not show after twenty minutes."""
    if not (ROOT / "claims.yml").exists():
        return None
    stated = claims.load(ROOT / "claims.yml")
    for job in jobs:
        job.needed = claims.needed(stated, job.name)
    if lacking := [line for job in jobs for line in run.unrecorded(job)]:
        raise ValueError("\n".join(lacking))
    return stated


def _run(jobs: Sequence[run.Job], command: str) -> int:
    stated = _stated(jobs)
    before = {job.name: compare.committed(job.name) for job in jobs}
    # Quick runs mostly start up and import, which more threads do not speed up: one notebook a core.
    cores = numerics.processes()
    side_by_side = min(run.jobs_of(os.environ.get("MAKEFLAGS", ""), cores if command == "quick" else 1), len(jobs))
    with run.only_one(ROOT / "build" / "lock"):
        run.run(jobs, side_by_side, max(1, cores // side_by_side))
        print("\n" + run.summary(jobs))
        for job in jobs if stated else ():
            if job.ok and job.record["mode"] == "full" and not job.record["stamp"]:
                told = compare.comparison(job.record, before[job.name], stated)
                with replacing(record.executed_copy(job.folder).with_suffix(".comparison.md")) as beside:
                    beside.write_text(told + "\n", encoding="utf-8")
                print(told)
        if stated and any(job.verdict == "complete" and job.folder.parent == ROOT / "figures" for job in jobs):
            try:
                report.write(ROOT, stated)
            except (OSError, ValueError) as error:
                print(f"what is derived from the records cannot be written: {error}", file=sys.stderr)
                return 1
    return int(not all(job.ok for job in jobs))


def _robustness(given: dict[str, str], pattern: str) -> int:
    """Run the notebooks with further seeds into build/robustness/, and write ROBUSTNESS.md from what is there."""
    plain = run.plan("figures", given, pattern)
    stated = _stated(plain)
    if not stated:
        raise ValueError("robustness: there is no claims.yml, so there is nothing to judge")
    if lacking := [job.name for job in plain if not (job.folder / "record.json").exists()]:
        raise ValueError(f"robustness: no record to compare with of {', '.join(lacking)}: `make figures` first")
    jobs, folders = [], {job.name: {"committed": ROOT / "figures" / job.name} for job in plain}
    for job in plain:
        for seed in compare.seeds(job.path):
            out = ROOT / "build" / "robustness" / f"seed-{seed}"
            jobs.append(run.Job(job.path, job.values | {"SEED": seed}, False, f"seed {seed}", job.needed, out))
            folders[job.name][f"seed {seed}"] = out / job.name
    with run.only_one(ROOT / "build" / "lock"):
        run.run(jobs, 1, numerics.processes())
    print("\n" + run.summary(jobs))
    if not all(job.ok and job.folder == job.place({"mode": "full", "stamp": ""}) / job.name for job in jobs):
        print("robustness: not every run is complete and of the real data, so ROBUSTNESS.md stays as it is")
        return 1
    if pattern:  # of some notebooks only: the table of all stays as it is
        made = {
            name: [(label, read_json(f / "record.json")) for label, f in of.items()] for name, of in folders.items()
        }
        print(compare.robustness(stated, made))
        return 0
    sound = compare.write_robustness(stated, folders)
    print("ROBUSTNESS.md: " + ("every finding holds with a margin" if sound else "some findings fail or are too close"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
