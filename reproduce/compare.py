"""What a run has in common with the committed record, and what findings do over further seeds: text, from records."""

import json
import math
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from paper_utils.files import ROOT, read_json, replacing
from reproduce import claims as cl
from reproduce import notebook as nb
from reproduce import record as records
from reproduce import report
from reproduce.claims import Claims, Finding, Record

# Added to a notebook's own seed, where its parameters cell does not list the seeds that there are.
FURTHER = (100, 200, 300)


def committed(name: str, root: Path = ROOT) -> Record | None:
    """Read the record of a notebook at git's HEAD; without one there, that in figures/; None where there is neither."""
    words = ["git", "show", f"HEAD:figures/{name}/record.json"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    path = root / "figures" / name / "record.json"
    return read_json(path) if path.exists() else None


def comparison(record: Record, before: Record | None, claims: Claims) -> str:
    """Say which claims hold in a run, and how its numbers and pictures differ from those of the committed record.

    A line each: claims as stated, those that are not (value, bound, value before), numbers, pictures, and the numerics
    where they differ.
    """
    name, numbers = record["notebook"], record["numbers"]
    old = before["numbers"] if before else {}
    judged = claims.of(name)
    off = [claim for claim in judged if cl.judge(claim, numbers).isupper()]
    lines = [f"{name}: {len(judged) - len(off)} of {len(judged)} claims are as stated"]
    for claim in off:
        value, bound, word = report.facts(claim, numbers)
        lines.append(f"    {word.strip('*')} {claim.id}: {value}, {bound}; before {report.facts(claim, old)[0]}")
    if not before:
        return "\n".join([*lines, "    there is no record from before to compare with"])
    alike = [key for key in numbers if key in old and len(flat(numbers[key])) == len(flat(old[key]))]
    pairs = [(key, *pair) for key in alike for pair in zip(flat(numbers[key]), flat(old[key]), strict=True)]
    far, where = max(((apart(new, was), key) for key, new, was in pairs), default=(0.0, ""))
    told = f"    numbers: {sum(new == was for _, new, was in pairs)} of {len(pairs)} are equal"
    told += f"; the largest difference is {far:.2g} of its size ({where})" if far else ""
    told += f"; {len(numbers) - len(alike)} are new or of another length" if len(alike) < len(numbers) else ""
    told += f"; gone are {', '.join(sorted(old.keys() - numbers.keys()))}" if old.keys() - numbers.keys() else ""
    here, there = records.pictures(record), records.pictures(before)
    differ = [file for file in here if here[file] != there.get(file)] + sorted(there.keys() - here.keys())
    named = f"; not: {', '.join(differ[:4])}{', ...' if len(differ) > 4 else ''}" if differ else ""
    lines += [told, f"    pictures: {len(here.keys() - differ)} of {len(here)} are equal{named}"]
    made, before_that = (each["environment"].get("numerics", "free") for each in (record, before))
    if made != before_that:
        lines.append(
            f"    this run is in {made} numerics, the one before in {before_that}: bits can agree in exact ones only"
        )
    return "\n".join(lines)


def flat(value: object) -> list:
    return value if isinstance(value, list) else [value]


def apart(new: object, was: object) -> float:
    """Return the difference of two numbers over the larger one's size; infinite for different texts."""
    if new == was:
        return 0.0
    if not (cl.is_number(new) and cl.is_number(was)):
        return math.inf
    return abs(new - was) / max(abs(new), abs(was))


def seeds(path: Path) -> list[int]:
    """Return a notebook's further seeds: its own plus 100, 200, 300, or the others that its parameters cell lists."""
    source = nb.read(path)
    if "SEED" not in nb.parameters(source):
        raise ValueError(f"robustness: {path.stem} has no parameter SEED, so there are no further seeds to run")
    own, listed = nb.parameters(source)["SEED"], nb.choices(source).get("SEED")
    return [seed for seed in listed if seed != own][:3] if listed else [own + more for more in FURTHER]


def spread(finding: Finding, runs: Sequence[Record]) -> tuple[str, bool]:
    """Count the standard deviations of its values over all runs from their mean to the bound; and are there two?"""
    values = [value for run in runs for value in cl.values(finding, run["numbers"])]
    low, high = cl.limits(finding, runs[0]["numbers"])
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    if not deviation:
        return "no spread", True
    away = cl.margin(statistics.mean(values), low, high) / deviation
    return f"{away:.1f}", away >= 2


def robustness(claims: Claims, runs: Mapping[str, Sequence[tuple[str, Record]]]) -> str:
    """Return ROBUSTNESS.md: each finding in the committed run and in those with further seeds, which `runs` names."""
    parts = [
        "# Findings over further seeds",
        "Written by `make robustness`, which runs every notebook with three further seeds. A cell holds what a finding "
        "measures in that run (of several values the least favourable). Margin: how many standard deviations lie "
        "between the mean of all values of all runs and the bound; *no spread* where every run gives one value, as "
        "for released weights and for the rows of sweeps, which repeat their trainings themselves. Two are asked for.",
    ]
    for name, made in runs.items():
        rows = []
        for finding in (claim for claim in claims.of(name) if isinstance(claim, Finding)):
            told = [report.facts(finding, record["numbers"]) for _, record in made]
            failed = [label for (label, _), (*_, word) in zip(made, told, strict=True) if word.startswith("**")]
            away, enough = spread(finding, [record for _, record in made])
            verdict = f"**fails in {', '.join(failed)}**" if failed else "holds" if enough else "**too close**"
            values = [value.partition(" (")[0] for value, *_ in told]
            rows.append((finding.sentence, told[0][1], *values, away, verdict))
        machines = [
            f"{label}: {r['environment'].get('numerics', 'free')}, {r['environment'].get('processor', '-')}"
            for label, r in made
        ]
        head = ", ".join(["finding", "must be", *(label for label, _ in made), "margin", "verdict"])
        parts += [f"## {name}", report.table(head, rows), "Numerics and processor: " + "; ".join(machines) + "."]
    return "\n\n".join(parts) + "\n"


def write_robustness(claims: Claims, folders: Mapping[str, Mapping[str, Path]], root: Path = ROOT) -> bool:
    """Write ROBUSTNESS.md from records in folders; tell whether every finding holds in each, with a margin."""
    runs = {
        name: [(label, read_json(folder / "record.json")) for label, folder in made.items()]
        for name, made in folders.items()
    }
    text = robustness(claims, runs)
    with replacing(root / "ROBUSTNESS.md") as beside:
        beside.write_text(text, encoding="utf-8")
    return "| **" not in text
