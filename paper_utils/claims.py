"""The claims of the paper: claims.yml read and checked, each judged by the recorded numbers. No torch, no run.

`python -m paper_utils.claims`, behind `make verify`, prints the judgement, writes it into the README and the gallery,
and fails on a miss.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from paper_utils.files import ROOT, replacing

KINDS = ("bitwise", "tolerance", "statistical")
SOURCES = ("seed", "published", "ours")


@dataclass(frozen=True)
class Claim:
    """One number the paper states, and what it must be."""

    id: str
    sentence: str
    notebook: str
    key: str
    low: float
    high: float
    met: bool  # False: the seed states it, we do not find it, and say so
    entry: Mapping[str, object]


def load(path: Path) -> list[Claim]:
    """Read claims.yml.

    Raises:
        ValueError: a malformed file or claim; names file, claim and what would be right.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no valid YAML: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path.name}: must be a list of claims, is a {type(entries).__name__}")
    claims = [_claim(path.name, number, entry) for number, entry in enumerate(entries, 1)]
    ids = [claim.id for claim in claims]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"{path.name}: these ids stand twice: {', '.join(repeated)}")
    return claims


def _claim(file: str, number: int, entry: object) -> Claim:
    where = f"{file}, claim {number}" + (f" ({entry.get('id')})" if isinstance(entry, dict) else "")
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: must be a mapping")
    required, optional = {"id", "sentence", "notebook", "key", "kind", "source"}, {
        "figure", "expected", "tolerance", "range", "met", "reason", "seeds", "error_bar", "seed_value", "headline",
    }  # fmt: skip
    if missing := required - entry.keys():
        raise ValueError(f"{where}: lacks {', '.join(sorted(missing))}")
    if unknown := entry.keys() - required - optional:
        raise ValueError(
            f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(required | optional))}"
        )
    if entry["kind"] not in KINDS or entry["source"] not in SOURCES:
        raise ValueError(f"{where}: kind must be one of {KINDS} and source one of {SOURCES}")
    if ("range" in entry) == ("expected" in entry):
        raise ValueError(f"{where}: give either range: [low, high], or expected: with tolerance:")
    if entry["kind"] == "statistical" and not (entry.get("seeds") and entry.get("error_bar")):
        raise ValueError(f"{where}: a statistical claim names its seeds and its error_bar")
    if entry.get("met") is False and not entry.get("reason"):
        raise ValueError(f"{where}: a claim that is not met gives its reason")
    try:
        if "range" in entry:
            low, high = (float(v) for v in entry["range"])
        else:
            low, high = (float(entry["expected"]) + s * float(entry.get("tolerance", 0)) for s in (-1, 1))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: range, expected and tolerance are numbers ({error})") from error
    if low > high:
        raise ValueError(f"{where}: the range [{low}, {high}] is upside down")
    return Claim(
        entry["id"], entry["sentence"], entry["notebook"], entry["key"], low, high, entry.get("met", True), entry
    )


def holds(claim: Claim, numbers: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether the recorded number lies in the claim's range; numbers are {notebook: {key: value}}.

    Raises:
        KeyError: the number was never recorded; names it.
    """
    value = numbers.get(claim.notebook, {}).get(claim.key)
    if not isinstance(value, (int, float)):
        raise KeyError(f"claim {claim.id}: no number {claim.key!r} of {claim.notebook} is recorded")
    return claim.low <= value <= claim.high


def tally(claims: list[Claim], numbers: Mapping[str, Mapping[str, object]], notebook: str) -> tuple[list[str], int]:
    """Ids of a notebook's claims that do not turn out as stated, and how many there are in all.

    A claim marked `met: false` turns out as stated when the number indeed misses it.
    """
    own = [claim for claim in claims if claim.notebook == notebook]
    return [claim.id for claim in own if holds(claim, numbers) != claim.met], len(own)


def show(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cell(text: str) -> str:
    """Text for a cell of a Markdown table, where a bar would end the cell."""
    return text.replace("|", r"\|")


def table(claims: list[Claim], numbers: Mapping[str, Mapping[str, object]]) -> str:
    """A Markdown table: what is claimed, the number measured, what it must be, the seed's own, where it is shown."""
    rows = ["| claim | measured | must be | the seed | figure |", "| --- | --- | --- | --- | --- |"]
    for claim in claims:
        figure, value = claim.entry.get("figure"), numbers[claim.notebook][claim.key]
        low, high = show(claim.low), show(claim.high)
        bound = low if claim.low == claim.high else f"{low} to {high}"
        link = (
            f"[{figure}](figures/{claim.notebook}/{figure}.png)"
            if figure
            else f"[notebook](notebooks/{claim.notebook}.ipynb)"
        )
        verdict = "" if holds(claim, numbers) == claim.met else " **MISSED**"
        note = "" if claim.met else f" Not met here: {claim.entry['reason']}"
        seed = claim.entry.get("seed_value", "-")
        rows.append(f"| {cell(claim.sentence + note)} | {show(value)}{verdict} | {bound} | {seed} | {link} |")
    return "\n".join(rows)


def write_readme(text: str, claims: list[Claim], numbers: Mapping[str, Mapping[str, object]], manifest: Mapping) -> str:
    """The README's text with its two generated parts between their markers made anew.

    Raises:
        ValueError: a marker is missing.
    """
    head = ["| notebook | headline | measured | the seed | memory |", "| --- | --- | --- | --- | --- |"]
    for claim in (c for c in claims if c.entry.get("headline")):
        name, run, seed = claim.notebook, manifest[claim.notebook], claim.entry.get("seed_value", "-")
        picture, value = f"figures/{name}/{claim.entry['figure']}.png", show(numbers[name][claim.key])
        shown = f"[{cell(claim.sentence)}]({picture}) | {value}"
        memory = f"{run['peak_mb'] / 1000:.1f} GB"
        head.append(f"| [{name}](notebooks/{name}.ipynb) | {shown} | {seed} | {memory} |")
    for marker, part in (("headlines", "\n".join(head)), ("claims", table(claims, numbers))):
        start, end = f"<!-- {marker}: written by make verify -->", f"<!-- end of {marker} -->"
        if not (start in text and end in text):
            raise ValueError(f"README.md lacks the markers {start} and {end}")
        text = text[: text.index(start) + len(start)] + f"\n{part}\n" + text[text.index(end) :]
    return text


def main() -> int:
    from paper_utils import gallery  # which itself shows what this module judges

    try:
        claims = load(ROOT / "claims.yml")
        numbers, manifest = (json.loads((ROOT / "figures" / f"{n}.json").read_text()) for n in ("numbers", "manifest"))
        misses = [c for c in claims if holds(c, numbers) != c.met]
        readme = ROOT / "README.md"
        text = write_readme(readme.read_text(encoding="utf-8"), claims, numbers, manifest)
    except (ValueError, KeyError, FileNotFoundError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    with replacing(readme) as beside:
        beside.write_text(text, encoding="utf-8")
    gallery.write(ROOT)
    for claim in claims:
        verdict = "MISSED" if claim in misses else "holds" if claim.met else "not met, as stated"
        value = show(numbers[claim.notebook][claim.key])
        print(f"{verdict:18}  {value:>10}  [{show(claim.low)}, {show(claim.high)}]  {claim.id}")
    print(f"{len(claims) - len(misses)} of {len(claims)} claims turn out as stated")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
