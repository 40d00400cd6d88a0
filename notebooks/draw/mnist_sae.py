"""Draws the figures of notebook 3."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from einops import rearrange
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from plotly import graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from paper_utils import plotting, sae

DOTS = {"color": plotting.VERMILLION, "marker": "o", "markersize": 3, "linestyle": "", "label": "the original's log"}
KINDS = dict(zip(sae.KINDS, (plotting.BLUE, plotting.PINK, plotting.GREEN, plotting.SKY), strict=True))
BASE = {"principal components": plotting.BLACK, "neurons": plotting.ORANGE, "random directions": "0.55"}
COLOURS = KINDS | BASE
ARMS = {
    "the decoder's norms (2 × 2)": ("original recipe", "no projection", "unit norm", "unit norm, no projection"),
    "the strength of L1, and the data": ("original recipe", "L1 x 1/3", "L1 x 1/10", "no L1", "whitened"),
}
ALL_ARMS = dict.fromkeys(arm for arms in ARMS.values() for arm in arms)
ARM_COLOURS = dict(zip(ALL_ARMS, (*plotting.OKABE_ITO[:6], plotting.BLACK, "0.55"), strict=True))


def plain_log(*axes: Axis) -> None:
    """Give axes a logarithmic scale with plain numbers: at 1, 10, 100 along x, at 1, 2, 5 along y."""
    for axis in axes:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if axis.axis_name == "x" else (1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def classifier_loss(losses: Sequence[float], printed: Sequence[float]) -> Figure:
    """Draw the loss of every batch, its running mean, and the original's, printed three times an epoch."""
    smooth = np.convolve(losses, np.ones(50) / 50, "valid")
    fig, ax = plt.subplots(figsize=(4.5, 2.2))
    ax.plot(losses, color="0.7", linewidth=0.3, rasterized=True, label="each batch")
    ax.plot(np.arange(len(smooth)) + 25, smooth, color=plotting.BLACK, label="mean over 50")
    ax.plot([938 * e + b for e in range(5) for b in (0, 400, 800)], printed, **DOTS)
    ax.set(xlabel="step (batch of 64 images)", ylabel="cross entropy (nats)", ylim=(0, None))
    ax.legend()
    return fig


def losses(history: Mapping, original: pd.DataFrame, repeats: pd.DataFrame) -> Figure:
    """Draw the terms of a training over the epochs, with the original's and those of further runs."""
    fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.3))
    for ax, term in zip(axes, original, strict=True):
        ax.plot(np.arange(1, len(history[term]) + 1), history[term], color=plotting.BLUE, label="this run")
        ax.plot(original[term], **DOTS)
        ax.plot(repeats.epoch, repeats[term], "x", color=plotting.BLACK, markersize=4, label="three further runs")
        label = {"reconstruction": "reconstruction loss", "l1": "L1 loss", "l0": "features per image (L0)"}[term]
        ax.set(xlabel="epoch", title=label)
        plain_log(*([ax.xaxis] if term == "l0" else [ax.xaxis, ax.yaxis]))
    axes[2].legend()
    return fig


def firing(counts: Tensor, n: int) -> Figure:
    """Draw histograms of the points that fire each feature: of all features, and of the live ones by the share."""
    live = counts[counts > 0]
    fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.2))
    axes[0].hist(counts, bins=50, color=plotting.BLUE)
    axes[0].set(xlabel="images that fire the feature", ylabel="features", yscale="log")
    axes[0].set_title(f"all {len(counts):,} features ({len(counts) - len(live)} never fire)")
    axes[1].hist(live / n, bins=np.linspace(0, 1, 41), color=plotting.BLUE)
    axes[1].set(xlabel="share of images that fire the feature", ylabel="features", xlim=(0, 1))
    axes[1].set_title(f"the {len(live)} live features")
    return fig


