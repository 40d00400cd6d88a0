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
# **Claim.** A multilayer perceptron whose non-linearity is an elementwise product recognises MNIST's digits. Its logits are exactly quadratic forms in the first layer's output, and that output in the pixels;
# the eigenvectors of both come from the weights alone. Adding a digit's strongest pixel pattern to images of other digits makes
# the network call many of them that digit (figure `opening`). Weight decay makes the forms low in rank, noise does not (figure `grid`).
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below,
# and its follow-up, [arXiv 2410.08417](https://arxiv.org/abs/2410.08417), "the follow-up paper".
#
# **Among the five.** This notebook and [02](02_tinystories.ipynb) read features off weights by the same eigendecomposition. The models differ:
# a classifier here, a transformer that tells stories there. [03](03_mnist_sae.ipynb) takes superposed features apart, [04](04_dihedral_fourier.ipynb)
# reads a network whose task has an exact theory, and [05](05_toy_superposition.ipynb) asks when a network packs more features than it has dimensions.

# %% tags=["parameters"]
MODE = "full"  # "quick" trains on 10,000 images for 3 epochs instead of 64, and draws one digit's panels only
SEED = 0  # @param {type: "integer"}
# the class whose eigenvectors are shown here; those of the others are in figures/
DIGIT = 9  # @param {type: "integer"}
# "cuda" where there is a GPU: it trains there; the analysis runs on the CPU
DEVICE = "cpu"  # @param ["cpu", "cuda", "mps"]

# %% tags=["hide-input"] jupyter={"source_hidden": true} cellView="form"
# @title On Colab, run this too: it gets the repository and what Colab lacks. Nothing happens elsewhere.
ON_COLAB = "quick"  # @param ["quick", "full"]
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    MODE = ON_COLAB
    address, at, folder = "https://github.com/OWNER/REPO", "main", os.path.abspath("paper")
    if not os.path.exists(os.path.join(folder, "paper_utils")):
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        for step in (["fetch", "--quiet", "--depth", "1", address, at], ["checkout", "--quiet", "FETCH_HEAD"]):
            subprocess.run(["git", "-C", folder, *step], check=True)
    sys.path.insert(0, folder)
    from paper_utils import colab

    colab.install()

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from draw import mnist_bilinear as drawing

from paper_utils import bilinear, data, plotting, results, runs, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

training.check_device(DEVICE)
if type(DIGIT) is not int or DIGIT not in range(10):
    raise ValueError(f"DIGIT is {DIGIT!r}: must be a whole number in 0..9, as in DIGIT = 9")
plt.rcParams.update(plotting.STYLE | {"savefig.dpi": 200})
QUICK, SEEDS = MODE == "quick", [1, 2] if MODE == "quick" else [1, 2, 3]  # of the shorter trainings

# %% [markdown]
# ## The finding in one picture
#
# The data are 60,000 training and 10,000 test images of 28 × 28 pixels, each pixel between 0 (paper) and 1 (ink): one row of 784 numbers per image.
# Eight models are trained here, side by side, and kept as safetensors under `build/weights/`: a second run loads them. One has the paper's recipe of 64 epochs;
# the others, three with noise, three without and one with a single layer, have a schedule of 12 epochs.

# %%
images = data.load_mnist().first(10_000) if QUICK else data.load_mnist()
train_x, test_x, test_y = images.train_x, images.test_x, images.test_y
results.begin("01_mnist_bilinear", mode=MODE, seeds=[SEED, *SEEDS], data=images)

config, recipe = BilinearConfig(), BilinearRecipe(warmup=1, decay=2, constant=0) if QUICK else BilinearRecipe()
short = recipe if QUICK else BilinearRecipe(decay=6, constant=4)
plain, single = replace(config, input_noise=0.0, layer_noise=0.0), replace(config, n_layers=1)
calls = [(config, recipe, SEED), *[(c, short, s) for c in (config, plain) for s in SEEDS], (single, short, 1)]
trained = runs.cached(bilinear.train, [(BilinearMLP(c, s).to(DEVICE), r, s) for c, r, s in calls], data=images)
model, *several, one_layer = (each.cpu().eval().requires_grad_(False) for each, _ in trained)
noisy_models, plain_models = several[: len(SEEDS)], several[len(SEEDS) :]

patterns = bilinear.class_features(model)[:, 0]  # [digit pixel], each of unit norm, from the weights alone
pushed = test_x[(test_y == 3).nonzero()[0, 0]] + 6 * patterns

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 2.0))
strongest = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))[1][:, :, -1]
mu = bilinear.pixel_features(model, strongest)[1][:, -1]
means = mu * (train_x @ patterns.T).square().mean(0)
called = model(pushed).argmax(1).tolist()
for c, name in enumerate(called):
    mapped = drawing.signed(axes[0, c], patterns[c])
    axes[0, c].set_title(f"for {c}\n$\\mu$ {mu[c]:+.2f}\nmean {means[c]:.1f}", fontsize=7, pad=2)
    plotting.grey_image(axes[1, c], (pushed[c] + 0.5) / 2)
    axes[1, c].set_title(f"called {name}", color=plotting.VERMILLION if name == c != 3 else "0.4")
fig.colorbar(mapped, ax=axes, **drawing.BAR)
alt = "Ten red-blue stroke patterns, one for each digit; below each the same handwritten 3 with the pattern added, and the digit that the network then names: mostly the pattern's digit."
results.save_figure(fig, "opening", alt=alt)

# %% [markdown]
# **Figure `opening`.** Above: for each digit one pattern of unit norm, made from the weights alone. Below: one test image of a 3 with six times the pattern added (drawn from -0.5, white, to 1.5, black), and what the
# network calls it, in colour where the pattern has turned the 3 into its digit. Dots mark pixels that are clipped by the colour scale, here and below. $\mu$ is the pattern's eigenvalue, explained below; *mean* is the mean of its activation $\mu (p \cdot x)^2$ over the training images. Six of the nine patterns for other digits turn this 3; those for 2, 7 and 9 do not. (Compare Figure 7 of the follow-up paper.)
#
# **How to read a red-blue map.** A pattern $p$ acts on an image $x$ through $\mu$ times the square $(p \cdot x)^2$. That is interference, not a heat map: ink on the red pixels alone activates the pattern,
# ink on the blue pixels alone activates it as well, and ink on both cancels. A pattern asks: is there ink *in the one place or the other, but not in both*? (Compare Figure 2A of the follow-up paper.)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
import numpy as np
import pandas as pd
import seaborn as sns
from einops import einsum
from scipy import stats
from torch.nn import functional as F

from paper_utils.spectra import effective_rank

