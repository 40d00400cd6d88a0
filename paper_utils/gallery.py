"""The gallery: figures/index.html and figures/contact_sheet.png, made from the accounts that lie in figures/.

The page shows every figure of manifest.json with its caption, the claims that cite it and where it comes from. It
needs no network, no script and no run; the same accounts give the same bytes.
"""

import io
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from html import escape
from html.entities import html5
from pathlib import Path

from paper_utils import claims
from paper_utils.claims import Claim
from paper_utils.files import read_json, replacing

# From this many figures on whose names differ in numbers only, one stands for all and the others are folded away.
FAMILY = 4
# Of the contact sheet, in pixels: about as wide as a README is shown, its rows about this high.
SHEET, ROW, GAP, TITLE = 1000, 270, 24, 20
SOURCES = {"mnist": "MNIST", "tinystories": "TinyStories", "exact": "no data set"}
KINDS = {"bitwise": "to the bit, on one machine", "tolerance": "on any machine", "statistical": "over seeds"}
STATED = {"seed": "stated by the seed", "published": "stated in print", "ours": "our own claim"}
# What is on record of a run, in the words of the page and its order; whatever else is recorded follows.
RUN = {
    "source": "data",
    "files": "input files",
    "seeds": "seeds",
    "parameters": "parameters",
    "mode": "recipe",
    "commit": "commit",
    "dirty": "with changes not committed",
    "lock": "requirements.lock",
    "environment": "versions",
    "weights": "weights in build/weights/",
    "seconds": "seconds",
    "peak_mb": "peak memory in MB",
}
# TeX commands that HTML knows by another name, or not at all.
MATH = {"cdot": "·", "|": "‖", "dots": "…", "ldots": "…", "to": "→", ",": "\u2009", "left": "", "right": ""}
FUNCTIONS = {"cos", "sin", "tan", "exp", "log", "max", "min"}


def write(root: Path) -> None:
    """Write `root`/figures/index.html and contact_sheet.png, each only where it changes.

    Args:
        root: a checkout with figures/manifest.json and numbers.json; claims.yml and notebooks/ are read where there.

    Raises:
        ValueError: claims.yml is malformed, or a figure's file is no PNG.
        OSError: a figure of the manifest is missing, or figures/ cannot be written.
    """
    folder = root / "figures"
    manifest, numbers = read_json(folder / "manifest.json"), claims.read_numbers(folder)
    stated = claims.load(root / "claims.yml") if (root / "claims.yml").exists() else []
    made = {
        "index.html": page(root, manifest, numbers, stated).encode(),
        "contact_sheet.png": sheet(root, manifest, stated),
    }
    for name, content in made.items():
        # Writing nothing where nothing changed lets `make verify` pass in a checkout that is read-only.
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            with replacing(folder / name) as beside:
                beside.write_bytes(content)


def page(root: Path, manifest: Mapping, numbers: Mapping, stated: Sequence[Claim]) -> str:
    """The gallery's HTML, from manifest {notebook: entry}, numbers {notebook: {key: value}} and the claims."""
    shown = {name: entry for name, entry in manifest.items() if entry["figures"]}
    own = {name: [claim for claim in stated if claim.notebook == name] for name in shown}
    figures = sum(len(entry["figures"]) for entry in shown.values())
    pages = any(entry.get("pages") for entry in shown.values())
    later = " Interactive pages are there once <code>make figures</code> has run." if pages else ""
    return f"""{HEAD}<body>
<a class="skip" href="#figures">Skip to the figures</a>
<header>
<h1>The figures, and what is claimed of them</h1>
<p>{count(figures, "figure")} of {count(len(shown), "notebook")}; {tally(stated, numbers)}. Each claim is a number
that a run recorded, held against what it must be; “the seed” is the document that an experiment starts from. Below a
figure stand its caption, its claims, and the files and the run behind it.{later}</p>
<nav aria-label="Notebooks"><ul class="cards">
{"".join(_card(root, name, shown[name]["figures"], numbers, own[name]) for name in shown)}</ul></nav>
</header>
<main id="figures" tabindex="-1">
{"".join(_notebook(root, name, shown[name], numbers, own[name]) for name in shown)}</main>
<footer><p>Written by <code>make figures</code> and <code>make verify</code> from
<a href="manifest.json">manifest.json</a>, <a href="numbers.json">numbers.json</a>
and <a href="../claims.yml">claims.yml</a>.</p></footer>
</body>
</html>
"""


