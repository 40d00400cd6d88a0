"""Token colours that can be read, and text from outside that stays text."""

import re
from html.parser import HTMLParser

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


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.lists(st.text(), max_size=2))
def test_text_never_becomes_markup(tokens, after):
    tags, reader = [], HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append(tag)
    reader.feed(plotting.tokens_html(tokens, np.linspace(-1, 1, len(tokens)), after))
    reader.close()
    assert tags == ["div"] + ["span"] * len(tokens)


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(-2, 2)), min_size=1, max_size=4))
def test_a_table_cell_is_text_that_can_be_read(cells):
    texts, values = zip(*cells, strict=True)
    tags, said, reader = [], [], HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)["style"]))
    reader.handle_data = said.append
    reader.feed("".join(plotting.coloured_html(texts, list(values), 1.0, "td")))
    reader.close()
    assert [tag for tag, _ in tags] == ["td"] * len(cells) and "".join(said) == "".join(texts)
    for _, style in tags:
        assert plotting.contrast(*re.findall(r"#[0-9a-f]{6}", style)) >= 4.5


def test_the_last_token_stands_in_brackets():
    page = plotting.tokens_html(["a", "<script>alert(1)</script>"], [0.0, 1.0], ["&", "<b>"])
    assert "<script>" not in page and "[&lt;script&gt;alert(1)&lt;/script&gt;]" in page
    assert page.endswith("&amp; &lt;b&gt;</div>")
    assert re.findall(r"<span[^>]*>([^<]*)</span>", page)[0] == "a"


def test_token_lines_wrap_inside_the_axes():
    fig, ax = plt.subplots()
    tokens = ["word"] * 40
    plotting.token_lines(ax, [(tokens, np.zeros(40), ["end"], 1.0, "+1.5"), (["x"], [1.0], [], 2.0, "")], columns=50)
    right = [patch.get_x() + patch.get_width() for patch in ax.patches]
    assert max(right) <= 50 and len({patch.get_y() for patch in ax.patches}) >= 5
    assert [t.get_text() for t in ax.texts][40:44] == ["[word]", "end", "", "[x]"]
    assert ax.texts[0].get_text() == "+1.5" and min(patch.get_x() for patch in ax.patches[:41]) >= 4
    plt.close(fig)


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
