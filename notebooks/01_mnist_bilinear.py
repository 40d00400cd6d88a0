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
# # 1. A two-layer bilinear MLP on MNIST, read from its weights
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/01_mnist_bilinear.ipynb)
#
# **Claim.** A multilayer perceptron whose non-linearity is an elementwise product recognises MNIST's digits, and each of its outputs is exactly a
# quadratic form whose eigenvectors are pen strokes, computed from the weights alone. Adding a digit's stroke pattern to images of other digits makes
# the network call many of them that digit (figure `opening`). Weight decay makes the forms low in rank, not noise; noise makes their first eigenvector sufficient (figure `grid`).
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below,
# and its follow-up, [arXiv 2410.08417](https://arxiv.org/abs/2410.08417), "the follow-up paper".
#
# **Among the five.** This notebook and [02](02_tinystories.ipynb) read features off weights by the same eigendecomposition. The models differ:
# a classifier here, a transformer that tells stories there. [03](03_mnist_sae.ipynb) takes superposed features apart, [04](04_dihedral_fourier.ipynb)
# reads a network whose task has an exact theory, and [05](05_toy_superposition.ipynb) asks when a network packs more features than it has dimensions.

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
MODE = "full"  # "quick" trains on 10,000 images for 3 epochs instead of 64, and draws one digit's panels only
SEED = 0
DIGIT = 9  # the class whose eigenvectors are shown here; those of the others are in figures/
DEVICE = "cpu"  # "cuda" where there is a GPU: it trains there; the analysis runs on the CPU

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from einops import einsum, rearrange
from plotly.subplots import make_subplots
from torch import Tensor
from torch.nn import functional as F

from paper_utils import bilinear, data, plotting, results, runs, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

training.check_device(DEVICE)
if DIGIT not in range(10):
    raise ValueError(f"DIGIT is {DIGIT!r}: must be a whole number in 0..9, as in DIGIT = 9")
plt.rcParams.update(plotting.STYLE | {"savefig.dpi": 200})
QUICK = MODE == "quick"
SEEDS = [1, 2] if QUICK else [1, 2, 3]  # of the shorter trainings

# %% [markdown]
# ## The finding in one picture
#
# The data are 60,000 training and 10,000 test images of 28 × 28 pixels, each pixel between 0 (paper) and 1 (ink): one row of 784 numbers per image.
# Five models are trained here, side by side, and kept as safetensors under `build/weights/`: a second run loads them. One has the paper's recipe of 64 epochs;
# the others, among them one with a single layer and one without noise, have a schedule of 12 epochs.

# %%
images = data.load_mnist()
if QUICK:
    images = images.first(10_000)
train_x, test_x, test_y = images.train_x, images.test_x, images.test_y
results.begin("01_mnist_bilinear", mode=MODE, seeds=[SEED, *SEEDS], data=images)

config = BilinearConfig()
recipe = BilinearRecipe(warmup=1, decay=2, constant=0) if QUICK else BilinearRecipe()
short = recipe if QUICK else BilinearRecipe(decay=6, constant=4)
plain = replace(config, input_noise=0.0, layer_noise=0.0)
calls = [(config, recipe, SEED), *((config, short, seed) for seed in SEEDS)]
calls += [(plain, short, SEEDS[0]), (replace(config, n_layers=1), short, SEEDS[0])]
trained = runs.cached(bilinear.train, [(BilinearMLP(c, s).to(DEVICE), r, s) for c, r, s in calls], data=images)
model, *noisy_models, plain_model, one_layer = (each.cpu().eval().requires_grad_(False) for each, _ in trained)
history = trained[0][1]

patterns = bilinear.class_features(model)[:, 0]  # [digit pixel], each of unit norm, from the weights alone
victim = test_x[(test_y == 3).nonzero()[0, 0]]
pushed = victim + 6 * patterns
called = model(pushed).argmax(1)


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def signed(ax: plt.Axes, vector: Tensor, vmax: float) -> plt.cm.ScalarMappable:
    """Draw a pixel vector red and blue; a dot marks each pixel that is clipped at vmax."""
    picture = vector.reshape(28, 28)
    rows, columns = (picture.abs() > vmax).nonzero(as_tuple=True)
    ax.plot(columns, rows, ".", color="black", markersize=0.8)
    return plotting.signed_map(ax, picture, vmax)


fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 2.0))
for c in range(10):
    mapped = signed(axes[0, c], patterns[c], 0.2)
    axes[0, c].set_title(f"for {c}")
    axes[1, c].imshow(pushed[c].reshape(28, 28), cmap="gray_r", vmin=-0.5, vmax=1.5)
    axes[1, c].set(xticks=[], yticks=[])
    good = {"color": plotting.VERMILLION, "weight": "bold"} if called[c] == c else {"color": "0.3"}
    axes[1, c].set_title(f"called {called[c]}", **good)
axes[0, 0].set_ylabel("pattern")
axes[1, 0].set_ylabel("a 3, plus\n6 × pattern")
fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)
alt = "Ten red-blue stroke patterns, one for each digit; below each the same handwritten 3 with the pattern added, and the digit that the network then names: mostly the pattern's digit."
results.save_figure(fig, "opening", alt=alt)

# %% [markdown]
# **Figure `opening`.** Above: for each digit one pattern of unit norm, made from the weights alone. Below: one test image of a 3 with six times the pattern added, and what the
# network calls it, in colour where it is the pattern's digit. Dots mark pixels that are clipped by the colour scale, here and below. (Compare Figure 7 of the follow-up paper.)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 3, figsize=(3.4, 2.5))
for ax, pixels, label in zip(axes.flat, test_x, test_y, strict=False):
    plotting.grey_image(ax, pixels)
    ax.set_title(f"label {label.item()}")
alt = "Six handwritten digits, the first of the test set, in two rows of three."
results.save_figure(fig, "sample_digits", alt=alt)

# %% [markdown]
# **Figure `sample_digits`.** The first six images of the test set, with their labels.
#
# ## Model
#
# A bilinear layer multiplies two linear maps of the same input, element by element, where a usual layer applies ReLU to one:
#
# $$h_0 = W_e x, \qquad h_i = (L_i h_{i-1}) \odot (R_i h_{i-1}), \qquad \text{logits} = W_u h_2 .$$
#
# No biases, no residual connection, no normalisation. In training, every pixel gets Gaussian noise of standard deviation 0.33, and so does every layer's
# output, there in units of the batch's own standard deviation.
#
# | symbol | shape | meaning |
# | --- | --- | --- |
# | $x$ | 784 | pixels |
# | $W_e$, $W_u$ | 300 × 784, 10 × 300 | embedding, read-out |
# | $L_i$, $R_i$ | 300 × 300 | the two maps of layer $i$ |
# | $B_c$, $\lambda_i$, $v_i$ | 300 × 300, number, 300 | form of digit $c$ in $h_1$, its eigenvalues and eigenvectors |
# | $\mu_j$, $p_j$ | number, 784 | eigenvalues and pixel vectors of one $v$, seen through layer 1 |
#
# ## Training
#
# Cross entropy, AdamW with the strong weight decay of 0.5, batches of 100. The learning rate rises over two epochs, is halved every second
# epoch for twelve, and stays at 1/64 of its peak for fifty.

