# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Forty-nine MNIST features in a plane: superposition, measured
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/05_toy_superposition.ipynb)
#
# **Claim.** Forty-nine features of an MNIST classifier, pressed through a plane, seem to gather in few directions;
# but what gathers is one offset that all of them share, and the encoder's own columns spread over the plane like
# random ones. In Elhage's toy model, set up properly, sparsity decides how features share a plane (pairs, triangles,
# digons, pentagons), and the MNIST features sit at its dense end.
#
# After a public replication notebook ("the seed" below) of Elhage and others (2022), *Toy Models of Superposition*,
# [arXiv 2209.10652](https://arxiv.org/abs/2209.10652).
#
# **Among the five.** When features outnumber dimensions they must share directions: this notebook shows when and how.
# [03](03_mnist_sae.ipynb) asks the opposite question, how to take them apart again.
# [01](01_mnist_bilinear.ipynb) and [02](02_tinystories.ipynb) read features off weights,
# [04](04_dihedral_fourier.ipynb) in a network whose task has an exact theory. All five check what they read: by what
# is left when it is taken away, or by what chance would give.

# %%
# On Colab only: get the repository, and what Colab lacks. Nothing happens elsewhere.
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    address, folder = "https://github.com/OWNER/REPO", os.path.abspath("paper")
    if not os.path.exists(folder):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, folder], check=True)
    sys.path.insert(0, folder)
    from paper_utils import colab

    colab.install()

# %% tags=["parameters"]
MODE = "full"  # "quick" trains on 2,000 images and shortens the toy models to a thirtieth
SEED = 0
N_SEEDS = 5  # further seeds of both models, for the question how often the features gather
WIDTH = 15.0  # degrees to either side of a ray within which a feature counts as gathered on it

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.collections import LineCollection
from plotly.subplots import make_subplots

from paper_utils import data, plotting, results, training
from paper_utils import superposition as sp

plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"
SEEDS = [SEED + 1 + i for i in range(N_SEEDS)]
RAYS = [1, 2, 3]
SPARSITIES = [0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]

# %% [markdown]
# The account of this run: what it must write. A figure or number that is announced here and not written makes the run
# fail.

# %%
FIGURES = "training_curves directions_first_last directions_all_epochs second_experiment top_corner offset toy_maps"
FIGURES += " toy_geometry features_per_dimension mnist_among_synthetic"
NUMBERS = """
    accuracy accuracy_final mse mse_1 mse_10 mse_20 mse_mean_only explained last_batch_1 last_batch_20
    sparsity feature_sparsity_range dead_features active_value importance_top5
    gathered_two_by_epoch gathered_two gathered_two_columns gathered_two_random offset_cosine
    norm_correlation bias_correlation encoder_interference decoder_interference encoder_squared_cosine
    top_kept top_in_first_ten
    seeds_gathered seeds_columns seeds_random seeds_gathered_mean seeds_columns_mean seeds_random_mean seeds_count
    seeds_count_columns seeds_bias_correlation seeds_sparsity seeds_mse
    toy_pair_dense toy_triangle toy_digons toy_pentagon
    toy_per_dimension_dense toy_per_dimension_sparse toy_per_dimension_weighted toy_d_star_dense toy_d_star_sparse
    mnist_per_dimension shuffled_per_dimension synthetic_per_dimension
    mnist_represented shuffled_represented synthetic_represented
    mnist_interference shuffled_interference synthetic_interference
    mnist_explained shuffled_explained synthetic_explained mnist_equal_sparsity
"""

# %%
images = data.load_mnist()
results.begin(
    "05_toy_superposition",
    mode=MODE,
    seed=[SEED, *SEEDS],
    source=images.source,
    files=images.files,
    figures=FIGURES.split(),
    numbers=NUMBERS.split(),
)

# %% [markdown]
# ## The two models of the seed
#
# The first model classifies digits through one hidden layer of 49 values. They are the "features" of this experiment:
#
# $$h = \mathrm{ReLU}(\tanh(W x + b)) \in [0, 1)^{49}, \qquad \text{logits} = V h + c .$$
#
# The second sees only these features, presses them through a plane, and must rebuild them:
#
# $$z = \tanh(W_{enc}\, h + b_{enc}) \in (-1, 1)^2, \qquad h' = \mathrm{ReLU}(\tanh(W_{dec}\, z + b_{dec})) .$$
#
# Recipe, as in the seed: pixels in [0, 1], Adam, batches of 64; the classifier 10 epochs of cross entropy at learning
# rate $10^{-3}$, the autoencoder 20 epochs of mean squared error at $10^{-4}$, with the classifier frozen. Frozen
# means that the features of the 60,000 images never change, so they are computed once.

# %%
rows = 2000 if QUICK else len(images.train_x)
x, y = images.train_x[:rows], images.train_y[:rows]
feature_config, plane_config = sp.FeatureConfig(), sp.PlaneConfig()


def train_features(seed: int, config: sp.FeatureConfig):
    """The classifier of one seed, with its accuracy on the test images after each epoch; cached."""

    def train():
        net = sp.FeatureNet(config, seed)
        history = sp.train_feature_net(net, x, y, config, seed, lambda epoch: {"accuracy": accuracy(net)})
        return net.state_dict(), history

    code = [sp.FeatureNet, sp.train_feature_net]
    run = training.Run(f"05-features-{seed}", (config, seed, rows), images.files, code, train)
    state, history = training.cached(run)[0]
    net = sp.FeatureNet(config, seed)
    net.load_state_dict(state)
    return net, history


@torch.no_grad()
def accuracy(net: sp.FeatureNet) -> float:
    return (net(images.test_x).argmax(1) == images.test_y).float().mean().item()


net, feature_history = train_features(SEED, feature_config)
with torch.no_grad():
    h = net.features(x)

# %% [markdown]
# After each of its 20 epochs the autoencoder is asked two things about each feature $i$, over all training images:
#
# - its **importance**: how much the error rises when the feature is set to 0 in the input, $\Delta_i = \langle (h'(h
#   \text{ without } i) - h)^2\rangle - \langle (h'(h) - h)^2\rangle$, divided by the sum over features, then scaled
#   to 0..1;
# - its **direction**: the mean code of the images when all the other features are set to 0.
#
# Done as it stands, this means 98 passes over the images per epoch. But before its tanh the code is linear in the
# features: to remove or isolate one feature is to subtract or keep one column of $W_{enc}$. `feature_importance` and
# `feature_directions` use that.

