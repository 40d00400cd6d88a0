"""What notebook 5 draws."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
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