# %%
results.record(test_accuracy=model.accuracy(test_x, test_y), train_loss=history["loss"][-1])
print(f"test accuracy after {recipe.epochs} epochs: {model.accuracy(test_x, test_y):.4f}")
{name: tuple(weight.shape) for name, weight in model.named_parameters()}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
curves = {"training loss (nats)": history["loss"], "test error": 1 - np.array(history["test_accuracy"])}
curves["learning rate"] = history["lr"]
fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.1))
for ax, (label, values) in zip(axes, curves.items(), strict=True):
    ax.plot(np.arange(1, recipe.epochs + 1), values, ".-", markersize=3)
    ax.set(xlabel="epoch", ylabel=label, yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
alt = "Three curves over epochs on logarithmic axes: the training loss and the test error fall and level off, the learning rate rises for two epochs, steps down for twelve and stays constant."
results.save_figure(fig, "training_curves", alt=alt)

# %% [markdown]
# **Figure `training_curves`.** Training loss (mean over an epoch's batches, with noise), share of the test images that are misread (without noise), learning rate; all on logarithmic axes.
# The network learns nearly all while the rate is high.
#
# ### Beside a usual network
#
# `sweeps/01_mnist_bilinear_models.py` trains a single bilinear layer and a usual MLP with two ReLU layers and as many weights as the two-layer model, six runs each,
# on the schedule of 12 epochs with the same noise and decay. The six runs of the two-layer model are those of `sweeps/01_mnist_bilinear.py` at this noise and decay.

# %%
grid, width = results.read_sweep("01_mnist_bilinear"), results.read_sweep("01_mnist_bilinear_width")
others = results.read_sweep("01_mnist_bilinear_models")
paper = grid.query("noise == 0.33 and weight_decay == 0.5")  # the paper's noise and decay, six runs
T975 = 2.571  # Student's t of a 95 % interval with 5 degrees of freedom


def interval(runs: pd.Series) -> tuple[float, float]:
    """The 95 % t-interval of the mean of six runs."""
    assert len(runs) == 6, f"T975 is for six runs, got {len(runs)}"
    half = T975 * runs.std() / 6**0.5
    return runs.mean() - half, runs.mean() + half


accuracy = pd.concat([paper.assign(model="two bilinear layers"), others])[["model", "test_accuracy"]]
by_model = accuracy.groupby("model").test_accuracy
results.record(**{f"accuracy_{name.replace(' ', '_')}": runs.mean() for name, runs in by_model})
results.record(
    relu_ahead=by_model.get_group("two ReLU layers").mean() - by_model.get_group("two bilinear layers").mean()
)
by_model.agg(["mean", "std", "count"])

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 1.7))
order = ["one bilinear layer", "two bilinear layers", "two ReLU layers"]
sns.swarmplot(accuracy, x="test_accuracy", y="model", order=order, size=4, color=plotting.BLUE, ax=ax)
means = {"linestyle": "none", "marker": "|", "markersize": 14, "color": plotting.VERMILLION}
sns.pointplot(accuracy, x="test_accuracy", y="model", order=order, errorbar=interval, capsize=0.2, ax=ax, **means)
ax.set(xlabel="test accuracy after 12 epochs", ylabel="")
alt = "Test accuracy of six training runs each of one bilinear layer, two bilinear layers and two ReLU layers, as dots with their means and intervals."
results.save_figure(fig, "models", alt=alt)

# %% [markdown]
# **Figure `models`.** Test accuracy of each training run (dots), the mean, and its 95 % t-interval over six runs.
#
# ## One layer: eigenvectors straight in pixels
#
# With one bilinear layer, the logit of digit $c$ is a quadratic form in the pixels themselves, $\text{logit}_c = \sum_j \mu_j (p_j \cdot x)^2$, with orthonormal pixel vectors $p_j$.
# This is the follow-up paper's first result (its Figure 3). Signs are fixed by one rule, used throughout this notebook and tested (`bilinear.fix_signs`): $p$ and $-p$ are
# the same eigenvector, and we take the one with more power above zero than below, $\sum_i p_i |p_i| > 0$. No image is needed for it.

# %%
forms = bilinear.interaction_tensor(one_layer.w_u, one_layer.w_l[0], one_layer.w_r[0])
one_values, one_vectors = bilinear.pixel_eigendecompose(forms, one_layer.w_e)
one_vectors = bilinear.fix_signs(one_vectors, one_vectors)
by_parts = (einsum(test_x[:100], one_vectors, "n pixel, c pixel j -> n c j").square() * one_values).sum(2)
assert torch.allclose(by_parts, one_layer(test_x[:100]), rtol=1e-3, atol=1e-3)


def mean_activation(p: Tensor, mu: Tensor) -> Tensor:
    """The mean of mu_j (p_j . x)^2 over the training images, for pixel vectors p [pixel j]."""
    return mu * (train_x @ p).square().mean(0)


# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 2.35))
for c in range(10):
    for ax, j in zip(axes[:, c], (-1, 0), strict=True):
        mapped = signed(ax, one_vectors[c, :, j], 0.2)
        mean = mean_activation(one_vectors[c, :, [j]], one_values[c, [j]]).item()
        ax.set_title(f"{'digit ' + str(c) if j else ''}\n{one_values[c, j]:+.2f}\nmean {mean:+.1f}", fontsize=7, pad=2)
axes[0, 0].set_ylabel("most positive")
axes[1, 0].set_ylabel("most negative")
fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)
alt = "Two rows of ten red-blue pixel vectors with their eigenvalues and mean activations: each digit's most positive eigenvector looks like strokes of the digit, red against blue."
results.save_figure(fig, "one_layer", alt=alt)

# %% [markdown]
# **Figure `one_layer`.** Each digit's most positive and most negative eigenvector in a model of one bilinear layer, with eigenvalue $\mu_j$ and mean activation $\mu_j (p_j \cdot x)^2$
# over the training images. (Compare Figure 3 of the follow-up paper.)
#
# **How to read a red-blue map.** The activation is a square, so it is interference and no heat map. Ink on the red pixels alone activates the vector, ink on the blue pixels alone activates it as well,
# and ink on both cancels. A vector thus asks: is there ink *here or there, but not in both places*?

# %% tags=["hide-input"] jupyter={"source_hidden": true}
p, mu_p = one_vectors[DIGIT, :, -1], one_values[DIGIT, -1]
red, blue = (p > 0.05).float(), (p < -0.05).float()
red, blue = red * (p @ blue).abs() / (p @ red), blue  # so that both weigh alike
inks = {"red only": red, "blue only": blue, "both": red + blue}
heights = [(mu_p * (p @ ink).square()).item() for ink in inks.values()]
fig, axes = plt.subplots(1, 4, figsize=(4.6, 1.5))
signed(axes[0], p, 0.2)
axes[0].set_title(f"digit {DIGIT}, $\\mu$ {mu_p:+.2f}")
for ax, (name, ink), height in zip(axes[1:], inks.items(), heights, strict=True):
    ax.imshow(ink.reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=f"ink on {name}:\nactivation {height:.1f}")
alt = "A red-blue pixel vector and three made-up images: ink on its red pixels and ink on its blue pixels activate it alike, ink on both gives an activation of zero."
results.save_figure(fig, "interference", alt=alt)