p = bilinear.weight_mask(model, DIGIT)  # the chosen digit's pattern by itself
red, blue = (p > 0.05).float(), (p < -0.05).float()
red *= (p @ blue).abs() / (p @ red)  # so that both weigh alike
fig, axes = plt.subplots(1, 4, figsize=(4.6, 1.5))
drawing.signed(axes[0], p)
axes[0].set_title(f"$p$ for {DIGIT}: $\\mu$ {mu[DIGIT]:+.2f}\nmean {means[DIGIT]:.1f}")
for ax, (name, ink) in zip(axes[1:], {"red": red, "blue": blue, "both": red + blue}.items(), strict=True):
    plotting.grey_image(ax, ink / 1.2)
    ax.set_title(f"ink on {name}:\n$(p \\cdot x)^2$ = {(p @ ink).square():.1f}")
alt = "A red-blue pixel vector and three made-up images: ink on its red pixels and ink on its blue pixels give the same square, ink on both gives zero."
results.save_figure(fig, "interference", alt=alt)

# %% [markdown]
# **Figure `interference`.** The chosen digit's pattern, and its square on three made-up images: ink on its red pixels (its darkness chosen so that both weigh alike), on its blue pixels, on both.

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
# No biases, no residual connection, no normalisation. In training, Gaussian noise of standard deviation 0.33 is added to every pixel and to every layer's output (there in units of the batch's own standard deviation).
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
# Training minimises the cross entropy by AdamW with the strong weight decay of 0.5, in batches of 100. The learning rate rises over two epochs, is halved every second
# epoch for twelve, and stays at 1/64 of its peak for fifty.

# %%
history, accuracy = trained[0][1], model.accuracy(test_x, test_y)
print(f"test accuracy after {recipe.epochs} epochs: {accuracy:.4f}")
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
#
# ### Beside a usual network
#
# The sweep `01_mnist_bilinear_models` (`sweeps/mnist_bilinear.py`) trains a single bilinear layer and a usual MLP with two ReLU layers and as many weights as the two-layer model, three runs each,
# on the schedule of 12 epochs with the same noise and decay. The six runs of the two-layer model are those of the sweep `01_mnist_bilinear` at this noise and decay.

# %%
grid, width = results.read_sweep("01_mnist_bilinear"), results.read_sweep("01_mnist_bilinear_width")
others = results.read_sweep("01_mnist_bilinear_models")
paper = grid.query("noise == 0.33 and weight_decay == 0.5")  # the paper's noise and decay, six runs


def interval(runs: pd.Series) -> tuple[float, float]:
    """The 95 % t-interval of the mean of three runs or more."""
    return stats.ttest_1samp(runs, 0).confidence_interval()


accuracies = pd.concat([paper.assign(model="two bilinear layers"), others])[["model", "test_accuracy"]]
by_model = accuracies.groupby("model").test_accuracy
relu, two = (by_model.get_group(name) for name in ("two ReLU layers", "two bilinear layers"))
low, high = stats.ttest_ind(relu, two, equal_var=False).confidence_interval()
print(f"ReLU above bilinear: {relu.mean() - two.mean():+.4f} (95 % Welch interval {low:+.4f} to {high:+.4f})")
by_model.agg(["mean", "std", "min", "max", "count"])

# %% tags=["hide-input"] jupyter={"source_hidden": true}
DOTS = {"size": 4, "alpha": 0.6, "jitter": False, "zorder": 1}
MEAN = {"errorbar": interval, "linewidth": 0.8, "marker": "x", "markersize": 4, "capsize": 0.15, "zorder": 5}
fig, ax = plt.subplots(figsize=(4.6, 1.6))
order = ["one bilinear layer", "two bilinear layers", "two ReLU layers"]
both = {"data": accuracies, "x": "test_accuracy", "y": "model", "order": order, "ax": ax}
sns.stripplot(**both, **DOTS, color=plotting.BLUE)
sns.pointplot(**both, **MEAN, color=plotting.VERMILLION, linestyle="none")
ax.set(xlabel="test accuracy after 12 epochs", ylabel="")
alt = "Test accuracy of training runs of one bilinear layer, two bilinear layers and two ReLU layers, as dots with their means and intervals."
results.save_figure(fig, "models", alt=alt)

# %% [markdown]
# **Figure `models`.** Test accuracy of each training run (dots), the mean (cross), and its 95 % t-interval over the runs.
#
# ## One layer: eigenvectors straight in pixels
#
# With one bilinear layer, the logit of digit $c$ is a quadratic form in the pixels themselves, $\text{logit}_c = \sum_j \mu_j (p_j \cdot x)^2$, with orthonormal pixel vectors $p_j$.
# This is the follow-up paper's first result. Signs are fixed by one rule, used throughout this notebook and tested (`bilinear.fix_signs`): $p$ and $-p$ are
# the same eigenvector, and we take the one with more power above zero than below, $\sum_i p_i |p_i| > 0$. No image is needed for it.

# %%
forms = bilinear.interaction_tensor(one_layer.w_u, one_layer.w_l[0], one_layer.w_r[0])
one_values, one_vectors = bilinear.pixel_eigendecompose(forms, one_layer.w_e)
one_vectors = bilinear.fix_signs(one_vectors, one_vectors)
by_parts = (einsum(test_x[:100], one_vectors, "n pixel, c pixel j -> n c j").square() * one_values).sum(2)
assert torch.allclose(by_parts, one_layer(test_x[:100]), rtol=1e-3, atol=1e-3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
ends = [(one_vectors[:, :, j], one_values[:, j]) for j in (-1, 0)]
titles = [title for p, mu in ends for title in drawing.titled(p.T, mu, train_x)]
fig = drawing.maps(torch.cat([p for p, _ in ends]), titles, ["most positive", "most negative"], 2.5, "digit")
alt = "Two rows of ten red-blue pixel vectors with their eigenvalues and mean activations: each digit's most positive eigenvector looks like strokes of the digit, red against blue."
results.save_figure(fig, "one_layer", alt=alt)

# %% [markdown]
# **Figure `one_layer`.** Each digit's most positive and most negative eigenvector in a model of one bilinear layer, with eigenvalue $\mu_j$ and mean activation $\mu_j (p_j \cdot x)^2$
# over the training images. (Compare Figures 2B and 3 of the follow-up paper.)
#
# ## The interaction tensor of the second layer
#
# In the two-layer model, the second layer and the read-out together are a quadratic form in $h_1$:
#
# $$\text{logit}_c = \sum_h W_u[c,h]\,(L_2[h] \cdot h_1)(R_2[h] \cdot h_1) = h_1^\top B_c\, h_1, \qquad
# B_c = \sum_h W_u[c,h]\; \tfrac12\!\left(L_2[h] R_2[h]^\top + R_2[h] L_2[h]^\top\right).$$
#
# Only the symmetric part of a matrix counts in a form, so $B_c$ is made symmetric. We compute it once by hand, with the letters of the equation, then by the tested function. A symmetric matrix has orthonormal eigenvectors $v_i$, so
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
h1, logits = model.hidden(test_x)[1], model(test_x)
contributions = einsum(h1, vectors2, "image h, digit h i -> image digit i") ** 2 * values2
error = ((contributions.sum(2) - logits).abs().max() / logits.abs().max()).item()
assert error < 1e-4
print(f"largest error of the eigenvector form, relative to the largest logit: {error:.1e}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for c in range(10):
    fig, ax = plt.subplots(figsize=(3.4, 2.4))
    plotting.spectrum(ax, values2[c])
    ax.set(xlabel="index", ylabel=r"eigenvalue $\lambda$", title=f"layer 2, digit {c}")
    alt = f"The 300 eigenvalues of digit {c}'s interaction matrix in ascending order: a few negative, most near zero, a few positive."
    results.save_figure(fig, f"layer2_eigenvalues_{c}", alt=alt, show=c == DIGIT)

fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 2.9), sharex=True, sharey=True)
for c, ax in enumerate(axes.flat):
    plotting.spectrum(ax, values2[c])
    ax.set_title(f"digit {c}")