def verdict(claim: Claim, numbers: Mapping) -> str:
    """What became of a claim, in the words of `make verify`."""
    try:
        as_stated = claims.holds(claim, numbers) == claim.met
    except KeyError:
        return "not recorded"
    return ("holds" if claim.met else "not met, as stated") if as_stated else "MISSED"


def tally(stated: Sequence[Claim], numbers: Mapping) -> str:
    """How the claims turn out, in words: "12 claims: 11 hold, 1 not met, as stated"."""
    found = [verdict(claim, numbers) for claim in stated]
    words = {
        "holds": "hold",
        "not met, as stated": "not met, as stated",
        "MISSED": "MISSED",
        "not recorded": "not recorded",
    }
    parts = [f"{found.count(word)} {shown}" for word, shown in words.items() if word in found]
    return count(len(stated), "claim") + (f" ({'; '.join(parts)})" if parts else "")


def headline(name: str, figures: Mapping, stated: Sequence[Claim]) -> tuple[str, Claim | None]:
    """The figure that stands for a notebook: of its headline claim, with that claim, else its first."""
    for claim in stated:
        if claim.notebook == name and claim.entry.get("headline") and claim.entry.get("figure") in figures:
            return claim.entry["figure"], claim
    return in_order(figures)[0], None


def in_order(figures: Mapping) -> list[str]:
    """The figures' names in the order of the cells that drew them; by name where no cell is on record."""
    return sorted(figures, key=lambda name: (figures[name].get("cell", {}).get("index", 0), _numbered(name)))


def families(names: Sequence[str]) -> list[list[str]]:
    """The names with the members of a large family together, where its first one stands; others alone.

    Example:
        >>> families(["map_0", "loss", "map_1", "map_2", "map_3"])
        [['map_0', 'map_1', 'map_2', 'map_3'], ['loss']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_stem(name), []).append(name)
    split = ([group] if len(group) >= FAMILY else [[name] for name in group] for group in groups.values())
    return [group for part in split for group in part]


def title(root: Path, name: str) -> str:
    """A notebook's own title, read from its source; its name where there is none."""
    path = root / "notebooks" / f"{name}.py"
    found = re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.M) if path.exists() else None
    return found[1].strip() if found else name


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels, from its first 24 bytes.

    Raises:
        ValueError: the file is no PNG.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise ValueError(
            f"png_size: {path.name} begins with {head[:8]!r}, which is no PNG: `make figures` writes it anew"
        )
    return struct.unpack(">II", head[16:])


def inline(text: str) -> str:
    """The Markdown of a caption as HTML, everything in it escaped: `code`, **bold**, *emphasis*, links, $formulas$.

    Example:
        >>> inline("Along $w_i$ **only**: `mask` & <b>")
        'Along <i>w</i><sub><i>i</i></sub> <strong>only</strong>: <code>mask</code> &amp; &lt;b&gt;'
    """
    out = []
    for part in re.split(r"(`[^`]+`|\$[^$]+\$)", " ".join(text.split())):
        if re.fullmatch("`.+`", part):
            out.append(f"<code>{escape(part[1:-1])}</code>")
        elif re.fullmatch(r"\$.+\$", part):
            out.append(formula(part[1:-1]))
        else:
            part = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', escape(part))
            # Any other link leads on from the notebook's folder, not from this page's.
            part = re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", part)
            part = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part)
            out.append(re.sub(r"\*(\w[^*]*)\*", r"<em>\1</em>", part))
    return "".join(out)


