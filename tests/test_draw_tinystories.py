"""What notebook 02 draws: text from outside that stays text, words in columns, the page of all words."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks.draw import tinystories as drawing
from paper_utils import plotting


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.lists(st.text(), max_size=2))
def test_text_never_becomes_markup(tokens, after):
    tags, reader = [], HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append(tag)
    reader.feed(drawing.tokens_html(tokens, np.linspace(-1, 1, len(tokens)), after))
    reader.close()
    assert tags == ["div"] + ["span"] * len(tokens)


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(-2, 2)), min_size=1, max_size=4))
def test_a_table_cell_is_text_that_can_be_read(cells):
    texts, values = zip(*cells, strict=True)
    tags, said, reader = [], [], HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)["style"]))
    reader.handle_data = said.append
    reader.feed("".join(drawing.coloured_html(texts, list(values), 1.0, "td")))
    reader.close()
    assert [tag for tag, _ in tags] == ["td"] * len(cells) and "".join(said) == "".join(texts)
    for _, style in tags:
        assert plotting.contrast(*re.findall(r"#[0-9a-f]{6}", style)) >= 4.5


def test_the_last_token_stands_in_brackets():
    page = drawing.tokens_html(["a", "<script>alert(1)</script>"], [0.0, 1.0], ["&", "<b>"])
    assert "<script>" not in page and "[&lt;script&gt;alert(1)&lt;/script&gt;]" in page
    assert page.endswith("&amp; &lt;b&gt;</div>")
    assert re.findall(r"<span[^>]*>([^<]*)</span>", page)[0] == "a"


def test_token_lines_wrap_inside_the_axes():
    fig, ax = plt.subplots()
    tokens = ["word"] * 40
    drawing.token_lines(ax, [(tokens, np.zeros(40), ["end"], 1.0, "+1.5"), (["x"], [1.0], [], 2.0, "")], columns=50)
    right = [patch.get_x() + patch.get_width() for patch in ax.patches]
    assert max(right) <= 50 and len({patch.get_y() for patch in ax.patches}) >= 5
    assert [t.get_text() for t in ax.texts][40:44] == ["[word]", "end", "", "[x]"]
    assert ax.texts[0].get_text() == "+1.5" and min(patch.get_x() for patch in ax.patches[:41]) >= 4
    plt.close(fig)


def test_columns_of_words_part_the_highest_from_the_lowest_and_stay_text():
    scores, tokens = np.array([[3.0, 1.0, -1.0, -2.0], [0.5, 0.2, -0.1, -0.5]]), [["a", "$b", "c", "<d>"], list("efgh")]
    fig = drawing.word_columns(["one", "two"], scores, tokens)
    said = {text.get_text() for text in fig.axes[0].texts}
    assert said >= {"a +3.00", r"\$b +1.00", "h -0.50"} and [line.get_ydata()[0] for line in fig.axes[0].lines] == [1.5]
    shades = fig.axes[0].images[0].get_array()  # [row column]: each column up to its own limit
    assert shades[0].tolist() == pytest.approx([1, 1]) and shades[3].tolist() == pytest.approx([-2 / 3, -1])
    page = drawing.table_html("title", ["<b>", "two"], scores, tokens)
    assert "&lt;d&gt; -2.00" in page and "<b>" not in page and page.count("<tr>") == 5
    plt.close(fig)


def test_the_explorer_shows_each_word_with_its_own_title():
    word = {
        "count": 1200,
        "eigenvalue": -0.5,
        "ends": [0.0] * 24,
        "scores": [[1.0]],
        "tokens": [["x"]],
        "counts": [[7]],
    }
    page = drawing.explorer([{"word": name, **word} for name in ("a", "<b>")], ["direct"])
    steps = page.layout.sliders[0].steps
    assert [step.label for step in steps] == ["a", "<b>"]
    assert steps[1].args[1]["title.text"].startswith("&lt;b&gt;, seen 1,200 times") and page.layout.title.text[0] == "a"


def test_the_cover_is_small_and_of_one_size_of_text():
    fig = drawing.cover(np.array([[-1.0, np.nan], [0.1, -0.5]]), ["swim", "run"])
    assert fig.get_size_inches().tolist() == [1.9, 1.9]
    assert {label.get_size() for label in fig.axes[0].get_xticklabels()} == {8}
    plt.close(fig)