fig.supxlabel("index", fontsize=8)
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
#
# There are two such decompositions. The original notebook's, drawn in the panels below, has $u_j$ that are orthonormal in the hidden space of $h_0$. All other figures of pixel vectors here use $p_j$ that are
# orthonormal as images ("Orthogonal where?" says how). Both add up to the same $v \cdot h_1$; their $\mu_j$ are in different units.

# %%
RANKS = {-1: "most positive", -2: "second most positive", 0: "most negative", 1: "second most negative"}
shown = [DIGIT] if QUICK else range(10)
panels = {c: bilinear.pixel_features(model, vectors2[c][:, [*RANKS]].T, "hidden") for c in shown}  # v, mu, p
names = {(c, r): f"digit {c}, {RANKS[r]} layer-2 eigenvector (λ {values2[c][r]:+.3f})" for c in shown for r in RANKS}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
eight, pages = [*drawing.SIDES["positive"], *drawing.SIDES["negative"]], {}
for c in shown:
    # One product for all four: each reads the 60,000 images once.
    seen = zip(*drawing.seen(panels[c][2][:, :, eight], panels[c][1][:, eight], train_x), strict=True)
    for i, (rank, v, mu, p, told) in enumerate(zip(RANKS, *panels[c], seen, strict=True)):
        pages[names[c, rank]] = p[:, eight], *told
        own = model.w_u @ ((model.w_l[1] @ v) * (model.w_r[1] @ v))
        fig = drawing.panel(names[c, rank], own, mu, *pages[names[c, rank]])
        alt = f"Digit {c}, its {RANKS[rank]} layer-2 eigenvector: its spectrum in layer 1, the logits it produces, and its four most positive and four most negative pixel eigenvectors as red-blue images, each above the three training images that activate it most."
        results.save_figure(fig, f"layer1_eigenvectors_{c}_{i}", alt=alt, show=c == DIGIT)

# %% [markdown]
# **Figure `layer1_eigenvectors_*`.** One layer-2 eigenvector $v$ of the chosen digit per panel (the other digits' panels are in `figures/`). Left: the spectrum of $v$'s own form in layer 1,
# and the logits that $v$ itself, put in place of $h_1$, would produce. Right: the pixel vectors $p_j$ of the four largest and the four smallest eigenvalues on one scale; above each its
# eigenvalue $\mu_j$ and its mean activation over the training set, below each the three training images on which it is most active.
#
# Page `eigenvector_browser` holds the same for all ten digits and their four eigenvectors: `figures/01_mnist_bilinear/pages/eigenvector_browser.html`. The arrow keys go from one to the next.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
alt = "layer-2 eigenvectors of each digit: their pixel vectors, and the images that excite them"
results.save_page(drawing.browser(pages), "eigenvector_browser", alt=alt)

# %% [markdown]
# ## One decision, added up
#
# The logit of one image is a sum of 300 contributions $\lambda_i (v_i \cdot h_1)^2$, and nothing else. We take the first test image of the chosen digit and the two digits with the highest logits.
# For each we name the five contributions of largest size, and add up the other 295. Below each contribution stands the pixel vector $p_j$ of its $v_i$ that is most active on this image.

# %%
image, FEW = (test_y == DIGIT).nonzero()[0, 0], 5
duel = []
for c in logits[image].topk(2).indices.tolist():
    top = contributions[image, c].abs().topk(FEW).indices
    parts = [*contributions[image, c, top].tolist()]
    parts.append(contributions[image, c].sum().item() - sum(parts))
    _, mu, p = bilinear.pixel_features(model, vectors2[c][:, top].T)
    acts = mu * (test_x[image] @ p).square()  # they add up to v . h_1
    each = torch.arange(FEW), acts.abs().argmax(1)
    told = [f"{a:+.1f} of\n{whole:+.1f}" for a, whole in zip(acts[each], acts.sum(1), strict=True)]
    duel.append((c, values2[c, top], parts, p.mT[each], told))
    assert abs(sum(parts) - logits[image, c].item()) < 1e-4 * logits[image].abs().max()

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.decision(test_x[image], DIGIT, duel, config.d_hidden - FEW)
alt = "Two waterfall charts for one image: five contributions and the sum of the others add up to the logit of the right digit and to that of the runner-up; below each contribution its pixel vector."
results.save_figure(fig, "decision", alt=alt)

# %% [markdown]
# **Figure `decision`.** The logits of one test image, added up: for the answer and the runner-up, five contributions $\lambda_i (v_i \cdot h_1)^2$, the sum of the others, and the logit. Each bar starts where the last one ends.
# Below: the pixel vector that is most active on this image within each contribution, and how much of $v_i \cdot h_1 = \sum_j \mu_j (p_j \cdot x)^2$ it is: the maps show a part of each contribution, clipped pixels dotted. The sums equal the logits (asserted to $10^{-4}$). (Compare Figure 15 of the follow-up paper.)
#
# ## How few eigenvectors suffice
#
# For each class only the $k$ eigenvectors with the largest $|\lambda|$ are kept in the second layer; the first layer stays whole. We count how many test images are read correctly,
# and, stricter, how many are read as the full model reads them.

