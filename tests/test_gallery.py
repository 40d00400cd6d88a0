"""The gallery page and the contact sheet, made from small accounts, and opened in a real browser."""

import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from browser import Page
from PIL import Image

from paper_utils import claims, gallery
from paper_utils.files import ROOT

CLAIM = {"notebook": "01_try", "kind": "tolerance", "source": "ours", "range": [0, 1]}
HOSTILE = '<script>alert("x")</script> & "more"'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with two notebooks: lines, a family of five and hostile words in one; a single figure in the other."""
    figures = {
        f"map_{i}": {"alt": f"map number {i} of five", "caption": "Five maps.", "cell": {"index": 9, "heading": "Maps"}}
        for i in range(5)
    }
    figures["curve"] = {
        "alt": HOSTILE,
        "caption": f"Falls as $x^2$; {HOSTILE}",
        "cell": {"index": 4, "heading": HOSTILE},
    }
    run = {"mode": "full", "seeds": [0, 1], "source": "mnist", "files": {"MNIST/raw/a": "a" * 32}, "seconds": 12.3}
    run["weights"] = {"toy-0.safetensors": "trained"}
    run |= {
        "environment": {"torch": "2.13.0", "threads": 2},
        "peak_mb": 900,
        "parameters": {"SEED": 0},
        "lock": "c" * 64,
    }
    run |= {"commit": "b" * 40, "dirty": True}
    manifest = {"01_try": run | {"figures": figures}, "02_other": run | {"figures": {"dot": {"alt": "a single dot"}}}}
    manifest["01_try"]["pages"] = {"curve": {"alt": "a curve to hover over"}}
    for name, entry in manifest.items():
        for figure, its in entry["figures"].items():
            picture = tmp_path / "figures" / name / f"{figure}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (840, 300), "red").save(picture)
            its["files"] = {f"{figure}.png": "d" * 64}
    stated = [
        CLAIM | {"id": "good", "sentence": "It falls.", "figure": "curve", "key": "a", "headline": True},
        CLAIM | {"id": "unmet", "sentence": HOSTILE, "figure": "curve", "key": "b", "met": False, "reason": "too few"},
        CLAIM | {"id": "missed", "sentence": "It rises.", "figure": "map_3", "key": "c"},
        CLAIM | {"id": "unseen", "sentence": "It is there.", "key": "d"},
    ]
    (tmp_path / "claims.yml").write_text(yaml.safe_dump(stated))
    (tmp_path / "figures" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "figures" / "numbers.json").write_text(json.dumps({"01_try": {"a": 0.5, "b": 2.5, "c": 7}}))
    (tmp_path / "notebooks").mkdir()
    for name in manifest:
        (tmp_path / "notebooks" / f"{name}.py").write_text(f"# %% [markdown]\n# # {name[1]}. A try\n")
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{}")
    return tmp_path


def written(root: Path) -> str:
    gallery.write(root)
    return (root / "figures" / "index.html").read_text()


class Outline(HTMLParser):
    """What stands in a page: its headings, images and links, its ids; and that every tag is closed in order."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings, self.images, self.links, self.ids, self.tags, self._open = [], [], [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.images += [given] if tag == "img" else []
        self.links += [given["href"]] if tag == "a" else []
        self._open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def check_outline(root: Path, text: str) -> Outline:
    """What holds for the page whatever it shows."""
    page = Outline(text)
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False)), "no level is skipped"
    assert len(page.ids) == len(set(page.ids))
    assert {"header", "nav", "main", "footer"} <= set(page.tags) and "script" not in page.tags
    for image in page.images:
        assert image["alt"].strip() and image["loading"] == "lazy" and int(image["width"]) and int(image["height"])
    for link in page.links + [image["src"] for image in page.images]:
        file, _, anchor = link.partition("#")
        # An interactive page is there once `make figures` has run; the page says so.
        later = link.startswith("../build/interactive/")
        assert later or link.startswith("https://") or (root / "figures" / file).resolve().exists(), link
        assert file or anchor in page.ids, link
    assert not re.search(r"""(src|href)=["']?(https?:)?//(?!arxiv)""", text), "nothing is loaded from elsewhere"
    return page


def test_every_figure_is_there_with_its_words_and_origin(root):
    text = written(root)
    page = check_outline(root, text)
    shown = {image["src"] for image in page.images}
    assert shown == {f"01_try/map_{i}.png" for i in range(5)} | {"01_try/curve.png", "02_other/dot.png"}
    assert [image["width"] for image in page.images] == ["840"] * len(page.images)
    assert "Falls as <i>x</i><sup>2</sup>; &lt;script&gt;" in text and text.count("Five maps.") == 1
    assert text.count("d" * 64) == 7 and "cell 4, under" in text
    for word in ("b" * 40, "c" * 64, "a" * 32, "with changes not committed", "torch: 2.13.0", "threads: 2", "0, 1"):
        assert word in text, word
    assert "../notebooks/01_try.ipynb" in page.links and "../notebooks/02_other.py" in page.links
    assert page.links.count("../build/interactive/01_try/curve.html") == 2
    assert "Interactive pages are there once <code>make figures</code> has run." in text
    assert text.index('id="01_try-curve"') < text.index('id="01_try-map_0"'), "in the order of the cells"


