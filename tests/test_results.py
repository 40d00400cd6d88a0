import json
import os
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import pytest

from paper_utils import plotting, results
from paper_utils.files import ROOT


@pytest.fixture
def begin(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER_OUT", str(tmp_path))

    def call(**changes):
        declared = {"mode": "full", "seed": 0, "source": "mnist", "files": {}, "figures": ["curve"], "numbers": ["x"]}
        results.begin("01_try", **(declared | changes))
        return tmp_path

    yield call
    results._run = None


def line() -> plt.Figure:
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], [0, 1])
    return fig


def picture() -> plt.Figure:
    fig, ax = plt.subplots(figsize=(3, 2))
    plotting.signed_map(ax, np.eye(3))
    return fig


ALT = "a line that rises"


def test_lines_become_png_and_svg_pictures_only_png(begin):
    folder = begin(figures=["curve", "map"])
    results.save_figure(line(), "curve", alt=ALT)
    results.save_figure(picture(), "map", alt="a red diagonal on white")
    assert sorted(p.name for p in folder.iterdir()) == ["curve.png", "curve.svg", "map.png"]
    assert (folder / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_drawing_twice_gives_the_same_bytes(begin):
    folder = begin()
    results.save_figure(line(), "curve", alt=ALT)
    first = [(folder / f"curve.{kind}").read_bytes() for kind in ("png", "svg")]
    results.save_figure(line(), "curve", alt=ALT)
    assert first == [(folder / f"curve.{kind}").read_bytes() for kind in ("png", "svg")]


def test_the_last_bits_of_a_layout_do_not_change_the_bytes(begin):
    """A layout may put the axes 1e-15 further on the next run; two axes, so that clip paths could be mixed up."""
    folder, drawn = begin(), []
    for shift in (0, 1e-15):
        fig, axes = plt.subplots(1, 2, figsize=(3, 2))
        for ax, x in zip(axes, (0.1, 0.6), strict=True):
            ax.plot([0, 1], [0, 1])
            ax.set_position((x + shift, 0.2, 0.35, 0.7))
        results.save_figure(fig, "curve", alt=ALT)
        drawn.append((folder / "curve.svg").read_text())
    assert drawn[0] == drawn[1]
    for x, name in ((21.6, "p0"), (129.6, "p1")):  # left edges, in points: 216 wide
        edge = re.search(rf'<clipPath id="{name}">\s*<rect x="([\d.]+)"', drawn[0])
        assert abs(float(edge[1]) - x) < 0.1 and f"url(#{name})" in drawn[0]


DRAWS = """
import sys
import matplotlib.pyplot as plt
import numpy as np
from paper_utils import plotting, results
from paper_utils.files import ROOT
results.begin("01_try", mode="full", seed=0, source="mnist", files={}, figures=["lines", "map"], numbers=[])
with plt.rc_context(plotting.STYLE):
    fig, axes = plt.subplots(1, 2, figsize=(4, 2))
    axes[0].plot([0, 1], [0, 1], label="$x^2$, clipped")
    axes[0].set_xlim(0.2, 0.8)
    axes[0].legend()
    axes[1].bar([0, 1], [1, 2], hatch="/")
    axes[1].errorbar([0, 1], [1, 2], yerr=0.5)
    axes[1].scatter(range(50), np.random.default_rng(0).random(50), c=np.arange(50) % 3)
    results.save_figure(fig, "lines", alt="lines, bars and dots")
    fig, ax = plt.subplots(figsize=(2, 2))
    plotting.signed_map(ax, np.random.default_rng(0).normal(size=(20, 20)))
    results.save_figure(fig, "map", alt="a map of noise")
"""


def test_two_processes_draw_the_same_bytes(tmp_path):
    """At other times, with other hash seeds and another SOURCE_DATE_EPOCH: none of them stands in a figure."""
    drawn = []
    for seed, epoch in (("1", "0"), ("2", "1000000000"), ("3", None)):
        folder = tmp_path / seed
        env = os.environ | {"PAPER_OUT": str(folder), "PYTHONHASHSEED": seed, "MPLBACKEND": "agg"}
        env |= {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        subprocess.run([sys.executable, "-c", DRAWS], env=env, cwd=ROOT, check=True, capture_output=True)
        drawn.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert set(drawn[0]) == {"lines.png", "lines.svg", "map.png"} and drawn[0] == drawn[1] == drawn[2]


def test_the_saved_figure_has_its_own_width(begin):
    folder = begin()
    fig = line()
    results.save_figure(fig, "curve", alt=ALT)
    assert plt.imread(folder / "curve.png").shape[1] == round(3 * fig.dpi)
    assert not plt.fignum_exists(fig.number)


def test_a_failing_draw_leaves_the_old_figure(begin, monkeypatch):
    folder = begin()
    results.save_figure(line(), "curve", alt=ALT)
    before = (folder / "curve.png").read_bytes()

    def breaks(*args, **kwargs):
        raise OSError("no space left on device")

    fig = line()
    monkeypatch.setattr(fig, "savefig", breaks)
    with pytest.raises(OSError):
        results.save_figure(fig, "curve", alt=ALT)
    assert (folder / "curve.png").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["curve.png", "curve.svg"]


@pytest.mark.parametrize(
    "source, mode, stamp", [("uci-digits", "full", "stand-in data"), ("mnist", "quick", "quick mode")]
)
def test_what_is_not_the_papers_is_stamped(begin, source, mode, stamp):
    folder = begin(source=source, mode=mode)
    results.save_figure(line(), "curve", alt=ALT)
    assert stamp in (folder / "curve.svg").read_text()


def test_a_figure_of_the_real_data_is_not_stamped(begin):
    folder = begin()
    results.save_figure(line(), "curve", alt=ALT)
    assert not re.search("stand-in|quick", (folder / "curve.svg").read_text())


@pytest.mark.parametrize("name", ["other/curve", "../curve", "curve.png", "Curve", ""])
def test_names_are_plain(begin, name):
    with pytest.raises(ValueError, match="no folder, no ending"):
        begin(figures=[name])


def test_undeclared_names_and_missing_alt_texts_are_refused(begin):
    begin()
    with pytest.raises(ValueError, match=r"'curves' is not declared.*\['curve'\]"):
        results.save_figure(line(), "curves", alt=ALT)
    with pytest.raises(ValueError, match="alt text"):
        results.save_figure(line(), "curve", alt="plot")
    with pytest.raises(ValueError, match=r"'y' is not declared.*\['x'\]"):
        results.record("y", 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1.0, float("nan")], {"a": 1}])
