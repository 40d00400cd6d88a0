"""What notebook 5 draws."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from draw import toy_superposition as drawing

from paper_utils import plotting


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_runs_band_shows_runs_mean_and_deviation(ax):
    drawing.runs_band(ax, [0, 1], np.array([[0.0, 1.0], [2.0, 1.0]]), "loss", plotting.BLUE)
    assert ax.lines[-1].get_ydata().tolist() == [1.0, 1.0] and len(ax.lines) == 3
    assert "2 runs" in ax.lines[-1].get_label() and "s.d." in ax.lines[-1].get_label()


def test_runs_strip_shows_every_run_and_names_the_interval():
    frame = pd.DataFrame({"loss": [1.0, 2.0, 3.0], "constant": [1.0, 1.0, 1.0]})
    fig = drawing.runs_strip(frame, {"loss": "the loss", "constant": "a constant"})
    plt.close(fig)
    loss = fig.axes[0]
    assert sorted(loss.collections[0].get_offsets()[:, 1]) == [1, 2, 3] and loss.get_title() == "the loss"
    assert [t.get_text() for t in loss.get_xticklabels()] == ["3 runs", "mean\n± s.d."]
    (low, high) = loss.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == (1, 3)


def test_arrows_start_at_the_origin_and_keep_their_colours(ax):
    points = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    drawing.draw_arrows(ax, points, drawing.rank_colours(torch.tensor([1, 0])), limit=3)
    assert [drawn.get_xydata().tolist() for drawn in ax.lines[:2]] == [[[0, 0], [1, 0]], [[0, 0], [0, 2]]]
    light, dark = (sum(drawn.get_color()[:3]) for drawn in ax.lines[:2])
    assert dark < light and ax.get_xlim() == (-3, 3)


def polygon(n):
    angle = torch.arange(n) * 2 * torch.pi / n
    return torch.stack([angle.cos(), angle.sin()])


def test_the_slider_names_the_figure_of_each_step():
    kinds = {"falling": torch.stack([polygon(5), polygon(5)]), "equal": torch.stack([polygon(5), 0.1 * polygon(5)])}
    page = drawing.toy_slider(kinds, [0.5, 0.99])
    steps = page.layout.sliders[0].steps
    assert [step.label for step in steps] == ["0.500: pentagon | pentagon", "0.990: pentagon | other"]
    assert len(page.data) == 10 and page.frames[1].data[9].text[0] == "feature 5, length 0.10"


def test_bars_hold_every_model_and_each_figure_has_a_colour():
    sparsities = [0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]
    index = pd.MultiIndex.from_product([[0.9, 1.0], sparsities], names=["decay", "sparsity"])
    counts = pd.DataFrame(0, index=index, columns=drawing.GEOMETRIES).assign(pair=40, pentagon=60)
    planes = {(d, s): polygon(5) for d in (0.9, 1.0) for s in (0, 0.3, 0.7, 0.9, 0.99)}
    moved = dict.fromkeys(("3, then 4", "4, then 5"), pd.Series(0.5, index=index))
    fig = drawing.toy_geometry(planes, counts, moved)
    equal, shared = fig.axes[11], fig.axes[12]
    tops = [patch.get_y() + patch.get_height() for patch in equal.patches]
    assert max(tops) == 100 and shared.get_ylabel() == "share of models"
    assert len({patch.get_facecolor() for patch in equal.patches}) == len(drawing.GEOMETRIES)
    plt.close(fig)


def test_the_cover_is_small_and_has_one_font_size():
    with plt.rc_context(plotting.STYLE):
        fig = drawing.cover({s: polygon(5) for s in (0, 0.3, 0.7, 0.99)})
        fig.draw_without_rendering()
        shown = [text for text in fig.findobj(plt.Text) if text.get_text()]
        assert fig.get_size_inches().tolist() == [1.9, 1.9] and {text.get_fontsize() for text in shown} == {8}
        assert "S = 0.99" in [text.get_text() for text in shown]
    plt.close(fig)