# %%
plane = sp.PlaneAutoencoder(plane_config, SEED)


def train_plane():
    rises, directions = [], []

    def after(epoch: int) -> dict[str, float]:
        rises.append(sp.feature_importance(plane, h).rise)
        directions.append(sp.feature_directions(plane, h))
        with torch.no_grad():
            return {"mse": (plane(h) - h).square().mean().item()}

    history = sp.train_planes([plane], h[None], plane_config, SEED, after)
    return {**plane.state_dict(), "rise": torch.stack(rises), "direction": torch.stack(directions)}, history


code = [sp.FeatureNet, sp.PlaneAutoencoder, sp.train_planes, sp.feature_importance, sp.feature_directions]
recipe = (feature_config, plane_config, SEED, rows)
state, plane_history = training.cached(training.Run("05-plane", recipe, images.files, code, train_plane))[0]
rise, direction = state.pop("rise"), state.pop("direction")  # [epoch feature], [epoch feature 2]
plane.load_state_dict(state)
importance = torch.stack([sp.normalise_importance(r).scaled for r in rise])

# %% [markdown]
# By hand, for three features, as the definitions say it, with a copy of the features for each:

# %%
with torch.no_grad():
    error = (plane(h) - h).square().mean()
    for i in (0, 7, 48):
        without, only = h.clone(), torch.zeros_like(h)
        without[:, i] = 0
        only[:, i] = h[:, i]
        assert torch.allclose((plane(without) - h).square().mean() - error, rise[-1, i], atol=1e-6)
        assert torch.allclose(plane.encode(only).mean(0), direction[-1, i], atol=1e-5)

# %% [markdown]
# ## Accuracy and losses

# %%
SEED_ACCURACY = [0.9274, 0.9430, 0.9490, 0.9533, 0.9571, 0.9605, 0.9600, 0.9628, 0.9640, 0.9653]
SEED_LOSS = [0.1395, 0.1529, 0.3065, 0.1372, 0.1572, 0.0578, 0.1927, 0.0783, 0.1768, 0.1349]
SEED_LAST_BATCH = [0.2728, 0.2346, 0.2213, 0.2009, 0.1969, 0.1947, 0.2021, 0.1921, 0.1978, 0.1860]
SEED_LAST_BATCH += [0.1952, 0.1888, 0.1852, 0.1772, 0.1638, 0.1621, 0.1632, 0.1743, 0.1532, 0.1584]


def last_of_epoch(history, config) -> list[float]:
    """Loss of the last batch of each epoch, which is what the seed prints."""
    steps = len(history["step_loss"]) // config.epochs
    return history["step_loss"][steps - 1 :: steps]


last_batch = last_of_epoch(plane_history, plane_config)
mean_only = h.var(0, correction=0).mean().item()  # the error when each feature is replaced by its mean

# %%
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.4))
here, seed_style = (
    {"marker": ".", "color": plotting.BLUE},
    {"color": plotting.VERMILLION, "marker": "x", "markersize": 4},
)
single = {"linestyle": "", "marker": ".", "color": plotting.SKY}
epochs = range(1, feature_config.epochs + 1)
left.plot(epochs, feature_history["accuracy"], **here, label="here")
left.plot(epochs, SEED_ACCURACY, **seed_style, linestyle="--", label="the seed")
left.set(xlabel="epoch", ylabel="accuracy on the test images", title="classifier")
middle.plot(epochs, feature_history["loss"], **here, label="mean of the epoch, here")
middle.plot(epochs, last_of_epoch(feature_history, feature_config), **single, label="last batch, here")
middle.plot(epochs, SEED_LOSS, **seed_style, linestyle="", label="last batch, the seed")
middle.set(xlabel="epoch", ylabel="cross entropy (nats)", title="classifier", ylim=(0, 0.85))
epochs = range(1, plane_config.epochs + 1)
right.plot(epochs, plane_history["mse"], **here, label="all images, here")
right.plot(epochs, last_batch, **single, label="last batch, here")
right.plot(epochs, SEED_LAST_BATCH, **seed_style, linestyle="", label="last batch, the seed")
right.axhline(mean_only, color="0.6", linestyle=":", label="each feature's mean, here")
right.set(xlabel="epoch", ylabel="mean squared error", title="autoencoder", ylim=(None, 0.36))
for ax in (left, middle, right):
    ax.legend()
results.save_figure(
    fig, "training_curves", alt="Accuracy and cross entropy of the classifier and error of the autoencoder over epochs."
)

# %% [markdown]
# **Figure `training_curves`.** Left: accuracy of the classifier after each epoch, here (blue) and in the seed's run
# (crosses): two seeds of one recipe. Middle: its cross entropy, as the mean of the epoch and in the last batch alone,
# the only number the seed prints. Right: the autoencoder's error over all images, and its last batch beside the
# seed's. The dotted line is the error when each feature is replaced by its mean, without any code at all: after 20
# epochs the autoencoder has only just passed it.

# %%
results.record("accuracy", feature_history["accuracy"])
results.record("accuracy_final", feature_history["accuracy"][-1])
results.record("mse", plane_history["mse"])
for epoch in (1, 10, 20):
    results.record(f"mse_{epoch}", plane_history["mse"][epoch - 1])
results.record("last_batch_1", last_batch[0])
results.record("last_batch_20", last_batch[-1])
results.record("mse_mean_only", mean_only)
results.record("explained", 1 - plane_history["mse"][-1] / mean_only)
share = sp.normalise_importance(rise[-1]).share
results.record("importance_top5", share.sort(descending=True).values[:5].sum().item())
sparsity = (h == 0).float().mean(0)
results.record("sparsity", sparsity.mean().item())
results.record("feature_sparsity_range", [sparsity.min().item(), sparsity.max().item()])
results.record("dead_features", int((sparsity == 1).sum()))
results.record("active_value", h[h > 0].mean().item())

# %% [markdown]
# ## First experiment: the features as arrows
#
# Each feature keeps its colour in all pictures: dark for the one that is most important after epoch 20, light for the
# least. An arrow ends at importance × direction ("free length", the seed's left panel) or at importance × unit
# direction ("unit length", its right panel), where the length shows the importance alone. A direction of length 0 has
# no unit vector and stays 0.