# %% [markdown]
# **Figure `interference`.** The most positive vector of the chosen digit, and its activation on three made-up images: ink on its red pixels (made lighter or darker so that both weigh alike), on its blue pixels, on both.
#
# ## The interaction tensor of the second layer
#
# In the two-layer model, the second layer and the read-out together are a quadratic form in $h_1$:
#
# $$\text{logit}_c = \sum_h W_u[c,h]\,(L_2[h] \cdot h_1)(R_2[h] \cdot h_1) = h_1^\top B_c\, h_1, \qquad
# B_c = \sum_h W_u[c,h]\; \tfrac12\!\left(L_2[h] R_2[h]^\top + R_2[h] L_2[h]^\top\right).$$
#
# Only the symmetric part of a matrix counts in a form, so $B_c$ is made symmetric. First once by hand, with the letters of the equation;
# then by the tested function. A symmetric matrix has orthonormal eigenvectors $v_i$, so
#
# $$\text{logit}_c = \sum_i \lambda_i (v_i \cdot h_1)^2 .$$
#
# A large $|v_i \cdot h_1|$, of either sign, raises the logit where $\lambda_i > 0$ and lowers it where $\lambda_i < 0$.

# %%
by_hand = torch.stack([model.w_l[1].T @ torch.diag(model.w_u[c]) @ model.w_r[1] for c in range(10)])
by_hand = (by_hand + by_hand.transpose(1, 2)) / 2
b2 = bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1])
assert (by_hand - b2).abs().max() < 1e-5 * b2.abs().max()

values2, vectors2 = bilinear.eigendecompose(b2)
h1 = model.hidden(test_x)[1]
projections = einsum(h1, vectors2, "image h, digit h i -> image digit i")
contributions, logits = projections**2 * values2, model(test_x)
error = ((contributions.sum(2) - logits).abs().max() / logits.abs().max()).item()
assert error < 1e-4
print(f"largest error of the eigenvector form, relative to the largest logit: {error:.1e}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for c in range(10):
    fig, ax = plt.subplots(figsize=(3.4, 2.4))
    plotting.spectrum(ax, values2[c])
    ax.set(xlabel="rank", ylabel=r"eigenvalue $\lambda$", title=f"layer 2, digit {c}")
    alt = f"The 300 eigenvalues of digit {c}'s interaction matrix in ascending order: a few negative, most near zero, a few positive."
    results.save_figure(fig, f"layer2_eigenvalues_{c}", alt=alt, show=c == DIGIT)

fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 2.9), sharex=True, sharey=True)
for c, ax in enumerate(axes.flat):
    plotting.spectrum(ax, values2[c])
    ax.set_title(f"digit {c}")
fig.supxlabel("rank", fontsize=8)
fig.supylabel(r"eigenvalue $\lambda$", fontsize=8)
alt = "Ten small spectra, one per digit: each has a few large positive and a few large negative eigenvalues, and many near zero."
results.save_figure(fig, "layer2_eigenvalues_all", alt=alt)

# %% [markdown]
# **Figure `layer2_eigenvalues_*`.** The eigenvalues of one digit's form, in ascending order. Few stand out from zero on either side. (Shown: the chosen digit; one file for each.)
#
# **Figure `layer2_eigenvalues_all`.** The same for all ten digits, on common axes.
#
# ## From an eigenvector to pixels
#
# A layer-2 eigenvector $v$ is a direction in the output of layer 1, and so again defines a quadratic form, now in $h_0 = W_e x$:
# $v \cdot h_1 = h_0^\top B^{(v)} h_0$. Its eigenvectors $u_j$ with eigenvalues $\mu_j$ are carried to pixels by $p_j = W_e^\top u_j$, and
#
# $$v \cdot h_1(x) = \sum_j \mu_j\,(p_j \cdot x)^2 ,$$
#
# so that $\mu_j (p_j \cdot x)^2$ is the *activation* of $p_j$ on an image. The rule for signs is the same at both places: of $v$ and $-v$ we take the one whose $\mu_j$ have more power above zero than below,
# $\sum_j \mu_j |\mu_j| > 0$; of $p_j$ and $-p_j$ the one with more power in red. (The original notebook flips two of digit 9's four $v$ by hand.)

# %%
RANKS = {-1: "most positive", -2: "second most positive", 0: "most negative", 1: "second most negative"}
EIGHT = [-1, -2, -3, -4, 0, 1, 2, 3]  # the four most positive and the four most negative


def most_active(p: Tensor, n: int = 3) -> Tensor:
    """The n training images [j n pixel] on which each pixel vector of p [pixel j] is most active."""
    return train_x[(train_x @ p).abs().topk(n, dim=0).indices.T]


panels = {c: bilinear.pixel_features(model, vectors2[c][:, [*RANKS]].T, "hidden") for c in range(10)}  # v, mu, p


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def draw_panel(c: int, rank: int, v: Tensor, mu: Tensor, p: Tensor) -> plt.Figure:
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 4.5), layout="none")
    left = fig.add_gridspec(2, 1, left=0.09, right=0.27, top=0.86, bottom=0.1, hspace=0.45)
    spectrum, bars = fig.add_subplot(left[0]), fig.add_subplot(left[1])
    plotting.spectrum(spectrum, mu)
    spectrum.set(xlabel="rank in layer 1", ylabel=r"eigenvalue $\mu_j$")
    own = model.w_u @ ((model.w_l[1] @ v) * (model.w_r[1] @ v))
    bars.bar(range(10), own, color=[plotting.POSITIVE if x > 0 else plotting.NEGATIVE for x in own])
    bars.axhline(0, color="0.3", linewidth=0.6)
    bars.set(xlabel="digit", ylabel="logit of $v$", xticks=range(10))
    for y, kind, chosen in ((0.475, "positive", EIGHT[:4]), (0.0, "negative", EIGHT[4:])):
        nearest, means = most_active(p[:, chosen]), mean_activation(p[:, chosen], mu[chosen])
        fig.text(0.31, y + 0.425, f"{kind} eigenvectors", fontsize=8, weight="bold")
        for column, x in enumerate(0.31 + 0.145 * np.arange(4)):
            ax = fig.add_axes((x, y + 0.12, 0.137, 0.213))
            mapped = signed(ax, p[:, chosen[column]], 0.25)
            ax.set_title(f"$\\mu$ {mu[chosen[column]]:+.2f}\nmean {means[column]:+.2g}", fontsize=7, pad=2)
            strip = fig.add_axes((x, y + 0.03, 0.137, 0.08))
            strip.imshow(rearrange(nearest[column], "n (h w) -> h (n w)", h=28), cmap="gray_r", vmin=0, vmax=1)
            strip.set_axis_off()
    bar = fig.add_axes((0.9, 0.595, 0.012, 0.213))
    fig.colorbar(mapped, cax=bar, ticks=[-0.25, 0, 0.25], label="weight of a pixel")
    lam = values2[c][rank]
    fig.suptitle(
        f"Digit {c}: its {RANKS[rank]} layer-2 eigenvector ($\\lambda$ {lam:+.3f}), seen through layer 1", fontsize=9
    )
    return fig


for c in [DIGIT] if QUICK else range(10):
    for i, panel in enumerate(zip(RANKS, *panels[c], strict=True)):
        alt = f"Digit {c}, its {RANKS[panel[0]]} layer-2 eigenvector: its spectrum in layer 1, the logits it produces, and its four most positive and four most negative pixel eigenvectors as red-blue images, each above the three training images that activate it most."
        results.save_figure(draw_panel(c, *panel), f"layer1_eigenvectors_{c}_{i}", alt=alt, show=c == DIGIT)