def formula(tex: str) -> str:
    r"""A caption's formula as HTML; as code, the way it was written, where it has more than letters, scripts and signs.

    Example:
        >>> formula(r"|\lambda|^2"), formula(r"\frac12")
        ('|<i>λ</i>|<sup>2</sup>', '<code>\\frac12</code>')
    """
    tokens = re.findall(r"\\[A-Za-z]+|\\.|[\d.]+|.", tex)
    try:
        done = _terms(tokens)
    except (KeyError, IndexError):  # a command that HTML does not know, or a brace without its other
        tokens = [tex]
    return f"<code>{escape(tex)}</code>" if tokens else done.replace("</i><i>", "")


def _terms(tokens: list[str]) -> str:
    out = ""
    while tokens and tokens[0] != "}":
        out += _term(tokens)
    return out


def _term(tokens: list[str]) -> str:
    """Take one term off the front: a sign, a letter, a command, a script, or what stands in braces."""
    token = tokens.pop(0)
    if token in ("_", "^"):
        tag = "sub" if token == "_" else "sup"
        return f"<{tag}>{_term(tokens)}</{tag}>"
    if token == "{":
        inner = _terms(tokens)
        tokens.pop(0)
        return inner
    if token == r"\hat":
        while tokens[0] == " ":
            tokens.pop(0)
        return _term(tokens).replace("</i>", "\u0302</i>")
    name = token[1:]
    if name in FUNCTIONS:
        return name
    if name in ("mathrm", "text"):
        return re.sub("</?i>", "", _term(tokens))
    sign = (MATH[name] if name in MATH else html5[f"{name};"]) if name and token[0] == "\\" else token
    return f"<i>{sign}</i>" if sign.isalpha() else escape(sign.replace("-", "−"))