# %%
rank = importance[-1].argsort(descending=True).argsort()  # 0: the most important after the last epoch
colours = plt.get_cmap("viridis")(0.92 * rank.numpy() / 48)
ends = {
    "importance × direction": importance[..., None] * direction,
    "importance × unit direction": importance[..., None] * sp.unit_vectors(direction),
}
limits = {"importance × direction": 1.08 * ends["importance × direction"].abs().max().item()}
limits["importance × unit direction"] = 1.08


def draw_arrows(ax, points, limit, size=8.0, width=0.9):
    """Lines from the origin to points [feature 2], each with its dot."""
    ax.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.5, zorder=0)
    points = points.numpy()
    ax.add_collection(LineCollection([[(0, 0), p] for p in points], colors=colours, linewidths=width))
    ax.scatter(*points.T, s=size, c=colours, linewidths=0, zorder=3)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")


# %%
fig, axes = plt.subplots(2, 2, figsize=(6.4, 5.2), sharex="col", sharey="col")
for row, epoch in enumerate((1, 20)):
    for ax, (what, points) in zip(axes[row], ends.items(), strict=True):
        draw_arrows(ax, points[epoch - 1], limits[what])
        ax.set(title=f"epoch {epoch}: {what}", ylabel="second value of the code $z_2$")
for ax in axes[1]:
    ax.set_xlabel("first value of the code $z_1$")
ranks = plt.cm.ScalarMappable(plt.Normalize(1, 49), plt.matplotlib.colors.ListedColormap(colours[rank.argsort()]))
fig.colorbar(ranks, ax=axes, label="rank of the feature by importance after epoch 20", shrink=0.6)
results.save_figure(
    fig, "directions_first_last", alt="The 49 features as arrows in the plane of the code, after epochs 1 and 20."
)

# %% [markdown]
# **Figure `directions_first_last`.** The 49 features after the first and the last epoch; left with free length, right
# with unit length, each column of panels with one scale. Dark features are the important ones at the end. They start
# as one bundle in one quadrant and open into a fan; several that mattered in epoch 1 (green) have shrunk to nothing
# by epoch 20.

# %%
fig, axes = plt.subplots(4, 10, figsize=(plotting.TEXT_WIDTH, 3.3), gridspec_kw={"wspace": 0, "hspace": 0})
for epoch in range(1, 21):
    for k, (what, points) in enumerate(ends.items()):
        ax = axes[2 * ((epoch - 1) // 10) + k, (epoch - 1) % 10]
        draw_arrows(ax, points[epoch - 1], limits[what], size=2.5, width=0.4)
        ax.set(xticks=[], yticks=[])
        if k == 0:
            ax.set_title(f"epoch {epoch}", fontsize=7)
for row in range(4):
    axes[row, 0].set_ylabel(["free length", "unit length"][row % 2], fontsize=7)
results.save_figure(
    fig,
    "directions_all_epochs",
    alt="The 49 features as arrows after each of the 20 epochs, with free and unit length.",
)

# %% [markdown]
# **Figure `directions_all_epochs`.** The same after each of the 20 epochs, to be read line by line: above with free,
# below with unit length; all panels of a kind share their axes, the grey cross is the origin, and each feature keeps
# its colour. The bundle opens steadily. The seed saw "around 2 features" at the end of its run; in this run one sees
# few at the start and many at the end.

# %%
page = make_subplots(rows=1, cols=2, subplot_titles=list(ends), horizontal_spacing=0.1)
hexes = [plt.matplotlib.colors.to_hex(c) for c in colours]


def traces(epoch: int):
    for points in ends.values():
        px, py = points[epoch - 1].T.tolist()
        spokes = [[v for p in values for v in (0, p, None)] for values in (px, py)]
        yield go.Scatter(x=spokes[0], y=spokes[1], mode="lines", line={"color": "#bbb", "width": 1}, hoverinfo="skip")
        names = [f"feature {i}, rank {r + 1}" for i, r in enumerate(rank.tolist())]
        label = {"text": names, "hovertemplate": "%{text}<extra></extra>"}
        yield go.Scatter(x=px, y=py, mode="markers", marker={"color": hexes, "size": 8}, **label)


for trace, col in zip(traces(1), (1, 1, 2, 2), strict=True):
    page.add_trace(trace, row=1, col=col)
page.frames = [go.Frame(data=list(traces(e)), name=str(e), traces=[0, 1, 2, 3]) for e in range(1, 21)]
slow = {"frame": {"duration": 500, "redraw": False}, "transition": {"duration": 300}}
play = {"label": "play", "method": "animate", "args": [None, {**slow, "fromcurrent": True}]}
moves = [{"label": f.name, "method": "animate", "args": [[f.name], {**slow, "mode": "immediate"}]} for f in page.frames]
page.update_layout(showlegend=False, width=900, height=560, template="plotly_white")
page.update_layout(updatemenus=[{"type": "buttons", "buttons": [play], "x": 0, "y": -0.2}])
slider = {"steps": moves, "currentvalue": {"prefix": "epoch "}, "x": 0.12, "len": 0.88, "pad": {"t": 45}}
page.update_layout(sliders=[slider])
for col, limit in enumerate(limits.values(), start=1):
    page.update_xaxes(range=[-limit, limit], title="z1", row=1, col=col)
    page.update_yaxes(range=[-limit, limit], title="z2", row=1, col=col, scaleanchor=f"x{col}")
results.save_page(page, "directions_animation", alt="The 49 features as arrows, animated over the 20 epochs")

# %% [markdown]
# The same as an animation with a slider, and the number of each feature under the pointer, is the interactive page
# `directions_animation` that `make figures` writes under `build/interactive/05_toy_superposition/`.
#
# ### How many directions are these?
#
# "Around two" can be made a number. Take the best $k$ rays from the origin, and sum the importance of all features
# whose direction is within 15° of one of them: `gathered_share`. Random directions are no zero here, because the rays
# are chosen to fit: with the same importances and 49 uniformly random angles, the mean of 20 draws is the line to
# beat.
#
# And one thing must be taken apart first. A feature that is alone *and off* still has a code, $\tanh(b_{enc})$; all
# 49 measured directions share this offset. What tells the features apart is the other part, the columns of $W_{enc}$.

# %%
columns = plane.encoder.weight.detach().T  # [feature 2]
offset = plane.encoder.bias.detach().tanh()
generator = torch.Generator().manual_seed(SEED)


def gathered(directions: torch.Tensor, weight: torch.Tensor) -> list[float]:
    return [sp.gathered_share(directions, weight, k, WIDTH) for k in RAYS]


def gathered_random(weight: torch.Tensor, draws: int = 5 if QUICK else 20) -> list[float]:
    return np.mean([gathered(torch.randn(49, 2, generator=generator), weight) for _ in range(draws)], 0).tolist()


by_epoch = [sp.gathered_share(d, w, 2, WIDTH) for d, w in zip(direction, importance, strict=True)]
found = {
    "measured directions": gathered(direction[-1], importance[-1]),
    "encoder columns": gathered(columns, importance[-1]),
    "random angles": gathered_random(importance[-1]),
}
results.record("gathered_two_by_epoch", by_epoch)
for name, values in zip(("gathered_two", "gathered_two_columns", "gathered_two_random"), found.values(), strict=True):
    results.record(name, values[1])
mean_direction = (importance[-1][:, None] * direction[-1]).sum(0)
results.record("offset_cosine", torch.cosine_similarity(mean_direction, offset, dim=0).item())

# %% [markdown]
# ## Second experiment: what the weights say
#
# Features sorted by importance, the most important first; all from the weights after epoch 20. The interference of a
# feature is $\sum_{j \ne i} (w_i \cdot w_j)^2$, over the encoder's columns and over the decoder's rows: by hand for
# one feature, then from the tested function.

# %%
order = importance[-1].argsort(descending=True)
w_enc = plane.encoder.weight.detach()[:, order]  # [2 feature]
w_dec = plane.decoder.weight.detach()[order]  # [feature 2]
b_dec = plane.decoder.bias.detach()[order]
product = w_dec @ w_enc  # [feature feature]: what feature j (column) does to the rebuilt feature i (row)

others = [j for j in range(49) if j != 3]
by_hand = sum((w_enc[:, 3] @ w_enc[:, j]) ** 2 for j in others)
interference_enc, interference_dec = sp.interference(w_enc, unit=False), sp.interference(w_dec.T, unit=False)
assert torch.allclose(by_hand, interference_enc[3], rtol=1e-4)

threshold = torch.quantile(product, 0.99)
top = torch.where(product >= threshold, product, 0)
kept = top != 0


# %%
def draw_by_rank(figure):
    """Norms, biases and interference of the features by rank of importance."""
    ranks = np.arange(1, 50)
    norms, bias, inner = figure.subplots(1, 3)
    norms.plot(ranks, w_enc.norm(dim=0), ".-")
    norms.set(ylabel=r"$\|W_{enc,i}\|$", title="norm of the encoder column", ylim=(0, None))
    bias.axhline(0, color="0.8", linewidth=0.6)
    bias.plot(ranks, b_dec.flip(0), ":", color="0.5", label="reversed, as in the seed")
    bias.plot(ranks, b_dec, ".-", label="sorted by importance")
    bias.set(ylabel="$b_{dec,i}$", title="decoder bias", ylim=(-1.2, 2.0))
    inner.plot(ranks, interference_enc, ".-", label="encoder columns")
    inner.plot(ranks, interference_dec, ".-", label="decoder rows")
    inner.set(ylabel=r"$\sum_{j \neq i} (w_i \cdot w_j)^2$", title="interference", yscale="log", ylim=(None, 3e3))
    for ax in (norms, bias, inner):
        ax.set_xlabel("rank by importance")
    bias.legend(loc="upper right")
    inner.legend(loc="upper right")


# %%
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 5.2))
upper, lower = fig.subfigures(2, 1, height_ratios=[1, 1.35])
draw_by_rank(upper)
limit = product.abs().max().item()
panels = lower.subplots(1, 2)
for ax, matrix, title in zip(panels, (product, top), ("all entries", "the largest 1 %, all else 0"), strict=True):
    picture = plotting.signed_map(ax, matrix, limit)
    ax.set(title="$W_{dec} W_{enc}$: " + title, xticks=[0, 24, 48], xticklabels=[1, 25, 49], yticks=[0, 24, 48])
    ax.set(yticklabels=[1, 25, 49], xlabel="rank of the input feature", ylabel="rank of the rebuilt feature")