# %% [markdown]
# **Figure `layer1_eigenvectors_*`.** One layer-2 eigenvector $v$ of the chosen digit per panel (the other digits' panels are in `figures/`). Left: the spectrum of $v$'s own form in layer 1,
# and the logits that $v$ itself, put in place of $h_1$, would produce. Right: the pixel vectors $p_j$ of the four largest and the four smallest eigenvalues on one scale; above each its
# eigenvalue $\mu_j$ and its mean activation over the training set, below each the three training images on which it is most active.
#
# Page `eigenvector_browser` holds the same for all ten digits and their four eigenvectors: `build/interactive/01_mnist_bilinear/eigenvector_browser.html`. The arrow keys go from one to the next.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
page = make_subplots(1, 4, column_widths=[1, 3, 1, 3], horizontal_spacing=0.02)
stack, strip = "(j h w) -> (j h) w", "j n (h w) -> (j h) (n w)"
ink, weight = "ink %{z} %<extra></extra>", "pixel weight %{z:.2f}<extra></extra>"
steps, shown = [], [DIGIT] if QUICK else range(10)
for c in shown:
    for rank, _, mu, p in zip(RANKS, *panels[c], strict=True):
        ticks, first = {}, len(steps) == 0
        for side, chosen in enumerate((EIGHT[:4], EIGHT[4:])):
            maps = rearrange(p[:, chosen], "(h w) j -> (j h) w", h=28).numpy().astype(np.float32)
            photos = (rearrange(most_active(p[:, chosen]), strip, h=28) * 100).round().byte().numpy()
            signed_scale = {"colorscale": "RdBu_r", "zmin": -0.25, "zmax": 0.25, "hovertemplate": weight}
            grey = {"colorscale": "gray_r", "zmin": 0, "zmax": 100, "hovertemplate": ink}
            page.add_heatmap(z=maps, **signed_scale, visible=first, showscale=False, row=1, col=2 * side + 1)
            page.add_heatmap(z=photos, **grey, visible=first, showscale=False, row=1, col=2 * side + 2)
            means = mean_activation(p[:, chosen], mu[chosen])
            told = [f"μ {mu[j]:+.2f}<br>mean {m:+.2g}" for j, m in zip(chosen, means, strict=True)]
            ticks[f"yaxis{'3' if side else ''}.ticktext"] = told
        visible = [i // 4 == len(steps) for i in range(16 * len(shown))]
        name = f"digit {c}, {RANKS[rank]} layer-2 eigenvector (λ {values2[c][rank]:+.3f})"
        steps.append({"method": "update", "args": [{"visible": visible}, ticks], "label": name})
slider = {"steps": steps, "currentvalue": {"prefix": "", "font": {"size": 14, "color": "#222"}}, "pad": {"t": 50}}
slider |= {"font": {"color": "rgba(0,0,0,0)"}, "ticklen": 0, "minorticklen": 0}
page.update_layout(sliders=[slider], template="plotly_white", showlegend=False, width=1000, height=620, margin_l=90)
for col, title in enumerate(("positive", "most active on", "negative", "most active on"), 1):
    page.update_xaxes(title_text=title, side="top", showticklabels=False, showgrid=False, constrain="domain", col=col)
    page.update_yaxes(visible=col % 2 == 1, autorange="reversed", scaleanchor=f"x{col}", showgrid=False, col=col)
    ticks = steps[0]["args"][1].get(f"yaxis{'3' if col == 3 else ''}.ticktext") if col % 2 else None
    page.update_yaxes(tickvals=[14, 42, 70, 98], ticktext=ticks, constrain="domain", col=col)
results.save_page(
    page,
    "eigenvector_browser",
    alt="layer-2 eigenvectors of each digit: their pixel vectors, and the images that excite them",
)

# %% [markdown]
# ## One decision, explained to the last digit
#
# The logit of one image is a sum of 300 contributions $\lambda_i (v_i \cdot h_1)^2$, and nothing else. We take the first test image of the chosen digit and the two digits with the highest logits.
# For each we name the five contributions of largest size, and add up the other 295. Below each contribution stands the pixel vector $p_j$ of its $v_i$ that is most active on this image.

# %%
image = (test_y == DIGIT).nonzero()[0, 0]
FEW = 5
duel = []
for c in logits[image].topk(2).indices.tolist():
    parts = contributions[image, c]
    top = parts.abs().topk(FEW).indices
    rest = parts.sum() - parts[top].sum()
    _, mu, p = bilinear.pixel_features(model, vectors2[c][:, top].T)
    strongest = (mu * (test_x[image] @ p).square()).abs().argmax(1)
    duel.append((c, top, parts[top], rest, p[torch.arange(FEW), :, strongest]))
    assert torch.isclose(parts[top].sum() + rest, logits[image, c], rtol=1e-4, atol=1e-4)
sizes = contributions.abs().sort(dim=2, descending=True).values
few_share = (sizes[..., :FEW].sum(2) / sizes.sum(2)).mean().item()
results.record(few_share=few_share)
print(
    f"the {FEW} largest contributions hold {few_share:.0%} of a logit's summed sizes (mean over test images and digits)"
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 4.4), layout="none")
plotting.grey_image(fig.add_axes((0.01, 0.4, 0.14, 0.22)), test_x[image])
fig.text(0.08, 0.64, f"the image: a {DIGIT}", ha="center", fontsize=8)
span = [min(0, *(d[2].cumsum(0).min().item() for d in duel)), max(d[2].cumsum(0).max().item() for d in duel)]
span[1] = max(span[1], *(logits[image, d[0]].item() for d in duel))
for row, (c, top, parts, rest, maps) in enumerate(duel):
    bottom = 0.55 - 0.5 * row
    ax = fig.add_axes((0.24, bottom + 0.16, 0.74, 0.22))
    heights = [*parts.tolist(), rest.item()]
    starts = np.concatenate([[0], np.cumsum(heights)[:-1]])
    ax.bar(
        range(FEW + 1),
        heights,
        bottom=starts,
        width=0.6,
        color=[plotting.POSITIVE if h > 0 else plotting.NEGATIVE for h in heights],
    )
    ax.bar(FEW + 1, sum(heights), width=0.6, color="0.4")
    for i, h in enumerate([*heights, sum(heights)]):
        edge = max(starts[i], starts[i] + h) if i <= FEW else max(h, 0)
        ax.text(i, edge + 0.02 * (span[1] - span[0]), f"{h:+.2f}", ha="center", fontsize=7)
    ax.step(
        np.arange(-0.5, FEW + 2.5), [0, *np.cumsum(heights), sum(heights)], where="post", color="0.5", linewidth=0.5
    )
    ax.axhline(0, color="0.3", linewidth=0.6)
    names = [f"$\\lambda$ {values2[c][i]:+.3f}" for i in top] + [f"the other {300 - FEW}", f"logit of {c}"]
    ax.set(xlim=(-0.5, FEW + 1.5), xticks=range(FEW + 2), ylim=(span[0], span[1] * 1.12), ylabel="logit")
    ax.set_xticklabels(names)
    ax.set_title(f"digit {c}: {'the answer' if row == 0 else 'the runner-up'}", loc="left", weight="bold", y=1.04)
    for i, vector in enumerate(maps):
        mapped = signed(
            fig.add_axes((0.24 + 0.74 * (i + 0.5) / (FEW + 2) - 0.04, bottom - 0.02, 0.08, 0.125)), vector, 0.2
        )
