"""What notebook 02 draws: words and tokens on the colours of their values, and the page of all frequent words."""

import html
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from paper_utils import plotting


def coloured_html(texts: Sequence[str], values: ArrayLike, limit: float, tag: str = "span") -> list[str]:
    """Return each text as an HTML element on the colour of its value; escaped: a text never becomes markup."""
    style = "background:{};color:{};padding:0 2px;text-align:left"
    coloured = zip(texts, plotting.token_colours(values, limit), strict=True)
    return [f'<{tag} style="{style.format(*colours)}">{html.escape(text)}</{tag}>' for text, colours in coloured]


def tokens_html(
    tokens: Sequence[str], values: ArrayLike, after: Sequence[str] = (), limit: float | None = None, label: str = ""
) -> str:
    """Return one line of tokens on the colours of their values, the last in brackets; then `after`, without colour.

    Colours end at `limit` (default: the largest |value|); `label` stands in front.
    """
    limit = limit or np.abs(np.asarray(values)).max() or 1.0
    spans = " ".join(coloured_html([*tokens[:-1], f"[{tokens[-1]}]"], values, limit))
    return f'<div style="line-height:1.7">{html.escape(label)} {spans} {html.escape(" ".join(after))}</div>'


def token_lines(ax: Axes, lines: Sequence[tuple], columns: int = 116) -> None:
    """Draw what `tokens_html` shows of each of `lines`, its arguments, all five; wrapped at `columns` characters."""
    row = 0
    for tokens, values, after, limit, label in lines:
        colours = plotting.token_colours(values, limit) + [("none", "#000000")] * len(after)
        ax.text(0, row + 0.47, label, fontsize=7, ha="left", va="center")
        column = indent = len(label) + 2 if label else 0
        for token, (background, colour) in zip([*tokens[:-1], f"[{tokens[-1]}]", *after], colours, strict=True):
            width = len(token) + 1
            if column + width > columns:
                row, column = row + 1, indent
            ax.add_patch(Rectangle((column, row), width, 0.9, color=background, linewidth=0))
            text = token.replace("$", r"\$")
            ax.text(
                column + width / 2, row + 0.47, text, color=colour, fontsize=7, family="monospace", **plotting.CENTRED
            )
            column += width
        row += 1.4
    ax.set(xlim=(0, columns), ylim=(row, 0))
    ax.axis("off")


def top_inputs(lines: Sequence[tuple], title: str) -> Figure:
    """Draw the texts in which an eigenvector acts most, as `token_lines`, with the key of colours."""
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 3.2))
    token_lines(ax, lines)
    key = plt.cm.ScalarMappable(plt.Normalize(-1, 1), plotting.SIGNED)
    label = "share of v · x, in units of the story's largest"
    fig.colorbar(key, ax=ax, orientation="horizontal", aspect=60, pad=0.01, label=label)
    fig.suptitle(title, fontsize=8)
    return fig


def table_html(title: str, headings: Sequence[str], scores: ArrayLike, tokens: Sequence[Sequence[str]]) -> str:
    """Return columns of words with their scores as text that can be selected, on one scale of colours; all escaped."""
    scores = np.asarray(scores)
    limit, columns = np.abs(scores).max().item(), zip(tokens, scores.tolist(), strict=True)
    texts = [([f"{t} {v:+.2f}" for t, v in zip(names, column, strict=True)], column) for names, column in columns]
    cells = [coloured_html(text, column, limit, "td") for text, column in texts]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    heads = "".join(f'<th style="text-align:left">{html.escape(heading)}</th>' for heading in headings)
    return f"<table><caption>{html.escape(title)}</caption><tr>{heads}</tr>{rows}</table>"


def word_columns(
    headings: Sequence[str], scores: ArrayLike, tokens: Sequence[Sequence[str]], limits: ArrayLike | None = None
) -> Figure:
    """Draw a column of words for each heading, from the highest score down, coloured up to its limit.

    `scores` is [column row]; a line parts the upper half from the lower. Without limits each column has its own.
    """
    scores = np.asarray(scores)
    limits = np.abs(scores).max(1) if limits is None else np.asarray(limits)
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 4.0))
    plotting.signed_map(ax, (scores / limits[:, None]).T, vmax=1.0)
    ax.set_aspect("auto")
    for (column, row), score in np.ndenumerate(scores):
        ((_, ink),) = plotting.token_colours([score], limits[column])
        text = tokens[column][row].replace("$", r"\$") + (f" {score:+.2f}" if len(tokens) < 8 else "")
        ax.text(column, row, text, color=ink, fontsize=7, **plotting.CENTRED)
    ax.axhline(scores.shape[1] / 2 - 0.5, color="0.3", linewidth=0.8)
    ax.set_xticks(range(len(headings)), headings)
    ax.xaxis.tick_top()
    return fig