def test_claims_stand_at_their_figures_with_their_verdicts(root):
    text = written(root)

    def at(claim: str) -> str:
        return re.search(rf'<li id="{claim}">(.*?)</li>', text, re.S)[1]

    assert '<strong class="verdict holds">holds</strong> It falls.' in at("good") and "measured <b>0.5</b>" in at(
        "good"
    )
    assert "must be 0 to 1" in at("good") and "our own claim" in at("good")
    assert "not met, as stated</strong> &lt;script&gt;" in at("unmet") and "Why not: too few" in at("unmet")
    assert "missed" in at("missed") and "MISSED" in at("missed") and "measured <b>7</b>" in at("missed")
    assert "not recorded" in at("unseen") and "no number d" in at("unseen")
    assert "4 claims (1 hold; 1 not met, as stated; 1 MISSED; 1 not recorded)" in text
    assert text.index("<h3>curve") < text.index('id="good"') < text.index("<h3>map") < text.index('id="missed"')
    assert text.index("Claims without a figure") < text.index('id="unseen"')
    # The member that a claim cites stands for its family.
    assert text.index("01_try/map_3.png") < text.index("01_try/map_0.png")


def test_the_words_of_claims_are_all_known():
    assert set(gallery.KINDS) == set(claims.KINDS) and set(gallery.STATED) == set(claims.SOURCES)


def test_a_manifest_of_before_has_no_captions_and_cells(root):
    path = root / "figures" / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["01_try"]["figures"].values():
        del entry["caption"], entry["cell"]
    path.write_text(json.dumps(manifest))
    text = written(root)
    check_outline(root, text)
    assert "<figcaption>map number 3 of five</figcaption>" in text and "map 4: map number 4 of five" in text


def test_without_pages_and_claims(root):
    path = root / "figures" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["01_try"]["pages"]
    path.write_text(json.dumps(manifest))
    (root / "claims.yml").unlink()
    gallery.write(root)
    (root / "claims.yml").write_text("[]")
    text = written(root)
    check_outline(root, text)
    assert "interactive" not in text.lower() and "7 figures of 2 notebooks; 0 claims." in text


def test_the_same_accounts_give_the_same_bytes_and_what_is_right_is_not_written(root):
    gallery.write(root)
    files = [root / "figures" / name for name in ("index.html", "contact_sheet.png")]
    first = [(path.read_bytes(), path.stat().st_ino) for path in files]
    gallery.write(root)
    assert first == [(path.read_bytes(), path.stat().st_ino) for path in files]
    for path in files:
        path.unlink()
    gallery.write(root)
    assert [content for content, _ in first] == [path.read_bytes() for path in files]


def test_a_figure_that_is_none_is_named(root):
    (root / "figures" / "02_other" / "dot.png").write_bytes(b"half a")
    with pytest.raises(ValueError, match=r"png_size: dot\.png begins with b'half a'"):
        gallery.write(root)
    (root / "figures" / "02_other" / "dot.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"dot\.png"):
        gallery.write(root)
    assert not (root / "figures" / "index.html").exists()


def test_the_contact_sheet_shows_one_figure_of_each_notebook(root):
    Image.new("RGB", (840, 300), "blue").save(root / "figures" / "01_try" / "curve.png")
    gallery.write(root)
    with Image.open(root / "figures" / "contact_sheet.png") as sheet:
        assert sheet.width == gallery.SHEET
        pixels = {
            colour: share / (sheet.width * sheet.height) for share, colour in sheet.convert("RGB").getcolors(10**6)
        }
    # The headline's figure of one, the only figure of the other, each above a quarter of the sheet.
    assert pixels[0, 0, 255] > 0.25 and pixels[255, 0, 0] > 0.25
    assert [entry for entry in pixels if sum(entry) < 300], "titles are written"


def test_the_contact_sheet_of_the_committed_figures_is_small():
    manifest = json.loads((ROOT / "figures" / "manifest.json").read_text())
    content = gallery.sheet(ROOT, manifest, claims.load(ROOT / "claims.yml"))
    assert len(content) <= 400_000
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.height < 2 * sheet.width


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a *b* **c** `d*e*`", "a <em>b</em> <strong>c</strong> <code>d*e*</code>"),
        ("2 * 3 * 4 and x_i", "2 * 3 * 4 and x_i"),
        ("[Pearce](https://arxiv.org/abs/1) [04](04.ipynb)", '<a href="https://arxiv.org/abs/1">Pearce</a> 04'),
        ('[x](https://a"onclick=b)', '<a href="https://a&quot;onclick=b">x</a>'),
        ("[x](javascript:alert(1))", "x)"),
        ("$<b>$ `<b>`", "&lt;<i>b</i>&gt; <code>&lt;b&gt;</code>"),
        ("two\n  lines", "two lines"),
        ("$5", "$5"),
    ],
)
def test_captions(text, shown):
    assert gallery.inline(text) == shown