lower.colorbar(picture, ax=panels, label="entry", shrink=0.9)
results.save_figure(
    fig,
    "second_experiment",
    alt="Norm, bias and interference of the features by importance, and the product of weights.",
)

# %% [markdown]
# **Figure `second_experiment`.** Above, by rank of importance: the norm of the encoder's column falls with the rank,
# as the seed found (correlation with importance about 0.7); the decoder's bias rather falls too (about 0.25), and
# rises only in the seed's reversed array (dotted); interference among encoder columns is near 0, among decoder rows it is not
# (logarithmic axis). Below: the product of both weights, all of it and only its largest 1 %, with one colour scale.
# Important features, left, reach far more than the diagonal.

# %%
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.6))
for ax, matrix, title in zip(axes, (top, product), ("the largest 1 %, rest 0", "all entries"), strict=True):
    picture = plotting.signed_map(ax, matrix[:5, :5], limit)
    ax.set(title=f"5 × 5 corner: {title}", xticks=range(5), xticklabels=range(1, 6))
    ax.set(yticks=range(5), yticklabels=range(1, 6), xlabel="rank of the input feature", ylabel="rank, rebuilt")
    for (i, j), value in np.ndenumerate(matrix[:5, :5].numpy()):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(j, i, f"{value:.2f}" if value else "0", ha="center", va="center", fontsize=7, color=colour)
fig.colorbar(picture, ax=axes, label="entry of $W_{dec} W_{enc}$")
results.save_figure(fig, "top_corner", alt="The five most important features' corner of the product, masked and whole.")

# %% [markdown]
# **Figure `top_corner`.** The corner of the five most important features. Left as in the seed, with all but the
# largest 1 % of the whole matrix set to 0; right everything. What the mask leaves looks like a diagonal with a few
# neighbours. Unmasked, some features rebuild each other about as strongly as themselves, because they share one
# direction, and some work against each other (blue). Which of them do differs from run to run.

# %%
scaled = importance[-1][order]
results.record("norm_correlation", np.corrcoef(scaled, w_enc.norm(dim=0))[0, 1])
results.record("bias_correlation", np.corrcoef(scaled, b_dec)[0, 1])
results.record("encoder_interference", interference_enc.mean().item())
results.record("decoder_interference", interference_dec.mean().item())
unit = sp.unit_vectors(w_enc.T)
cosines = (unit @ unit.T).square()
results.record("encoder_squared_cosine", ((cosines.sum() - 49) / (49 * 48)).item())
results.record("top_kept", int(kept.sum()))
results.record("top_in_first_ten", kept[:, :10].float().sum().div(kept.sum()).item())