def densities(counts: Mapping[int, Tensor], survives: Tensor, n: int) -> Figure:
    """Draw log-density histograms of the live features after some epochs, by whether they live at the end."""
    fig, axes = plt.subplots(1, len(counts), figsize=(plotting.TEXT_WIDTH, 2.1), sharey=True)
    for ax, (epoch, then) in zip(axes, counts.items(), strict=True):
        for part, colour, name in ((~survives, "0.6", "dead at the end"), (survives, plotting.BLUE, "live at the end")):
            values = (then[(then > 0) & part] / n).log10()
            ax.hist(values, np.linspace(-5, 0, 26), color=colour, label=name, alpha=0.8)
        ax.set(title=f"epoch {epoch}: {(then > 0).sum()} live", xlabel="log10 density", xlim=(-5, 0.1))
    axes[0].set_ylabel("features")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def deaths(rows: pd.DataFrame) -> Figure:
    """Draw live features and features in use over the epochs, a line for each arm."""
    fig, axes = plt.subplots(2, 2, figsize=(plotting.TEXT_WIDTH, 4.6), sharex=True, sharey="row")
    for column, (title, arms) in zip(axes.T, ARMS.items(), strict=True):
        part = rows[rows.arm.isin(arms)]
        for ax, measure in zip(column, ("live", "above_1_percent"), strict=True):
            style = {"hue": "arm", "palette": ARM_COLOURS, "hue_order": arms, "ax": ax, "x": "epoch", "y": measure}
            sns.lineplot(part, errorbar="sd", err_kws={"alpha": 0.2}, legend=ax is column[1], **style)
            sns.scatterplot(part, s=10, legend=False, **style)
            ax.set(xticks=sorted(part.epoch.unique()))
        column[0].axhline(147, color="0.5", linewidth=0.8, linestyle=":")
        column[0].set(title=title, ylim=(0, 1060), ylabel="live features of 1,024")
        column[1].set(ylim=(20, 1060), ylabel="on more than 1 % of images")
        plain_log(column[1].yaxis)
        column[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, title=None)
    axes[0, 0].annotate("147, the original after 200", (1, 158), color="0.4", fontsize=7)
    return fig


def live_147(counted: Mapping[float, pd.DataFrame]) -> Figure:
    """Draw live features and features in use over the epochs, a colour for each strength of L1."""
    fig, ax = plt.subplots(figsize=(4.8, 2.7))
    for (strength, by_epoch), arm in zip(counted.items(), ("original recipe", "L1 x 1/3", "L1 x 1/10"), strict=True):
        ax.plot(by_epoch.live, ".-", color=ARM_COLOURS[arm], label=f"live, λ = {strength:g}")
        ax.plot(by_epoch.above_1_percent, "--", color=ARM_COLOURS[arm], label="on more than 1 % of images")
    ax.axhline(147, color="0.5", linewidth=0.8, linestyle=":")
    ax.annotate("147", (200, 153), color="0.4", fontsize=7, ha="right")
    ax.set(xlabel="epoch", ylabel="features of 1,024", ylim=(30, 1060))
    plain_log(ax.xaxis, ax.yaxis)
    fig.legend(loc="outside right center")
    return fig


def dense_group(density: Tensor, linear: Tensor, opposite: Tensor, nulls: Tensor, top_nine: Tensor) -> Figure:
    """Draw live features by density: their linear share, their closest opposite, their part in nine components."""
    fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.3))
    axes[0].plot(density, linear, ".", color=plotting.BLUE)
    axes[0].set(xlabel="share of images that fire it", ylabel="linear share of its variance", ylim=(0, 1.04))
    bins = np.linspace(-1, 0.5, 31)
    axes[1].hist(opposite, bins, color=plotting.BLUE, label="live features")
    heights = np.histogram(nulls, bins)[0] / len(nulls)
    axes[1].stairs(heights, bins, color="0.3", label=f"random, mean of {len(nulls)}")
    axes[1].set(xlabel="most negative cosine with another", ylabel="features")
    axes[1].legend()
    axes[2].plot(density, top_nine, ".", color=plotting.BLUE)
    axes[2].axhline(9 / 128, color="0.5", linewidth=0.8, linestyle=":")
    axes[2].annotate("9 / 128", (0.08, 9 / 128 + 0.02), fontsize=7, color="0.4")
    axes[2].set(xlabel="share of images that fire it", ylabel="direction within 9 components", ylim=(0, 1.04))
    axes[0].set_xlim(0, 1), axes[2].set_xlim(0, 1)
    return fig