def sheet(root: Path, manifest: Mapping, stated: Sequence[Claim]) -> bytes:
    """The contact sheet as PNG: of each notebook the title and one figure (see `headline`), in rows of one height."""
    from PIL import Image, ImageDraw, ImageFont

    font, rows = ImageFont.load_default(TITLE * 3 // 4), [[]]
    for name, entry in manifest.items():
        if entry["figures"]:
            figure, _ = headline(name, entry["figures"], stated)
            with Image.open(root / "figures" / name / f"{figure}.png") as picture:
                rows[-1].append((title(root, name), picture.convert("RGB")))
            if sum(p.width / p.height for _, p in rows[-1]) * ROW + GAP * (len(rows[-1]) + 1) >= SHEET:
                rows.append([])
    placed, y = [], GAP
    for row in filter(None, rows):
        # As high as makes the row as wide as the sheet; a last row that is not full does not grow for that.
        height = min((SHEET - GAP * (len(row) + 1)) / sum(p.width / p.height for _, p in row), 1.25 * ROW)
        widths = [round(p.width / p.height * height) for _, p in row]
        heads = [_wrap(words, width, font.getlength) for (words, _), width in zip(row, widths, strict=True)]
        x, top = GAP, y + TITLE * max(map(len, heads)) + GAP // 4
        for head, width, (_, picture) in zip(heads, widths, row, strict=True):
            placed.append((x, y, head, top, picture.resize((width, round(height)), Image.Resampling.LANCZOS)))
            x += width + GAP
        y = top + round(height) + GAP
    whole = Image.new("RGB", (SHEET, y), "white")
    draw = ImageDraw.Draw(whole)
    for x, y, head, top, picture in placed:
        draw.multiline_text((x, y), "\n".join(head), fill="#1d1d1f", font=font, spacing=4)
        whole.paste(picture, (x, top))
    whole.save(buffer := io.BytesIO(), format="png", optimize=True)
    return buffer.getvalue()


def _wrap(words: str, width: int, measure: Callable[[str], float]) -> list[str]:
    """The words in lines that measure no more than `width`, where words allow it."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if not lines[-1] or measure(longer) <= width else [*lines, word]
    return lines


# ---- The parts of the page


def _card(root: Path, name: str, figures: Mapping, numbers: Mapping, own: Sequence[Claim]) -> str:
    figure, claim = headline(name, figures, own)
    said = _said(claim, numbers) if claim else ""
    return f"""<li>{_image(root, name, figure, figures[figure])}
<div><a href="#{escape(name)}">{inline(title(root, name))}</a>{said}
<p class="quiet">{count(len(figures), "figure")}; {tally(own, numbers)}</p></div></li>
"""


def _notebook(root: Path, name: str, entry: Mapping, numbers: Mapping, own: Sequence[Claim]) -> str:
    figures = entry["figures"]
    pages = entry.get("pages", {})
    links = [f'<a href="../notebooks/{escape(name)}.{kind}">{words}</a>' for kind, words in (
        ("ipynb", "the notebook, with its outputs"), ("py", "its source"),
    )] + [_page_link(name, page, f"{_plain(page)} (interactive)") for page in sorted(pages)]  # fmt: skip
    articles = [
        _article(root, name, members, figures, [c for c in own if c.entry.get("figure") in members], numbers, pages)
        for members in families(in_order(figures))
    ]
    other = [claim for claim in own if claim.entry.get("figure") not in figures]
    if other:
        articles.append(f"<article><h3>Claims without a figure</h3>\n{_claims(other, numbers)}</article>\n")
    data, commit = SOURCES.get(entry["source"], entry["source"]), entry["commit"][:7]
    commit += " with changes" if entry["dirty"] else ""
    short = f"{data}, seeds {_value(entry['seeds'])}, commit {commit}, {entry['seconds']:.0f} s"
    # A notebook that trains nothing has no weights of its own, an exact one no input files.
    run = {words: entry[key] for key, words in RUN.items() if entry.get(key) not in (None, {})}
    run |= {key: value for key, value in entry.items() if key not in (*RUN, "figures", "pages")}
    return f"""<section aria-labelledby="{escape(name)}">
<h2 id="{escape(name)}">{inline(title(root, name))}</h2>
<ul class="links">{"".join(f"<li>{link}</li>" for link in links)}</ul>
<details id="{escape(name)}-run"><summary>The run: {escape(short)}</summary>{_facts(run)}</details>
{"".join(articles)}</section>
"""


def _article(
    root: Path,
    notebook: str,
    members: Sequence[str],
    figures: Mapping,
    cited: Sequence[Claim],
    numbers: Mapping,
    pages: Mapping,
) -> str:
    """One figure, or the one that stands for a family with the others folded away below it."""
    first = next((claim.entry["figure"] for claim in cited), members[0])
    entry, several = figures[first], len(members) > 1
    head = _plain(_stem(first) if several else first)
    caption = inline(_caption(entry))
    if first in pages:
        caption += f" {_page_link(notebook, first, 'Interactive page.')}"
    folded = ""
    if several:
        inner = "".join(
            f'<figure id="{escape(notebook)}-{escape(name)}">{_linked(root, notebook, name, figures[name])}\n'
            f"<figcaption>{_plain(name)}{_own_caption(figures[name], entry)}</figcaption></figure>\n"
            for name in members
        )
        folded = (
            f"<details><summary>All {len(members)} figures of this family</summary>"
            f'<div class="grid">{inner}</div></details>\n'
        )
    anchor = "" if several else f' id="{escape(notebook)}-{escape(first)}"'
    return f"""<article{anchor}>
<h3>{head}</h3>
<figure>{_linked(root, notebook, first, entry)}
<figcaption>{caption}</figcaption></figure>
{_claims(cited, numbers)}{folded}<details><summary>Files and provenance</summary>
{_origin(notebook, [figures[name] for name in members])}</details>
</article>
"""


def _origin(notebook: str, entries: Sequence[Mapping]) -> str:
    """What is on record of a figure, or of a family: description, cell, seconds, each file's hash, and the run."""
    facts = {}
    if len(entries) == 1 and entries[0]["alt"] != _caption(entries[0]):
        facts["what it shows"] = entries[0]["alt"]
    if cell := entries[0].get("cell"):
        facts["drawn in"] = f"cell {cell['index']}, under “{cell['heading']}”"
    if "seconds" in entries[0]:
        facts["drawn in seconds"] = round(sum(entry["seconds"] for entry in entries), 2)
    known = ("alt", "caption", "cell", "seconds", "files")
    rest = {key: value for key, value in entries[0].items() if key not in known}
    files = "".join(
        f'<li><a href="{escape(notebook)}/{escape(file)}">{escape(file)}</a> <code>{escape(digest)}</code></li>'
        for entry in entries
        for file, digest in sorted(entry["files"].items())
    )
    return f"""{_facts(facts | rest)}<h4>sha256</h4><ul class="plain">{files}</ul>
<p>Seeds, data, versions, threads and commit are those of <a href="#{escape(notebook)}-run">the run</a>.</p>"""


def _claims(cited: Sequence[Claim], numbers: Mapping) -> str:
    if not cited:
        return ""
    items = []
    for claim in cited:
        entry, word = claim.entry, verdict(claim, numbers)
        value = numbers.get(claim.notebook, {}).get(claim.key)
        measured = f"measured <b>{escape(claims.show(value))}</b>"
        facts = [measured if word != "not recorded" else f"no number {escape(claim.key)}"]
        facts.append(f"must be {escape(claim.bound)}")
        if "seed_value" in entry:
            facts.append(f"the seed: {escape(claims.show(entry['seed_value']))}")
        facts += [STATED[entry["source"]], KINDS[entry["kind"]]]
        if entry["kind"] == "statistical":
            facts[-1] += f" {_value(entry['seeds'])}; error bar: {inline(entry['error_bar'])}"
        why = entry.get("reason")
        note = f'<p class="quiet">{"On the bounds" if claim.met else "Why not"}: {inline(why)}</p>' if why else ""
        said = _said(claim, numbers) + f'<p class="quiet">{"; ".join(facts)}</p>'
        items.append(f'<li id="{escape(claim.id)}">{said}{note}</li>\n')
    return f'<ul class="claims">\n{"".join(items)}</ul>\n'


def _said(claim: Claim, numbers: Mapping) -> str:
    word = verdict(claim, numbers)
    kind = {"holds": "holds", "not met, as stated": "unmet"}.get(word, "missed")
    return f'<p><strong class="verdict {kind}">{word}</strong> {inline(claim.entry["sentence"])}</p>'


def _image(root: Path, notebook: str, name: str, entry: Mapping) -> str:
    """The figure's <img>, of its SVG where there is one: sharp at any width; its size is the PNG's."""
    width, height = png_size(root / "figures" / notebook / f"{name}.png")
    source = f"{escape(notebook)}/{escape(_best(name, entry))}"
    return f'<img src="{source}" alt="{escape(entry["alt"])}" width="{width}" height="{height}" loading="lazy">'


def _linked(root: Path, notebook: str, name: str, entry: Mapping) -> str:
    return f'<a href="{escape(notebook)}/{escape(_best(name, entry))}">{_image(root, notebook, name, entry)}</a>'


def _best(name: str, entry: Mapping) -> str:
    return f"{name}.svg" if f"{name}.svg" in entry["files"] else f"{name}.png"


def _page_link(notebook: str, page: str, words: str) -> str:
    return f'<a href="../build/interactive/{escape(notebook)}/{escape(page)}.html">{words}</a>'


def _caption(entry: Mapping) -> str:
    """The caption, or else the alt text; without the name that notebooks write before it."""
    return re.sub(r"^\*\*Figures? `[^`]*`\.?\*\*\s*", "", entry.get("caption") or entry["alt"])


def _own_caption(entry: Mapping, of_all: Mapping) -> str:
    return "" if _caption(entry) == _caption(of_all) else f": {inline(_caption(entry))}"


def _facts(facts: Mapping) -> str:
    rows = "".join(f"<dt>{_plain(key)}</dt><dd>{_value(value)}</dd>\n" for key, value in facts.items())
    return f"<dl>\n{rows}</dl>\n" if rows else ""


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return (
            '<ul class="plain">'
            + "".join(f"<li>{escape(str(k))}: {_value(v)}</li>" for k, v in value.items())
            + "</ul>"
        )
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    text = escape(str(value))
    return f"<code>{text}</code>" if re.fullmatch("[0-9a-f]{32,}", text) else text


def count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _plain(name: str) -> str:
    return escape(name.replace("_", " "))


def _stem(name: str) -> str:
    return re.sub(r"(_\d+)+$", "", name)


def _numbered(name: str) -> list:
    """A key that puts map_2 before map_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>The figures, and what is claimed of them</title>
<link rel="icon" href="data:,">
<style>
:root { --page: #fbfbf9; --card: #fff; --ink: #1d1d1f; --quiet: #57595e; --line: #dedcd6; --link: #005f96;
  --good: #0b5d40; --good-soft: #e0f2ea; --warn: #7a4700; --warn-soft: #fdeed6; --bad: #9a1717; --bad-soft: #fbe1df; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15171a; --card: #1e2125; --ink: #e8e8e6; --quiet: #a6a9af; --line: #363a40; --link: #7cc0f2;
    --good: #8fdcb9; --good-soft: #123528; --warn: #f3c27d; --warn-soft: #3c2b0f; --bad: #ffaaa4;
    --bad-soft: #46191a; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 64rem; background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere; }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: clamp(1.6rem, 5vw, 2.3rem); margin: .5rem 0; }
h2 { font-size: clamp(1.3rem, 4vw, 1.7rem); margin: 4rem 0 .5rem; padding-top: 1.5rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 0 0 .75rem; }
h3::first-letter { text-transform: uppercase; }
h4 { font-size: .9rem; margin: .75rem 0 .25rem; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; border-radius: 3px; }
main:focus { outline: none; }
.skip { position: absolute; left: -100vw; background: var(--card); padding: .5rem 1rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 1; }
p { margin: .5rem 0; max-width: 46rem; }
.quiet, summary, footer { color: var(--quiet); font-size: .9rem; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
ul { padding: 0; margin: .5rem 0; list-style: none; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figure { margin: 0; }
figure a { display: inline-block; max-width: 100%; }
figcaption { margin-top: .75rem; max-width: 46rem; }
.cards { display: grid; gap: .75rem; margin: 1.5rem 0; }
.cards li { display: grid; grid-template-columns: 11rem 1fr; gap: .25rem 1.25rem; align-items: center;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; }
.cards img { width: 100%; height: 6.5rem; object-fit: contain; padding: .25rem; }
.cards a { font-weight: 600; }
.cards p { font-size: .93rem; margin: .2rem 0; }
.links { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 1.5rem 0;
  padding: clamp(.8rem, 3vw, 1.5rem); }
article:target { border-color: var(--link); }
.claims { margin: 1rem 0; border-top: 1px solid var(--line); }
.claims li { padding: .5rem 0; border-bottom: 1px solid var(--line); }
.claims p { margin: .15rem 0; }
.claims b { color: var(--ink); }
.verdict { font-size: .8rem; border-radius: 4px; padding: .1rem .45rem; margin-right: .25rem; white-space: nowrap; }
.holds { color: var(--good); background: var(--good-soft); }
.unmet { color: var(--warn); background: var(--warn-soft); }
.missed { color: var(--bad); background: var(--bad-soft); }
summary { cursor: pointer; padding: .35rem 0; width: fit-content; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .2rem 1rem; margin: .5rem 0;
  font-size: .87rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
.plain { margin: 0; font-size: .87rem; }
dl .plain { font-size: inherit; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.25rem 1rem;
  padding: .75rem 0; }
.grid figcaption { margin-top: .25rem; font-size: .85rem; color: var(--quiet); }
@media (max-width: 34rem) {
  dl, .cards li { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  .cards img { height: 9rem; margin-bottom: .5rem; } }
</style>
</head>
"""
