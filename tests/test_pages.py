"""Interactive pages in a real browser: a small one made here, and those that a run of the notebooks left here.

.ci/run makes them before, by `make quick`. Those that are committed: tests/test_site.py.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from browser import Tab
from playwright.sync_api import Page, expect

from paper_utils import results
from paper_utils.files import ROOT

SECONDS = 30
OVERFLOW = "document.documentElement.scrollWidth - screen.width"  # what a reader must scroll sideways
# The middle one of the marks that are drawn: dots, bars or an image.
MARK = """(() => {
    const marks = [...document.querySelectorAll(".scatterlayer .point, .barlayer .point path, .heatmaplayer image")];
    const box = marks[marks.length >> 1].getBoundingClientRect();
    return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
})()"""
# What appears at the pointer, by page.
NAMES = {
    "eigenvector_browser": r"weight|ink",
    "feature_browser": r"label \d: \d+\.\d%",
    "fourier_basis": "Const.*26",
    "activation_maps": r"x r\^\d.*y r\^\d.*neuron",
    "neuron_fourier": r"x (Const|cos|sin).*y (Const|cos|sin)",
    "census": r"neuron \d+: (sign|\d+)",
    "directions_animation": r"feature \d+, rank \d+",
    "toy_slider": r"feature \d, length \d",
    "token_explorer": r"(direct|head \d), .+: -?\d+\.\d\d, seen \d+ times",
}


def plain_slider() -> None:
    fig = go.Figure([go.Scatter(y=[1, 2, 3], visible=True), go.Scatter(y=[3, 2, 1], visible=False)])
    fig.update_traces(text=["left", "middle", "right"])
    visible = {"up": [True, False], "down": [False, True]}
    steps = [{"method": "restyle", "args": ["visible", shown], "label": name} for name, shown in visible.items()]
    fig.update_layout(sliders=[{"steps": steps}], width=1100)
    results.save_page(fig, "plain", alt='rising & falling <lines>, "quoted"')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where pages are written, with a record open."""
    monkeypatch.setenv("PAPER_OUT", str(tmp_path))
    results.begin("00_try", mode="full", seeds=[0])
    yield tmp_path / "pages"
    results._run = None


def hovered(page: Page) -> str:
    """What appears beside the pointer over a mark."""
    end = time.monotonic() + SECONDS
    while not (texts := page.locator(".hoverlayer .hovertext").all_text_contents()) and time.monotonic() < end:
        # Each time anew: a plot that is still being drawn takes its names away again.
        x, y = page.evaluate(MARK)
        page.mouse.move(x - 1, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(100)
    return " ".join(texts)


def is_clean(tab: Tab, page: Page, path: Path) -> None:
    """No picture from elsewhere, no complaint, no request, nothing to scroll sideways."""
    assert page.evaluate("document.images.length") == 0 and page.title().startswith(path.stem)
    assert tab.open(path, 360, 780).evaluate(OVERFLOW) == 0
    assert tab.problems == []
    assert [address for address in tab.requests if not address.startswith(("file:", "data:", "blob:"))] == []


def works(tab: Tab, path: Path, name_at_pointer: str) -> None:
    """What every page must do."""
    page = tab.open(path)
    page.wait_for_selector(".js-plotly-plot .cartesianlayer", timeout=1000 * SECONDS)
    if page.evaluate("!document.querySelector('.js-plotly-plot').layout.sliders?.length"):
        # Nothing to move: a still picture with names.
        assert re.search(name_at_pointer, found := hovered(page)), f"{path.name}: {found!r} at the pointer"
        return is_clean(tab, page, path)
    rail, label = page.locator(".slider-rail-touch-rect"), page.locator(".slider-group > .slider-label").first
    expect(rail).to_be_visible(timeout=1000 * SECONDS)
    steps = page.evaluate("document.querySelector('.js-plotly-plot').layout.sliders[0].steps.map(s => s.label)")

    def stands_at(step: str) -> None:
        expect(label).to_have_text(re.compile(re.escape(step) + "$"), timeout=1000 * SECONDS)

    def draws_another() -> None:
        page.wait_for_function("first => document.querySelector('.cartesianlayer').innerHTML != first", arg=first)

    # It waits for its reader, and shows its first step.
    page.wait_for_timeout(700)
    stands_at(steps[0])
    first = page.locator(".cartesianlayer").first.inner_html()
    # By keyboard: Tab comes to the plot, an arrow goes one step, and before the first step is nothing.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "page"
    page.keyboard.press("ArrowRight")
    stands_at(steps[1])
    draws_another()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    stands_at(steps[0])
    assert re.search(name_at_pointer, found := hovered(page)), f"{path.name}: {found!r} at the pointer"
    # With the mouse: the slider is dragged from its first step to its last.
    box = rail.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 6, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 6, y, steps=3)
    page.mouse.up()
    stands_at(steps[-1])
    draws_another()
    is_clean(tab, page, path)


