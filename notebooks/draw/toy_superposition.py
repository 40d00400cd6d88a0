"""Draw notebook 5: each function takes numbers and returns a figure, or a page with a slider."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots
from torch import Tensor

from paper_utils import plotting
from paper_utils import superposition as sp

# The original notebook's outputs: accuracy and last batch's loss of the classifier, last batch's loss of the autoencoder.
ORIGINAL_ACCURACY = [0.9274, 0.9430, 0.9490, 0.9533, 0.9571, 0.9605, 0.9600, 0.9628, 0.9640, 0.9653]
ORIGINAL_LOSS = [0.1395, 0.1529, 0.3065, 0.1372, 0.1572, 0.0578, 0.1927, 0.0783, 0.1768, 0.1349]
ORIGINAL_LAST_BATCH = [0.2728, 0.2346, 0.2213, 0.2009, 0.1969, 0.1947, 0.2021, 0.1921, 0.1978, 0.1860]
ORIGINAL_LAST_BATCH += [0.1952, 0.1888, 0.1852, 0.1772, 0.1638, 0.1621, 0.1632, 0.1743, 0.1532, 0.1584]
SECOND = {"ignored": plotting.BLUE, "superposed": plotting.VERMILLION, "own": plotting.GREEN}
GEOMETRIES = [*sp.GEOMETRIES, "other"]


# ---- What several figures show


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
    fig, axes = plt.subplots(rows, columns, figsize=(plotting.TEXT_WIDTH, 0.3 + 1.6 * rows), squeeze=False)
    for ax, (name, title) in zip(axes.flat, labels.items(), strict=False):
        runs = frame[name].to_numpy()
        # A swarm, since a strip's jitter would draw other dots in each run of the notebook.
        sns.swarmplot(y=runs, x=np.zeros(len(runs)), ax=ax, color=plotting.BLUE, size=4)
        ax.errorbar(0.4, runs.mean(), runs.std(ddof=1), fmt="s", color=plotting.VERMILLION, markersize=4, capsize=3)
        ax.set(title=title, xlabel="", xlim=(-0.35, 0.75), xticks=[0, 0.4])
        ax.set_xticklabels([f"{len(runs)} runs", "mean\n± s.d."])
        whole = bool((runs == runs.round()).all())  # counts, on an axis that may hold but one of them
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=whole, min_n_ticks=1 if whole else 2))
        ax.yaxis.get_major_formatter().set_useOffset(False)
    for ax in axes.flat[len(labels) :]:
        ax.set_axis_off()
    return fig


def draw_arrows(
    ax: Axes, points: Tensor, colours: ArrayLike, limit: float, size: float = 3.0, width: float = 0.9
) -> None:
    """Draw an arrow from the origin to each of `points` [feature 2]; the axes reach to `limit`."""
    ax.set_prop_cycle(color=colours)
    ax.plot(*torch.stack([0 * points, points]).permute(2, 0, 1), "-o", markevery=[1], ms=size, mew=0, lw=width)
    ax.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.5, zorder=0)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")


def draw_columns(ax: Axes, w: Tensor, size: float = 4) -> None:
    """Draw the columns of `w` [2 feature] as arrows, one colour a feature."""
    for tip, colour in zip(w.T, plotting.OKABE_ITO, strict=False):
        ax.plot([0, tip[0]], [0, tip[1]], "-o", color=colour, markersize=size, markevery=[1])
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])


# ---- The original notebook's experiments


def rank_colours(rank: Tensor) -> np.ndarray:
    """Colour features by rank [feature], 0 for the most important: dark first."""
    return plt.get_cmap("viridis")(0.92 * rank.numpy() / (len(rank) - 1))


def directions_first_last(ends: Mapping[str, Tensor], rank: Tensor) -> Figure:
    """Draw the features after the first and the last epoch; `ends` maps titles to points [epoch feature 2]."""
    colours = rank_colours(rank)
    fig, axes = plt.subplots(2, 2, figsize=(6.4, 5.2), sharex="col", sharey="col")
    for ax, (epoch, (what, points)) in zip(axes.flat, product((1, 20), ends.items()), strict=True):
        draw_arrows(ax, points[epoch - 1], colours, 1.08 * points.abs().max())
        ax.set(title=f"epoch {epoch}: {what}", ylabel="second value of the code $z_2$")
    fig.supxlabel("first value of the code $z_1$", fontsize=8)
    ranks = ScalarMappable(plt.Normalize(1, 49), ListedColormap(colours[rank.argsort()]))
    fig.colorbar(ranks, ax=axes, label="rank of the feature by importance after epoch 20", shrink=0.6)
    return fig


def directions_all_epochs(points: Tensor, rank: Tensor) -> Figure:
    """Draw points [epoch feature 2] after each of 20 epochs; the panels of a row share one scale."""
    fig, axes = plt.subplots(4, 5, figsize=(plotting.TEXT_WIDTH, 6.0), gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for row, epochs in zip(axes, np.arange(20).reshape(4, 5), strict=True):
        limit = 1.08 * points[epochs].abs().max()
        for ax, epoch in zip(row, epochs, strict=True):
            draw_arrows(ax, points[epoch], rank_colours(rank), limit, size=2.5, width=0.7)
            ax.set(xticks=[], yticks=[], title=f"epoch {epoch + 1}")
        row[0].set_ylabel(f"$z_2$, to ±{limit:.1f}")
    fig.supxlabel("$z_1$, on the same scale", fontsize=8)
    return fig


def directions_animation(ends: Mapping[str, Tensor], rank: Tensor) -> go.Figure:
    """Animate what `directions_first_last` draws over the 20 epochs, with the feature's number at the pointer."""
    dots = {"color": [to_hex(c) for c in rank_colours(rank)], "size": 8}
    hover = [f"feature {i}, rank {r + 1}" for i, r in enumerate(rank.tolist())]

    def traces(epoch):
        for points in ends.values():
            px, py = points[epoch - 1].T.tolist()
            x, y = ([v for p in values for v in (0, p, None)] for values in (px, py))
            yield go.Scatter(x=x, y=y, mode="lines", line={"color": "#bbb", "width": 1}, hoverinfo="skip")
            named = {"text": hover, "hovertemplate": "%{text}<extra></extra>"}
            yield go.Scatter(x=px, y=py, mode="markers", marker=dots, **named)

    page = make_subplots(rows=1, cols=2, subplot_titles=list(ends), horizontal_spacing=0.1)
    page.add_traces(list(traces(1)), rows=[1] * 4, cols=[1, 1, 2, 2])
    page.frames = [go.Frame(data=list(traces(e)), name=str(e), traces=[0, 1, 2, 3]) for e in range(1, 21)]
    plotting.slider_page(page, [str(e) for e in range(1, 21)], prefix="epoch ", width=900, height=560)
    for col, points in enumerate(ends.values(), start=1):
        limit = 1.08 * points.abs().max().item()
        page.update_xaxes(range=[-limit, limit], title="z1", col=col)
        page.update_yaxes(range=[-limit, limit], title="z2", col=col, scaleanchor=f"x{col}")
    return page