fig.colorbar(
    mapped,
    cax=fig.add_axes((0.03, 0.12, 0.1, 0.015)),
    orientation="horizontal",
    ticks=[-0.2, 0, 0.2],
    label="weight (unit norm)",
)
alt = "Two waterfall charts for one image: five contributions and the sum of the others add up to the logit of the right digit and to that of the runner-up; below each contribution its pixel vector."
results.save_figure(fig, "decision", alt=alt)

# %% [markdown]
# **Figure `decision`.** The logits of one test image, added up: for the answer and the runner-up, five contributions $\lambda_i (v_i \cdot h_1)^2$, the sum of the others, and the logit. Each bar starts where the last one ends.
# Below: the pixel vector that is most active on this image within each contribution, clipped pixels dotted. The sums equal the logits (asserted to $10^{-4}$).
#
# ## How few eigenvectors suffice
#
# For each class only the $k$ eigenvectors with the largest $|\lambda|$ are kept in the second layer; the first layer stays whole. We count how many test images are read correctly,
# and, stricter, how many are read as the full model reads them.

# %%
KEPT = [1, 2, 3, 5, 10, 20, 50, 100, 300]
kept = [bilinear.truncated_logits(h1, values2, vectors2, k).argmax(1) for k in KEPT]
kept_accuracy = [(answer == test_y).double().mean().item() for answer in kept]
agreement = [(answer == logits.argmax(1)).double().mean().item() for answer in kept]
second_positive = [c for c in range(10) if values2[c][values2[c].abs().topk(2).indices[1]] > 0]
results.record(kept=KEPT, kept_accuracy=kept_accuracy, kept_agreement=agreement, agreement_10=agreement[KEPT.index(10)])
print("digits whose second eigenvector by |lambda| is positive:", second_positive)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for values, label, colour in (
    (kept_accuracy, "wrong", plotting.BLUE),
    (agreement, "unlike the full model", plotting.VERMILLION),
):
    ax.loglog(KEPT[:-1], 1 - np.array(values[:-1]) + 1e-9, "o-", markersize=4, color=colour)
    ax.annotate(
        label,
        (KEPT[-2], 1 - values[-2] + 1e-9),
        (6, 0),
        textcoords="offset points",
        color=colour,
        va="center",
        fontsize=7,
    )
ax.axhline(1 - model.accuracy(test_x, test_y), color="0.5", linestyle="--", linewidth=0.8)
ax.annotate(
    "the full model's error",
    (1, 1 - model.accuracy(test_x, test_y)),
    (0, -9),
    textcoords="offset points",
    color="0.4",
    fontsize=7,
)
ax.set(
    xlabel="eigenvectors kept per digit",
    ylabel="share of the test images",
    xticks=KEPT[:-1],
    xticklabels=KEPT[:-1],
    xlim=(0.9, 500),
    ylim=(5e-5, 0.06),
)
ax.minorticks_off()
alt = "Two falling curves on logarithmic axes: the share of test images read wrongly levels off at the full model's error from ten eigenvectors per digit on, the share read unlike the full model keeps falling."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Test images read wrongly, and read otherwise than by the full model, when every digit keeps only its $k$ eigenvectors of largest $|\lambda|$. (Compare Figure 20 of the follow-up paper.)
# The second eigenvector helps little, because it is not of one kind: it is negative for nearly all digits, but positive for those printed above. Their logits gain where the others lose, so these digits are called too often.
#
# ## What makes the rank low, noise or weight decay?
#
# The follow-up paper says both things about noise: that it gives "lower-rank" spectra (section 4.1), and that it increases the number of important eigenvectors while weight decay decreases it (appendix E).
# `sweeps/01_mnist_bilinear.py` trains six models for each of two noise levels and three weight decays, in 12 epochs. The *rank* is $(\sum_i |\lambda_i|)^2 / \sum_i \lambda_i^2$ of a digit's eigenvalues, mean over digits:
# it is $n$ for $n$ equal ones. Since equal seeds start from equal weights, the effect of a setting is the ratio within each seed.

# %%
ranks = grid.set_index(["noise", "weight_decay", "run"])["rank"]


def ratio_of(settings: dict[str, float], over: dict[str, float]) -> tuple[float, float, float]:
    """The rank under some settings over that under others: the mean ratio of the six seeds, with its interval."""
    a, b = (np.log(ranks[s["noise"], s["weight_decay"]].sort_index()) for s in (settings, over))
    low, high = interval(a - b)
    return np.exp((a - b).mean()), np.exp(low), np.exp(high)


effects = {}
for noise in (0.0, 0.33):
    name = "with noise" if noise else "without noise"
    effects[f"decay 0.5, {name}"] = ratio_of(
        {"noise": noise, "weight_decay": 0.5}, {"noise": noise, "weight_decay": 0.0}
    )
for decay in (0.0, 0.5, 1.0):
    effects[f"noise, at decay {decay:g}"] = ratio_of(
        {"noise": 0.33, "weight_decay": decay}, {"noise": 0.0, "weight_decay": decay}
    )
decays = [effect for name, effect in effects.items() if name.startswith("decay")]
noises = [effect for name, effect in effects.items() if name.startswith("noise")]
results.record(rank_by_decay=[e[0] for e in decays], rank_by_noise=[e[0] for e in noises])
results.record(
    rank_by_decay_high=max(e[2] for e in decays),
    rank_by_noise_low=min(e[1] for e in noises),
    rank_by_noise_high=max(e[2] for e in noises),
)
for name, (mean, low, high) in effects.items():
    print(f"{name}: multiplies the rank by {mean:.2f} (95 % interval {low:.2f} to {high:.2f}, six paired runs)")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
panels_of = {"rank": "rank", "test_accuracy": "test accuracy", "accuracy_1": "accuracy with\n1 eigenvector a digit"}
panels_of |= {"accuracy_10": "accuracy with\n10 eigenvectors a digit", "inkless": "power in\ninkless pixels"}
fig, axes = plt.subplots(2, 3, figsize=(plotting.TEXT_WIDTH, 3.8))
colours = {0.0: plotting.VERMILLION, 0.33: plotting.BLUE}
for ax, (column, label) in zip(axes.flat, panels_of.items(), strict=False):
    several = {
        "data": grid,
        "x": "weight_decay",
        "y": column,
        "hue": "noise",
        "palette": colours,
        "ax": ax,
        "legend": False,
    }
    sns.stripplot(**several, size=3, alpha=0.6, jitter=False, dodge=0.3)
    sns.pointplot(**several, errorbar=interval, capsize=0.15, dodge=0.3, linewidth=1, markersize=2)
    ax.set(xlabel="weight decay", ylabel=label)
axes[0, 0].text(0.6, 0.85, "noise 0.33", color=plotting.BLUE, transform=axes[0, 0].transAxes)
axes[0, 0].text(0.6, 0.73, "no noise", color=plotting.VERMILLION, transform=axes[0, 0].transAxes)
forest = axes[1, 2]
for y, (mean, low, high) in enumerate(effects.values()):
    forest.errorbar(mean, -y, xerr=[[mean - low], [high - mean]], fmt="o", markersize=4, capsize=3, color="black")
