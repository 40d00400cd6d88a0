"""All that is derived from the records: README's findings and picture, CLAIMS.md, the gallery figures/README.md.

It can be made again at any time, without a run; the same records, notebooks and claims give the same bytes.
"""

import io
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import nbformat
from PIL import Image, ImageDraw, ImageFont

from paper_utils.files import ROOT, replacing
from reproduce import claims as cl
from reproduce import notebook as nb
from reproduce import record as records
from reproduce.claims import Claim, Claims, Finding, Original, Record

# Of a family with more members, all but the first are folded away.
FAMILY = 12
# Of README's picture, in pixels: the side of a panel, the space between panels, and the line with their titles.
SIDE, GAP, LINE = 380, 16, 40
START, END = "<!-- headlines: written by make verify -->", "<!-- end of headlines -->"


class Section(NamedTuple):
    """What is reported of one notebook; its record is empty where no run was published."""

    name: str
    title: str
    captions: Mapping[str, tuple[str, str]]
    record: Record
    numbers: Mapping[str, object]
    claims: list[Claim]


def sections(root: Path, claims: Claims, published: Mapping[str, Record]) -> list[Section]:
    """List each notebook that has a record or a claim, in order."""
    found = []
    for name in sorted({*published, *(claim.notebook for claim in claims.of())}):
        path, record = root / "notebooks" / f"{name}.py", published.get(name, {})
        book = nb.read(path) if path.exists() else nbformat.v4.new_notebook()
        title = nb.headings(book)[0] if nb.headings(book) else name
        found.append(Section(name, title, nb.captions(book), record, record.get("numbers", {}), claims.of(name)))
    return found


def write(root: Path, claims: Claims) -> None:
    """Write README's findings and picture, CLAIMS.md and figures/README.md, each only where it changes.

    A ValueError says what is malformed, an OSError which file cannot be read or written.
    """
    paper = sections(root, claims, cl.read_records(root))
    readme = (root / "README.md").read_text(encoding="utf-8")
    run = [section for section in paper if section.record]
    texts = {
        "README.md": headlines(readme, run),
        "CLAIMS.md": statements(paper),
        "figures/README.md": gallery(run, root),
    }
    made = {file: text.encode() for file, text in texts.items()}
    if picture := cover(claims, root):
        made["figures/cover.png"] = picture
    for file, content in made.items():
        # Writing nothing where nothing changed lets `make verify` pass in a checkout that is read-only.
        if not (root / file).exists() or (root / file).read_bytes() != content:
            with replacing(root / file) as beside:
                beside.write_bytes(content)


def show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
    return "-" if value is None else str(value)