# %% [markdown]
# ## Beyond the seed: several seeds
#
# Five more pairs of models. The autoencoders train together at the seed's recipe of 20 epochs, as one batch of
# models; the classifiers before them get 3 epochs instead of 10, which is enough for features of the same kind.

# %%
short = replace(feature_config, epochs=3)
nets = [train_features(seed, short)[0] for seed in SEEDS]
with torch.no_grad():
    sets = torch.stack([n.features(x) for n in nets])  # [seed image feature]


def train_further():
    planes = [sp.PlaneAutoencoder(plane_config, seed) for seed in SEEDS]
    history = sp.train_planes(planes, sets, plane_config, SEED)
    state = {f"{i}.{k}": v for i, p in enumerate(planes) for k, v in p.state_dict().items()}
    for i, (p, features) in enumerate(zip(planes, sets, strict=True)):
        state[f"importance_{i}"] = sp.feature_importance(p, features).scaled
        state[f"direction_{i}"] = sp.feature_directions(p, features)
    return state, history


recipe = (short, plane_config, SEEDS, rows)
state, _ = training.cached(training.Run("05-planes", recipe, images.files, code, train_further))[0]
weights = [importance[-1]] + [state[f"importance_{i}"] for i in range(N_SEEDS)]
measured = [direction[-1]] + [state[f"direction_{i}"] for i in range(N_SEEDS)]
bare = [columns] + [state[f"{i}.encoder.weight"].T for i in range(N_SEEDS)]
over_seeds = {
    "measured directions": [gathered(d, w) for d, w in zip(measured, weights, strict=True)],
    "encoder columns": [gathered(d, w) for d, w in zip(bare, weights, strict=True)],
    "random angles": [gathered_random(w) for w in weights],
}

# %%
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.5))
limit = 1.08 * columns.norm(dim=1).max().item()
draw_arrows(left, importance[-1][:, None] * columns, limit * importance[-1].max().item())
left.set(title="importance × encoder column", xlabel="first input of the tanh", ylabel="second input of the tanh")
middle.plot(range(1, 21), by_epoch, ".-")
middle.axhline(found["random angles"][1], color="0.5", linestyle="--")
middle.set(xlabel="epoch", ylabel="share near the best two rays", ylim=(0, 1.05), title=f"two rays, seed {SEED}")
for (name, runs), colour in zip(over_seeds.items(), (plotting.BLUE, plotting.VERMILLION, "0.5"), strict=True):
    right.plot(RAYS, np.array(runs).T, color=colour, linewidth=0.5, alpha=0.6)
    right.plot(RAYS, np.mean(runs, 0), ".-", color=colour, label=name)
right.set(xlabel="number of rays", xticks=RAYS, ylabel="share of the importance", ylim=(0, 1.05))
right.set_title(f"after epoch 20, {1 + N_SEEDS} seeds")
fig.legend(loc="outside lower center", ncols=3)
results.save_figure(
    fig,
    "offset",
    alt="The features without the common offset, and how much importance lies near a few rays, over seeds.",
)

# %% [markdown]
# **Figure `offset`.** Left: importance × encoder column, the arrows without the common offset. Middle: share of the
# importance within 15° of the best two rays, for the measured directions over the epochs of seed 0; dashed, the mean
# of random angles. Right: the same against the number of rays after epoch 20, thin lines for single seeds, thick for
# their mean. The measured directions (blue) gather more than random angles (grey); the encoder columns (red) do not.

# %%
GATHERED = 0.8  # from this share on, two rays "hold" the features
seeds_two = {name: [run[1] for run in runs] for name, runs in over_seeds.items()}
for name, values in zip(("gathered", "columns", "random"), seeds_two.values(), strict=True):
    results.record(f"seeds_{name}", values)
    results.record(f"seeds_{name}_mean", float(np.mean(values)))
results.record("seeds_count", sum(v >= GATHERED for v in seeds_two["measured directions"]))
results.record("seeds_count_columns", sum(v >= GATHERED for v in seeds_two["encoder columns"]))
biases = [plane.decoder.bias.detach()] + [state[f"{i}.decoder.bias"] for i in range(N_SEEDS)]
correlations = [np.corrcoef(w, b)[0, 1].item() for w, b in zip(weights, biases, strict=True)]
results.record("seeds_bias_correlation", correlations)
planes_mse = []
for i, features in enumerate(sets):
    plane_i = sp.PlaneAutoencoder(plane_config)
    plane_i.load_state_dict({k.removeprefix(f"{i}."): v for k, v in state.items() if k.startswith(f"{i}.")})
    with torch.no_grad():
        planes_mse.append((plane_i(features) - features).square().mean().item())
results.record("seeds_mse", planes_mse)
results.record("seeds_sparsity", [(s == 0).float().mean().item() for s in sets])

# %% [markdown]
# ## Beyond the seed: Elhage's model, set up properly
#
# The seed closes with "I did not set up model hyperparameters properly". The model it wanted to compare with is
#
# $$x' = \mathrm{ReLU}(W^\top W x + b), \qquad W \in \mathbb{R}^{m \times n}, \quad L = \sum_i I_i \, (x_i - x'_i)^2 ,$$
#
# with tied weights, no squashing, an importance $I_i$ for each feature, and synthetic features whose sparsity is
# known: $x_i = 0$ with probability $S$, else uniform in [0, 1]. Here all instances, that is sparsities × seeds ×
# kinds of importance, train at once as one batched model. Each sees the same random numbers, thinned to its own
# sparsity. Adam, 3,000 steps of 512 samples at learning rate 0.003, where Elhage and others take 10,000 of 1,024 at
# 0.001.

# %%
toy_config = sp.ToyConfig(steps=100) if QUICK else sp.ToyConfig()
toy_code = [sp.ToyModel, sp.train_toy, sp.sparse_source, sp.thin, sp.row_source]


def train_toys(n: int, m: int, decays: list[float], n_seeds: int, sparsities: list[float], config=toy_config):
    """W [decay sparsity seed hidden feature] at I_i = decay^i and the losses, all trained as one model; cached."""
    shape = (len(decays), len(sparsities), n_seeds)
    s = torch.tensor(sparsities)[None, :, None].expand(shape).flatten()
    weight = torch.tensor(decays)[:, None, None].expand(shape).flatten()[:, None] ** torch.arange(n)

    def train():
        model = sp.ToyModel(n, m, len(s), SEED)
        losses = sp.train_toy(model, sp.sparse_source(s, n), weight, config, SEED)
        return model.state_dict(), {"loss": losses.tolist()}

    recipe = (n, m, decays, n_seeds, sparsities, config, SEED)
    state, history = training.cached(training.Run(f"05-toy-{n}-{m}", recipe, {}, toy_code, train))[0]
    return state["w"].reshape(*shape, m, n), torch.tensor(history["loss"]).reshape(shape)


