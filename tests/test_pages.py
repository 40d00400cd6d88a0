"""The interactive pages, opened in a real browser: those that notebooks 03, 04 and 05 make, and any a run left here.

A notebook's own cells make the pages here too, read from its source; only what they draw is small and random.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
import torch
from browser import Page

from paper_utils import groups, results, sources
from paper_utils.files import ROOT

DRAWN = "document.querySelector('.cartesianlayer').innerHTML"
STEP = "document.querySelector('.slider-group > .slider-label').textContent"


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def run_page_cells(notebook: str, given: dict, pages: list[str]) -> None:
    """Execute a notebook's import cell, then the cells that write these pages, with `given` for what they draw."""
    source = sources.read(ROOT / "notebooks" / f"{notebook}.py")
    cells = [c.source for c in sources.code_cells(source)]
    chosen = [next(c for c in cells if "from paper_utils import" in c and "google.colab" not in c)]
    for page in pages:
        chosen.append(next(c for c in cells if f'"{page}"' in c and re.search(r"(save|slider)_page\(", c)))
    names = sources.parameters(source) | {"MODE": "quick"}
    for cell in chosen:
        exec(cell, names)
        names |= given


def feature_browser() -> list[str]:
    bits = torch.tensor([0.5, 0.4, 0.3])
    given = {
        "bits": bits,
        "counts": torch.tensor([8, 6, 4]),
        "n": 10,
        "shown": torch.arange(3),
        "order": torch.arange(9),
    }
    given |= {
        "by_label": 1 + torch.eye(3, 10),
        "tops": torch.arange(24).reshape(3, 8) % 9,
    }
    run_page_cells(
        "03_mnist_sae", given | {"train_x": random(9, 784), "directions": random(3, 784)}, ["feature_browser"]
    )
    return ["feature_browser"]


def fourier_pages() -> list[str]:
    n, pages = 53, ["fourier_basis", "activation_maps", "neuron_fourier", "mean_square"]
    hidden, logits = random(2 * n, 2 * n, 4).double(), random(2 * n, 2 * n, 3).double()
    given = {
        "n": n,
        "basis": groups.fourier_basis(n),
        "names": groups.fourier_names(n),
        "group": groups.DihedralGroup(n),
    }
    given |= {"hidden": hidden, "logits": logits, "strong": [0, 1, 2, 3], "nine": [0, 1, 2]}
    run_page_cells("04_dihedral_fourier", given | {"coefficients": groups.fourier_2d(hidden, n)}, pages)
    return pages


def directions_animation() -> list[str]:
    ends = {"free": random(20, 49, 2), "unit": random(20, 49, 2)}
    given = {
        "ends": ends,
        "limits": {"free": 1.1, "unit": 1.1},
        "rank": torch.arange(49),
        "colours": random(49, 3).numpy(),
    }
    run_page_cells("05_toy_superposition", given, ["directions_animation"])
    return ["directions_animation"]


