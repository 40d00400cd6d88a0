"""The few figure forms that several notebooks draw, in one colour-blind-safe style."""

import html
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from plotly.graph_objects import Figure as Page

# Okabe and Ito 2008, "Color universal design": told apart with every common colour vision deficiency.
OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"]
BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY, YELLOW, BLACK = OKABE_ITO
POSITIVE, NEGATIVE = "#B2182B", "#2166AC"  # the ends of RdBu_r, for signed bars and lines
SIGNED = "RdBu_r"
TEXT_WIDTH = 7.0  # inches: a text column; every figure is at most this wide
CENTRED = {"ha": "center", "va": "center"}

# Applied in each notebook in the open: plt.rcParams.update(plotting.STYLE)
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    **dict.fromkeys(["font.size", "axes.titlesize", "axes.labelsize"], 8),
    **dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "legend.fontsize"], 7),
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=OKABE_ITO),
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
}


def signed_map(ax: Axes, matrix: ArrayLike, vmax: float | None = None, numbers: str = "") -> AxesImage:
    """Draw a signed matrix, red positive and blue negative, white at 0; `vmax` is shared by panels that compare.

    With `numbers`, a format, each value that it does not round to 0 stands in its cell.
    """
    matrix = np.asarray(matrix)
    limit = float(np.abs(matrix).max()) if vmax is None else vmax
    image = ax.imshow(matrix, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    for (row, column), value in np.ndenumerate(matrix) if numbers else ():
        if float(text := f"{value:{numbers}}"):
            ((_, ink),) = token_colours([value], limit)
            ax.text(column, row, text, color=ink, fontsize=7, **CENTRED)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, linewidth=0.5, color="0.6")
    return image


def grey_image(ax: Axes, pixels: ArrayLike) -> AxesImage:
    """Draw a picture of 784 pixels in 0..1, ink black on white."""
    image = ax.imshow(np.asarray(pixels).reshape(28, 28), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, linewidth=0.5, color="0.6")
    return image


def spectrum(ax: Axes, eigenvalues: ArrayLike) -> None:
    """Draw ascending eigenvalues over their rank, positive red and negative blue, with the line of 0."""
    values = np.asarray(eigenvalues)
    ranks = np.arange(len(values))
    ax.axhline(0, color="0.7", linewidth=0.6)
    for part, colour in ((values < 0, NEGATIVE), (values >= 0, POSITIVE)):
        ax.plot(ranks[part], values[part], ".-", color=colour, markersize=3, linewidth=0.8)


def runs_band(ax: Axes, x: ArrayLike, runs: ArrayLike, label: str, color: str, unit: str = "runs") -> None:
    """Draw every run of `runs` [run, x] thinly, and their mean with a band of one s.d.; `unit` is what is repeated."""
    runs = np.atleast_2d(np.asarray(runs, dtype=float))
    mean, deviation = runs.mean(0), runs.std(0, ddof=1) if len(runs) > 1 else 0
    ax.plot(x, runs.T, color=color, linewidth=0.4, alpha=0.5)
    ax.fill_between(x, mean - deviation, mean + deviation, color=color, alpha=0.15, linewidth=0)
    ax.plot(x, mean, color=color, label=f"{label} (mean of {len(runs)} {unit}, band: 1 s.d.)")