def test_only_finite_numbers_are_recorded(begin, value):
    begin()
    with pytest.raises(ValueError, match="finite numbers"):
        results.record("x", value)


def test_nothing_works_before_begin():
    for call in (lambda: results.save_figure(line(), "a", alt=ALT), lambda: results.record("a", 1), results.finish):
        with pytest.raises(RuntimeError, match=r"results\.begin"):
            call()


@pytest.mark.parametrize("bad", [{"mode": "fast"}, {"figures": ["a", "a"]}])
def test_a_bad_declaration_is_refused(begin, bad):
    with pytest.raises(ValueError, match=r"fast|twice"):
        begin(**bad)


def test_finish_names_what_is_missing_and_writes_no_account(begin):
    folder = begin(figures=["curve", "map"], numbers=["x", "y"])
    results.save_figure(line(), "curve", alt=ALT)
    results.record("y", np.float64(2.0))
    with pytest.raises(RuntimeError, match="figure map, number x"):
        results.finish()
    assert not (folder / "run.json").exists()


def test_the_account(begin, capsys):
    folder = begin(seed=[0, 1], files={"MNIST/raw/a": "0" * 32})
    results.save_figure(line(), "curve", alt=ALT)
    results.record("x", np.array([1.5, 2.0]))
    table = results.findings([("the x", "x", "1.4")])
    results.finish()
    account = json.loads((folder / "run.json").read_text())
    assert account["numbers"] == {"x": [1.5, 2.0]} and account["seeds"] == [0, 1]
    assert account["figures"]["curve"]["alt"] == ALT and set(account["figures"]["curve"]["files"]) == {
        "curve.png",
        "curve.svg",
    }
    assert account["sentinel"] in capsys.readouterr().out
    assert table.loc["the x"].tolist() == ["1.5, 2", "1.4"]
    assert account["peak_mb"] > 50 and account["environment"]["threads"] >= 1


def test_findings_shows_only_what_was_recorded(begin):
    begin()
    with pytest.raises(ValueError, match="not recorded"):
        results.findings([("x", "x", "1")])


def test_a_page_needs_no_network(begin):
    folder = begin()
    results.save_page(go.Figure(go.Scatter(y=[1, 2])), "browser", alt="a line to hover over")
    html = (folder / "pages" / "browser.html").read_text()
    assert (folder / "pages" / "plotly.min.js").stat().st_size > 1e6
    assert not re.search(r'src="https?:', html) and 'src="plotly.min.js"' in html


# ---- plotting: the forms several notebooks draw


def test_signed_maps_are_centred_on_zero():
    fig, ax = plt.subplots()
    image = plotting.signed_map(ax, np.array([[-1.0, 3.0]]))
    assert image.get_clim() == (-3, 3)
    middle = image.cmap(image.norm(0.0))
    assert min(middle[:3]) > 0.95  # white
    red = image.cmap(image.norm(3.0))
    assert red[0] > 2 * red[2]  # positive is red
    plt.close(fig)


def test_spectrum_shows_every_eigenvalue():
    fig, ax = plt.subplots()
    plotting.spectrum(ax, [-2.0, -1.0, 0.0, 4.0])
    drawn = [tuple(p) for drawn_line in ax.lines[1:] for p in drawn_line.get_xydata()]
    assert drawn == [(0, -2), (1, -1), (2, 0), (3, 4)]
    plt.close(fig)


def test_runs_band_shows_runs_mean_and_deviation():
    fig, ax = plt.subplots()
    plotting.runs_band(ax, [0, 1], np.array([[0.0, 1.0], [2.0, 1.0]]), "loss", plotting.BLUE)
    assert ax.lines[-1].get_ydata().tolist() == [1.0, 1.0] and len(ax.lines) == 3
    assert "2 runs" in ax.lines[-1].get_label() and "s.d." in ax.lines[-1].get_label()
    plt.close(fig)


def test_the_style_is_what_matplotlib_knows():
    with plt.rc_context(plotting.STYLE):
        assert plt.rcParams["figure.constrained_layout.use"]
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plotting.OKABE_ITO