def test_a_page_works(tab, folder):
    plain_slider()
    works(tab, folder / "plain.html", "middle")


def test_a_page_is_shown_in_the_notebook_where_a_person_runs_the_cell(tab, folder, monkeypatch):
    """Not where a runner does: 5 MB of plotly.js would stand in the committed notebook."""
    shown = []
    monkeypatch.setattr(results, "_display", shown.append)
    plain_slider()
    assert shown == []
    monkeypatch.delenv("PAPER_OUT")
    plain_slider()
    (path := folder / "cell.html").write_text(f'<!doctype html><link rel="icon" href="data:,">{shown[0]["text/html"]}')
    frame = tab.open(path).frame_locator("iframe")
    label = frame.locator(".slider-group > .slider-label").first
    expect(label).to_have_text("up", timeout=1000 * SECONDS)
    frame.locator("#page").press("ArrowRight")
    expect(label).to_have_text("down")
    assert tab.problems == [] and {address.split(":")[0] for address in tab.requests} <= {"file", "data", "about"}


LEFT_HERE = [*(ROOT / "build").glob("quick/*/pages/*.html")]


@pytest.mark.committed
@pytest.mark.skipif(not LEFT_HERE, reason="no run has left interactive pages under build/ here")
def test_the_pages_that_runs_left_here_work(tab):
    for path in LEFT_HERE:
        works(tab, path, NAMES.get(path.stem, r"\w"))


def test_the_words_of_a_page_are_escaped_and_name_notebook_and_stamp(folder):
    plain_slider()
    html = (folder / "plain.html").read_text()
    assert (
        not re.search(r'src="https?:', html) and 'src="plotly.min.js"' in html and (folder / "plotly.min.js").exists()
    )
    assert "<h1>rising &amp; falling &lt;lines&gt;, &quot;quoted&quot;</h1>" in html
    assert "notebook 00_try. The arrow keys" in html and "stand-in" not in html
    results._run.source = "uci-digits"
    results.save_page(go.Figure(go.Scatter(y=[1, 2])), "still", alt="a line")
    html = (folder / "still.html").read_text()
    assert "notebook 00_try; stand-in data." in html and "arrow keys" not in html


def test_the_browser_would_see_a_broken_page(tab, tmp_path):
    """The check above can fail: each kind of defect is noticed."""
    path = tmp_path / "broken.html"
    path.write_text(
        '<!doctype html><link rel="icon" href="data:,"><img src="missing.png" width="900" height="1">'
        '<script src="http://127.0.0.1:9/x.js"></script><script>console.error("a complaint"); nothing.here</script>'
    )
    assert tab.open(path, 360, 780).evaluate(OVERFLOW) > 500
    told = "\n".join(tab.problems)
    assert "a complaint" in told and "nothing is not defined" in told and "ERR_FILE_NOT_FOUND" in told
    assert "http://127.0.0.1:9/x.js" in tab.requests