forest.axvline(1, color="0.6", linestyle="--", linewidth=0.8)
forest.set(
    yticks=-np.arange(len(effects)),
    xlabel="the rank is multiplied by",
    xscale="log",
    xticks=[0.25, 0.5, 1],
    xticklabels=["0.25", "0.5", "1"],
)
forest.set_yticklabels(effects)
forest.minorticks_off()
alt = "Five panels over weight decay with and without noise: rank falls steeply with decay and hardly differs by noise; accuracy is higher with noise, most of all with one eigenvector per digit; power in inkless pixels is low with noise. A sixth panel shows the ratios of the ranks with their intervals."
results.save_figure(fig, "grid", alt=alt)

# %% [markdown]
# **Figure `grid`.** Six training runs (dots) for each noise and weight decay, their mean and its 95 % t-interval. Last panel: by how much a setting multiplies the rank, with the 95 % t-interval over six pairs of runs of equal seed; left of the dashed line it lowers the rank.
# (The follow-up paper's grids in appendix E ask the same of one layer.)
#
# So weight decay makes the rank low. That settles the follow-up paper's contradiction for this model: its appendix E is right about decay, and section 4.1 is not right about noise. A reproduction by others comes to the same
# (openreview 6k7qRdz7rD: "weight decay, not noise, is the main driver of low rank"). What noise does is to make the first eigenvector sufficient, and to empty the pixels that never carry ink.
#
# ### Width
#
# `sweeps/01_mnist_bilinear_width.py` trains models of other widths, pairs of two from seeds of their own. For each pair we ask how alike both models are: the $|\cos|$ between the strongest patterns of equal digits,
# and what their four-dimensional spans share (mean squared cosine of the principal angles). The same between different digits is the baseline.

# %%
widths = pd.concat([width, paper.assign(d_hidden=300)])
per_pair = widths.drop_duplicates(["d_hidden", "seed"])  # both models of a pair carry the pair's similarity
widths.groupby("d_hidden")[["rank", "test_accuracy", "accuracy_1", "accuracy_10", "mask_rate", "similarity"]].mean()

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 4, figsize=(plotting.TEXT_WIDTH, 2.0))
single = {"x": "d_hidden", "size": 3, "jitter": False, "alpha": 0.6, "legend": False}
for ax, (column, label) in zip(
    axes,
    {"rank": "rank", "test_accuracy": "test accuracy", "accuracy_1": "accuracy with\n1 eigenvector a digit"}.items(),
    strict=False,
):
    sns.stripplot(widths, y=column, color=plotting.BLUE, ax=ax, **single)
    sns.pointplot(
        widths,
        x="d_hidden",
        y=column,
        errorbar=interval,
        capsize=0.15,
        linewidth=1,
        markersize=2,
        color=plotting.BLUE,
        ax=ax,
    )
    ax.set(xlabel="hidden width", ylabel=label)
for column, colour in (("similarity", plotting.BLUE), ("similarity_other_digits", "0.5")):
    sns.stripplot(per_pair, y=column, color=colour, ax=axes[3], **single)
    sns.pointplot(per_pair, x="d_hidden", y=column, errorbar=None, color=colour, linewidth=1, markersize=2, ax=axes[3])
axes[3].set(xlabel="hidden width", ylabel="|cos| between two runs", ylim=(0, 1))
axes[3].text(0.05, 0.93, "same digit", color=plotting.BLUE, transform=axes[3].transAxes)
axes[3].text(0.05, 0.05, "different digits", color="0.4", transform=axes[3].transAxes)
alt = "Four panels over hidden widths 30 to 500: rank, test accuracy, accuracy with one eigenvector per digit, and similarity between two training runs beside that of different digits."
results.save_figure(fig, "width", alt=alt)

# %% [markdown]
# **Figure `width`.** Six training runs for each hidden width at the paper's noise and decay (dots), their mean and its 95 % t-interval. Right: similarity of two runs, a dot per pair, three pairs for each width. (Compare Figure 5 of the follow-up paper.)
#
# ## With and without noise
#
# The follow-up paper reports that without noise the eigenvectors over-fit to single pixels (its Figure 4). Below are the strongest patterns of two models from the same seed.
# Many pixels hardly ever carry ink (less than 1 % on average over the training images), so the data can say little of them. *Chance* is their share of the image: the power that a pattern without preference would have there.
# *Peak* is the share of the power in a pattern's strongest 1 % of pixels (8 of 784).

# %%
shown = {
    "with noise": bilinear.class_features(noisy_models[0])[:, 0],
    "without": bilinear.class_features(plain_model)[:, 0],
}
inkless = train_x.mean(0) < 0.01
inkless_share = inkless.double().mean().item()
noisy_runs, plain_runs = (grid.query(f"noise == {noise} and weight_decay == 0.5").inkless for noise in (0.33, 0.0))
peak = [p.square().topk(8, dim=1).values.sum(1).mean().item() for p in shown.values()]
results.record(inkless_with_noise=noisy_runs.mean(), inkless_without=plain_runs.mean(), inkless_chance=inkless_share)
results.record(inkless_ratio=plain_runs.min() / noisy_runs.max(), peak=peak, peak_ratio=peak[1] / peak[0])
for name, runs_of in (("with", noisy_runs), ("without", plain_runs)):
    print(
        f"{name} noise: {runs_of.mean():.1%} of the power in inkless pixels ({runs_of.min():.1%} to {runs_of.max():.1%} over six runs); chance {inkless_share:.1%}"
    )
print("peak with noise, without:", [f"{x:.1%}" for x in peak])


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def unit_maps(fig: plt.Figure, axes: np.ndarray, vectors: Tensor, titles: list[str], rows: list[str]) -> None:
    """Draw unit pixel vectors on one scale, with its bar, titles above them and names beside the rows."""
    for ax, vector, title in zip(axes.flat, vectors, titles, strict=True):
        mapped = signed(ax, vector, 0.2)
        ax.set_title(title, fontsize=7)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name)
    fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)


titles = []
for i, (each, vectors) in enumerate(zip((noisy_models[0], plain_model), shown.values(), strict=True)):
    top = bilinear.eigendecompose(bilinear.interaction_tensor(each.w_u, each.w_l[1], each.w_r[1]))[1][:, :, -1]
    mu = bilinear.pixel_features(each, top)[1][:, -1]
    means = mean_activation(vectors.T, mu)
    titles += [f"{f'digit {c}' if i == 0 else ''}\n$\\mu$ {mu[c]:.2f}\nmean {means[c]:.1f}" for c in range(10)]
fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 2.4))
unit_maps(fig, axes, torch.cat([*shown.values()]), titles, [*shown])
alt = "Two rows of ten red-blue pixel vectors, one per digit: with noise in training they are strokes in the middle of the image, without it they also weigh the edge of the image."
results.save_figure(fig, "noise", alt=alt)

# %% [markdown]
# **Figure `noise`.** For each digit, the strongest pixel vector of its strongest layer-2 eigenvector, after training with the paper's noise (above) and without (below), with eigenvalue and mean activation. (Compare Figure 4 of the follow-up paper.)
# Noise empties the inkless pixels, in every run (figure `grid`). Single pixels are no more prominent without noise: the *peak* printed above is of these two models.
#
# ## Orthogonal where?
#
# The original notebook's eigenvectors $u_j$ are orthonormal in the 300-dimensional hidden space. Carried to pixels they are not: $W_e$ stretches some
# directions more than others. With the QR factors of $W_e^\top = QR$ the same form can be decomposed in pixel space,
# $W_e^\top B^{(v)} W_e = Q\,(R B^{(v)} R^\top)\,Q^\top$, and the eigenvectors of $R B^{(v)} R^\top$, carried by $Q$, are orthonormal images. *Overlap* is the mean $|\cos|$ between two different ones of the eight shown.