@pytest.mark.parametrize(
    "tex, shown",
    [
        (r"\mu_j (p_j \cdot x)^2", "<i>μ</i><sub><i>j</i></sub> (<i>p</i><sub><i>j</i></sub> · <i>x</i>)<sup>2</sup>"),
        (r"\cos kz", "cos <i>kz</i>"),
        (r"\sum_{j \ne i} \hat W_j", "∑<sub><i>j</i> ≠ <i>i</i></sub> <i>W\u0302</i><sub><i>j</i></sub>"),
        (r"D^* = 1/2", "<i>D</i><sup>*</sup> = 1/2"),
        (r"\|W\|_F^2 - 0.7", "‖<i>W</i>‖<sub><i>F</i></sub><sup>2</sup> − 0.7"),
        (r"\mathrm{ReLU}(x)", "ReLU(<i>x</i>)"),
        (r"\frac{1}{2}", r"<code>\frac{1}{2}</code>"),
        ("x_{i", "<code>x_{i</code>"),
        ("x}y", "<code>x}y</code>"),
        ("x^", "<code>x^</code>"),
    ],
)
def test_formulas(tex, shown):
    assert gallery.formula(tex) == shown


def test_families():
    names = ["map_0", "loss", "map_1", "map_2", "map_10", "norm_1", "norm_2"]
    assert gallery.families(names) == [["map_0", "map_1", "map_2", "map_10"], ["loss"], ["norm_1"], ["norm_2"]]
    assert gallery.in_order({name: {} for name in ("map_10", "map_2", "map_1")}) == ["map_1", "map_2", "map_10"]


def test_the_page_needs_neither_torch_nor_matplotlib():
    code = "import sys, paper_utils.gallery; sys.exit(bool({'torch', 'matplotlib', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_make_verify_writes_it(root):
    shutil.copytree(ROOT / "paper_utils", root / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "figures" / "numbers.json"
    path.write_text(json.dumps({"01_try": {"a": 0.5, "b": 2.5, "c": 7, "d": 1}}))
    markers = (f"<!-- {m}: written by make verify -->\n<!-- end of {m} -->\n" for m in ("headlines", "claims"))
    (root / "README.md").write_text("".join(markers))
    command = [sys.executable, "-m", "paper_utils.verify"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # the claim that is missed
    assert "4 claims (2 hold; 1 not met, as stated; 1 MISSED)" in (root / "figures" / "index.html").read_text()


# ---- In a browser


MISSING = "[...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"
UNFOLD = "document.querySelectorAll('details').forEach(details => { details.open = true })"
DECODE = """Promise.all([...document.images].map(image => (image.loading = "eager", image.decode())))
    .then(() => document.images.length)"""


def check_in_browser(tab: Page, path: Path) -> None:
    """No complaint, nothing from elsewhere, every image drawn, every width fits, and the keyboard leads in."""
    tab.open(path).evaluate(UNFOLD)
    assert tab.evaluate(DECODE) == path.read_text().count("<img ") and tab.evaluate(MISSING) == []
    colours = set()
    for width, dark in ((360, False), (768, True), (1280, False)):
        tab.open(path, width, 800, dark).evaluate(UNFOLD)
        assert tab.overflow() <= 0, f"{width} wide: {tab.overflow()} px too much"
        colours.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert tab.evaluate("getComputedStyle(document.images[0]).backgroundColor") == "rgb(255, 255, 255)"
    assert len(colours) == 2, "light and dark"
    tab.open(path, 360, 780)
    tab.press("Tab")
    assert tab.focused() == "A Skip to the figures"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "the skip link is seen"
    tab.press("Enter")
    tab.until(lambda: tab.evaluate("document.activeElement.id") == "figures", "the keyboard is at the figures")
    tab.press("Tab")
    assert tab.evaluate("document.querySelector('main').contains(document.activeElement)")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert tab.problems == [] and all(address.startswith(("file:", "data:")) for address in tab.requests)


def test_the_gallery_in_a_browser(tab, root):
    gallery.write(root)
    check_in_browser(tab, root / "figures" / "index.html")


def test_images_leave_their_place_before_they_load(tab, root):
    """Nothing jumps: the page is as high before its images are there as after."""
    gallery.write(root)
    heights = []
    for gone in (False, True):
        for picture in (root / "figures").glob("*/*.png"):
            if gone:
                picture.unlink()
        tab.open(root / "figures" / "index.html", 390, 844)
        heights.append(tab.evaluate("document.querySelector('main article img').getBoundingClientRect().height"))
    assert heights[0] == heights[1] > 50


def test_the_gallery_of_the_committed_figures_in_a_browser(tab, tmp_path):
    """The real figures, many and large: made anew beside links to them, so that nothing committed is written."""
    (tmp_path / "figures").mkdir()
    for path in (ROOT / "figures").iterdir():
        if path.name not in ("index.html", "contact_sheet.png"):
            (tmp_path / "figures" / path.name).symlink_to(path)
    for name in ("notebooks", "claims.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    gallery.write(tmp_path)
    page = tmp_path / "figures" / "index.html"
    check_outline(tmp_path, page.read_text())
    check_in_browser(tab, page)
