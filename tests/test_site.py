"""The site as `make site` builds it: links, alt texts, formulas, and every page in a browser, wide and narrow."""

import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Tab
from playwright.sync_api import Page, expect
from test_pages import OVERFLOW, SECONDS

from paper_utils.files import ROOT
from reproduce import claims, notebook

pytestmark = pytest.mark.committed
# Text whose colour stands out from what is behind it by less than 4.5 to 1 (WCAG 2, level AA).
FAINT = """() => {
    const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
    const light = colour => colour.slice(0, 3).map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = rgba(getComputedStyle(e).backgroundColor);
            if (colour[3] > .5) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll(".bd-article *")].filter(e => {
        const own = [...e.childNodes].some(n => n.nodeType == Node.TEXT_NODE && n.textContent.trim());
        if (!own || e.closest("script, style") || !e.checkVisibility({visibilityProperty: true})) return false;
        const pair = [rgba(getComputedStyle(e).color), behind(e)].map(light);
        return (Math.max(...pair) + .05) / (Math.min(...pair) + .05) < 4.5;
    }).map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`);
}"""


class Document(HTMLParser):
    """The tags of a page with their attributes, by name: what it links to, shows and calls by an id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.ids = {attributes["id"] for _, attributes in self.tags if "id" in attributes}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, *names: str) -> Iterator[dict[str, str]]:
        return (attributes for tag, attributes in self.tags if tag in names)


def build(out: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "site" / "paper_site.py", out], capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = build(out := tmp_path_factory.mktemp("site") / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    interactive = set(site.glob("figures/*/pages/*"))
    return {
        path: Document(path) for path in site.rglob("*.html") if path not in interactive | {*site.glob("_static/**/*")}
    }


def test_every_local_link_and_anchor_resolves(documents):
    broken, seen = [], 0
    for path, document in documents.items():
        for attributes in document.of("a", "img", "link", "script", "iframe"):
            address = urlsplit(attributes.get("href", attributes.get("src", "")))
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            wanted, seen = unquote(address.fragment), seen + 1
            known = documents[target].ids if target in documents else set()
            if not target.is_file() or (wanted and target.suffix == ".html" and wanted not in known):
                broken.append(f"{path.name}: {address.geturl()}")
    assert broken == [] and seen > 500


def test_a_page_for_each_part_and_a_finding_of_each_notebook_on_the_first(site, documents):
    names = [path.stem for path in notebook.notebooks()]
    for name in (*(f"notebooks/{name}" for name in names), "index", "guide", "CLAIMS", "figures/README"):
        assert site / f"{name}.html" in documents, name
    first = unescape((site / "index.html").read_text()).replace("’", "'")
    assert all(f"notebooks/{name}.html" in first for name in names) and len(
        [*documents[site / "index.html"].of("img")]
    ) >= len(names)
    stated = claims.load(ROOT / "claims.yml").findings
    assert all(finding.sentence.split(",")[0] in first for finding in stated if finding.headline)


def test_every_picture_has_an_alt_text_and_comes_from_here(documents):
    pictures = [image for document in documents.values() for image in document.of("img")]
    ours = [image for image in pictures if "_images/" in image["src"]]  # the theme's own: logos of a word
    assert len(ours) > 100 and all(image.get("alt") for image in pictures)
    assert [image["src"] for image in ours if len(image["alt"].split()) < 3] == []
    loaded = [a for d in documents.values() for a in d.of("img", "script", "iframe", "link")]
    remote = [a for a in loaded if urlsplit(a.get("src", a.get("href", ""))).scheme in ("http", "https")]
    assert remote == []


def test_each_interactive_page_is_framed_where_its_notebook_names_it(site, documents):
    framed = {f["src"]: f for document in documents.values() for f in document.of("iframe")}
    committed = {f"../{path.relative_to(ROOT)}" for path in ROOT.glob("figures/*/pages/*.html")}
    assert committed == framed.keys() and all(len(frame["title"].split()) >= 3 for frame in framed.values())
    assert "Interactive page:" not in "".join(path.read_text() for path in site.glob("notebooks/*.html"))


def typeset(page: Page) -> int:
    """How many formulas a page has, once all of them are set."""
    asked = page.locator("span.math, div.math").count()
    expect(page.locator("mjx-container")).to_have_count(asked, timeout=1000 * SECONDS)
    return asked


def test_every_page_in_a_browser(tab: Tab, documents):
    """Wide and light, then narrow and dark: nothing fails, nothing is fetched, nothing is faint, nothing sticks out."""
    formulas = 0
    for path in documents:
        for width, scheme in ((1280, "light"), (400, "dark")):
            page = tab.open(path, width, scheme=scheme)
            formulas += typeset(page)
            assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, path
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            assert (page.evaluate(OVERFLOW), page.evaluate(FAINT)) == (0, []), (path, width)
            page.context.close()
    assert formulas > 400 and tab.problems == []
    assert [address for address in tab.requests if not address.startswith(("file:", "data:", "blob:"))] == []


def test_an_interactive_page_moves_within_its_notebook(tab: Tab, documents):
    """By keyboard, as a page of its own does (test_pages.py)."""
    path = next(path for path, document in documents.items() if next(document.of("iframe"), None))
    page = tab.open(path)
    page.locator("iframe.page").first.scroll_into_view_if_needed()
    frame = page.frame_locator("iframe.page").first
    label = frame.locator(".slider-group > .slider-label").first
    expect(label).to_be_visible(timeout=1000 * SECONDS)
    before = label.text_content()
    frame.locator("#page").press("ArrowRight")
    expect(label).not_to_have_text(before, timeout=1000 * SECONDS)
    assert tab.problems == []
