"""`make verify`: judge the claims, hold figures/ against its manifest, write README's tables and the gallery. No run.

`python -m paper_utils.verify` needs neither torch nor the data, and fails on a miss or a disagreement.
"""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from paper_utils import gallery, manifest
from paper_utils.claims import Claim, holds, load, read_numbers, show, unresolved
from paper_utils.files import ROOT, read_json, replacing


def cell(text: str) -> str:
    """Text for a cell of a Markdown table, where a bar would end the cell."""
    return text.replace("|", r"\|")


def table(claims: list[Claim], numbers: Mapping[str, Mapping[str, object]]) -> str:
    """A Markdown table: what is claimed, measured, what it must be and how held, the seed's own, where it is shown."""
    rows = ["| claim | measured | must be | kind | the seed | figure |", "| --- | --- | --- | --- | --- | --- |"]
    for claim in claims:
        figure, value = claim.entry.get("figure"), numbers[claim.notebook][claim.key]
        link = f"[notebook](notebooks/{claim.notebook}.ipynb)"
        if figure:
            link = f"[{figure}](figures/{claim.notebook}/{figure}.png)"
        elif claim.entry.get("file") == "seeds.json":
            link = f"[seeds](figures/seeds/{claim.notebook}.png)"
        verdict = "" if holds(claim, numbers) == claim.met else " **MISSED**"
        note = "" if claim.met else f" Not met here: {claim.entry['reason']}"
        kind = claim.entry["kind"] + (f", {len(claim.entry['seeds'])} seeds" if claim.entry.get("seeds") else "")
        said = f"{cell(claim.sentence + note)} | {show(value)}{verdict} | {claim.bound} | {kind}"
        rows.append(f"| {said} | {claim.entry.get('seed_value', '-')} | {link} |")
    return "\n".join(rows)


def minutes(runs: Collection[Mapping]) -> str:
    """How long these runs took together, marked where one of them found trained weights, as no fresh clone does."""
    kept = any("kept" in run["weights"].values() for run in runs)
    return f"{sum(run['seconds'] for run in runs) / 60:.1f}" + (" (weights kept)" if kept else "")


def write_readme(text: str, claims: list[Claim], numbers: Mapping[str, Mapping], account: Mapping[str, Mapping]) -> str:
    """The README's text with its two generated parts between their markers made anew.

    Raises:
        ValueError: a marker is missing.
    """
    head = ["| notebook | headline | measured | the seed | minutes | memory |", "| --- | --- | --- | --- | --- | --- |"]
    for claim in (c for c in claims if c.entry.get("headline")):
        name, run, seed = claim.notebook, account[claim.notebook], claim.entry.get("seed_value", "-")
        picture, value = f"figures/{name}/{claim.entry['figure']}.png", show(numbers[name][claim.key])
        shown = f"[{cell(claim.sentence)}]({picture}) | {value}"
        cost = f"{minutes([run])} | {run['peak_mb'] / 1000:.1f} GB"
        head.append(f"| [{name}](notebooks/{name}.ipynb) | {shown} | {seed} | {cost} |")
    head.append(f"| all | | | | {minutes(account.values())} | |")
    for marker, part in (("headlines", "\n".join(head)), ("claims", table(claims, numbers))):
        start, end = f"<!-- {marker}: written by make verify -->", f"<!-- end of {marker} -->"
        if not (start in text and end in text):
            raise ValueError(f"README.md lacks the markers {start} and {end}")
        text = text[: text.index(start) + len(start)] + f"\n{part}\n" + text[text.index(end) :]
    return text


def report(claims: list[Claim], numbers: Mapping[str, Mapping[str, object]]) -> tuple[str, int]:
    """The judgement as `make verify` prints it, and how many claims do not turn out as stated."""
    rows, unmet, missed = [], [], 0
    for claim in claims:
        turned_out = holds(claim, numbers) == claim.met
        verdict = "MISSED" if not turned_out else "holds" if claim.met else "not met, as stated"
        value = show(numbers[claim.notebook][claim.key])
        rows.append(f"{verdict:18}  {value:>10}  {claim.bound:22}  {claim.id}")
        missed += not turned_out
        if not claim.met:
            unmet.append(f"    {claim.id}: {claim.entry['reason']}")
    if unmet:
        rows += ["Stated by others and not met here, because:", *unmet]
    rows.append(f"{len(claims) - missed} of {len(claims)} claims turn out as stated")
    return "\n".join(rows), missed


def main(root: Path = ROOT) -> int:
    """Judge, print, write the README; 0, 1 for a miss or a disagreement in figures/, 2 for what cannot be judged."""
    readme = root / "README.md"
    try:
        claims = load(root / "claims.yml")
        numbers, account = read_numbers(root / "figures"), read_json(root / "figures" / "manifest.json")
        found = manifest.problems(root)
        if unknown := unresolved(claims, numbers, account):
            raise ValueError("\n    ".join(["what claims.yml names must be in figures/:", *unknown]))
        text = write_readme(readme.read_text(encoding="utf-8"), claims, numbers, account)
    except (ValueError, OSError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    with replacing(readme) as beside:
        beside.write_text(text, encoding="utf-8")
    try:
        gallery.write(root)
    except (OSError, ValueError) as error:
        found.append(f"the gallery cannot be made: {error}")
    judged, missed = report(claims, numbers)
    print(judged)
    if found:
        print("\n    ".join(["figures/ is not what its manifest and the notebooks say:", *found]))
    else:
        print("figures/ holds what its manifest lists, made from the notebooks and modules as they are")
    return 1 if missed or found else 0


if __name__ == "__main__":
    sys.exit(main())
