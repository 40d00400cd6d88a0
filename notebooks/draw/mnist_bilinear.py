"""Draws what only notebook 1 shows: pixel vectors, panels of eigenvectors, and one decision added up."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from einops import rearrange
from matplotlib.figure import Figure
from plotly.graph_objects import Figure as Page
from plotly.subplots import make_subplots
from torch import Tensor

from paper_utils import plotting

BAR = {"label": "weight (unit norm)", "ticks": [-0.2, 0, 0.2], "shrink": 0.8, "pad": 0.01}
SIDES = {"positive": [-1, -2, -3, -4], "negative": [0, 1, 2, 3]}  # eigenvectors of layer 1 in a panel


def signed(ax: plt.Axes, vector: Tensor, vmax: float = 0.2) -> plt.cm.ScalarMappable:
    """Draw a pixel vector red and blue; a dot marks each pixel that is clipped at vmax."""
    picture = vector.reshape(28, 28)
    ax.plot(*(picture.T.abs() > vmax).nonzero(as_tuple=True), ".", color="black", markersize=0.8)
    return plotting.signed_map(ax, picture, vmax)


def titled(p: Tensor, mu: Tensor, x: Tensor) -> list[str]:
    """Write above pixel vectors p [pixel j]: mu_j, and the mean of mu_j (p_j . x)^2 over the images x."""
    return _titles(mu, mu * (x @ p).square().mean(0))


def _titles(mu: Tensor, means: Tensor) -> list[str]:
    return [f"$\\mu$ {m:+.2f}\nmean {mean:.1f}" for m, mean in zip(mu, means, strict=True)]


def maps(vectors: Tensor, titles: Sequence[str], rows: Sequence[str], height: float, columns: str = "") -> Figure:
    """Draw unit pixel vectors on one scale, with its bar, titles above them, names of the rows and of the columns."""
    fig, axes = plt.subplots(len(rows), len(titles) // len(rows), figsize=(plotting.TEXT_WIDTH, height))
    for i, (ax, vector, title) in enumerate(zip(axes.flat, vectors, titles, strict=True)):
        mapped = signed(ax, vector)
        ax.set_title(f"{columns} {i}\n{title}" if columns and ax in axes[0] else title, fontsize=7, pad=2)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name)
    fig.colorbar(mapped, ax=axes, **BAR)
    return fig


def seen(p: Tensor, mu: Tensor, x: Tensor) -> tuple[list[list[str]], Tensor]:
    """Return titles (`titled`) and the 3 most active of the images x [k j 3 pixel] of pixel vectors p [k pixel j]."""
    projections = x @ rearrange(p, "k pixel j -> pixel (k j)")
    means = mu * rearrange(projections.square().mean(0), "(k j) -> k j", k=len(p))
    nearest = rearrange(projections.abs().topk(3, dim=0).indices, "n (k j) -> k j n", k=len(p))
    return [_titles(*each) for each in zip(mu, means, strict=True)], x[nearest]


def panel(title: str, own: Tensor, mu: Tensor, p: Tensor, titles: Sequence[str], nearest: Tensor) -> Figure:
    """Draw a layer-2 eigenvector: its spectrum mu, its own logits, and pixel vectors of both SIDES as `seen`."""
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 4.5), layout="none")
    left = fig.add_gridspec(2, 1, left=0.09, right=0.27, top=0.86, bottom=0.1, hspace=0.45)
    spectrum, bars = fig.add_subplot(left[0]), fig.add_subplot(left[1])
    plotting.spectrum(spectrum, mu)
    spectrum.set(xlabel="index in layer 1", ylabel=r"eigenvalue $\mu_j$")
    bars.bar(range(10), own, color=[plotting.POSITIVE if logit > 0 else plotting.NEGATIVE for logit in own])
    bars.axhline(0, color="0.3", linewidth=0.6)
    bars.set(xlabel="digit", ylabel="logit of $v$", xticks=range(10))
    for y, first, kind in zip((0.475, 0.0), (0, 4), SIDES, strict=True):
        fig.text(0.31, y + 0.425, f"{kind} eigenvectors", fontsize=8, weight="bold")
        for j, at in enumerate(0.31 + 0.145 * np.arange(4), first):
            ax = fig.add_axes((at, y + 0.12, 0.137, 0.213))
            mapped = signed(ax, p[:, j], 0.25)
            ax.set_title(titles[j], fontsize=7, pad=2)
            strip = fig.add_axes((at, y + 0.03, 0.137, 0.08))
            strip.imshow(rearrange(nearest[j], "n (h w) -> h (n w)", h=28), cmap="gray_r", vmin=0, vmax=1)
            strip.set_axis_off()
    bar = fig.add_axes((0.9, 0.595, 0.012, 0.213))
    fig.colorbar(mapped, cax=bar, ticks=[-0.25, 0, 0.25], label="weight of a pixel")
    fig.suptitle(f"{title}, seen through layer 1", fontsize=9)
    return fig


def browser(panels: Mapping[str, tuple[Tensor, Sequence[str], Tensor]]) -> Page:
    """Make the page of all eigenvectors: what `panel` shows on its right, by name."""
    layout = {"column_widths": [1, 3, 0.6, 1, 3], "specs": [[{}, {}, None, {}, {}]], "horizontal_spacing": 0.02}
    page, ticks = make_subplots(1, 5, **layout), []
    # Whole hundredths and per cent: a byte each.
    red_blue = {"colorscale": "RdBu_r", "zmin": -25, "zmax": 25, "hovertemplate": "weight %{z} / 100<extra></extra>"}
    grey = {"colorscale": "gray_r", "zmin": 0, "zmax": 100, "hovertemplate": "ink %{z} %<extra></extra>"}
    for p, titles, nearest in panels.values():
        told = [each.replace("$\\mu$", "μ").replace("\n", "<br>") for each in titles]
        ticks.append({"yaxis.ticktext": told[:4], "yaxis3.ticktext": told[4:]})
        for col, side in ((1, slice(4)), (4, slice(4, 8))):
            weights = (rearrange(p[:, side], "(h w) j -> (j h) w", h=28) * 100).round().char().numpy()
            strips = (rearrange(nearest[side], "j n (h w) -> (j h) (n w)", h=28) * 100).round().byte().numpy()
            page.add_heatmap(z=weights, **red_blue, showscale=False, row=1, col=col)
            page.add_heatmap(z=strips, **grey, showscale=False, row=1, col=col + 1)
    headings = {1: "positive", 2: "most active on", 4: "negative", 5: "most active on"}
    for i, (col, title) in enumerate(headings.items()):
        page.update_xaxes(
            title_text=title, side="top", showticklabels=False, showgrid=False, constrain="domain", col=col
        )
        page.update_yaxes(visible=i % 2 == 0, autorange="reversed", scaleanchor=f"x{i + 1}", showgrid=False, col=col)
        page.update_yaxes(tickvals=[14, 42, 70, 98], constrain="domain", col=col)
    return plotting.slider_page(page, [*panels], layouts=ticks, width=1000, height=620, margin_l=90)


def decision(image: Tensor, label: int, duel: Sequence[tuple], others: int) -> Figure:
    """Draw logits of an image as waterfalls, one for each digit of `duel`.

    Each is (digit, eigenvalues, contributions, pixel vectors, titles of these): one contribution an eigenvalue, and
    last the sum of the `others`.
    """
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 4.8), layout="none")
    plotting.grey_image(fig.add_axes((0.01, 0.4, 0.14, 0.22)), image)
    fig.text(0.08, 0.64, f"the image: a {label}", ha="center", fontsize=8)
    levels = [np.cumsum([0, *parts]) for _, _, parts, *_ in duel]
    low, high = min(map(min, levels)), max(map(max, levels))
    for row, ((c, eigenvalues, parts, vectors, titles), level) in enumerate(zip(duel, levels, strict=True)):
        few, bottom = len(eigenvalues), 0.56 - 0.5 * row
        ax = fig.add_axes((0.24, bottom + 0.16, 0.74, 0.22))
        colours = [plotting.POSITIVE if h > 0 else plotting.NEGATIVE for h in parts]
        bars = [*parts, level[-1]], [*level[:-1], 0.0]
        ax.bar(range(few + 2), bars[0], bottom=bars[1], width=0.6, color=[*colours, "0.4"])
        for i, (h, start) in enumerate(zip(*bars, strict=True)):
            ax.text(i, max(start, start + h) + 0.02 * (high - low), f"{h:+.3f}", ha="center", fontsize=7)
        ax.hlines(level[1:], range(few + 1), range(1, few + 2), color="0.5", linewidth=0.5)
        ax.axhline(0, color="0.3", linewidth=0.6)
        ax.set(xlim=(-0.5, few + 1.5), xticks=range(few + 2), ylim=(low, high + 0.12 * (high - low)), ylabel="logit")
        ax.set_xticklabels([f"$\\lambda$ {v:+.3f}" for v in eigenvalues] + [f"the other {others}", f"logit of {c}"])
        ax.set_title(f"digit {c}: {'the runner-up' if row else 'the answer'}", loc="left", weight="bold", y=1.04)
        for i, vector in enumerate(vectors):
            small = fig.add_axes((0.24 + 0.74 * (i + 0.5) / (few + 2) - 0.04, bottom, 0.08, 0.117))
            mapped = signed(small, vector)
            small.set_xlabel(titles[i], fontsize=7, labelpad=2)
    bar = fig.add_axes((0.03, 0.12, 0.1, 0.015))
    fig.colorbar(mapped, cax=bar, orientation="horizontal", ticks=BAR["ticks"], label=BAR["label"])
    return fig


def cover(patterns: Mapping[int, Tensor], image: Tensor, answers: Mapping[int, int]) -> Figure:
    """Draw patterns above the image to which each was added six times, with what the network calls it then."""
    fig, axes = plt.subplots(2, len(patterns), figsize=(1.9, 1.9))
    for (above, below), (digit, pattern) in zip(axes.T, patterns.items(), strict=True):
        signed(above, pattern)
        plotting.grey_image(below, (image + 6 * pattern + 0.5) / 2)
        below.set_xlabel(f"“{answers[digit]}”", fontsize=8)
    return fig