w_20, _ = train_toys(20, 5, [0.7, 1.0], 2, SPARSITIES)
w_5, _ = train_toys(5, 2, [0.9, 1.0], 6, SPARSITIES)

# %% [markdown]
# ### Twenty features in five dimensions

# %%
shown = [0.0, 0.7, 0.9, 0.99, 0.999]
fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 3.4), height_ratios=[1, 0.8], sharey="row")
for (ax, bars), s in zip(axes.T, shown, strict=True):
    w = w_20[0, SPARSITIES.index(s), 0]
    picture = plotting.signed_map(ax, w.T @ w, 1.2)
    ax.set(title=f"S = {s:g}", xticks=[0, 19], xticklabels=[1, 20], yticks=[0, 19], yticklabels=[1, 20])
    shade = plt.get_cmap("viridis")(sp.interference(w).clamp(max=1).numpy())
    bars.barh(range(1, 21), w.norm(dim=0), color=shade, height=0.8)
    bars.set(xlim=(0, 1.35), ylim=(20.6, 0.4), yticks=[1, 20], xlabel=r"$\|W_i\|$")
axes[0, 0].set_ylabel("feature")
axes[1, 0].set_ylabel("feature")
fig.colorbar(picture, ax=axes[0], label="$W^T W$", shrink=0.9)
fig.colorbar(plt.cm.ScalarMappable(plt.Normalize(0, 1), "viridis"), ax=axes[1], label="superposition", shrink=0.9)
results.save_figure(
    fig, "toy_maps", alt="Products of weights and norms of twenty features in five dimensions at five sparsities."
)

# %% [markdown]
# **Figure `toy_maps`.** Twenty features in five dimensions, $I_i = 0.7^i$, from dense (left) to very sparse (right).
# Above, $W^T W$: on the diagonal what is represented, blue beside it the opposite partner of a digon. Below, the
# length of each feature, and as colour its superposition $\sum_{j \ne i} (\hat W_i \cdot W_j)^2$, cut at 1. Dense,
# the five most important features get one dimension each and nothing else is kept; with sparsity, more features
# share.

# %% [markdown]
# ### Five features in two dimensions: digons, triangles, pentagons
#
# The fraction of a dimension that a feature has, $D_i = \|W_i\|^2 / \sum_j (\hat W_i \cdot W_j)^2$, tells the figures
# apart: 1 for a feature alone on its axis, 2/3 in a triangle, 1/2 in a digon (two opposite features on one axis), 2/5
# in a pentagon. By hand for one model, then for all of them the tested `geometry`, which asks for each $D_i$ within
# 0.1 of the ideal.

# %%
w = w_5[1, -2, 0]
unit = w / w.norm(dim=0)
by_hand = [w[:, i].square().sum() / sum((unit[:, i] @ w[:, j]) ** 2 for j in range(5)) for i in range(5)]
assert torch.allclose(torch.stack(by_hand), sp.dimensionality(w), atol=1e-5)

names = [*sp.GEOMETRIES, "other"]
shapes = [[[sp.geometry(w) for w in seeds] for seeds in kind] for kind in w_5]  # [decay sparsity seed]
counts = np.array([[[seeds.count(name) for name in names] for seeds in kind] for kind in shapes])

# %%
examples = [0.0, 0.3, 0.7, 0.9, 0.99]
decays = ["$I_i = 0.9^i$", "$I_i = 1$"]


def draw_examples(figure):
    """For each importance and some sparsities, a model of the geometry most frequent among its seeds."""
    axes = figure.subplots(2, 5, sharex=True, sharey=True)
    for k, i in np.ndindex(2, 5):
        ax, found_here = axes[k, i], shapes[k][SPARSITIES.index(examples[i])]
        usual = max(found_here, key=found_here.count)
        w = w_5[k, SPARSITIES.index(examples[i]), found_here.index(usual)]
        for j, (px, py) in enumerate(w.T.tolist()):
            ax.plot([0, px], [0, py], "-", color=plotting.OKABE_ITO[j])
            ax.plot(px, py, "o", color=plotting.OKABE_ITO[j], markersize=4)
        ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_title(f"S = {examples[i]:g}, {decays[k]}\n{usual}")


# %%
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 5.9))
upper, lower = fig.subfigures(2, 1, height_ratios=[1.5, 1])
draw_examples(upper)
colours_5 = [*plotting.OKABE_ITO[:5], "0.75"]
for ax, decay, kind in zip(lower.subplots(1, 2, sharey=True), decays, counts, strict=True):
    bottom = np.zeros(len(SPARSITIES))
    for name, number, colour in zip(names, kind.T, colours_5, strict=True):
        ax.bar(range(len(SPARSITIES)), number, bottom=bottom, color=colour, label=name, width=0.85)
        bottom += number
    ax.set_xticks(range(len(SPARSITIES)), [f"{s:g}" for s in SPARSITIES], rotation=45)
    ax.set(xlabel="sparsity S", title=decay)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
lower.axes[0].set_ylabel("models (of 6 seeds)")
results.save_figure(
    fig, "toy_geometry", alt="Five features in the plane at five sparsities, and how often each figure occurs."
)

# %% [markdown]
# **Figure `toy_geometry`.** Five features in two dimensions. Above, one model for each of five sparsities, with the
# geometry most frequent among its six seeds: falling importance (first row) and equal importance (second row). Below,
# how many of the six seeds end in which figure. Equal importance shows the change triangle, digons, pentagon as
# sparsity grows; with falling importance the dense model keeps the two most important features at a right angle
# ("pair"). "Other" at S = 0 and equal importance is no accident: there any plane is as good as any other, and
# features share it in any way.

