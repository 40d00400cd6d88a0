"""The few figure forms that several notebooks draw, in one style that every reader can tell apart."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
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
    """Return the background and text colour of each signed value, -limit blue to limit red; the text is black or white.

    One of the two always has a WCAG 2 contrast of at least 4.58 = sqrt(21), whatever the background.
    """
    cells = matplotlib.colormaps[SIGNED](np.clip(np.asarray(values) / limit, -1, 1) / 2 + 0.5)[:, :3]
    backgrounds = [matplotlib.colors.to_hex(cell) for cell in cells]
    return [(b, "#000000" if contrast(b, "#000000") >= contrast(b, "#ffffff") else "#ffffff") for b in backgrounds]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2 defines it: (L_high + 0.05) / (L_low + 0.05)."""
    low, high = sorted(sns.utils.relative_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)
