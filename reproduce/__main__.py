"""Behind the Makefile: `python -m reproduce figures|quick|why|notebooks|verify [NB=01] [PARAMETER=value ...]`."""

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from paper_utils.files import ROOT
from reproduce import claims, record, report, run

# Of make: no notebook takes them.
MAKES_OWN = ("PYTHON", "N", "PAPER_DATA", "SCHEDULER", "TORCH", "EXACT", "FAST")


def main(words: Sequence[str]) -> int:
    command, *rest = words or ["help"]
    if command == "execute":  # by run.start, in a process of its own
        return run.execute(Path(rest[0]), rest[1], ast.literal_eval(rest[2]))
    if command == "verify":
        return report.verify()
    if command == "notebooks":
        found = record.refresh()
        print("\n".join(found) or "notebooks/*.ipynb hold the last full run")
        return 1 if found else 0
    if command not in ("figures", "quick", "why"):
        print(__doc__)
        return 2
    words = dict(word.split("=", 1) for word in rest)
    given = {name: value for name, value in words.items() if name not in MAKES_OWN}
    if words.get("EXACT") or words.get("FAST"):
        os.environ["PAPER_NUMERICS"] = "exact" if words.get("EXACT") else "free"
    try:
        jobs = run.plan(command, given, given.pop("NB", ""))
        if command != "why":
            return _run(jobs, command)
        for job in jobs:
            reasons = record.stale_because(job.path, job.values, job.folder)
            print(f"{job.name}: {'would run: ' + '; '.join(reasons) if reasons else 'up to date'}")
        return 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: nothing half-written; the same command goes on where this one stopped")
        return 130


def _run(jobs: Sequence[run.Job], command: str) -> int:
    # Read before anything runs: a slip in claims.yml should not show after twenty minutes.
    stated = claims.load(ROOT / "claims.yml") if (ROOT / "claims.yml").exists() else None
    for job in jobs if stated else ():
        job.needed = claims.needed(stated, job.name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Quick runs mostly start up and import, which more threads do not speed up: one notebook a core.
    side_by_side = min(run.jobs_of(os.environ.get("MAKEFLAGS", ""), cores if command == "quick" else 1), len(jobs))
    with run.only_one(ROOT / "build" / "lock"):
        run.run(jobs, side_by_side, max(1, cores // side_by_side))
        ours = [job for job in jobs if job.ok and job.folder.parent == ROOT / "figures"]
        status, judged = int(not all(job.ok for job in jobs)), {}
        for job in ours if stated else ():
            off, total = claims.tally(stated, claims.read_records(ROOT, job.name), job.name)
            judged[job.name] = f"{total - len(off)}/{total}" + (f" (not: {', '.join(off)})" if off else "")
        print("\n" + run.summary(jobs, judged))
        if stated and any(job.verdict == "complete" for job in ours):
            try:
                report.write(ROOT)
            except (OSError, ValueError) as error:
                print(f"what is derived from the records cannot be written: {error}", file=sys.stderr)
                return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