# %%
KEPT = [1, 2, 3, 5, 10, 20, 50]


def first_layer_cut(model: BilinearMLP, kept: list[int]) -> list[float]:
    """The share misread where each digit keeps its most positive v, and of this v the k strongest pixel vectors."""
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    _, mu, p = bilinear.pixel_features(model, vectors[:, :, -1])
    logits = [values[:, -1] * bilinear.truncated_logits(test_x, mu, p, k).square() for k in kept]
    return [(x.argmax(1) != test_y).double().mean().item() for x in logits]


kept = [bilinear.truncated_logits(h1, values2, vectors2, k).argmax(1) for k in KEPT]
wrong = [(answer != test_y).double().mean().item() for answer in kept]
unlike = [(answer != logits.argmax(1)).double().mean().item() for answer in kept]
wrong_both = first_layer_cut(model, KEPT)
cut = [bilinear.truncated_logits(test_x, one_values, one_vectors, k) for k in KEPT]
wrong_one = [(x.argmax(1) != test_y).double().mean().item() for x in cut]
second = {c: values2[c][values2[c].abs().topk(2).indices[1]].item() for c in range(10)}
print("digits whose second eigenvector by |lambda| is positive:", [c for c, value in second.items() if value > 0])
for k in (1, 2):
    called = kept[KEPT.index(k)].bincount(minlength=10) - test_y.bincount(minlength=10)
    print(f"{k} kept: {wrong[k - 1]:.2%} wrong; images called 0, ..., 9 above their number: {called.tolist()}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.8))
beside = {"textcoords": "offset points", "va": "center", "fontsize": 7}
lines = [
    (wrong, "layer 2 cut: wrong", plotting.BLUE, 0, 8),
    (unlike, "unlike the full model", plotting.VERMILLION, -1, 0),
]
lines += [(wrong_both, "one $v$, layer 1 cut: wrong", plotting.GREEN, -1, 3)]
lines += [(wrong_one, "one-layer model cut: wrong", "0.4", -1, 0)]
for shares, label, colour, at, up in lines:
    ax.loglog(KEPT, shares, "o-", markersize=4, color=colour)
    ax.annotate(label, (KEPT[at], max(shares[at], 1e-4)), (6, up), color=colour, **beside)
ax.axhline(1 - accuracy, color="0.5", linestyle="--", linewidth=0.8)
ax.annotate("the full model's error", (KEPT[-1], 1 - accuracy), (6, -7), color="0.4", **beside)
ax.set(xlabel="eigenvectors kept per digit", ylabel="share of the test images", xlim=(0.9, 200), xticks=KEPT)
ax.set_xticklabels(KEPT)
ax.minorticks_off()
results.record(first_layer_one=[wrong_both[0], *(first_layer_cut(each, [1])[0] for each in noisy_models)])
alt = "Falling curves on logarithmic axes over the eigenvectors kept: with layer 2 cut the errors reach those of the full model at ten; with layer 1 cut, and in the one-layer model, they start far higher."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Test images read wrongly when every digit keeps only its $k$ eigenvectors of largest size: those of the second layer, $|\lambda|$ (blue; red: read otherwise than by the full model); those of the first layer, $|\mu|$, of the digit's one most positive $v$ (green);
# those of the model with a single layer (grey). (Compare Figures 5B and 20A of the follow-up paper.)
# One $v$ for each digit nearly does in layer 2, because layer 1 stays whole: of its pixel vectors a digit needs ten or more. The strongest pattern by itself, as in figure `opening`, is a bad classifier. The second eigenvector of layer 2 by size helps little. It is negative for all digits but those printed above.
#
# ## What makes the rank low, noise or weight decay?
#
# The follow-up paper says two things about noise. Section 4.1: more noise "results in a lower-rank eigenvalue spectrum". Appendix E: "input noise increases the number of important eigenvectors while weight decay decreases it".
# The sweep `01_mnist_bilinear` trains six models for each of two noise levels and two weight decays, in 12 epochs. The *rank* is, as in appendix E, $(\sum_i |\lambda_i|)^2 / \sum_i \lambda_i^2$ of a digit's eigenvalues, here the mean over digits:
# it is $n$ for $n$ equal ones. Equal seeds start from equal weights, so the effect of a setting is the ratio within each seed.

# %%
ranks = np.log(grid.set_index(["noise", "weight_decay", "run"])["rank"]).unstack("run")
changes = {f"decay, noise {n:g}": ranks.loc[n, 0.5] - ranks.loc[n, 0.0] for n in (0.0, 0.33)}
changes |= {f"noise, decay {d:g}": ranks.loc[0.33, d] - ranks.loc[0.0, d] for d in (0.0, 0.5)}
effects = {name: np.exp([change.mean(), *interval(change)]) for name, change in changes.items()}
for name, (mean, low, high) in effects.items():
    print(f"{name}: the rank is multiplied by {mean:.2f} (95 % interval {low:.2f} to {high:.2f})")
cost = grid.set_index(["noise", "weight_decay", "run"]).test_accuracy.unstack("weight_decay").diff(axis=1)[0.5]
for noise, paired in cost.groupby("noise"):
    low, high = interval(paired)
    print(f"noise {noise:g}: decay changes the accuracy by {paired.mean():+.4f} ({low:+.4f} to {high:+.4f})")
untrained = BilinearMLP(config, SEED).requires_grad_(False)
start = bilinear.eigendecompose(bilinear.interaction_tensor(untrained.w_u, untrained.w_l[1], untrained.w_r[1]))[0]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
labels = {"rank": "effective rank", "test_accuracy": "test accuracy"}
labels |= {"accuracy_1": "accuracy with\n1 eigenvector a digit", "inkless": "power in rarely\ninked pixels"}
labels["similarity"] = "|cos| of two runs'\nstrongest patterns"
fig, axes = plt.subplots(2, 3, figsize=(plotting.TEXT_WIDTH, 3.9))
colours = {0.0: plotting.VERMILLION, 0.33: plotting.BLUE}
for ax, (column, label) in zip(axes.flat, labels.items(), strict=False):
    frame = grid.drop_duplicates(["noise", "weight_decay", "seed"]) if column == "similarity" else grid
    look = {"x": "weight_decay", "y": column, "hue": "noise", "palette": colours, "ax": ax, "legend": False}
    sns.stripplot(frame, **look, **DOTS, dodge=0.3)
    if column != "accuracy_1":
        sns.pointplot(frame, **look, **MEAN, dodge=0.4)
    ax.set(xlabel="weight decay", ylabel=label)
axes[0, 0].axhline(effective_rank(start).mean(), color="0.6", linewidth=0.8, linestyle="--")
axes[0, 0].text(0.95, 0.78, "untrained", color="0.4", ha="right", transform=axes[0, 0].transAxes)
axes[0, 0].text(0.95, 0.62, "noise 0.33", color=plotting.BLUE, ha="right", transform=axes[0, 0].transAxes)
axes[0, 0].text(0.95, 0.5, "no noise", color=plotting.VERMILLION, ha="right", transform=axes[0, 0].transAxes)
for y, (mean, low, high) in enumerate(effects.values()):
    forest = {"fmt": "|", "markersize": 8, "capsize": 3, "color": "black"}
    axes[1, 2].errorbar(mean, -y, xerr=[[mean - low], [high - mean]], **forest)
axes[1, 2].axvline(1, color="0.6", linestyle="--", linewidth=0.8)
axes[1, 2].set(yticks=-np.arange(len(effects)), xlabel="effective rank, multiplied by", xscale="log")
axes[1, 2].set_xticks(ticks := [0.2, 0.5, 1, 2], ticks)
axes[1, 2].set_yticklabels(effects)
axes[1, 2].minorticks_off()
alt = "Five panels over weight decay, with and without noise: the effective rank falls steeply with decay and hardly differs by noise; accuracies are higher with noise; rarely inked pixels hold little power with noise; two runs agree most with decay and without noise. A sixth panel shows the ratios of the ranks: a quarter for decay, slightly above 1 for noise."
results.save_figure(fig, "grid", alt=alt)

# %% [markdown]
# **Figure `grid`.** Six training runs (dots) for each noise and weight decay, their mean (cross) and its 95 % t-interval (none in the third panel, whose dots lie at levels; three pairs of runs in the fifth). Last panel: by how much a setting multiplies the effective rank (decay of 0.5 over none, noise of 0.33 over none), with the 95 % t-interval over six pairs of runs of equal seed; left of the dashed line it lowers the rank.
# (Compare Figure 19 of the follow-up paper.)
#
# Weight decay divides the effective rank by about four, with narrow intervals (printed above). In $h_1$'s own units noise of 0.33 (here on input and layers together) raises it by 7 to 8 %, as appendix E says; it does not lower it, as section 4.1 says.
# A reproduction by others found the same of decay ("the primary driver of low-rank structure", abstract of [openreview 6k7qRdz7rD](https://openreview.net/forum?id=6k7qRdz7rD)).
# Two cautions. Training alone already halves the rank of an untrained model (dashed), and ten eigenvectors name the images as the full model does at rank 100 nearly as well as at 25 (99 % or more in each run): decay mostly shrinks a tail that decides little.
# And the rank depends on the units of $h_1$; the table below also has it with each direction weighted by how much the data use it (eigenvalues of $S^{1/2} B_c S^{1/2}$, $S$ the second moments of $h_1$ over the training images). So weighted, noise makes no difference.
#
# Noise makes the network more accurate and moves the patterns' power out of pixels that rarely carry ink. It makes two runs less alike. Decay costs accuracy with noise and without (paired intervals printed above), and makes runs more alike.
#
# **Why does one eigenvector do better with noise?** The third panel's dots lie at levels about a tenth of the images apart. A digit whose one eigenvector has a negative eigenvalue has a logit of at most 0, so its images go to the digits with positive ones.
# The table shows, at a decay of 0.5, for which digits the eigenvalue of largest size is negative, the least ratio of a digit's most positive to its most negative eigenvalue, and what is read when each digit keeps its most *positive* eigenvector instead.

# %%
one = []
for noise, each in [(0.33, each) for each in noisy_models] + [(0.0, each) for each in plain_models]:
    forms, h = bilinear.interaction_tensor(each.w_u, each.w_l[1], each.w_r[1]), each.hidden(test_x)[1]
    values, vectors = bilinear.eigendecompose(forms)
    negative = (-values[:, 0] > values[:, -1]).nonzero().flatten().tolist()
    answers = {"largest": bilinear.truncated_logits(h, values, vectors, 1).argmax(1)}
    answers["positive"] = (values[:, -1] * einsum(h, vectors[:, :, -1], "n h, c h -> n c").square()).argmax(1)
    read = {name: (answer == test_y).double().mean().item() for name, answer in answers.items()}
    h0 = train_x @ each.w_e.T
    seen = (h0 @ each.w_l[0].T) * (h0 @ each.w_r[0].T)  # h_1: layer 2 is not needed here
    size, axes_ = bilinear.eigendecompose(seen.T @ seen / len(seen))
    root = axes_ * size.clamp(min=0).double().sqrt().float() @ axes_.T
    weighted, _ = bilinear.eigendecompose((by_data := root @ forms @ root) / 2 + by_data.mT / 2)
    read |= {"rank": effective_rank(values).mean().item(), "rank by data": effective_rank(weighted).mean().item()}
    least = (values[:, -1] / -values[:, 0]).min().item()  # the largest positive over the largest negative eigenvalue
    one.append({"noise": noise, "negative for": negative, "least ratio": least, **read})
one = pd.DataFrame(one)
one.round(4)

# %% [markdown]
# At this decay the most positive eigenvector alone reads about 95 to 97 % of the images with noise and without, with about twice the full model's errors. Noise makes it the largest for every digit; without decay that fails in two of six runs (figure `grid`).
#
# Twelve epochs are enough to see what decay does: after 64 epochs the rank is lower than in the six runs of the same noise and decay (table below), by far less than decay changes it. We did not train without noise for 64 epochs.

# %%
answers = bilinear.truncated_logits(h1, values2, vectors2, 10).argmax(1)
long = {"rank": effective_rank(values2).mean().item(), "test_accuracy": accuracy}
long |= {
    "accuracy_1": 1 - wrong[0],
    "accuracy_2": 1 - wrong[1],
    "agreement_10": (answers == logits.argmax(1)).double().mean().item(),
}
pd.concat([pd.DataFrame(long, index=["64 epochs, one run"]), paper[[*long]].agg(["mean", "min", "max"])]).round(4)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
decay, noise = (np.exp(pd.concat(pair)) for pair in ([*changes.values()][:2], [*changes.values()][2:]))
results.record(rank_by_decay=decay, rank_by_noise=noise, mean_rank_ratio=[mean for mean, _, _ in effects.values()])
results.record(
    one_positive=one.positive,
    positive_over_negative=one["least ratio"][one.noise > 0],
    agreement_10=paper.agreement_10,
    handful_drop=paper.test_accuracy - paper.accuracy_5,
)

# %% [markdown]
# ### Width
#
# The sweep `01_mnist_bilinear_width` trains models of other widths, in pairs from seeds of their own. For each pair we ask how alike both models are: the $|\cos|$ between the strongest patterns of equal digits.
# The same between different digits is the baseline.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
widths = pd.concat([width, paper.assign(d_hidden=300)])
fig, axes = plt.subplots(1, 4, figsize=(plotting.TEXT_WIDTH, 2.0))
for ax, column in zip(axes, ("rank", "test_accuracy", "accuracy_1"), strict=False):
    sns.stripplot(widths, x="d_hidden", y=column, color=plotting.BLUE, ax=ax, **DOTS)
    sns.pointplot(widths, x="d_hidden", y=column, color=plotting.BLUE, ax=ax, **MEAN)
    ax.set(xlabel="hidden width", ylabel=labels[column])
per_pair = widths.drop_duplicates(["d_hidden", "seed"])  # both models of a pair carry the pair's similarity
for column, colour in (("similarity", plotting.BLUE), ("similarity_other_digits", "0.5")):
    sns.stripplot(per_pair, x="d_hidden", y=column, color=colour, ax=axes[3], **DOTS)
axes[3].set(xlabel="hidden width", ylabel="|cos| between two runs", ylim=(0, 1))
axes[3].text(0.05, 0.93, "same digit", color=plotting.BLUE, transform=axes[3].transAxes)
axes[3].text(0.05, 0.05, "different digits", color="0.4", transform=axes[3].transAxes)
alt = "Four panels over hidden widths 30, 100 and 300: rank, test accuracy and accuracy with one eigenvector per digit rise with width; the similarity of two training runs is well above that of different digits at each width."
results.save_figure(fig, "width", alt=alt)

# %% [markdown]
# **Figure `width`.** Six training runs for each hidden width at the paper's noise and decay (dots), their mean (cross) and its 95 % t-interval. Right: similarity of two runs, a dot per pair, three pairs for each width. (Compare Figure 5 of the follow-up paper.)
# Narrow models have a lower rank, as appendix F of the follow-up paper says, and read fewer digits. That larger models are more similar (its section 4.2) we do not see.
#
# ## With and without noise
#
# The follow-up paper reports that "the eigenvectors of unregularized models focus on certain outlying pixels" (section 4.1, Figure 4). Below are the strongest patterns of two models from the same seed.
# Many pixels rarely carry ink (less than 1 % on average over the training images). *Chance* is their share of the image. We ask two things: how much of the patterns' power lies there (six runs each, from the sweep),
# and how many of each pattern's ten heaviest pixels (this notebook's three runs each).

# %%
rare = train_x.mean(0) < 0.01
runs_by_noise = grid.query("weight_decay == 0.5").groupby("noise").inkless
chance = rare.double().mean().item()
heaviest = {
    kind: [
        rare[bilinear.class_features(each)[:, 0].abs().topk(10, dim=1).indices].double().mean().item() for each in group
    ]
    for kind, group in {"with noise": noisy_models, "without": plain_models}.items()
}
print(
    f"chance: {chance:.1%} of the pixels are rarely inked; share of the ten heaviest pixels that are, by run: {heaviest}"
)
runs_by_noise.agg(["mean", "min", "max"]).round(3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
vectors, titles = [], []
for each in (noisy_models[0], plain_models[0]):
    v = bilinear.eigendecompose(bilinear.interaction_tensor(each.w_u, each.w_l[1], each.w_r[1]))[1][:, :, -1]
    _, mu, p = bilinear.pixel_features(each, v)
    vectors.append(p[:, :, -1])
    titles += drawing.titled(vectors[-1].T, mu[:, -1], train_x)
fig = drawing.maps(torch.cat(vectors), titles, ["with noise", "without"], 2.2, "digit")
alt = "Two rows of ten red-blue pixel vectors, one per digit: with noise in training they are strokes in the middle of the image, without it they also weigh the edge of the image."
results.save_figure(fig, "noise", alt=alt)
inkless = grid.query("weight_decay == 0.5").pivot(index="run", columns="noise", values="inkless")
results.record(heaviest_without=heaviest["without"], heaviest_with=heaviest["with noise"])
results.record(inkless_ratio=inkless[0.0] / inkless[0.33])

# %% [markdown]
# **Figure `noise`.** For each digit, the strongest pixel vector of its strongest layer-2 eigenvector, after 12 epochs with the paper's noise (above) and without (below), with eigenvalue and mean activation. (Compare Figure 4 of the follow-up paper.)
# Without noise seven or more of ten of a pattern's heaviest pixels rarely carry ink, by chance four would; with noise none does, in each run. Section 4.1 of the follow-up paper is right about this.
#
# ## Orthogonal where?
#
# The original notebook's eigenvectors $u_j$ are orthonormal in the 300-dimensional hidden space. Carried to pixels they have neither one length nor exactly right angles: $W_e$ stretches some
# directions more than others. With the QR factors of $W_e^\top = QR$ the same form can be decomposed in pixel space,
# $W_e^\top B^{(v)} W_e = Q\,(R B^{(v)} R^\top)\,Q^\top$, and the eigenvectors of $R B^{(v)} R^\top$, carried by $Q$, are orthonormal images. *Overlap* is the mean $|\cos|$ between two different ones of the eight shown.

# %%
views, titles = [], []
for space in ("hidden", "pixels"):
    _, mu, p = bilinear.pixel_features(model, vectors2[DIGIT][:, -1:].T, space)
    titles += drawing.titled(p[0][:, eight], mu[0, eight], train_x)
    views.append(F.normalize(p[0][:, eight], dim=0))
overlap = [(p.T @ p).abs()[~torch.eye(8, dtype=torch.bool)].mean().item() for p in views]
alike = (views[0] * views[1]).sum(0).abs().mean().item()
print(f"overlap: hidden space {overlap[0]:.3f}, pixel space {overlap[1]:.3f}; |cos| between both views {alike:.2f}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.maps(torch.cat([p.T for p in views]), titles, ["hidden space", "pixel space"], 2.6)
alt = "Two rows of eight pixel vectors with their eigenvalues and mean activations: above from the decomposition in hidden space, below in pixel space."
results.save_figure(fig, "pixel_space", alt=alt)

# %% [markdown]
# **Figure `pixel_space`.** The most positive layer-2 eigenvector of the chosen digit: the four most positive and the four most negative eigenvectors of its form, with eigenvalue and mean activation,
# decomposed in hidden space and carried to pixels (above, drawn at unit norm), and decomposed in pixel space (below). The eigenvalues
# of the two rows are in different units: above per unit of hidden activity, below per unit of ink.
#
# ## The same features from another seed?
#
# Hidden spaces of different models cannot be compared, pixels can. Eigenvectors may change places between runs. So we compare three things: the strongest patterns of equal digits, the strongest pattern with its best partner among the four strongest of the other run, and the spans of both four (the share they have in common). Each has its own baseline, the same between *different* digits, because a best partner of four is more alike by chance. The pairs are those of the sweep: three, of six runs that share no seed;
# no run is compared with itself. (The script that the follow-up paper's authors published for their similarity of 0.8 to 0.9 averages over pairs that include each run with itself.)

# %%
pairs = paper.drop_duplicates("seed")
KINDS = {"similarity": "strongest,\n|cos|", "matched": "best partner,\n|cos|", "subspace": "span of four,\nshared part"}
features = [bilinear.class_features(each, 4) for each in noisy_models]
by_digit = {
    f"{SEEDS[a]}, {SEEDS[b]}": bilinear.similarities(features[a], features[b])["matched"].diagonal().tolist()
    for b in range(len(SEEDS))
    for a in range(b)
}
pairs[[f"{kind}{what}" for kind in KINDS for what in ("", "_other_digits")]].agg(["mean", "min", "max"]).T.round(3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4), width_ratios=[1, 1.5])
for x, kind in enumerate(KINDS):
    for column, colour in ((kind, plotting.BLUE), (f"{kind}_other_digits", "0.5")):
        left.plot([x] * len(pairs), pairs[column], "o", color=colour, markersize=4, alpha=0.7)
left.set(xticks=range(3), xlim=(-0.5, 2.5), ylim=(0, 1.15), ylabel="similarity of two runs")
left.set_xticklabels(KINDS.values())
left.text(0.03, 0.92, "same digit", color=plotting.BLUE, transform=left.transAxes)
left.text(0.97, 0.92, "different digits", color="0.4", ha="right", transform=left.transAxes)
dots = {"palette": plotting.OKABE_ITO[: len(SEEDS)], "dodge": True, "jitter": False, "size": 4}
partners = pd.DataFrame(by_digit).melt(var_name="seeds", value_name="cosine", ignore_index=False).reset_index()
sns.stripplot(partners, x="index", y="cosine", hue="seeds", ax=right, **dots)
right.axhline(pairs.matched_other_digits.mean(), color="0.5", linewidth=0.8, linestyle="--")
right.set(xlabel="digit", ylabel="best partner, |cos|", ylim=(0, 1.02))
right.legend(title="seeds", loc="lower right", ncols=3, columnspacing=0.8, handletextpad=0.1)
alt = "Left: similarity of two training runs by three measures, for equal digits above different digits. Right: the best partner of each digit's strongest pattern, for three pairs of seeds."
results.save_figure(fig, "seeds", alt=alt)
results.record(similarity=pairs.similarity, similarity_ratio=pairs.similarity / pairs.similarity_other_digits)

# %% [markdown]
# **Figure `seeds`.** Left: how alike two training runs are, a dot per pair of runs, for equal digits and, as baseline, for different digits. Right: the best partner of each digit's strongest pattern, for the three pairs among this notebook's own models of 12 epochs (dashed: the mean for different digits). Digit 8 in one pair is no more alike than different digits, digit 0 in two hardly more.
# In two of the sweep's three pairs the best partner is the strongest pattern itself, for every digit; in the third, where the first two measures differ, eigenvectors have changed places.
# (Compare Figure 5A of the follow-up paper.)
#
# ## Masks from the weights alone
#
# Adding a digit's pattern to an image should make the model read that digit. The mask *for* digit $c$ is the pattern of its most positive layer-2 eigenvector, as in figure `opening`; the mask *against* $c$ is that of its
# most negative one, which should take the name from the digit's own images. Both have norm 6; an image has a norm of about 9. The masked images leave the range of pixels and are not clipped to it. We count the images of other digits that are called $c$. Baselines of the same norm: the mask with the other sign and with the other sign of $v$, the mean image of digit $c$,
# the strongest pixel vector of random hidden directions, smooth noise (each pixel averaged with its 24 neighbours) on the whole image and where there is ink, and white noise, under which the model was trained.

# %%
generator = torch.Generator().manual_seed(SEED)
white = torch.randn(10, 784, generator=generator)
smooth = F.avg_pool2d(white.reshape(-1, 1, 28, 28), 5, stride=1, padding=2).reshape(10, 784)
own = bilinear.masks(model, images, generator)
masks = {
    "for the digit": own["mask"],
    "for it, other sign": own["negative"],
    "mean image of it": own["mean_digit"],
    "random direction": own["random_direction"],
    "against it": own["against"],
    "other sign of v": bilinear.pixel_features(model, vectors2[:, :, -1])[2][:, :, 0],
    "smooth noise on ink": smooth * ~rare,
    "smooth noise": smooth,
    "white noise": white,
}
means = bilinear.class_means(images)
masks["mean image of it, less the others'"] = means - (means.sum(0) - means) / 9  # knows the data, as no weights do
table = {}
for kind, each in masks.items():
    answers = bilinear.called(model, test_x, F.normalize(each, dim=1))
    shares = bilinear.pushed(answers, test_y)
    table[kind] = [*shares.tolist(), shares.mean().item(), (answers == test_y).double().mean().item()]
table = pd.DataFrame(table, index=[*range(10), "mean", "accuracy"]).T
table.round(3)

# %%
lots = bilinear.pixel_features(model, torch.randn(40, 300, generator=generator))[2][:, :, -1]
answers = bilinear.called(model, test_x, lots)
best = np.array([max((a[test_y != c] == c).double().mean().item() for c in range(10)) for a in answers])
own = np.mean([(a[test_y == c] == c).double().mean().item() for a in answers for c in range(10)])
print(f"40 random directions: {best.mean():.0%} of other digits' images called the digit that each pushes most to;")
print(f"for {(best >= 0.15).mean():.0%} of them that is 15 % or more; {own:.0%} of a digit's own images keep its name")

# %%
run_means = paper.rename(columns=lambda name: name.removesuffix("_rate"))
columns = ["mask", "negative", "mean_digit", "random_direction", "against"]
run_means[[*columns, "mask_digits_over_15", "against_kept"]].agg(["mean", "min", "max"]).round(3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.8), width_ratios=[1.5, 1])
looks = [(plotting.VERMILLION, "o"), (plotting.ORANGE, "D"), ("0.5", "_"), (plotting.SKY, "^"), (plotting.BLUE, "s")]
for kind, (colour, marker) in zip(masks, looks, strict=False):
    left.plot(range(10), table.loc[kind, range(10)], marker, color=colour, markersize=5, label=kind)
left.axhline(0.15, color="0.6", linewidth=0.8, linestyle="--")
left.set(xlabel="target digit", ylabel="share of other digits'\nimages called the target", xticks=range(10))
left.set(ylim=(-0.03, 1))
left.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=3, columnspacing=0.7, handletextpad=0.1)
named = run_means[columns].set_axis([*masks][:5], axis=1).melt(var_name="mask", value_name="share")
sns.stripplot(named, x="share", y="mask", color=plotting.BLUE, ax=right, **DOTS)
sns.pointplot(named, x="share", y="mask", color=plotting.VERMILLION, linestyle="none", ax=right, **MEAN)
right.set(xlabel="share, mean over ten targets", ylabel="", xlim=(-0.03, 1))
alt = "Left: for each target digit the share of other digits' images called the target under five kinds of masks. Right: the mean over targets for six training runs of 12 epochs."
results.save_figure(fig, "mask", alt=alt)
results.record(mask_rate=paper.mask_rate, against_kept=paper.against_kept)