def frontiers(rows: pd.DataFrame, stretched: pd.DataFrame, stars: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw what each kind loses over its features per image; arrows to longer trainings, stars for those of `stars`."""
    fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 3.2))
    for ax, measure in zip(axes, ("unexplained", "loss_added"), strict=True):
        for kind, means in stretched.groupby("kind").mean(numeric_only=True).iterrows():
            there, arrow = (means.final_l0, means[f"final_{measure}"]), {"arrowstyle": "->", "color": KINDS[kind]}
            ax.annotate("", there, (means.l0, means[measure]), arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
        for kind, colour in COLOURS.items():
            by_level = rows[rows.kind == kind].groupby("strength")[["l0", measure]]
            x, y, deviation = by_level.mean().l0, by_level.mean()[measure], by_level.std()[measure]
            line = "--" if kind in BASE else "-"
            ax.plot(x, y, line, color=colour, label=kind, marker="." if kind in KINDS else "", markersize=4)
            ax.fill_between(x, (y - deviation).clip(lower=1e-5), y + deviation, color=colour, alpha=0.2, linewidth=0)
            if kind in stars:
                style = {"color": colour, "markersize": 8, "markeredgecolor": "white", "markeredgewidth": 0.4}
                ax.plot(stars[kind]["l0"], max(stars[kind][measure], 1e-5), "*", **style)
        ax.set(xscale="log", yscale="log", xlabel="features per image (L0), or dimensions")
        plain_log(ax.xaxis)
    axes[0].set(ylabel="variance not explained", ylim=(3e-3, 1.2))
    axes[1].set(ylabel="cross entropy added (nats)", ylim=(3e-4, 3))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def labels(tables: Sequence[Tensor], features: Sequence[int], class_sizes: Tensor) -> Figure:
    """Draw the labels that features fire on, a row each, by two tables: the images' own, and in stored order."""
    titles = [("its own images' labels", "labels in stored order, as in the original"), ("", "")]
    fig, axes = plt.subplots(2, 2, figsize=(plotting.TEXT_WIDTH, 3.6), sharex=True, sharey="row")
    for row, j, pair in zip(axes, features, titles, strict=True):
        for ax, table, title in zip(row, tables, pair, strict=True):
            ax.bar(range(10), table[j] / table[j].sum(), color=plotting.BLUE)
            ax.stairs(class_sizes / class_sizes.sum(), np.arange(-0.5, 10), color="0.4", linewidth=0.8)
            ax.set(xticks=range(10), title=title)
        row[0].set_ylabel(f"share where\nfeature {j} fires")
    for ax in axes[1]:
        ax.set_xlabel("label")
    return fig


def information(shares: Mapping, told: Mapping, cut: Mapping, one_digit: float) -> Figure:
    """Draw the bits of each coordinate over how often it fires, and beside those with its best threshold."""
    fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.9), width_ratios=[1.2, 1], sharey=True)
    rates = np.linspace(1e-4, 1 - 1e-4, 400)
    entropy = -(rates * np.log2(rates) + (1 - rates) * np.log2(1 - rates))
    axes[0].plot(rates, entropy, color="0.6", linewidth=0.8)
    axes[0].annotate("entropy of firing", (0.24, 0.7), fontsize=7, color="0.4")
    for place, name in enumerate(("random directions", "principal components", "neurons", "topk", "published")):
        share, look = shares[name], {"color": COLOURS[name], "linestyle": ""}
        label = f"{name} ({len(share)})"
        axes[0].plot(share, told[name], ".", markersize=3 if len(share) == 1000 else 5, label=label, **look)
        for x, values in ((place - 0.2, told[name][: len(cut[name])]), (place + 0.2, cut[name])):
            axes[1].plot(np.full(len(values), x), values, "_", markersize=7, alpha=0.5, **look)
            axes[1].plot(x, values.max(), "D", markersize=4, **look)
            axes[1].annotate(f"{values.max():.2f}", (x, values.max() + 0.02), fontsize=7, ha="center")
    for ax in axes:
        ax.axhline(one_digit, color="0.3", linewidth=0.8, linestyle=":")
    axes[0].annotate("one-digit detector", (0.99, one_digit + 0.01), fontsize=7, color="0.3", ha="right")
    axes[0].set(xlabel="share of images that fire it", ylabel="mutual information (bits)", ylim=(0, 0.75))
    axes[1].set(xticks=range(5), xticklabels=["random", "comp.", "neurons", "topk", "published"])
    axes[1].set(xlabel="left: fires or not; right: best threshold")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, columnspacing=1)
    return fig