# %%
at = {name: SPARSITIES.index(s) for name, s in (("dense", 0.0), ("third", 0.3), ("half", 0.7), ("sparse", 0.99))}
results.record("toy_pair_dense", int(counts[0, at["dense"], names.index("pair")]))
results.record("toy_triangle", int(counts[1, at["third"], names.index("triangle")]))
results.record("toy_digons", int(counts[1, at["half"], names.index("digons")]))
results.record("toy_pentagon", int(counts[1, at["sparse"], names.index("pentagon")]))
per_dimension_20 = sp.features_per_dimension(w_20).mean(-1)  # [decay sparsity]
results.record("toy_per_dimension_dense", per_dimension_20[1, 0].item())
results.record("toy_per_dimension_sparse", per_dimension_20[1, -1].item())
results.record("toy_per_dimension_weighted", per_dimension_20[0, -1].item())
results.record("toy_d_star_dense", 1 / per_dimension_20[1, 0].item())
results.record("toy_d_star_sparse", 1 / per_dimension_20[1, -1].item())

# %%
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.7))
dense = 1 / (1 - np.array(SPARSITIES))
curves = {
    "n = 20, m = 5, $I_i = 1$": w_20[1],
    "n = 20, m = 5, $I_i = 0.7^i$": w_20[0],
    "n = 5, m = 2, $I_i = 1$": w_5[1],
}
for name, w in curves.items():
    values = sp.features_per_dimension(w).mean(-1)
    axes[0].plot(dense, values, ".-", label=name)
    axes[1].plot(dense, 1 / values, ".-", label=name)
axes[0].set(ylabel="features per dimension", ylim=(0, None))
axes[1].set(ylabel="dimensions per feature $D^*$", ylim=(0, None))
for ax in axes:
    ax.set(xscale="log", xlabel="1 / (1 − S)")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
results.save_figure(
    fig, "features_per_dimension", alt="Features per dimension rise with sparsity in three kinds of toy model."
)

# %% [markdown]
# **Figure `features_per_dimension`.** Left: features per dimension, $\|W\|_F^2 / m$, against sparsity (logarithmic in
# the fraction of active inputs); right its inverse, the $D^*$ that Elhage and others plot. Means over 2 seeds (n =
# 20) and 6 seeds (n = 5). All three rise from one feature per dimension. With equal importance, curves rest near two,
# $D^* = 1/2$: the digons.

# %% [markdown]
# ## Where the MNIST features sit
#
# The seed sets "sparsity = 0". Measured, the 49 features are far from dense: each is 0 on a good part of the images.
# So the proper question is which synthetic sparsity they resemble. The same toy model, $m = 2$ and equal importance,
# is trained
#
# - on the **MNIST features** of the five further seeds;
# - on the same features **shuffled**: each feature permuted over the images by itself, which keeps its sparsity and
#   its values and destroys all correlation between features;
# - on **synthetic** features, $n = 49$, over the grid of sparsities and at exactly the sparsity measured.

# %%
measured_s = round((sets == 0).float().mean().item(), 4)
grid = sorted([*SPARSITIES, measured_s])
wide_config = replace(toy_config, batch_size=256)  # n = 49 costs ten times what n = 5 costs
w_49, loss_49 = train_toys(49, 2, [1.0], 2, grid, wide_config)
w_49, loss_49 = w_49[0], loss_49[0]  # [sparsity seed hidden feature], [sparsity seed]
some = sets[:, : 20_000 if not QUICK else rows]
shuffle = torch.Generator().manual_seed(SEED)
by_itself = torch.rand(some.shape, generator=shuffle).argsort(1)
shuffled = some.gather(1, by_itself)
assert torch.allclose(shuffled.mean(1), some.mean(1), atol=1e-4)


def train_on_features():
    model = sp.ToyModel(49, 2, 2 * N_SEEDS, SEED)
    source = sp.row_source(torch.cat([some, shuffled]))
    losses = sp.train_toy(model, source, torch.ones(49), wide_config, SEED)
    return model.state_dict(), {"loss": losses.tolist()}


recipe = (short, wide_config, SEEDS, rows)
code = [sp.FeatureNet, *toy_code]
run = training.Run("05-toy-mnist", recipe, images.files, code, train_on_features)
state, history = training.cached(run)[0]
w_mnist, w_shuffled = state["w"].reshape(2, N_SEEDS, 2, 49)

# %%
synthetic_s = torch.tensor(grid)[:, None]
variance = (1 - synthetic_s) / 3 - ((1 - synthetic_s) / 2) ** 2  # of a synthetic feature
explained_49 = 1 - loss_49 / variance  # [sparsity seed]; 0: no better than each feature's mean
of_features = torch.tensor(history["loss"]).reshape(2, N_SEEDS)
explained_mnist, explained_shuffled = 1 - of_features / some.var(1, correction=0).mean(1)
here = grid.index(measured_s)
kinds = {
    "mnist": (w_mnist, explained_mnist),
    "shuffled": (w_shuffled, explained_shuffled),
    "synthetic": (w_49[here], explained_49[here]),
}
for kind, (w, explained) in kinds.items():
    results.record(f"{kind}_per_dimension", sp.features_per_dimension(w).mean().item())
    results.record(f"{kind}_represented", (w.norm(dim=-2) > 0.5).float().sum(-1).mean().item())
    results.record(f"{kind}_interference", sp.interference(w).mean().item())
    results.record(f"{kind}_explained", explained.mean().item())
curve = sp.features_per_dimension(w_49).mean(-1).numpy()  # [sparsity]
level = sp.features_per_dimension(w_mnist).mean().item()
results.record("mnist_equal_sparsity", np.interp(level, np.maximum.accumulate(curve), grid))

# %%
fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.7))
s_sets = (some == 0).float().mean((1, 2))
for ax, measure in zip(axes, (sp.features_per_dimension, lambda w: sp.interference(w).mean(-1), None), strict=True):
    on_grid = explained_49 if measure is None else measure(w_49)
    ax.plot(grid, on_grid.mean(-1), ".-", color=plotting.BLACK, label="synthetic features")
    for (w, explained), colour, marker in zip(kinds.values(), (plotting.VERMILLION, plotting.BLUE), "ox"):  # noqa: B905
        values = explained if measure is None else measure(w)
        name = "MNIST features" if marker == "o" else "MNIST features, each shuffled"
        ax.plot(s_sets, values, marker, color=colour, label=name, markersize=4, fillstyle="none")
    ax.set_xlabel("sparsity S")
axes[0].set(ylabel="features per dimension", ylim=(0, None))
axes[1].set(ylabel="superposition, mean over features", ylim=(0, None))
axes[2].set(ylabel="explained share of the variance", ylim=(0, None))
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
results.save_figure(
    fig, "mnist_among_synthetic", alt="Features per dimension, superposition and explained variance against sparsity."
)