def runs_strip(frame: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """Draw a panel for each of `labels` (column of `frame` -> title): each run, a row, as a dot, and mean with s.d."""
    rows = -(-len(labels) // 4)
    columns = -(-len(labels) // rows)
    fig, axes = plt.subplots(rows, columns, figsize=(TEXT_WIDTH, 0.3 + 1.6 * rows), squeeze=False)
    for ax, (name, title) in zip(axes.flat, labels.items(), strict=False):
        runs = frame[name].to_numpy()
        # A swarm, since a strip's jitter would draw other dots in each run of the notebook.
        sns.swarmplot(y=runs, x=np.zeros(len(runs)), ax=ax, color=BLUE, size=4)
        ax.errorbar(0.4, runs.mean(), runs.std(ddof=1), fmt="s", color=VERMILLION, markersize=4, capsize=3)
        ax.set(title=title, xlabel="", xlim=(-0.35, 0.75), xticks=[0, 0.4])
        ax.set_xticklabels([f"{len(runs)} runs", "mean\n± s.d."])
        whole = bool((runs == runs.round()).all())  # counts, on an axis that may hold but one of them
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=whole, min_n_ticks=1 if whole else 2))
        ax.yaxis.get_major_formatter().set_useOffset(False)
    for ax in axes.flat[len(labels) :]:
        ax.set_axis_off()
    return fig


def slider_page(
    page: Page,
    labels: Sequence[str],
    data: Sequence[dict] | None = None,
    layouts: Sequence[dict] | None = None,
    prefix: str = "",
    **layout: object,
) -> Page:
    """Give a plotly figure a slider with a step for each label, above which `prefix` and the label stand; return it.

    Step k goes to frame k of a figure that has frames, which gets a play button, too. Otherwise it updates the traces
    by `data[k]` (an attribute -> a value for each trace) or, without `data`, shows the k-th of equal parts of the
    traces alone, and updates the layout by `layouts[k]`. What step 0 changes is set at once, except for `data`.
    """
    n = len(labels)
    if page.frames:
        motion = {"frame": {"duration": 500, "redraw": False}, "transition": {"duration": 300}}
        steps = [{"method": "animate", "args": [[f.name], {**motion, "mode": "immediate"}]} for f in page.frames]
        play = {"label": "play", "method": "animate", "args": [None, {**motion, "fromcurrent": True}]}
        page.update_layout(updatemenus=[{"type": "buttons", "buttons": [play], "x": 0, "y": -0.2}])
    else:
        if data is None:
            data = [{"visible": (np.arange(len(page.data)) * n // len(page.data) == k).tolist()} for k in range(n)]
            for trace, visible in zip(page.data, data[0]["visible"], strict=True):
                trace.visible = visible
        steps = [{"method": "update", "args": list(args)} for args in zip(data, layouts or [{}] * n, strict=True)]
        page.update_layout(steps[0]["args"][1])
    steps = [{**step, "label": label} for step, label in zip(steps, labels, strict=True)]
    slider = {"steps": steps, "currentvalue": {"prefix": prefix}, "pad": {"t": 50}}
    slider |= {"x": 0.12, "len": 0.88} if page.frames else {}
    if max(map(len, labels)) > 12:  # as labels of the ticks they would be cut and overlap
        slider |= {"font": {"color": "rgba(0,0,0,0)"}, "ticklen": 0, "minorticklen": 0}
        slider["currentvalue"] |= {"font": {"size": 14, "color": "#222"}}
    return page.update_layout({"sliders": [slider], "template": "plotly_white", "showlegend": False, **layout})


def token_colours(values: ArrayLike, limit: float) -> list[tuple[str, str]]:
    """Background and text colour of each signed value, -limit blue to limit red; black or white text, as reads better.

    One of the two always has a WCAG 2 contrast of at least 4.58 = sqrt(21), whatever the background.
    """
    cells = matplotlib.colormaps[SIGNED](np.clip(np.asarray(values) / limit, -1, 1) / 2 + 0.5)[:, :3]
    backgrounds = [matplotlib.colors.to_hex(cell) for cell in cells]
    return [(b, "#000000" if contrast(b, "#000000") >= contrast(b, "#ffffff") else "#ffffff") for b in backgrounds]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21, as WCAG 2 defines it: (L_high + 0.05) / (L_low + 0.05)."""
    low, high = sorted(sns.utils.relative_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def coloured_html(texts: Sequence[str], values: ArrayLike, limit: float, tag: str = "span") -> list[str]:
    """Each text as an HTML element on the colour of its value; escaped: text from outside never becomes markup."""
    style = "background:{};color:{};padding:0 2px;text-align:left"
    coloured = zip(texts, token_colours(values, limit), strict=True)
    return [f'<{tag} style="{style.format(*colours)}">{html.escape(text)}</{tag}>' for text, colours in coloured]


def tokens_html(
    tokens: Sequence[str], values: ArrayLike, after: Sequence[str] = (), limit: float | None = None, label: str = ""
) -> str:
    """One line of tokens, each on the colour of its value, the last of them in brackets; then `after`, without colour.

    Colours end at `limit` (default: the largest |value|); `label` stands in front.
    """
    limit = limit or np.abs(np.asarray(values)).max() or 1.0
    spans = " ".join(coloured_html([*tokens[:-1], f"[{tokens[-1]}]"], values, limit))
    return f'<div style="line-height:1.7">{html.escape(label)} {spans} {html.escape(" ".join(after))}</div>'


def token_lines(ax: Axes, lines: Sequence[tuple], columns: int = 116) -> None:
    """Draw what `tokens_html` shows of each of `lines`, its arguments, all five; wrapped at `columns` characters."""
    row = 0
    for tokens, values, after, limit, label in lines:
        colours = token_colours(values, limit) + [("none", "#000000")] * len(after)
        ax.text(0, row + 0.47, label, fontsize=7, ha="left", va="center")
        column = indent = len(label) + 2 if label else 0
        for token, (background, colour) in zip([*tokens[:-1], f"[{tokens[-1]}]", *after], colours, strict=True):
            width = len(token) + 1
            if column + width > columns:
                row, column = row + 1, indent
            ax.add_patch(matplotlib.patches.Rectangle((column, row), width, 0.9, color=background, linewidth=0))
            text = token.replace("$", r"\$")
            ax.text(column + width / 2, row + 0.47, text, color=colour, fontsize=7, family="monospace", **CENTRED)
            column += width
        row += 1.4
    ax.set(xlim=(0, columns), ylim=(row, 0))
    ax.axis("off")