# %%
direction = vectors2[DIGIT][:, -1:].T
views = {space: bilinear.pixel_features(model, direction, space) for space in ("hidden", "pixels")}
eight = {space: F.normalize(p[0][:, EIGHT], dim=0) for space, (_, _, p) in views.items()}
overlaps = [(p.T @ p).abs()[~torch.eye(8, dtype=torch.bool)].mean().item() for p in eight.values()]
space_agreement = (eight["hidden"] * eight["pixels"]).sum(0).abs().mean()
results.record(overlap=overlaps, space_agreement=space_agreement)
print(
    f"overlap in hidden space {overlaps[0]:.3f}, in pixel space {overlaps[1]:.3f}; |cos| between both views {space_agreement:.2f}"
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 8, figsize=(plotting.TEXT_WIDTH, 2.6))
titles = []
for _, mu, p in views.values():
    means = mean_activation(p[0][:, EIGHT], mu[0, EIGHT])
    titles += [f"$\\mu$ {mu[0, j]:+.2f}\nmean {m:+.2g}" for j, m in zip(EIGHT, means, strict=True)]
unit_maps(fig, axes, torch.cat([p.T for p in eight.values()]), titles, ["hidden space", "pixel space"])
alt = "Two rows of eight pixel vectors with their eigenvalues and mean activations: above from the decomposition in hidden space, below in pixel space."
results.save_figure(fig, "pixel_space", alt=alt)

# %% [markdown]
# **Figure `pixel_space`.** The most positive layer-2 eigenvector of the chosen digit: the four most positive and the four most negative eigenvectors of its form, with eigenvalue and mean activation,
# decomposed in hidden space and carried to pixels (above, drawn at unit norm), and decomposed in pixel space (below). The eigenvalues
# of the two rows are in different units: above per unit of hidden activity, below per unit of ink.
#
# ## The same features from another seed?
#
# Hidden spaces of different models cannot be compared, pixels can. Eigenvectors may change places between runs, so besides the strongest pattern of equal digits we take its best partner among the four strongest of the other run,
# and the share that the spans of both four have in common. Each has its own baseline, the same between *different* digits, because a best partner of four is more alike by chance. The pairs are those of the sweep, of three different pairs of seeds;
# no run is compared with itself. (The script that the follow-up paper's authors published for their similarity of 0.8 to 0.9 averages over pairs that include each run with itself.)

# %%
pairs = paper.drop_duplicates("seed")
kinds = {
    "similarity": "strongest,\n|cos|",
    "matched": "best partner,\n|cos|",
    "subspace": "span of four,\nshare in common",
}
results.record(
    **{
        f"{kind}_{what}": pairs[column].mean()
        for kind in kinds
        for what, column in (("same", kind), ("other", f"{kind}_other_digits"))
    }
)
results.record(
    similarity_ratio=(pairs.similarity / pairs.similarity_other_digits).min(),
    subspace_ratio=(pairs.subspace / pairs.subspace_other_digits).min(),
)
features = [bilinear.class_features(each, 4) for each in noisy_models]
by_digit = pd.DataFrame(
    [
        {"digit": c, "best": (features[a][c, 0] @ features[b][c].T).abs().max().item(), "pair": f"seeds {SEEDS[a]} and {SEEDS[b]}"}
        for a in range(len(SEEDS)) for b in range(a) for c in range(10)
    ]
)  # fmt: skip

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4), width_ratios=[1, 1.5])
for x, kind in enumerate(kinds):
    for column, colour in ((kind, plotting.BLUE), (f"{kind}_other_digits", "0.5")):
        left.plot([x] * len(pairs), pairs[column], "o", color=colour, markersize=4, alpha=0.7)
left.set(xticks=range(3), xlim=(-0.5, 2.5), ylim=(0, 1.02), ylabel="similarity of two runs")
left.set_xticklabels(kinds.values())
left.text(0.03, 0.93, "same digit", color=plotting.BLUE, transform=left.transAxes)
left.text(0.03, 0.03, "different digits", color="0.4", transform=left.transAxes)
sns.stripplot(
    by_digit,
    x="digit",
    y="best",
    hue="pair",
    palette=plotting.OKABE_ITO[: by_digit.pair.nunique()],
    dodge=True,
    jitter=False,
    size=4,
    ax=right,
)
right.set(ylabel="best partner, |cos|", ylim=(0, 1.02))
right.legend(title=None, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0), columnspacing=0.8, handletextpad=0.1)
alt = "Left: similarity of two training runs by three measures, for equal digits well above different digits. Right: the best partner of each digit's strongest pattern, for three pairs of seeds."
results.save_figure(fig, "seeds", alt=alt)

# %% [markdown]
# **Figure `seeds`.** Left: how alike two training runs are, a dot per pair of runs (three pairs), for equal digits and, as baseline, for different digits. Right: the best partner of each digit's strongest pattern, for the three pairs among this notebook's own models of 12 epochs.
# (Compare Figure 5A of the follow-up paper.)
#
# ## Masks from the weights alone
#
# If the patterns are what the model sees, adding one to an image should make it see that digit. The mask *for* digit $c$ is the pattern of its most positive layer-2 eigenvector, as in figure `opening`; the mask *against* $c$ is that of its
# most negative one, which should push no image to $c$. Both have norm 6; an image has a norm of about 9. We count the images of other digits that are called $c$. Baselines of the same norm: the other sign of the mask, the mean image of digit $c$,
# the strongest pixel vector of random hidden directions, smooth noise (each pixel averaged with its 24 neighbours) on the whole image and where there is ink, and white noise, under which the model was trained.


# %%
def rates(patterns: Tensor, strength: float = 6.0) -> tuple[list[float], float]:
    """Of ten patterns, one per digit: the share of other digits' images called that digit, and the mean accuracy."""
    answers = [model(test_x + strength * p).argmax(1) for p in patterns]
    shares = [(a[test_y != c] == c).double().mean().item() for c, a in enumerate(answers)]
    return shares, np.mean([(a == test_y).double().mean().item() for a in answers])


generator = torch.Generator().manual_seed(SEED)
white = torch.randn(10, 784, generator=generator)
smooth = F.avg_pool2d(white.reshape(-1, 1, 28, 28), 5, stride=1, padding=2).reshape(10, 784)
means = torch.stack([train_x[images.train_y == c].mean(0) for c in range(10)])
masks = {
    "for the digit": patterns,
    "for it, other sign": -patterns,
    "against it": bilinear.class_features(model, against=True)[:, 0],
    "mean image of it": means,
    "random direction": bilinear.pixel_features(model, torch.randn(10, 300, generator=generator))[2][:, :, -1],
    "smooth noise on ink": smooth * ~inkless,
    "smooth noise": smooth,
    "white noise": white,
}
pushed_share = {kind: rates(F.normalize(each, dim=1)) for kind, each in masks.items()}
results.record(mask_rates=pushed_share["for the digit"][0], mask_rate=np.mean(pushed_share["for the digit"][0]))
results.record(mask_digits_over_15=sum(rate >= 0.15 for rate in pushed_share["for the digit"][0]))
results.record(
    against_rate=max(pushed_share["against it"][0]), mask_accuracy=[accuracy for _, accuracy in pushed_share.values()]
)
results.record(
    runs_mask_rate=paper.mask_rate.min(),
    runs_against_rate=paper.against_rate.max(),
    runs_baseline_rate=paper[["random_direction_rate", "mean_digit_rate"]].max().max(),
)
results.record(
    runs_mask_over_baseline=(paper.mask_rate - paper[["random_direction_rate", "mean_digit_rate"]].max(axis=1)).min()
)
table = {kind: [*shares, np.mean(shares), accuracy] for kind, (shares, accuracy) in pushed_share.items()}
pd.DataFrame(table, index=[*range(10), "mean", "accuracy left"]).T.round(3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.8), width_ratios=[1.5, 1])
tidy = pd.DataFrame(
    [{"mask": kind, "digit": c, "share": s} for kind, (shares, _) in pushed_share.items() for c, s in enumerate(shares)]
)
main = tidy["mask"].isin(["for the digit", "for it, other sign"])
for kind, colour, marker in (
    ("for the digit", plotting.VERMILLION, "o"),
    ("for it, other sign", plotting.ORANGE, "D"),
    ("against it", plotting.BLUE, "s"),
    ("mean image of it", "0.5", "_"),
):
    left.plot(range(10), pushed_share[kind][0], marker, color=colour, markersize=5, linestyle="none", label=kind)