def probes(accuracy: Mapping[str, Sequence[float]], sizes: Sequence[int], whole: float) -> Figure:
    """Draw the test accuracy of sparse probes over their size, and that of the classifier."""
    fig, ax = plt.subplots(figsize=(4.8, 2.7))
    for name, values in accuracy.items():
        ax.plot(sizes[: len(values)], values, ".-", color=COLOURS[name], label=name)
    ax.axhline(whole, color="0.3", linewidth=0.8, linestyle=":")
    ax.annotate("the classifier", (1, whole + 0.01), fontsize=7, color="0.3")
    ax.set(xlabel="coordinates in the probe (k)", ylabel="test accuracy", ylim=(0.1, 1))
    ax.set(xscale="log", xticks=sizes, xticklabels=sizes)
    ax.minorticks_off()
    ax.legend(loc="lower right")
    return fig


def ablation(features: Tensor, lift: Tensor, average: Tensor, change: Tensor, against: Tensor) -> Figure:
    """Draw on which digits features fire and how each logit moves without them; of the first one with intervals."""
    fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 3), width_ratios=[1, 1, 1.15])
    pictures = axes[0].imshow(lift, cmap="Blues", vmin=0, vmax=1), plotting.signed_map(axes[1], average)
    titles = ("share of each digit that fires it", "mean change of logit without it")
    for ax, picture, title in zip(axes, pictures, titles, strict=False):
        ax.set(xticks=range(10), xlabel="digit", title=title, aspect="auto")
        ax.set_yticks(range(len(features)), features.tolist(), fontsize=7)
        fig.colorbar(picture, ax=ax, location="bottom", shrink=0.9)
    axes[0].set_ylabel("feature, most informative first")
    error = 1.96 * change.std(0) / len(change) ** 0.5
    axes[2].bar(range(10), change.mean(0), yerr=error, color=plotting.BLUE, capsize=2, error_kw={"linewidth": 0.8})
    low, high = against.quantile(torch.tensor([0.025, 0.975])).tolist()
    label, around = "random directions,\n95 % of 1,000", int(lift[0].argmax()) + np.array([-0.45, 0.45])
    axes[2].fill_between(around, low, high, color="0.5", alpha=0.5, label=label)
    axes[2].axhline(0, color="0.3", linewidth=0.8)
    axes[2].legend(loc="lower left", handlelength=1)
    axes[2].set(xticks=range(10), xlabel="digit", title=f"feature {features[0].item()}: change of logit")
    return fig


def informative_features(maps: Tensor, tops: Tensor, shares: Tensor, titles: Sequence[str]) -> Figure:
    """Draw of sixteen features a map in pixels, the four images of `tops` that fire it most, and its labels."""
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 6.4))
    for place, cell in enumerate(fig.subfigures(8, 2, wspace=0.03).flat):
        left, middle, right = cell.subplots(1, 3, width_ratios=[1, 3.2, 1.5])
        plotting.signed_map(left, maps[place].reshape(28, 28))
        row = rearrange(tops[place, :4], "image (h w) -> h (image w)", h=28)
        middle.imshow(row, cmap="gray_r", vmin=0, vmax=1)
        middle.set_axis_off()
        middle.set_title(titles[place], fontsize=7, pad=2)
        right.bar(range(10), shares[place], color=plotting.BLUE)
        right.set(xticks=range(0, 10, 3), yticks=[])
        right.tick_params(labelsize=7, pad=1, length=2)
        right.spines["left"].set_visible(False)
    return fig