def table(head: str, rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; a bar or a line break within a cell would end the cell."""
    cells = [[" ".join(show(cell).split()).replace("|", r"\|") for cell in row] for row in rows]
    columns = head.split(", ")
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *cells))


def minutes(runs: Collection[Record]) -> str:
    """Say how long these runs took together, marked where one of them found trained weights, as no fresh clone does."""
    kept = any("kept" in record["weights"].values() for record in runs)
    return f"{sum(record['seconds'] for record in runs) / 60:.1f}" + (" (weights kept)" if kept else "")


def facts(claim: Claim, numbers: Mapping[str, object]) -> tuple[str, str, str]:
    """Return what is measured (of several values the least favourable), what it must be, and the verdict."""
    found = cl.values(claim, numbers) if claim.measured else []
    value = show(cl.least_favourable(claim, numbers)) if found else "-"
    value += f" (the least favourable of {len(found)} {claim.each})" if claim.each and found else ""
    low, high = map(show, cl.limits(claim, numbers))
    bound = f"at most {high}" if low == "-" else f"at least {low}" if high == "-" else f"{low} to {high}"
    word = cl.judge(claim, numbers)
    return value, bound if claim.measured else "-", f"**{word}**" if word.isupper() else word


def counted(paper: Iterable[Section], kind: type[Claim] = Claim) -> str:
    """Count how claims turn out: "12: 11 hold, 1 MISSED"."""
    judged = [
        cl.judge(claim, section.numbers) for section in paper for claim in section.claims if isinstance(claim, kind)
    ]
    words = [word.removesuffix("s") for word in judged]
    return f"{len(words)}: {', '.join(f'{words.count(word)} {word}' for word in dict.fromkeys(words))}"


def headlines(text: str, paper: Sequence[Section]) -> str:
    """Make anew what stands between the markers in README's text: a row a headline, what did not reproduce."""
    if not (START in text and END in text):
        raise ValueError(f"README.md lacks the markers {START} and {END}")
    rows, missed = [], []
    for name, title, *_, record, numbers, claims in paper:
        for claim in claims:
            value, number = facts(claim, numbers)[0], name.partition("_")[0]
            shown = f"(figures/{name}/{claim.figure}.png)" if claim.figure else "(CLAIMS.md)"
            if getattr(claim, "headline", False):
                row = f"[{title}](notebooks/{name}.ipynb)", f"[{claim.sentence}]{shown}"
                rows.append((*row, value, claim.original, minutes([record])))
            elif getattr(claim, "verdict", "") == "differs":
                here = f" Here: {value}." if claim.measured and claim.value is not None else ""
                missed.append(f"- [{number}]{shown} {claim.statement}{here}")
    made = table("notebook, what we found, measured, the original, minutes", rows)
    made += f"\n\nOf the originals' statements ({counted(paper, Original)}) these differ; [why](CLAIMS.md):\n\n"
    return text[: text.index(START) + len(START)] + f"\n{made}" + "\n".join(missed) + "\n" + text[text.index(END) :]


def statements(paper: Sequence[Section]) -> str:
    """Return CLAIMS.md: every statement with its verdict, by notebook."""
    parts = [
        "# What is claimed, and what became of it",
        "Written by `make verify` from [claims.yml](claims.yml) and the records in `figures/`. A finding is ours, and "
        "its test is its sentence. A statement of an original notebook stands beside our number and what would count "
        "as reproduced. A verdict in capitals is not the one that claims.yml states.",
        f"- Findings, {counted(paper, Finding)}\n- Statements of the original notebooks, {counted(paper, Original)}",
    ]
    for name, title, *_, numbers, claims in paper:
        rows = {Finding: [], Original: []}
        for claim in claims:
            value = [claim.value] if isinstance(claim, Original) else []
            link = f"[{claim.figure}](figures/{name}/{claim.figure}.png)" if claim.figure else None
            rows[type(claim)].append((claim.text, *value, *facts(claim, numbers), claim.because, link))
        parts += [
            f"## [{title}](notebooks/{name}.ipynb)",
            "What we found:",
            table("finding, measured, must be, verdict, why this bound, figure", rows[Finding]),
            "What the original notebook states:",
            table("statement, its value, ours, reproduced if, verdict, because, figure", rows[Original]),
        ]
    return "\n\n".join(parts) + "\n"


def gallery(paper: Sequence[Section], root: Path) -> str:
    """Return figures/README.md, which GitHub shows in place: every picture with its words, claims and origin."""
    parts = [
        "# The figures, and what is claimed of them",
        "Written by `make verify` from the records in these folders, the captions in the notebooks and "
        "[claims.yml](../claims.yml); [CLAIMS.md](../CLAIMS.md) lists all claims.",
        "\n".join(f"- [{part.title}](#{part.name}). Claims, {counted([part])}" for part in paper),
    ]
    for section in paper:
        name, title, captions, record, numbers, claims = section
        versions = ", ".join(f"{key} {value}" for key, value in record["environment"].items())
        parts += [
            f'<a id="{name}"></a>\n\n## [{title}](../notebooks/{name}.ipynb)',
            f"Data: {record['source']}; recipe: {record['mode']}; seeds {', '.join(map(str, record['seeds']))}; commit "
            f"{record['commit'][:7]}{' with changes' if record['dirty'] else ''}; {minutes([record])} minutes; "
            f"{record['peak_mb'] / 1000:.1f} GB.  \n{versions}; inputs: [record.json]({name}/record.json).",
        ]
        if tables := sorted((root / "figures" / "sweeps").glob(f"{name}*.csv")):
            told = (f"[{t.stem}](sweeps/{t.name}) ([provenance](sweeps/{t.stem}.json))" for t in tables)
            parts.append(f"Repeated trainings, every run: {', '.join(told)}.")
        if record["pages"]:
            pages = ", ".join(f"`figures/{name}/pages/{page}.html`" for page in record["pages"])
            parts.append(f"Interactive, at their place in the notebook on the site: {pages}.")
        for head in (*captions, None):  # a figure without a caption, which `verify` names, comes last
            figures = [figure for figure in record["figures"] if nb.head_of(figure, captions) == head]
            figures.sort(key=lambda figure: (len(figure), figure))  # map_2 before map_10
            parts += _article(section, *captions.get(head, ("", "")), figures) if figures else []
        if rest := [_cited(claim, numbers) for claim in claims if claim.figure not in record["figures"]]:
            parts += ["### Claims without a figure", "\n".join(rest)]
    return "\n\n".join(parts) + "\n"


def _article(section: Section, caption: str, heading: str, figures: Sequence[str]) -> list[str]:
    """Return the pictures of one caption, and below them the caption, where it stands and the claims that cite them."""
    name, shown = section.name, []
    for figure in figures:
        alt = re.sub(r"([\\`*_\[\]<$])", r"\\\1", " ".join(section.record["figures"][figure]["alt"].split()))
        shown.append(f"![{alt}]({name}/{figure}.png)")
    if len(shown) > FAMILY:
        shown = [shown[0], f"<details><summary>All {len(shown)} of this family</summary>", *shown[1:], "</details>"]
    made = f"(Under [{heading or name}](../notebooks/{name}.ipynb#{quote(heading.replace(' ', '-'))}).)"
    head = figures[0] if len(figures) == 1 else f"{figures[0]} to {figures[-1]}"
    cited = [_cited(claim, section.numbers) for claim in section.claims if claim.figure in figures]
    return [f"### {head}", *shown, f"{caption} {made}", *(["\n".join(cited)] if cited else [])]


def _cited(claim: Claim, numbers: Mapping[str, object]) -> str:
    by, because = "The original notebook: " if isinstance(claim, Original) else "", claim.because or ""
    value, bound, word = facts(claim, numbers)
    measured = f"Measured {value}; {bound}." if claim.measured else ""
    return " ".join(f"- {word}: {by}{claim.text} {measured} {because}".split())


def cover(claims: Claims, root: Path) -> bytes | None:
    """Draw README's picture as PNG: each notebook's figure `cover`, whole, side by side; None where there is none."""
    named = {each.title: root / "figures" / each.notebook / "cover.png" for each in claims.covers}
    panels = {title: path for title, path in named.items() if path.exists()}
    if not panels:
        return None
    picture = Image.new("RGB", (len(panels) * (SIDE + GAP) + GAP, SIDE + LINE + 2 * GAP), "white")
    for number, (title, path) in enumerate(panels.items()):
        x = GAP + number * (SIDE + GAP)
        ImageDraw.Draw(picture).text((x, GAP), title, "#1d1d1f", ImageFont.load_default(21))
        with Image.open(path) as panel:
            picture.paste(panel.convert("RGB").resize((SIDE, SIDE)), (x, GAP + LINE))
    picture.save(buffer := io.BytesIO(), format="png", optimize=True)
    return buffer.getvalue()


def verify(root: Path = ROOT) -> int:
    """Judge the claims, hold figures/ against its records, report: 0, 1 for a miss or a disagreement, else 2."""
    try:
        claims, published = cl.load(root / "claims.yml"), cl.read_records(root)
        if unknown := cl.unresolved(claims, published):
            raise ValueError("\n    ".join(["what claims.yml names must be in figures/:", *unknown]))
        wrong = records.problems(root)
    except (ValueError, OSError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    try:
        write(root, claims)
    except (ValueError, OSError) as error:
        wrong.append(f"the report cannot be written: {error}")
    for each in claims.covers:
        if not (panel := root / "figures" / each.notebook / "cover.png").exists():
            print(f"{panel.relative_to(root)} is missing: README's picture leaves this panel out")
    judged, missed = claims.of(), 0
    for claim in judged:
        value, bound, word = facts(claim, published[claim.notebook]["numbers"])
        missed += word.startswith("**")
        print(f"{word.strip('*'):16}  {value}; {bound}  {claim.id}")
    print(f"{len(judged) - missed} of {len(judged)} claims are as claims.yml states")
    agrees = "figures/ holds what its records list, made from the notebooks and modules as they are"
    print("\n    ".join(["figures/ is not what its records and the notebooks say:", *wrong]) if wrong else agrees)
    return 1 if missed or wrong else 0