def held(ax: Axes, effects: ArrayLike, verbs: Sequence[str]) -> None:
    """Draw what holding each verb's eigenvector (row) does to each verb (column), with its colour bar."""
    effects = np.asarray(effects)
    image = plotting.signed_map(ax, effects, np.abs(effects[np.isfinite(effects)]).max(), numbers="+.2f")
    ax.set(xticks=range(len(verbs)), xticklabels=verbs, yticks=range(len(verbs)), yticklabels=verbs)
    ax.set(xlabel="verb that the text goes on with", ylabel="verb whose strongest eigenvector is held at its mean")
    ax.figure.colorbar(image, ax=ax, label="mean change of its log probability (nats)")


def baselines(
    verbs: Sequence[str],
    counts: Sequence[int],
    intervals: Sequence[Sequence[float]],
    opposite: ArrayLike,
    null: ArrayLike,
    random: ArrayLike,
) -> Figure:
    """Draw each verb's effect (value, low, high) beside other words' eigenvectors and random ones [vector verb]."""
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.8))
    clouds = {"other words": (null, plotting.GREEN), "random": (random, "0.6")}
    for place, (name, (effects, colour)) in zip((0.12, 0.3), clouds.items(), strict=True):
        for i, found in enumerate(np.asarray(effects).T):
            dots = {"color": colour, "markersize": 2.5, "label": "_" * i + f"{name} ({len(found)})"}
            ax.plot(np.full(len(found), i + place), found, ".", **dots)
    own = {"color": plotting.VERMILLION, "markersize": 4, "capsize": 3, "fmt": "o"}
    for i, (value, low, high) in enumerate(intervals):
        label = "_" * i + "own eigenvector, 95 % over stories"
        ax.errorbar(i - 0.1, value, [[value - low], [high - value]], label=label, **own)
        ax.text(i - 0.22, value, f"{value:+.2f}", ha="right", va="center", fontsize=7, color=plotting.VERMILLION)
    style = {"mfc": "none", "color": plotting.VERMILLION, "markersize": 4, "label": "eigenvector of the opposite end"}
    ax.plot(np.arange(len(verbs)) - 0.1, opposite, "s", **style)
    ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    names = [f"{v}\n({n})" for v, n in zip(verbs, counts, strict=True)]
    ax.set(xticks=range(len(verbs)), xticklabels=names, xlim=(-0.8, len(verbs) - 0.4))
    ax.set(ylabel="change of log p(verb) (nats)", xlabel="verb (positions right before it)")
    fig.legend(loc="outside upper center", ncols=4)
    return fig


def cover(effects: ArrayLike, verbs: Sequence[str]) -> Figure:
    """Draw the map of `held` small, for README's picture."""
    effects = np.asarray(effects)
    with plt.rc_context(dict.fromkeys(["font.size", "xtick.labelsize", "ytick.labelsize"], 8)):
        fig, ax = plt.subplots(figsize=(1.9, 1.9))
        plotting.signed_map(ax, effects, np.abs(effects[np.isfinite(effects)]).max())
        ax.set_xticks(range(len(verbs)), verbs, rotation=90)
        ax.set_yticks(range(len(verbs)), verbs)
    return fig


def explorer(words: Sequence[dict], paths: Sequence[str]) -> go.Figure:
    """Return the page of words with a slider: both ends of a word's spectrum, and its strongest eigenvector in words.

    A word is a dict: word, count, eigenvalue, ends (12 lowest and 12 highest eigenvalues), scores, tokens and counts
    [rank path].
    """
    data, layouts = [], []
    for word in words:
        data.append({"y": [word["ends"], None], "z": [None, word["scores"]]})
        data[-1] |= {"text": [None, word["tokens"]], "customdata": [None, word["counts"]]}
        name, edge = html.escape(word["word"]), word["eigenvalue"]
        title = f"{name}, seen {word['count']:,} times; its strongest eigenvector, λ = {edge:.2f}, in words"
        layouts.append({"title.text": title})
    ranks = [f"{n} from the bottom" for n in range(1, 13)] + [f"{n} from the top" for n in range(12, 0, -1)]
    line = go.Scatter(x=ranks, y=words[0]["ends"], mode="lines", line_shape="hvh", fill="tozeroy", line_color="#555")
    line.hovertemplate = "%{x}: %{y:.3f}<extra></extra>"
    first = {"text": words[0]["tokens"], "customdata": words[0]["counts"]}
    table = go.Heatmap(z=words[0]["scores"], x=list(paths), xaxis="x2", yaxis="y2", **first)
    table.update(texttemplate="%{text}", colorscale="RdBu_r", zmid=0, colorbar_title="score")
    table.hovertemplate = "%{x}, %{text}: %{z:.2f}, seen %{customdata} times<extra></extra>"
    labels = [word["word"] for word in words]
    page = plotting.slider_page(go.Figure([line, table]), labels, data, layouts, "word: ", width=980, height=620)
    page.update_layout(yaxis_title="eigenvalue", xaxis2={"domain": [0.38, 1], "side": "top"})
    page.update_xaxes(selector=0, domain=[0, 0.3], title="both ends of the spectrum", showticklabels=False)
    return page.update_layout(yaxis2={"anchor": "x2", "autorange": "reversed", "showticklabels": False})