def cover(maps: Tensor, tops: Tensor, shares: Tensor) -> Figure:
    """Draw of three features the map in pixels, the image that fires it most, and its labels."""
    fig, axes = plt.subplots(3, 3, figsize=(1.9, 1.9), width_ratios=[1, 1, 1.3])
    for row, each, images, share in zip(axes, maps, tops, shares, strict=False):
        plotting.signed_map(row[0], each.reshape(28, 28))
        row[1].imshow(images[0].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
        row[1].set_axis_off()
        row[2].bar(range(10), share, color=plotting.BLUE)
        row[2].set(xticks=(0, 9) if row is axes[-1] else (), yticks=[])
        row[2].tick_params(labelsize=8, pad=1, length=2)
        row[2].spines["left"].set_visible(False)
    return fig


def feature_browser(maps: Tensor, tops: Tensor, shares: Tensor, names: Sequence[str]) -> go.Figure:
    """Make a page with a slider over features: labels, images that fire each most, direction in pixels."""
    # Pictures go into the page as single bytes: a hundred features stay below 2 MB.
    digits = (tops * 255).round().byte()
    digits = rearrange(digits, "feature (row column) (h w) -> feature (row h) (column w)", column=4, h=28).numpy()
    signed_maps = (maps / maps.abs().amax(1, keepdim=True) * 127).round().char().reshape(-1, 28, 28).numpy()
    titles = ("labels where it fires", "images that fire it most", "direction in pixels")
    page = make_subplots(1, 3, subplot_titles=titles, column_widths=[0.28, 0.44, 0.28], horizontal_spacing=0.05)
    grey, signed = {"colorscale": "gray_r", "zmin": 0, "zmax": 255}, {"colorscale": "RdBu_r", "zmin": -127, "zmax": 127}
    bare = {"showscale": False, "hoverinfo": "skip"}
    for share, image, each in zip(shares, digits, signed_maps, strict=True):
        told = "label %{x}: %{y:.1%}<extra></extra>"
        page.add_bar(x=list(range(10)), y=share.numpy(), marker_color=plotting.BLUE, hovertemplate=told, row=1, col=1)
        page.add_heatmap(z=image, **grey, **bare, row=1, col=2)
        page.add_heatmap(z=each, **signed, **bare, row=1, col=3)
    page.update_xaxes(title_text="label", dtick=1, col=1).update_yaxes(title_text="share", col=1)
    for col in (2, 3):
        page.update_xaxes(visible=False, constrain="domain", col=col)
        page.update_yaxes(visible=False, autorange="reversed", scaleanchor=f"x{col}", col=col)
    return plotting.slider_page(page, names, width=1000, height=460)


def bridge(toys: pd.DataFrame) -> Figure:
    """Draw the recovery of known features over sparsity, a line for each strength, with two baselines."""
    at_random = toys[toys.kind == "random"].groupby("sparsity").recovery.quantile([0.025, 0.975]).unstack()
    codes = toys[toys.kind == "codes"].groupby("sparsity").recovery.mean()
    fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 3.1), sharey=True)
    places = np.arange(len(codes))
    for ax, kind, name, title in zip(axes, ("corrected", "topk"), ("L1", "k"), ("unit-norm L1", "top-k"), strict=True):
        part = toys[toys.kind == kind]
        for strength, colour in zip(
            sorted(part.strength.unique()), plt.cm.viridis(np.linspace(0, 0.85, 4)), strict=True
        ):
            by = part[part.strength == strength].pivot(index="seed", columns="sparsity", values="recovery")
            ax.plot(places, by.mean(), color=colour, label=f"{name} = {strength:g}")
            ax.fill_between(places, by.mean() - by.std(), by.mean() + by.std(), color=colour, alpha=0.2, linewidth=0)
            ax.plot(places, by.T, ".", color=colour, markersize=3)
        ax.plot(places, codes, "--", color=plotting.BLACK, label="80 of the codes")
        ax.fill_between(places, *at_random.to_numpy().T, color="0.8", label="random, 95 % of draws")
        ax.set(xticks=places, xticklabels=[f"{s:g}" for s in codes.index], title=title)
        ax.set_xlabel("sparsity S of the features")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=6.5)
    axes[0].set_ylabel("mean largest cosine\nwith a known feature")
    return fig
