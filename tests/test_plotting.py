"""What several notebooks draw: signed maps and spectra, colours that can be read, sliders."""

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper_utils import plotting


def test_contrast_by_the_standards_own_examples():
    assert plotting.contrast("white", "black") == pytest.approx(21)
    assert plotting.contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)  # the grey WCAG's notes name
    assert plotting.contrast("red", "red") == 1


@given(st.floats(-3, 3))
def test_every_cell_can_be_read(value):
    ((background, text),) = plotting.token_colours([value], 1.0)
    assert plotting.contrast(background, text) >= 4.5


def test_colours_are_signed_and_symmetric():
    (low, _), (zero, ink), (high, _) = plotting.token_colours([-2.0, 0.0, 2.0], 2.0)
    assert (int(low[5:], 16) > int(low[1:3], 16)) and (int(high[1:3], 16) > int(high[5:], 16))
    assert int(zero[1:3], 16) > 240 and ink == "#000000"


def traces(n):
    return [go.Scatter(y=[k]) for k in range(n)]


def test_a_slider_shows_equal_parts_of_the_traces_and_changes_the_layout():
    page = plotting.slider_page(go.Figure(traces(6)), ["a", "b", "c"], layouts=[{"title.text": k} for k in "abc"])
    assert [trace.visible for trace in page.data] == [True] * 2 + [False] * 4 and page.layout.title.text == "a"
    (slider,) = page.layout.sliders
    assert [step.label for step in slider.steps] == ["a", "b", "c"] and slider.font.color is None
    assert slider.steps[2].args == ({"visible": [False] * 4 + [True] * 2}, {"title.text": "c"})


def test_a_slider_changes_what_traces_hold():
    data = [{"y": [[k], None]} for k in range(2)]
    page = plotting.slider_page(go.Figure(traces(2)), ["short", "longer than a tick's label"], data, prefix="x ")
    (slider,) = page.layout.sliders
    assert [step.args for step in slider.steps] == [(d, {}) for d in data] and page.data[1].visible is None
    assert slider.currentvalue.prefix == "x " and slider.font.color.endswith(",0)")


def test_a_slider_goes_through_frames():
    page = go.Figure(traces(1), frames=[go.Frame(data=traces(1), name=name) for name in "ab"])
    plotting.slider_page(page, ["1", "2"], width=300)
    (slider,), (menu,) = page.layout.sliders, page.layout.updatemenus
    assert [(*s.args[0], s.label) for s in slider.steps] == [("a", "1"), ("b", "2")]
    assert menu.buttons[0].label == "play" and page.layout.width == 300
    with pytest.raises(ValueError):
        plotting.slider_page(page, ["1"])


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_signed_maps_are_white_at_zero_and_red_above(ax):
    image = plotting.signed_map(ax, np.array([[-1.0, 3.0]]))
    assert image.get_clim() == (-3, 3)
    white, red = image.cmap(image.norm(0.0)), image.cmap(image.norm(3.0))
    assert min(white[:3]) > 0.95 and red[0] > 2 * red[2]


def test_spectrum_shows_every_eigenvalue(ax):
    plotting.spectrum(ax, [-2.0, -1.0, 0.0, 4.0])
    drawn = [tuple(p) for drawn_line in ax.lines[1:] for p in drawn_line.get_xydata()]
    assert drawn == [(0, -2), (1, -1), (2, 0), (3, 4)]


def test_the_style_is_what_matplotlib_knows():
    with plt.rc_context(plotting.STYLE):
        assert plt.rcParams["figure.constrained_layout.use"]
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plotting.OKABE_ITO