# %% [markdown]
# **Figure `mask`.** Left: the model of the paper's recipe, masks of norm 6: share of other digits' images that are called the target (dashed: 15 %). Right: the mean over the ten targets in six other training runs of 12 epochs (dots), their mean (cross) and its 95 % t-interval.
# The first table above has all baselines, with the accuracy that is left. Its last row is one mask made from data: the mean image of a digit less the mean of the others pushes more images than the mask, which is made without any image. A random direction pushes many images to *some* digit (printed above the table), so what the weights tell is which. The second table shows that not every digit reaches 15 % in every run. (Compare Figure 7 of the follow-up paper, whose masks are rows of a pseudo-inverse.)
# Masks of models without noise, whose patterns look least like strokes, push even more (the sweep's rows): success of a mask is no evidence that a pattern looks right.
#
# **Which sign matters.** The sign of $v$ decides: with the other one (a row of the first table) the mask pushes next to no image to the digit. The sign of $p$ decides less: $p$ enters as $(p \cdot x)^2$, and both $(p \cdot x + 6)^2$ and $(p \cdot x - 6)^2$ are large.
# With weight decay the rule's sign pushes more images in eleven of the sweep's twelve runs; without decay the other sign does so in nine of twelve. For single digits it can matter much. Digit 0 of the model with the paper's recipe is the clearest case:

# %%
power, zero, not_zero = patterns[0].clamp(min=0).square().sum().item(), patterns[0], test_x[test_y != 0]
print(f"digit 0: {power:.1%} of its pattern's power is red; its pixels add up to {zero.sum():+.2f}")
print(f"p . x is {(not_zero @ zero).mean():+.2f} on average over the images of other digits")
for sign, told in ((1, "the rule's sign"), (-1, "the other sign")):
    after = model(not_zero + sign * 6 * zero)
    gains, counts = (after - model(not_zero)).mean(0), after.argmax(1).bincount(minlength=10)
    print(f"{told}: mean change of the logits {[round(x, 1) for x in gains.tolist()]}, images called {counts.tolist()}")

# %% [markdown]
# The rule that adds ink ($\sum_i p_i > 0$) would take the other sign for digit 0, and reach 6 %: it raises the logit of 5 more than that of 0, and a third of the images are called 5. The rule's sign is better here because $p \cdot x$ is positive on average over the images of other digits,
# so that $(p \cdot x + 6)^2$ is the larger square. The rule sees no image, and is not always right: for digit 3 the other sign is better.
#
# ## What we found

# %%
rows = [
    ("rank, multiplied by: decay without noise and with, noise without decay and with", "mean_rank_ratio", "decay decreases it (follow-up, appendix E); noise: lower (section 4.1), higher (appendix E)"),
    ("test accuracy, two bilinear layers (mean of six runs)", "accuracy", "0.983 (authors' notebook, one layer, other recipe)"),
    ("ten heaviest pixels that are rarely inked, without noise (three runs)", "heaviest_without", "\"outlying pixels\" (section 4.1)"),
    ("the same with noise (three runs)", "heaviest_with", "\"more digit-like\" (section 4.1)"),
    ("|cos| of the strongest pattern between runs (three pairs)", "similarity", "0.8 to 0.9 (section 4.2)"),
    ("predictions kept by ten eigenvectors a digit (six runs)", "agreement_10", "\"only a handful\" (section 4.2)"),
    ("images called the target under masks of norm 6 (six runs)", "mask_rate", "0.28 (Figure 7A, other masks, norm 8.4)"),
]  # fmt: skip
results.record(accuracy=paper.test_accuracy.mean())
results.findings(rows)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
turned = {c: patterns[c] for c in (4, 5)}
fig = drawing.cover(turned, pushed[0] - 6 * patterns[0], model(pushed).argmax(1).tolist())
alt = "Red-blue patterns for the digits 4 and 5; below each a handwritten 3 with the pattern added, and what the network calls it."
results.save_figure(fig, "cover", alt=alt, show=False)