def plain_slider() -> list[str]:
    fig = go.Figure([go.Scatter(y=[1, 2, 3], visible=True), go.Scatter(y=[3, 2, 1], visible=False)])
    fig.update_traces(text=["left", "middle", "right"])
    visible = {"up": [True, False], "down": [False, True]}
    steps = [{"method": "restyle", "args": ["visible", shown], "label": name} for name, shown in visible.items()]
    fig.update_layout(sliders=[{"steps": steps}], width=1100)
    results.save_page(fig, "plain", alt='rising & falling <lines>, "quoted"')
    return ["plain"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where pages are written, with an account open that knows what the cells below record."""
    monkeypatch.setenv("PAPER_OUT", str(tmp_path))
    numbers = ["hidden_linear_share", "logit_linear_share"]
    results.begin("00_try", mode="full", seed=0, source="exact", files={}, figures=["mean_square"], numbers=numbers)
    yield tmp_path / "pages"
    results._run = None


def no_complaints(tab: Page) -> None:
    assert tab.problems == []
    assert [address for address in tab.requests if not address.startswith(("file:", "data:", "blob:"))] == []


def drag_slider(tab: Page) -> None:
    """With the mouse, from its first step to its last."""
    rail = tab.evaluate(
        "(r => [r.left, r.right, (r.top + r.bottom) / 2])"
        "(document.querySelector('.slider-rail-touch-rect').getBoundingClientRect())"
    )
    left, right, y = rail
    tab.mouse("Moved", left + 6, y)
    tab.mouse("Pressed", left + 6, y)
    for share in (0.3, 0.7, 1.0):
        tab.mouse("Moved", left + 6 + share * (right - left - 12), y)
    tab.mouse("Released", right - 6, y)


def hovered(tab: Page) -> str:
    """What appears beside the pointer over the middle one of the marks that are drawn: dots, bars or an image."""

    def look() -> str:
        # Each time anew: a plot that is still being drawn takes its names away again.
        x, y = tab.evaluate("""(() => {
            const kinds = ".scatterlayer .point, .barlayer .point path, .heatmaplayer image";
            const marks = [...document.querySelectorAll(kinds)], box = marks[marks.length >> 1].getBoundingClientRect();
            return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
        })()""")
        for beside in (1, 0):
            tab.mouse("Moved", x - beside, y)
        tab.evaluate("new Promise(done => setTimeout(done, 100))")
        texts = "[...document.querySelectorAll('.hoverlayer .hovertext')].map(text => text.textContent)"
        return " ".join(tab.evaluate(texts))

    return tab.until(look, "a name appears at the pointer")


@pytest.mark.parametrize(
    "make, names",
    [
        (plain_slider, {"plain": "middle"}),
        (feature_browser, {"feature_browser": r"label \d: \d+\.\d%"}),
        (
            fourier_pages,
            {
                "fourier_basis": "Const.*26",
                "activation_maps": r"x r\^\d.*y r\^\d.*activation",
                "neuron_fourier": r"x (Const|cos|sin).*y (Const|cos|sin)",
                "mean_square": r"x (Const|cos|sin).*y (Const|cos|sin)",
            },
        ),
        (directions_animation, {"directions_animation": r"feature \d+, rank \d+"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_page_works(tab, folder, make, names):
    assert make() == list(names)
    for name, name_at_pointer in names.items():
        works(tab, folder / f"{name}.html", name_at_pointer)


def works(tab: Page, path: Path, name_at_pointer: str) -> None:
    """What every page must do."""
    tab.open(path)
    tab.until(lambda: tab.evaluate("!!document.querySelector('.slider-rail-touch-rect')"), "the slider is drawn")
    steps = tab.evaluate("document.querySelector('.js-plotly-plot').layout.sliders[0].steps.map(s => s.label)")

    def stands_at(step: str) -> None:
        tab.until(lambda: tab.evaluate(STEP).endswith(step), f"{path.name}: the slider stands at {step}")

    # It waits for its reader, and shows its first step.
    tab.evaluate("new Promise(done => setTimeout(done, 700))")
    stands_at(steps[0])
    first = tab.evaluate(DRAWN)
    # By keyboard: Tab comes to the plot, an arrow goes one step, and before the first step is nothing.
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "page"
    tab.press("ArrowRight")
    stands_at(steps[1])
    tab.until(lambda: tab.evaluate(DRAWN) != first, f"{path.name}: another step is drawn")
    tab.press("ArrowLeft")
    tab.press("ArrowLeft")
    stands_at(steps[0])
    assert re.search(name_at_pointer, found := hovered(tab)), f"{path.name}: {found!r} at the pointer"
    drag_slider(tab)
    stands_at(steps[-1])
    tab.until(lambda: tab.evaluate(DRAWN) != first, f"{path.name}: the last step is drawn")
    assert tab.evaluate("document.images.length") == 0 and tab.evaluate("document.title").startswith(path.stem)
    tab.open(path, 360, 780)
    assert tab.overflow() == 0
    no_complaints(tab)


LEFT_HERE = sorted((ROOT / "build" / "interactive").glob("*/*.html")) + sorted(
    (ROOT / "build").glob("quick/*/pages/*.html")
)


@pytest.mark.skipif(not LEFT_HERE, reason="no run has left interactive pages under build/ here")
def test_the_pages_that_runs_left_here_work(tab):
    for path in LEFT_HERE:
        works(tab, path, r"\w")


def test_the_words_of_a_page_are_escaped_and_name_notebook_and_stamp(folder):
    plain_slider()
    html = (folder / "plain.html").read_text()
    assert "<h1>rising &amp; falling &lt;lines&gt;, &quot;quoted&quot;</h1>" in html
    assert "notebook 00_try. The arrow keys" in html and "stand-in" not in html
    results._run.source = "uci-digits"
    results.save_page(go.Figure(go.Scatter(y=[1, 2])), "still", alt="a line")
    html = (folder / "still.html").read_text()
    assert "notebook 00_try; stand-in data." in html and "arrow keys" not in html


def test_the_browser_would_see_a_broken_page(tab, tmp_path):
    """The check above can fail: each kind of defect is noticed."""
    page = tmp_path / "broken.html"
    page.write_text(
        '<!doctype html><link rel="icon" href="data:,"><img src="missing.png" width="900" height="1">'
        '<script>console.error("a complaint"); setTimeout(() => nothing.here, 0)</script>'
    )
    tab.open(page, 360, 780)
    tab.until(lambda: len(tab.problems) >= 3, "three problems are seen")
    told = "\n".join(tab.problems)
    assert "a complaint" in told and "nothing is not defined" in told and "ERR_FILE_NOT_FOUND" in told
    assert tab.overflow() > 500