left.axhline(0.15, color="0.6", linewidth=0.8, linestyle="--")
left.set(
    xlabel="target digit", ylabel="share of other digits'\nimages called the target", xticks=range(10), ylim=(-0.03, 1)
)
left.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=4, columnspacing=0.7, handletextpad=0.1)
runs_of = {
    "for the digit": "mask_rate",
    "for it, other sign": "negative_rate",
    "mean image of it": "mean_digit_rate",
    "random direction": "random_direction_rate",
    "against it": "against_rate",
}
long = paper.rename(columns={column: name for name, column in runs_of.items()})[[*runs_of]].melt(
    var_name="mask", value_name="share"
)
sns.stripplot(
    long, x="share", y="mask", order=[*runs_of], size=3, alpha=0.6, jitter=False, color=plotting.BLUE, ax=right
)
sns.pointplot(
    long,
    x="share",
    y="mask",
    order=[*runs_of],
    errorbar=interval,
    capsize=0.3,
    color=plotting.VERMILLION,
    linestyle="none",
    markersize=3,
    linewidth=1,
    ax=right,
)
right.set(xlabel="share, mean over ten targets", ylabel="", xlim=(-0.03, 1))
alt = "Left: for each target digit the share of other digits' images called the target under its mask, the mask with the other sign, the mask against it and the digit's mean image. Right: the mean over targets for six training runs of 12 epochs."
results.save_figure(fig, "mask", alt=alt)

# %% [markdown]
# **Figure `mask`.** Left: the model of the paper's recipe, masks of norm 6: share of other digits' images that are called the target (dashed: 15 %). Right: the mean over the ten targets in six other training runs of 12 epochs (dots), their mean and its 95 % t-interval.
# The table above has all baselines, with the accuracy that is left. (Compare Figure 7 of the follow-up paper, whose masks are rows of a pseudo-inverse and take their signs from images.)
#
# **Which sign, and digit 0.** A form cannot tell $p$ from $-p$: $(p \cdot x + s)^2$ and $(p \cdot x - s)^2$ grow alike for an image with $p \cdot x = 0$, so either sign pushes, and the rule decides how well.
# Digit 0's pattern is the hardest case. It is nearly as blue as red, and its other sign raises a stroke that digit 5 has too:

# %%
power = patterns[0].clamp(min=0).square().sum().item()
not_zero = test_x[test_y != 0]
gain = {sign: (model(not_zero + sign * 6 * patterns[0]) - model(not_zero)).mean(0) for sign in (1, -1)}
counts = {sign: model(not_zero + sign * 6 * patterns[0]).argmax(1).bincount(minlength=10).tolist() for sign in (1, -1)}
print(f"digit 0: {power:.1%} of its pattern's power is red; its pixels add up to {patterns[0].sum():+.2f}")
for sign, told in ((1, "the rule's sign"), (-1, "the other sign")):
    print(
        f"{told}: the logit of 0 rises by {gain[sign][0]:.0f}, that of 5 by {gain[sign][5]:+.0f}; other digits' images are called 0: {counts[sign][0]}, 5: {counts[sign][5]}"
    )

# %% [markdown]
# A rule that adds ink ($\sum_i p_i > 0$) would take that other sign for digit 0. The power rule does not, and is the same for the $\mu_j$ of a layer-2 eigenvector, where the sum decides for or against the digit.
#
# ## What we found
#
# All findings but the last two rest on six training runs each.

# %%
rows = [
    ("decay of 0.5 multiplies the rank by (without noise, with)", "rank_by_decay", "decreases it (follow-up, appendix E)"),
    ("noise multiplies the rank by (at decay 0, 0.5, 1)", "rank_by_noise", "lower (section 4.1), higher (appendix E)"),
    ("test accuracy, two bilinear layers", "accuracy_two_bilinear_layers", "not stated"),
    ("test accuracy, a ReLU MLP of as many weights", "accuracy_two_ReLU_layers", "not stated"),
    ("power in inkless pixels with noise", "inkless_with_noise", "over-fits without noise (follow-up, section 4.1)"),
    ("|cos| of the strongest pattern between runs", "similarity_same", "0.8 to 0.9 (follow-up, section 4.2)"),
    ("predictions kept by ten eigenvectors a digit (one model)", "agreement_10", "\"only a handful\" (follow-up, section 4.2)"),
    ("images called the target under masks of norm 6 (one model)", "mask_rate", "0.28 (follow-up, Figure 7A, other masks)"),
]  # fmt: skip
results.findings(rows)

# %% [markdown]
# The original notebook states no numbers: it is a notebook of pictures. The pictures are those above. The last column holds what the follow-up paper states of its one-layer models.
#
# - Weight decay makes the rank low. Noise makes one eigenvector a digit sufficient, and empties the inkless pixels.
# - The usual ReLU network is compared on equal terms; figure `models` shows who is ahead.
# - A mask made from the weights alone makes the network call other images the target; a mask from the most negative eigenvector never does.
# - Two training runs have similar patterns, less similar than the follow-up paper's number.
#
# ## Where the original notebook differs
#
# - It keeps its trained model as a pickle on a private drive; here the weights are safetensors, and nothing is ever unpickled.
# - It imports the model's class from the authors' public repository ([tdooms/bilinear-decomposition](https://github.com/tdooms/bilinear-decomposition), `mnist/model.py`); ours is written anew, and draws the initial weights in another order ($W_u$ second there, last here).
# - It feeds batches through a `DataLoader` that converts one image at a time. Here the pixels are a tensor in memory: the same batches, drawn from another random stream.
# - It flips the sign of two layer-2 eigenvectors of digit 9 by hand, and takes a pixel vector's sign from the images that activate it most. Here one rule fixes all signs from the weights.
#
# ## Limits
#
# One data set. The runs of the sweeps take 12 of the 64 epochs; the paper's full recipe is trained once. The 2024 workshop paper's body was not at hand, so the figure numbers are those of the follow-up paper, whose models have one layer.
# That a pattern looks like a stroke is an impression; what is measured is how few eigenvectors suffice, how similar they are between runs, and what adding one does.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - Y. LeCun, C. Cortes, C. J. C. Burges. *The MNIST database of handwritten digits.* 1998.

# %%
results.finish()