def training_curves(
    net: Mapping, plane: Mapping, net_last: ArrayLike, plane_last: ArrayLike, mean_only: float
) -> Figure:
    """Draw both histories beside the original's, with the last batches' losses and the error of each feature's mean."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.5))
    here, original = {"marker": ".", "color": plotting.BLUE}, {"marker": "x", "ms": 4, "color": plotting.VERMILLION}
    single = {"linestyle": "", "marker": ".", "color": plotting.SKY}
    epochs = range(1, len(net["loss"]) + 1)
    left.plot(epochs, net["accuracy"], **here)
    left.plot(epochs, ORIGINAL_ACCURACY, **original, linestyle="--")
    left.set(title="classifier", ylabel="accuracy on the test images")
    middle.plot(epochs, net["loss"], **here)
    middle.plot(epochs, net_last, **single)
    middle.plot(epochs, ORIGINAL_LOSS, **original, linestyle="")
    middle.set(title="classifier", ylabel="cross entropy (nats)")
    epochs = range(1, len(plane["loss"]) + 1)
    right.plot(epochs, plane["mse"], **here, label="here")
    right.plot(epochs, plane_last, **single, label="here, last batch")
    right.plot(epochs, ORIGINAL_LAST_BATCH, **original, linestyle="", label="the original notebook")
    right.axhline(mean_only, color="0.6", linestyle=":", label="here, each feature's mean")
    right.set(title="autoencoder", ylabel="mean squared error")
    for ax in (left, middle, right):
        ax.set_xlabel("epoch")
    fig.legend(loc="outside lower center", ncols=4)
    return fig


def offset(
    columns: Tensor, importance: Tensor, by_epoch: np.ndarray, null: np.ndarray, shares: Mapping[str, np.ndarray]
) -> Figure:
    """Draw encoder columns [feature 2], the share near two rays [run epoch], and `shares` [run ray] over rays.

    `null` [draw] are the first run's random shares near two rays.
    """
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.5))
    rank = importance.argsort(descending=True).argsort()
    draw_arrows(left, importance[:, None] * columns, rank_colours(rank), 1.08 * columns.norm(dim=1).max())
    left.set(title="importance × encoder column", xlabel="first input of the tanh", ylabel="second input of the tanh")
    middle.plot(range(1, 21), by_epoch[1:].T, color=plotting.SKY, linewidth=0.7)
    middle.plot(range(1, 21), by_epoch[0], ".-", color=plotting.BLUE)
    low, high = np.nanquantile(null, [0.025, 0.975])
    middle.axhspan(low, high, color="0.85", linewidth=0)
    middle.axhline(shares["random angles"][0, 1], color="0.5", linestyle="--")
    middle.set(xlabel="epoch", ylabel="share near the best two rays", ylim=(0, 1.05), title="two rays, over training")
    rays = range(1, shares["random angles"].shape[1] + 1)
    for (name, values), colour in zip(shares.items(), (plotting.BLUE, plotting.VERMILLION, "0.5"), strict=True):
        right.plot(rays, values.T, color=colour, linewidth=0.5, alpha=0.6)
        right.plot(rays, values.mean(0), ".-", color=colour, label=name)
    right.set(xlabel="number of rays", xticks=rays, ylabel="share of the importance", ylim=(0, 1.05))
    right.set_title(f"after epoch 20, {len(by_epoch)} seeds")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def second_experiment(w_enc: Tensor, w_dec: Tensor, b_dec: Tensor, top: Tensor) -> Figure:
    """Draw norm, bias and interference by rank, and the product of the weights, all of it and its masked form `top`."""
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 5.2))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1, 1.35])
    ranks = np.arange(1, 50)
    norms, bias, inner = upper.subplots(1, 3)
    norms.plot(ranks, w_enc.norm(dim=0), ".-")
    norms.set(ylabel=r"$\|W_{enc,i}\|$", title="norm of the encoder column", ylim=(0, None))
    bias.axhline(0, color="0.8", linewidth=0.6)
    bias.plot(ranks, b_dec.flip(0), ":", color="0.5", label="reversed, as in the original")
    bias.plot(ranks, b_dec, ".-", label="sorted by importance")
    bias.set(ylabel="$b_{dec,i}$", title="decoder bias", ylim=(-1.2, 2.0))
    inner.plot(ranks, sp.interference(w_enc, unit=False), ".-", label="encoder columns")
    inner.plot(ranks, sp.interference(w_dec.T, unit=False), ".-", label="decoder rows")
    inner.set(ylabel=r"$\sum_{j \neq i} (w_i \cdot w_j)^2$", title="interference", yscale="log", ylim=(None, 3e3))
    for ax in (norms, bias, inner):
        ax.set_xlabel("rank by importance")
    bias.legend(loc="upper right")
    inner.legend(loc="upper right")
    matrix = w_dec @ w_enc
    panels = lower.subplots(1, 2)
    for ax, shown, title in zip(panels, (matrix, top), ("all entries", "the largest 1 %, all else 0"), strict=True):
        picture = plotting.signed_map(ax, shown, matrix.abs().max().item())
        ax.set(title="$W_{dec} W_{enc}$: " + title)
        ax.set(xlabel="rank of the input feature", ylabel="rank of the rebuilt feature")
        ax.set(xticks=[0, 24, 48], xticklabels=[1, 25, 49], yticks=[0, 24, 48], yticklabels=[1, 25, 49])
    lower.colorbar(picture, ax=panels, label="entry", shrink=0.9)
    return fig


def top_corner(matrix: Tensor, top: Tensor) -> Figure:
    """Draw the corner of the five most important features of the masked product `top`, and of the whole `matrix`."""
    limit = matrix.abs().max().item()
    fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.6))
    for ax, shown, title in zip(axes, (top, matrix), ("the largest 1 %, rest 0", "all entries"), strict=True):
        picture = plotting.signed_map(ax, shown[:5, :5], limit)
        ax.set(title=f"5 × 5 corner: {title}", xticks=range(5), xticklabels=range(1, 6))
        ax.set(yticks=range(5), yticklabels=range(1, 6), xlabel="rank of the input feature", ylabel="rank, rebuilt")
        for (i, j), value in np.ndenumerate(shown[:5, :5].numpy()):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            ax.text(j, i, f"{value:.2f}" if value else "0", ha="center", va="center", fontsize=7, color=colour)
    fig.colorbar(picture, ax=axes, label="entry of $W_{dec} W_{enc}$")
    return fig


# ---- The toy model


def toy_maps(models: Mapping[float, Tensor]) -> Figure:
    """Draw the product and the lengths of twenty features for each sparsity (S -> w [hidden feature])."""
    fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 3.4), height_ratios=[1, 0.8], sharey="row")
    for (ax, bars), (s, w) in zip(axes.T, models.items(), strict=True):
        picture = plotting.signed_map(ax, w.T @ w, 1.2)
        ax.set(title=f"S = {s:g}", xticks=[0, 19], xticklabels=[1, 20], yticks=[0, 19], yticklabels=[1, 20])
        shade = plt.get_cmap("viridis")(sp.interference(w).div(2).clamp(max=1).numpy())
        bars.barh(range(1, 21), w.norm(dim=0), color=shade, height=0.8)
        bars.set(xlim=(0, 1.5), ylim=(20.6, 0.4), yticks=[1, 20], xlabel=r"$\|W_i\|$")
    axes[0, 0].set_ylabel("feature")
    axes[1, 0].set_ylabel("feature")
    fig.colorbar(picture, ax=axes[0], label="$W^T W$", shrink=0.9)
    scale = ScalarMappable(plt.Normalize(0, 2), "viridis")
    fig.colorbar(scale, ax=axes[1], label="superposition", shrink=0.9, extend="max")
    return fig


def toy_geometry(planes: Mapping[tuple, Tensor], counts: pd.DataFrame, moved: Mapping[str, pd.Series]) -> Figure:
    """Draw planes ((decay, S) -> w), the geometries of 100 models by decay and S, and the share that more steps change.

    `counts` has a row for each (decay, S) and a column for each geometry, `moved` a series over (decay, S) for each
    pair of trainings.
    """
    decays = {0.9: "$I_i = 0.9^i$", 1.0: "$I_i = 1$"}
    sparsities = list(counts.loc[0.9].index)
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 5.9))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.5, 1])
    axes = upper.subplots(2, 5, sharex=True, sharey=True)
    for ax, ((decay, s), w) in zip(axes.flat, planes.items(), strict=True):
        draw_columns(ax, w)
        ax.set_title(f"S ≈ {s:g}, {decays[decay]}\n{sp.geometry(w)}")
    *bars, change = lower.subplots(1, 3, width_ratios=[1, 1, 0.9])
    for ax, (decay, what) in zip(bars, decays.items(), strict=True):
        table, bottom = counts.loc[decay], np.zeros(10)
        for name, colour in zip(GEOMETRIES, [*plt.get_cmap("cividis")(np.linspace(0, 1, 6)), "0.85"], strict=True):
            ax.bar(range(10), table[name], bottom=bottom, color=colour, label=name, width=0.85)
            bottom += table[name].to_numpy()
        ax.set_xticks(range(10), [f"{s:g}" for s in sparsities], rotation=60)
        ax.set(xlabel="sparsity S", title=what)
    bars[0].set_ylabel("models (of 100)")
    for (steps, share), mark in zip(moved.items(), "ox", strict=True):
        colour = plotting.BLUE if mark == "o" else "0.1"
        change.plot([], [], mark + "-", ms=3, color=colour, label=steps + " steps")
        for decay, line in zip(decays, ("-", ":"), strict=True):
            places = [sparsities.index(s) for s in share[decay].index]
            change.plot(places, share[decay], mark + line, ms=3, color=colour)
    change.set_xticks(range(10), [f"{s:g}" for s in sparsities], rotation=60)
    change.set(xlabel="sparsity S", title="geometry changed by more steps", ylabel="share of models", ylim=(-0.02, 1))
    change.legend(fontsize=7)
    lower.legend(*bars[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=7)
    return fig


def toy_slider(kinds: Mapping[str, Tensor], sparsities: Sequence[float]) -> go.Figure:
    """Show the planes of each kind of importance (title -> w [S 2 feature]) with a slider over the sparsities."""

    def arrows(step):
        for kind in kinds.values():
            for i, (px, py) in enumerate(kind[step].T.tolist()):
                look = {"mode": "lines+markers", "line": {"color": plotting.OKABE_ITO[i], "width": 3}}
                name = f"feature {i + 1}, length {np.hypot(px, py):.2f}"
                look |= {"text": [name] * 2, "hovertemplate": "%{text}<extra></extra>"}
                yield go.Scatter(x=[0, px], y=[0, py], **look)

    page = make_subplots(rows=1, cols=2, subplot_titles=list(kinds), horizontal_spacing=0.1)
    page.add_traces(list(arrows(0)), rows=[1] * 10, cols=[1] * 5 + [2] * 5)
    page.frames = [go.Frame(data=list(arrows(k)), name=str(k), traces=[*range(10)]) for k in range(len(sparsities))]
    names = [[sp.geometry(w) for w in kind] for kind in kinds.values()]
    labels = [f"{s:.3f}: {a} | {b}" for s, a, b in zip(sparsities, *names, strict=True)]
    plotting.slider_page(page, labels, prefix="sparsity ", width=860, height=520)
    for col in (1, 2):
        page.update_xaxes(range=[-1.6, 1.6], title="first hidden value", col=col)
        page.update_yaxes(range=[-1.6, 1.6], title="second hidden value", col=col, scaleanchor=f"x{col}")
    return page


def phase_diagram(least_loss: Callable, best: pd.DataFrame, phase: pd.DataFrame) -> Figure:
    """Draw what least_loss(p, importance) says (0, 1, 2 as in SECOND), what the best models do, and how many do it."""
    fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.9), sharex=True, sharey=True)
    grid_p, grid_i = np.meshgrid(np.geomspace(0.01, 1, 200), np.geomspace(0.1, 10, 200), indexing="ij")
    palette = ListedColormap(list(SECOND.values()))
    axes[0].pcolormesh(grid_p, grid_i, least_loss(grid_p, grid_i), cmap=palette, vmin=-0.5, vmax=2.5, rasterized=True)
    square = {"marker": "s", "s": 34, "linewidths": 0}
    axes[1].scatter(best.density, best.importance, c=[SECOND[name] for name in best.second], **square)
    share = phase.groupby(["density", "importance"]).second.apply(lambda s: (s == "superposed").mean()).reset_index()
    dots = axes[2].scatter(share.density, share.importance, c=share.second, cmap="cividis", vmin=0, vmax=1, **square)
    titles = ("the least of three losses", "the best of ten models", "superposed, of ten models")
    for ax, what in zip(axes, titles, strict=True):
        ax.set(xscale="log", yscale="log", title=what, xlabel="share of inputs, 1 − S")
    axes[0].set_ylabel("importance of the second feature")
    fig.colorbar(dots, ax=axes[2], label="share of the models")
    words = {"ignored": "ignored", "superposed": "superposed", "own": "alone in the dimension"}
    patches = [Patch(color=colour, label=words[name]) for name, colour in SECOND.items()]
    fig.legend(handles=patches, loc="outside lower center", ncols=3, title="the second feature is")
    return fig


def features_per_dimension(per_dimension: pd.DataFrame, seen: pd.DataFrame) -> Figure:
    """Draw features per dimension [run density] over rarity, and each feature's own fraction of one (columns density, d)."""
    rarity = 1 / per_dimension.columns.to_numpy()
    fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 3.0), width_ratios=[1, 1.5])
    runs_band(left, rarity, per_dimension.to_numpy(), "n = 40, m = 10", plotting.BLUE)
    left.set(ylabel="features per dimension", ylim=(0, None))
    right.plot(1 / seen.density, seen.d, ".", ms=1.5, alpha=0.35, color=plotting.BLACK, rasterized=True)
    right.plot(rarity, 1 / per_dimension.mean(), color=plotting.VERMILLION, label="$D^* = m / \\|W\\|_F^2$ (mean)")
    levels = {3 / 4: "tetrahedron 3/4", 2 / 3: "triangle 2/3", 1 / 2: "digon 1/2", 2 / 5: "pentagon 2/5"}
    for level, what in (levels | {1 / 4: "m / n = 1/4"}).items():
        right.axhline(level, color="0.7", linewidth=0.6, zorder=0)
        right.text(125, level, what, fontsize=7, va="center")
    right.set(ylabel="dimensionality $D_i$ of a feature", ylim=(0, 1.05), xlim=(0.95, 420))
    for ax in (left, right):
        ax.set(xscale="log", xlabel="1 / (1 − S)")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def correlated_pairs(pairs_of: pd.DataFrame) -> Figure:
    """Draw the cosine within two pairs, and the share on differences of three, over density, by kind of pair."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.9))
    palette = dict(zip(("independent", "correlated", "anti-correlated"), plotting.OKABE_ITO, strict=False))
    options = {"hue": "kind", "palette": palette, "errorbar": ("se", 1.96), "err_style": "bars"}
    options |= {"marker": "o", "markersize": 4}
    sns.lineplot(pairs_of[pairs_of.pairs == 2], x="density", y="cosine", ax=left, **options)
    sns.lineplot(pairs_of[pairs_of.pairs == 3], x="density", y="difference", ax=right, legend=False, **options)
    left.set(title="two pairs in a plane", ylabel="cosine between a pair's features", ylim=(-1.1, 1.1))
    right.set(title="three pairs in a plane", ylabel="share of $W$ on differences of pairs", ylim=(0, None))
    for ax in (left, right):
        ax.axhline(0, color="0.8", linewidth=0.6)
        ax.set(xscale="log", xlabel="share of inputs with the pair (or feature), 1 − S")
    left.legend(title="", fontsize=7)
    return fig


def mnist_among_synthetic(
    grid: Sequence[float], w_49: Tensor, explained_49: Tensor, measured: Mapping[str, tuple]
) -> Figure:
    """Draw three measures of synthetic features over the grid of sparsities, and of the MNIST features at theirs.

    `measured` maps a kind, "mnist" or "shuffled", to its runs: S [run], w [run 2 49], the share of the variance that
    the plane explains [run], and the share that two principal components do [run].
    """
    fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.7))
    panels = {
        "features per dimension": lambda w, _: sp.features_per_dimension(w),
        "superposition (mean)": lambda w, _: sp.interference(w).mean(-1),
        "explained share of the variance": lambda _, explained: explained,
    }
    marks = {
        "MNIST features": ("mnist", "o", plotting.VERMILLION),
        "MNIST features, each shuffled": ("shuffled", "x", plotting.BLUE),
    }
    for ax, (what, measure) in zip(axes, panels.items(), strict=True):
        ax.plot(grid, measure(w_49, explained_49).mean(-1), ".-", color=plotting.BLACK, label="synthetic features")
        for name, (kind, marker, colour) in marks.items():
            s, w, explained, _ = measured[kind]
            ax.plot(s, measure(w, explained), marker, color=colour, label=name, markersize=4, fillstyle="none")
        ax.set(xlabel="sparsity S", ylabel=what, ylim=(0, None))
    for name, kind in {"two principal components of the same": "mnist", "_": "shuffled"}.items():
        axes[2].plot(measured[kind][0], measured[kind][3], "_", ms=9, color=plotting.GREEN, label=name)
    axes[2].axhline(2 / 49, color="0.6", linestyle=":", label="2/49: at most, linearly, of the synthetic features")
    fig.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def bridge(rows: pd.DataFrame) -> Figure:
    """Draw how well autoencoders of each strength find known features, over sparsity, beside random directions."""
    fig, ax = plt.subplots(figsize=(4.6, 2.9))
    chance = rows.groupby("sparsity").chance.max()
    places = np.arange(len(chance))
    for k, ((strength, of), colour) in enumerate(zip(rows.groupby("strength"), plotting.OKABE_ITO, strict=False)):
        table, label = of.pivot(index="sparsity", columns="seed", values="recovery"), f"L1 strength {strength:g}"
        ax.plot(places + 0.08 * (k - 1), table, "o", color=colour, markersize=3)
        ax.plot(places + 0.08 * (k - 1), table.mean(axis=1), color=colour, linewidth=0.8, label=label)
    ax.plot(places, chance, "--", color="0.5", label="random directions (97.5 %)")
    ax.set(xticks=places, xticklabels=[f"{s:g}" for s in chance.index], xlabel="sparsity S of the features")
    ax.set(ylabel="mean largest cosine with a known feature", ylim=(None, 1.02))
    fig.legend(loc="outside right center")
    return fig


def cover(planes: Mapping[float, Tensor]) -> Figure:
    """Draw four planes (S -> w [2 feature]) for README's picture, in one font size."""
    with plt.rc_context({"xtick.labelsize": 8, "ytick.labelsize": 8}):
        fig, axes = plt.subplots(2, 2, figsize=(1.9, 1.9))
        for ax, (s, w) in zip(axes.flat, planes.items(), strict=True):
            draw_columns(ax, w, size=3)
            ax.set(xticks=[], yticks=[], xlabel=f"S = {s:g}")
    return fig