# %% [markdown]
# **Figure `mnist_among_synthetic`.** The 49 MNIST features of five seeds (circles), the same features each shuffled
# by itself (crosses), and synthetic features of known sparsity (black, means of two seeds), all in the same toy model
# with m = 2. In the features per dimension and in superposition the MNIST features lie on the synthetic curve, at its
# dense end. In what the plane explains of their variance they lie far above: they are correlated, and shuffling takes
# that away.

# %% [markdown]
# ## What we found

# %%
rows_found = [
    ("classifier: accuracy after 10 epochs", "accuracy_final", "0.9653"),
    ("autoencoder: last batch, epoch 1", "last_batch_1", "0.2728"),
    ("autoencoder: last batch, epoch 20", "last_batch_20", "0.1584"),
    ("autoencoder: all images, epoch 20", "mse_20", "not given"),
    ("the same with each feature's mean instead", "mse_mean_only", "not given"),
    ("sparsity of the 49 features, mean", "sparsity", "said to be 0"),
    ("importance within 15° of two rays", "gathered_two", '"around 2 features"'),
    ("the same, encoder columns", "gathered_two_columns", "not given"),
    ("the same, random angles", "gathered_two_random", "not given"),
    ("the same, mean of 6 seeds", "seeds_gathered_mean", "one seed"),
    ("seeds of 6 with 0.8 or more near two rays", "seeds_count", "one seed"),
    ("importance and encoder norm, correlation", "norm_correlation", "higher with importance"),
    ("importance and decoder bias, correlation", "bias_correlation", "larger as importance falls"),
    ("toy, S = 0.3, I = 1: triangles of 6", "toy_triangle", "not done"),
    ("toy, S = 0.7, I = 1: two digons of 6", "toy_digons", "not done"),
    ("toy, S = 0.99, I = 1: pentagons of 6", "toy_pentagon", "not done"),
    ("toy n = 20, m = 5: features per dimension, S = 0", "toy_per_dimension_dense", "not done"),
    ("toy n = 20, m = 5: features per dimension, S = 0.999", "toy_per_dimension_sparse", "not done"),
    ("MNIST features per dimension", "mnist_per_dimension", "not done"),
    ("sparsity at which synthetic features have as many", "mnist_equal_sparsity", "not done"),
    ("variance two dimensions explain: MNIST", "mnist_explained", "not done"),
    ("variance two dimensions explain: shuffled", "shuffled_explained", "not done"),
]

# %%
results.findings(rows_found)

# %% [markdown]
# ## Where the seed differs
#
# - **The bias is drawn the wrong way round.** The seed sorts encoder, decoder and bias by importance and then
#   reverses the bias alone. Its "larger b as importance is reduced" is the reversal: the correlation of bias and
#   importance is positive in all six seeds (about 0.2 to 0.6).
# - **The directions share an offset.** $\tanh(b_{enc})$ is in each of them; the importance-weighted mean direction
#   has a cosine above 0.9 with it. Without it the columns hold no more of the importance near the best two rays than
#   random angles do: about 0.4 of it in either case, over six seeds. So the features gather only as much as the offset
#   outweighs the columns, in some of the six seeds to 0.8 or more near two rays (two, three and four of them on three
#   processors: several lie near 0.8, and rounding decides).
# - **The order of events is not the seed's.** "In the middle random, then gradually into 2 dim": here, in seed 0, all
#   importance starts within two rays and 0.5 to 0.6 of it is left there after epoch 20.
# - **The features are not dense.** "Sparsity = 0" is not set by anything: a feature is 0 on 44 % of the images on
#   average, between 10 % and always (one feature never fires).
# - **"Cos sim: around 0" is about lengths.** The quantity is a sum of squared inner products, and the encoder's
#   columns are short; the mean squared cosine between them is about 1/2, which is what random directions in a
#   plane give. For the decoder, whose values the seed computes and does not draw, the mean is above 10.
# - **Twenty epochs at $10^{-4}$ stop early.** The error after epoch 20 is about 3 % below that of replacing each
#   feature by its mean. Elhage's model on such features explains 37 % of their variance with as many dimensions.
# - The division by the sum of importances cancels in the scaling to 0..1; and with equal importances or a sum of 0 or
#   below the seed divides by zero or turns the order round. Both are guarded here, as are directions of length 0.
#
# ## Beyond the seed
#
# In the toy model, with equal importance, five features in a plane form a triangle in 4 of 6 seeds at S = 0.3, two
# digons in 4 of 6 at 0.7, a pentagon in 6 of 6 at 0.99; with importance $0.9^i$ the dense model keeps a pair at a
# right angle in 6 of 6. Twenty features in five dimensions go from 1.00 to 5.97 features per dimension (equal
# importance) and to 2.93 ($0.7^i$).
#
# The MNIST features have 1.1 features per dimension, as they have when shuffled, where synthetic ones of the sparsity
# measured have 1.2: by that number they resemble synthetic features of sparsity 0.38. But no single feature is longer
# than 0.5 in any of the five models. What the plane holds of them is not two features, but what many features
# have in common: it explains 37 % of the variance, and 4.7 % once each feature is shuffled by itself. That is what
# principal components do with dense, correlated data. Superposition in the sense of Elhage and others, single
# features that share directions because they rarely meet, needs sparser features than these.
#
# ## Limits
#
# - The further seeds share the order of batches with each other, their classifiers have 3 epochs instead of 10, and
#   the toy models a fifteenth of Elhage's samples (n = 49: a thirtieth); two to six seeds each.
# - Instances of a toy model see common random numbers, thinned to their sparsity: comparisons between sparsities are
#   sharper for it, but their errors are not independent.
# - "Near two rays" depends on the 15° chosen, a triangle on the tolerance of 0.1 in $D_i$ and on the length of 0.5
#   from which a feature counts. Both are parameters.
# - The toy model's equal importance matches the autoencoder's plain squared error, not the importance measured.
#
# ## References
#
# - Elhage, Hume, Olsson and others (2022), *Toy Models of Superposition*, [arXiv
#   2209.10652](https://arxiv.org/abs/2209.10652).
# - Kingma and Ba (2014), *Adam: a method for stochastic optimization*, [arXiv
#   1412.6980](https://arxiv.org/abs/1412.6980).
# - LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to document recognition*, Proceedings
#   of the IEEE 86, 2278 (MNIST).

# %%
results.finish()
