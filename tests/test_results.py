import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from paper_utils import plotting, results
from paper_utils.files import ROOT


@pytest.fixture
def begin(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPER_OUT", str(tmp_path))

    def call(source="mnist", **changes):
        data = SimpleNamespace(source=source, files={"MNIST/raw/a": "0" * 32})
        results.begin("01_try", **({"mode": "full", "seeds": [0, 1], "data": data} | changes))
        return tmp_path

    yield call
    results._run = None


def line() -> plt.Figure:
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], [0, 1])
    return fig


ALT = "a line that rises"


def test_a_figures_files_its_width_and_its_end(begin):
    """Lines become PNG and SVG, pictures only PNG; a figure has its own width and is closed once it is saved."""
    folder = begin()
    results.save_figure(drawn := line(), "curve", alt=ALT)
    fig, ax = plt.subplots(figsize=(3, 2))
    plotting.signed_map(ax, np.eye(3))
    results.save_figure(fig, "map", alt="a red diagonal on white")
    assert sorted(p.name for p in folder.iterdir()) == ["curve.png", "curve.svg", "map.png"]
    assert plt.imread(folder / "curve.png").shape[1] == round(3 * drawn.dpi)
    assert not plt.get_fignums()


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
import matplotlib.pyplot as plt
import numpy as np
from paper_utils import plotting, results
results.begin("01_try", mode="full", seeds=[0])
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


@pytest.mark.slow
def test_two_processes_draw_the_same_bytes(tmp_path):
    """At other times, with other hash seeds and another SOURCE_DATE_EPOCH: none of them stands in a figure."""
    drawn = []
    for seed, epoch in (("1", "0"), ("2", None)):
        folder = tmp_path / seed
        env = os.environ | {"PAPER_OUT": str(folder), "PYTHONHASHSEED": seed, "MPLBACKEND": "agg"}
        env |= {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        subprocess.run([sys.executable, "-c", DRAWS], env=env, cwd=ROOT, check=True, capture_output=True)
        drawn.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert set(drawn[0]) == {"lines.png", "lines.svg", "map.png"} and drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "source, mode, stamp",
    [("uci-digits", "full", "stand-in data"), ("mnist", "quick", "quick mode"), ("mnist", "full", None)],
)
def test_what_is_not_the_papers_is_stamped(begin, source, mode, stamp):
    folder = begin(source=source, mode=mode)
    results.save_figure(line(), "curve", alt=ALT)
    found = re.findall("stand-in data|quick mode", (folder / "curve.svg").read_text())
    assert set(found) == ({stamp} if stamp else set())


REFUSED = [
    (lambda: results.begin("01_try", mode="fast", seeds=[0]), r"'full' or 'quick', got 'fast'"),
    (lambda: results.save_figure(line(), "curve", alt="plot"), "alt text"),
    (lambda: results.findings([("x", "x", "1")]), "not recorded"),
]
NO_NAMES, NO_NUMBERS = ("../curve", "curve.png", "Curve", ""), (math.nan, math.inf, None, [1.0, math.nan], {"a": 1})
REFUSED += [(lambda x=x: results.save_figure(line(), x, alt=ALT), "no folder, no ending") for x in NO_NAMES]
REFUSED += [(lambda x=x: results.record(x=x), "finite numbers") for x in NO_NUMBERS]


@pytest.mark.parametrize("call, message", REFUSED)
def test_what_is_refused(begin, call, message):
    begin()
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_works_before_begin():
    for call in (lambda: results.save_figure(line(), "a", alt=ALT), lambda: results.record(a=1), results.finish):
        with pytest.raises(RuntimeError, match=r"results\.begin"):
            call()


def test_the_record(begin, capsys):
    (elsewhere := Path(os.environ["PAPER_OUT"], "elsewhere.txt")).write_text("x")
    folder = begin(inputs=[ROOT / "requirements.lock", elsewhere])
    results.save_figure(line(), "curve", alt=ALT)
    results.record(x=np.array([1.5, 2.0]), y=np.float64(2.0), z=(1, 2))
    table = results.findings([("the x", "x", "1.4")])
    results.finish()
    record = json.loads((folder / "record.json").read_text())
    assert record["numbers"] == {"x": [1.5, 2.0], "y": 2.0, "z": [1, 2]} and record["seeds"] == [0, 1]
    curve = record["figures"]["curve"]
    assert curve["alt"] == ALT and set(curve["files"]) == {"curve.png", "curve.svg"}
    assert record["inputs"]["MNIST/raw/a"] == "0" * 32 and len(record["inputs"]["requirements.lock"]) == 64
    assert "elsewhere.txt" in record["inputs"], "no path of a machine"
    assert {"results", "files", "plotting"} <= set(record["modules"]) and record["stamp"] == ""
    environment = record["environment"]
    assert environment["threads"] >= 1 and environment["numerics"] in ("exact", "free") and environment["processor"]
    assert "01_try complete: 1 figures and 3 numbers" in capsys.readouterr().out
    assert table.loc["the x"].tolist() == ["1.5, 2", "1.4"]
    with pytest.raises(RuntimeError, match=r"results\.begin"):
        results.record(x=1)


def test_numbers_keep_eight_significant_digits_so_that_the_last_bits_are_no_difference(begin):
    begin()
    one, other = 0.1 + 0.2, 0.3
    results.record(a=one, b=other, c=[1 / 3, 123456789.123], d=np.float32(0.1), e=123456789012, f="1.23456789012")
    numbers = results._run.numbers
    assert one != other and numbers["a"] == numbers["b"] == 0.3
    assert numbers["c"] == [0.33333333, 123456790.0] and numbers["d"] == 0.1
    assert numbers["e"] == 123456789012 and numbers["f"] == "1.23456789012"


def test_what_draws_beside_the_notebooks_is_an_input_of_the_record(begin):
    import draw.toy_superposition  # noqa: F401

    folder = begin()
    results.finish()
    modules = json.loads((folder / "record.json").read_text())["modules"]
    assert "draw.toy_superposition" in modules and "superposition" in modules and "progress" not in modules


def test_the_table_shows_the_ends_of_many_values(begin):
    begin()
    results.record(runs=[0.25, 0.75, 0.5], pair=[1, 2])
    table = results.findings([("runs", "runs", "-"), ("pair", "pair", "-")])
    assert table["measured here"].tolist() == ["0.25 to 0.75 (3 values)", "1, 2"]


def test_a_sweep_becomes_an_input_of_the_record(begin, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    begin()
    with pytest.raises(FileNotFoundError, match="make sweeps NB=01_try"):
        results.read_sweep("01_try")
    (tmp_path / "figures" / "sweeps").mkdir(parents=True)
    (tmp_path / "figures" / "sweeps" / "01_try.csv").write_text("seed,loss\n0,0.5\n1,0.25\n")
    assert results.read_sweep("01_try")["loss"].mean() == 0.375
    assert len(results._run.inputs["figures/sweeps/01_try.csv"]) == 64