# %% [markdown]
# **Figure `cover`.** The cover: the patterns for 4 and 5, and the 3 of figure `opening` with each added; below, the name that the network gives it.
#
# The original notebook states no numbers; its pictures are those above. The last column holds what the follow-up paper states of its one-layer models.
#
# - Weight decay makes the effective rank low; noise raises it by 7 to 8 % in the units of $h_1$, and by nothing when directions are weighted by the data. Two runs are more alike with decay and less with noise.
# - Without noise most of a pattern's heaviest pixels rarely carry ink; with noise none does.
# - In the second layer one eigenvector a digit, the most positive, reads about 95 % of the images or more, because the first layer stays whole; of that layer's pixel vectors a digit needs ten or more.
# - The accuracies of two bilinear layers and of a usual network of equal size, trained by the same recipe, cannot be told apart (figure `models`; the interval printed above it leaves room for 0.16 points).
# - Patterns of the same digit in two runs are more alike than those of different digits, less than the follow-up paper's number.
# - A mask made from the weights alone makes the network call other images the target. A mask from the most negative eigenvector takes the name from the digit's own images (figure `mask`'s second table), where random directions leave it to half of them.
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
# One data set. The runs of the sweeps take 12 of the 64 epochs; the paper's full recipe is trained once. Noise is that of the input and of the layers together, where the follow-up paper varies the input's alone. The 2024 workshop paper's body was not at hand, so the figure numbers are those of the follow-up paper, whose models have one layer.
# That a pattern looks like a stroke is an impression. We measure how few eigenvectors suffice, how similar they are between runs, and what adding one does.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - Y. LeCun, C. Cortes, C. J. C. Burges. *The MNIST database of handwritten digits.* 1998.

# %%
results.finish()
