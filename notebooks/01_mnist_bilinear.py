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
# **Claim.** A multilayer perceptron whose non-linearity is an elementwise product recognises 98 % of MNIST's test images, and each of its
# outputs is exactly a quadratic form in the layer below. The eigenvectors of these forms are computed from the weights; they show which
# pen strokes raise the logit of a digit and which lower it. Images are needed only to fix the eigenvectors' signs.
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below,
# and its follow-up, [arXiv 2410.08417](https://arxiv.org/abs/2410.08417).
#
# **Among the five.** This notebook and [02](02_tinystories.ipynb) read features off weights by the same eigendecomposition, here those of a
# classifier, there those of a transformer that tells stories. [03](03_mnist_sae.ipynb) takes superposed features apart, [04](04_dihedral_fourier.ipynb)
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
import numpy as np
import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

from paper_utils import bilinear, data, plotting, results, runs, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

training.check_device(DEVICE)
plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"
RANKS = {-1: "most positive", -2: "second most positive", 0: "most negative", 1: "second most negative"}
KEPT = [1, 2, 5, 10, 20, 50, 300]
SEEDS = [1, 2] if QUICK else [1, 2, 3]  # of the shorter trainings that compare models
STRENGTHS = [0, 1, 2, 3, 4, 6, 8]

# %% [markdown]
# ## Data
#
# 60,000 training and 10,000 test images of 28 × 28 pixels, each pixel between 0 (paper) and 1 (ink), one row of 784 numbers per image.

# %%
images = data.load_mnist()
if QUICK:
    images = images.first(10_000)
train_x, test_x, test_y = images.train_x, images.test_x, images.test_y
results.begin("01_mnist_bilinear", mode=MODE, seeds=[SEED, *SEEDS], data=images)

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
# No biases, no residual connection, no normalisation. $W_e$ is 300 × 784, each $L_i$ and $R_i$ is 300 × 300, $W_u$ is 10 × 300. In training,
# every pixel gets Gaussian noise of standard deviation 0.33, and so does every layer's output, there in units of the batch's own standard deviation.
# What the noise does to the weights is shown [below](#With-and-without-noise).
#
# ## Training
#
# Cross entropy, AdamW with the strong weight decay of 0.5, batches of 100. The learning rate rises over two epochs, is halved every second
# epoch for twelve, and stays at 1/64 of its peak for fifty. Further [below](#Beyond-the-original-notebook) we compare models from other seeds,
# and one without the noise, trained on a schedule of 12 epochs. All are trained here, side by side, and kept as safetensors under
# `build/weights/`: a second run loads them.

# %%
config = BilinearConfig()
recipe = BilinearRecipe(warmup=1, decay=2, constant=0) if QUICK else BilinearRecipe()
plain = replace(config, input_noise=0.0, layer_noise=0.0)
short = recipe if QUICK else BilinearRecipe(decay=6, constant=4)
calls = [(config, recipe, SEED), *((config, short, seed) for seed in SEEDS), (plain, short, SEEDS[0])]
trained = runs.cached(bilinear.train, [(BilinearMLP(c, s).to(DEVICE), r, s) for c, r, s in calls], data=images)
model, *noisy_models, plain_model = (model.cpu().eval().requires_grad_(False) for model, _ in trained)
history = trained[0][1]

results.record(test_accuracy=model.accuracy(test_x, test_y), train_loss=history["loss"][-1])
print(f"test accuracy after {recipe.epochs} epochs: {model.accuracy(test_x, test_y):.4f}")
{name: tuple(weight.shape) for name, weight in model.named_parameters()}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
labels = {"loss": "training loss (nats)", "test_accuracy": "test accuracy", "lr": "learning rate"}
fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.1))
for ax, (key, label) in zip(axes, labels.items(), strict=True):
    ax.plot(np.arange(1, recipe.epochs + 1), history[key], ".-", markersize=3)
    ax.set(xlabel="epoch", ylabel=label, yscale="linear" if key == "test_accuracy" else "log")
    ax.xaxis.get_major_locator().set_params(integer=True)
alt = "Three curves over epochs: the training loss falls, the test accuracy rises and levels off, the learning rate rises for two epochs, steps down for twelve and stays constant."
results.save_figure(fig, "training_curves", alt=alt)

# %% [markdown]
# **Figure `training_curves`.** Training loss (mean over an epoch's batches, with noise), accuracy on the test set (without noise), learning rate.
# The network learns nearly all while the rate is high; the fifty epochs at the lowest rate change little.
#
# ## The interaction tensor of the second layer
#
# For class $c$, the second layer and the read-out together are a quadratic form in $h_1$:
#
# $$\text{logit}_c = \sum_h W_u[c,h]\,(L_2[h] \cdot h_1)(R_2[h] \cdot h_1) = h_1^\top B_c\, h_1, \qquad
# B_c = \sum_h W_u[c,h]\; \tfrac12\!\left(L_2[h] R_2[h]^\top + R_2[h] L_2[h]^\top\right).$$
#
# Only the symmetric part of a matrix counts in a form, so $B_c$ is made symmetric. First once by hand, with the letters of the equation;
# then by the tested function. A symmetric matrix has orthonormal eigenvectors $v_i$, so
#
# $$\text{logit}_c = \sum_i \lambda_i (v_i \cdot h_1)^2 :$$
#
# each eigenvector is a feature. A large $|v_i \cdot h_1|$, of either sign, raises the logit where $\lambda_i > 0$ and lowers it where $\lambda_i < 0$.

# %%
by_hand = torch.stack([model.w_l[1].T @ torch.diag(model.w_u[c]) @ model.w_r[1] for c in range(10)])
by_hand = (by_hand + by_hand.transpose(1, 2)) / 2
b2 = bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1])
assert (by_hand - b2).abs().max() < 1e-5 * b2.abs().max()

values2, vectors2 = bilinear.eigendecompose(b2)
h1 = model.hidden(test_x)[1]
projections = einsum(h1, vectors2, "image h, digit h i -> image digit i")
form, logits = einsum(projections**2, values2, "image digit i, digit i -> image digit"), model(test_x)
error = ((form - logits).abs().max() / logits.abs().max()).item()
assert error < 1e-4
print(f"largest error of the eigenvector form, relative to the largest logit: {error:.1e}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for c in range(10):
    fig, ax = plt.subplots(figsize=(3.4, 2.4))
    plotting.spectrum(ax, values2[c])
    ax.set(xlabel="rank", ylabel="eigenvalue", title=f"layer 2, digit {c}")
    alt = f"The 300 eigenvalues of digit {c}'s interaction matrix in ascending order: a few negative, most near zero, a few positive."
    results.save_figure(fig, f"layer2_eigenvalues_{c}", alt=alt, show=c == DIGIT)

fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 2.9), sharex=True, sharey=True)
for c, ax in enumerate(axes.flat):
    plotting.spectrum(ax, values2[c])
    ax.set_title(f"digit {c}")
fig.supxlabel("rank", fontsize=8)
fig.supylabel("eigenvalue", fontsize=8)
alt = "Ten small spectra, one per digit: each has a few large positive and a few large negative eigenvalues, and many near zero."
results.save_figure(fig, "layer2_eigenvalues_all", alt=alt)

# %% [markdown]
# **Figure `layer2_eigenvalues_*`.** The eigenvalues of one digit's form, in ascending order. Few stand out from zero on either side:
# a digit is recognised by a handful of features. (Shown: the chosen digit; one file for each.)
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
# so that $\mu_j (p_j \cdot x)^2$ is the *activation* of $p_j$ on an image.
#
# An eigenvector's sign is arbitrary, twice over. We take the $v$ whose projection $v \cdot h_1$ is positive on average over the training images, so that
# positive $\mu_j$ strengthen it (the original notebook flips two of its four by hand); and we draw each $p_j$ with the sign of its mean similarity
# to the images that activate it most, so that red is ink where such images have ink.


# %%
def layer1_eigenvectors(model: BilinearMLP, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of directions v [k hidden]: them with their sign, values mu [k hidden] and pixel vectors p [k pixel hidden]."""
    v = v * (model.hidden(train_x[:5000])[1] @ v.T).mean(0).sign()[:, None]
    mu, u = bilinear.eigendecompose(bilinear.interaction_tensor(v, model.w_l[0], model.w_r[0]))
    return v, mu, einsum(model.w_e, u, "hidden pixel, k hidden j -> k pixel j")


def top_images(p: Tensor, mu: Tensor, n: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Of pixel vectors p [pixel j]: them with their drawn sign, the n most activating images [j n pixel], the mean activations [j]."""
    similarity = train_x @ p
    best = similarity.abs().topk(n, dim=0).indices
    sign = similarity.gather(0, best).mean(0).sign()
    return p * sign, train_x[best.T], mu * similarity.square().mean(0)


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def draw_panel(c: int, rank: int, v: Tensor, mu: Tensor, p: Tensor) -> plt.Figure:
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 3.9), layout="none")
    left = fig.add_gridspec(2, 1, left=0.1, right=0.265, top=0.86, bottom=0.11, hspace=0.5)
    spectrum, bars = fig.add_subplot(left[0]), fig.add_subplot(left[1])
    plotting.spectrum(spectrum, mu)
    spectrum.set(xlabel="rank in layer 1", ylabel=r"eigenvalue $\mu_j$")
    logits = model.w_u @ ((model.w_l[1] @ v) * (model.w_r[1] @ v))
    bars.bar(range(10), logits, color=[plotting.POSITIVE if x > 0 else plotting.NEGATIVE for x in logits])
    bars.axhline(0, color="0.3", linewidth=0.6)
    bars.set(xlabel="digit", ylabel="logit of $v$", xticks=range(10))
    for y, chosen in ((0.475, [-1, -2, -3, -4]), (0.02, [0, 1, 2, 3])):
        drawn, nearest, means = top_images(p[:, chosen], mu[chosen])
        for column, x in enumerate(0.31 + 0.145 * np.arange(4)):
            ax = fig.add_axes((x, y + 0.115, 0.137, 0.246))
            mapped = plotting.signed_map(ax, drawn[:, column].reshape(28, 28), vmax=0.25)
            ax.set_title(f"mean {means[column]:+.3g}", fontsize=7, pad=2)
            strip = fig.add_axes((x, y + 0.015, 0.137, 0.09))
            strip.imshow(torch.cat([*nearest[column].reshape(3, 28, 28)], dim=1), cmap="gray_r", vmin=0, vmax=1)
            strip.set_axis_off()
    bar = fig.add_axes((0.897, 0.59, 0.012, 0.246))
    fig.colorbar(mapped, cax=bar, ticks=[-0.25, 0, 0.25], label="weight of a pixel")
    fig.suptitle(f"Digit {c}: its {RANKS[rank]} layer-2 eigenvector, seen through layer 1", fontsize=9)
    return fig


for c in [DIGIT] if QUICK else range(10):
    for i, panel in enumerate(zip(RANKS, *layer1_eigenvectors(model, vectors2[c][:, [*RANKS]].T), strict=True)):
        alt = f"Digit {c}, its {RANKS[panel[0]]} layer-2 eigenvector: its spectrum in layer 1, the logits it produces, and its four most positive and four most negative pixel eigenvectors as red-blue images, each above the three training images that activate it most."
        results.save_figure(draw_panel(c, *panel), f"layer1_eigenvectors_{c}_{i}", alt=alt, show=c == DIGIT)

# %% [markdown]
# **Figure `layer1_eigenvectors_*`.** One layer-2 eigenvector $v$ of the chosen digit per panel (the other digits' panels are in `figures/`). Left: the spectrum of $v$'s own form in layer 1,
# and the logits that $v$ itself, put in place of $h_1$, would produce. Right: the pixel vectors $p_j$ of the four largest (upper row) and four
# smallest (lower row) eigenvalues, red where ink counts with the drawn sign and blue where it counts against it, all on one scale;
# below each the three training images on which it is most active, and above each its mean activation $\mu_j (p_j \cdot x)^2$ over the training set.
#
# ## Beyond the original notebook
#
# ### How few eigenvectors suffice
#
# If a digit is recognised by a handful of features, the other eigenvectors can go. For each class only the $k$ eigenvectors with the largest
# $|\lambda|$ are kept in the second layer; the first layer stays whole.

# %%
kept_logits = [bilinear.truncated_logits(h1, values2, vectors2, k) for k in KEPT]
kept_accuracy = [(logits.argmax(1) == test_y).double().mean().item() for logits in kept_logits]
results.record(truncated_accuracy=kept_accuracy[:5])

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(3.4, 2.4))
ax.semilogx(KEPT, kept_accuracy, "o-", markersize=4)
ax.axhline(model.accuracy(test_x, test_y), color="0.5", linestyle="--", linewidth=0.8, label="full model")
ax.set(xlabel="eigenvectors kept per digit", ylabel="test accuracy", xticks=KEPT, xticklabels=KEPT)
ax.minorticks_off()
ax.legend(loc="lower right")
alt = "Test accuracy against the number of eigenvectors kept per digit, rising to the full model's accuracy, drawn as a dashed line."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Test accuracy when every digit keeps only its $k$ eigenvectors of largest $|\lambda|$ in layer 2 ($k$ on a logarithmic axis).
# The curve meets the dashed line from about twenty eigenvectors on. Mind the axis: even one for each digit is right on more than 95 % of the images.
#
# ### With and without noise
#
# The follow-up paper reports that without the noise the eigenvectors over-fit to single pixels. Two models from the same seed, one with the
# paper's noise and one with none, on the schedule of 12 epochs instead of 64. For each digit we take the most positive layer-2 eigenvector and
# draw its most positive layer-1 eigenvector. Three measures, over all ten: *roughness*, the share of a pixel vector's power that is lost by
# averaging each pixel with its eight neighbours; *peak*, the share of the power in its strongest 1 % of pixels (8 of 784); and *edge*, the share in pixels
# that hardly ever have ink (on average below 1 % over the training images), of which the data can say little.


# %%
def strongest(model: BilinearMLP) -> Tensor:
    """Unit pixel vectors [digit pixel]: the top layer-1 eigenvector of each digit's top layer-2 eigenvector, ink positive."""
    _, v2 = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    p = F.normalize(layer1_eigenvectors(model, v2[:, :, -1])[2][:, :, -1], dim=1)
    return p * (train_x.mean(0) @ p.T).sign()[:, None]


def roughness(p: Tensor) -> float:
    blurred = F.avg_pool2d(p.reshape(-1, 1, 28, 28), 3, stride=1, padding=1)
    return 1 - (blurred.square().sum() / p.square().sum()).item()


shown = {"with noise": strongest(noisy_models[0]), "without": strongest(plain_model)}
peak = [p.square().topk(8, dim=1).values.sum(1).mean().item() for p in shown.values()]
edge = [p.square()[:, train_x.mean(0) < 0.01].sum(1).mean().item() for p in shown.values()]
results.record(roughness=[roughness(p) for p in shown.values()], peak=peak, edge=edge)
results.record(peak_ratio=peak[1] / peak[0], edge_ratio=edge[1] / edge[0])
results.record(short_accuracy=[each.accuracy(test_x, test_y) for each in (noisy_models[0], plain_model)])


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def unit_maps(fig: plt.Figure, axes: np.ndarray, vectors: Tensor, titles: list[str], rows: list[str]) -> None:
    """Draw unit pixel vectors on one scale, with its bar, titles above them and names beside the rows."""
    for ax, vector, title in zip(axes.flat, vectors, titles, strict=True):
        mapped = plotting.signed_map(ax, vector.reshape(28, 28), vmax=0.2)
        ax.set_title(title)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name)
    fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)


fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 1.75))
unit_maps(fig, axes, torch.cat([*shown.values()]), [f"digit {c}" for c in range(10)] + [""] * 10, [*shown])
alt = "Two rows of ten red-blue pixel vectors, one per digit: with noise in training they are strokes in the middle of the image, without it they also weigh the edge of the image."
results.save_figure(fig, "noise", alt=alt)

# %% [markdown]
# **Figure `noise`.** For each digit, the strongest pixel vector of its strongest layer-2 eigenvector, scaled to unit norm, after training with the
# paper's noise (above) and without (below). Without noise much of the weight lies at the edge of the image, where there is next to no ink; with noise little does.
# The *edge* measure shows the difference, *roughness* and *peak* do not: the weight without noise lies in pixels that the data does not constrain, not in isolated pixels.
#
# ### Orthogonal where?
#
# The original notebook's eigenvectors $u_j$ are orthonormal in the 300-dimensional hidden space. Carried to pixels they are not: $W_e$ stretches some
# directions more than others. With the QR factors of $W_e^\top = QR$ the same form can be decomposed in pixel space,
# $W_e^\top B^{(v)} W_e = Q\,(R B^{(v)} R^\top)\,Q^\top$, and the eigenvectors of $R B^{(v)} R^\top$, carried by $Q$, are orthonormal images. We compare both views
# of the most positive layer-2 eigenvector of the chosen digit: *overlap* is the mean $|\cos|$ between two different ones of the eight shown.

# %%
v, (mu,), (p,) = layer1_eigenvectors(model, vectors2[DIGIT][:, -1:].T)
chosen = [-1, -2, -3, -4, 0, 1, 2, 3]
q = bilinear.interaction_tensor(v, model.w_l[0], model.w_r[0])[0]
pixel_values, pixel_vectors = bilinear.pixel_eigendecompose(q, model.w_e)
hidden_view, pixel_view = F.normalize(p[:, chosen], dim=0), pixel_vectors[:, chosen]
overlaps = [(view.T @ view).abs()[~torch.eye(8, dtype=torch.bool)].mean().item() for view in (hidden_view, pixel_view)]
agreement = (hidden_view * pixel_view).sum(0).abs().mean()
results.record(overlap=overlaps, space_agreement=agreement)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 8, figsize=(plotting.TEXT_WIDTH, 2.25))
eigenvalues = torch.cat([mu[chosen], pixel_values[chosen]])
drawn, _, _ = top_images(torch.cat([hidden_view, pixel_view], dim=1), eigenvalues)
unit_maps(fig, axes, drawn.T, [f"{value:+.2g}" for value in eigenvalues], ["hidden space", "pixel space"])
alt = "Two rows of eight pixel vectors with their eigenvalues: above from the decomposition in hidden space, below in pixel space."
results.save_figure(fig, "pixel_space", alt=alt)

# %% [markdown]
# **Figure `pixel_space`.** The four most positive and the four most negative eigenvectors of the same quadratic form, with their eigenvalues:
# decomposed in hidden space and carried to pixels (above, scaled to unit norm), and decomposed in pixel space (below). The eigenvalues
# of the two rows are in different units: above per unit of hidden activity, below per unit of ink.
#
# ### The same features from another seed?
#
# Three models trained from different seeds (12 epochs, with noise). Hidden spaces of different models cannot be compared, pixels can: for each digit
# the $|\cos|$ between the strongest pixel vectors of two models. Two random smooth images would serve as a baseline; stricter, we take the $|\cos|$ between the vectors
# of *different* digits in different models.

# %%
vectors = torch.stack([strongest(each) for each in noisy_models])
pairs = [(a, b) for a in range(len(SEEDS)) for b in range(a)]
cosines = torch.stack([(vectors[a] @ vectors[b].T).abs() for a, b in pairs])
same = cosines.diagonal(dim1=1, dim2=2)
other = cosines[:, ~torch.eye(10, dtype=torch.bool)]
results.record(seed_similarity=same.mean(), seed_similarity_sd=same.std(), random_similarity=other.mean())
results.record(similarity_ratio=same.mean() / other.mean())

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.2))
for (a, b), row, colour in zip(pairs, same, plotting.OKABE_ITO, strict=False):
    ax.plot(range(10), row, "o", markersize=4, color=colour, label=f"seeds {SEEDS[a]} and {SEEDS[b]}")
ax.axhline(same.mean(), color="0.3", linewidth=0.8, label="mean over digits and pairs")
ax.axhline(other.mean(), color="0.6", linewidth=0.8, linestyle="--", label="mean over different digits")
ax.set(xlabel="digit", ylabel="|cos|", xticks=range(10), ylim=(0, 1.02))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
alt = "Absolute cosine between the strongest pixel vectors of two models, for each digit and each pair of three seeds, with two mean lines."
results.save_figure(fig, "seeds", alt=alt)

# %% [markdown]
# **Figure `seeds`.** Similarity of each digit's strongest pixel vector between models trained from different seeds, one dot per pair of seeds.
# Solid: the mean of the dots; dashed: the mean between different digits, which is what the strokes that all digits share would give.
#
# ### An adversarial mask from the weights alone
#
# If the eigenvectors are what the model sees, adding one to an image should mislead it, without a gradient and without data. For digit $c$ the mask
# is the most positive pixel-space eigenvector of its most positive layer-2 eigenvector, with the sign that adds ink, at strength $s$ (its norm in
# pixels; an image has a norm of about 9). Beside it a random mask of the same norm. We report the accuracy over all test images, averaged over the ten masks.

# %%
masks = {"mask": torch.stack([bilinear.weight_mask(model, c) for c in range(10)])}
masks["random"] = F.normalize(torch.randn(10, 784, generator=torch.Generator().manual_seed(SEED)), dim=1)
attacked = {
    kind: np.array([[model.accuracy(test_x + s * pattern, test_y) for s in STRENGTHS] for pattern in patterns])
    for kind, patterns in masks.items()
}
results.record(**{f"{kind}_accuracy": accuracies.mean(0)[2::2] for kind, accuracies in attacked.items()})

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 2.5))
curve, mosaic = fig.subfigures(1, 2, width_ratios=[1.1, 1])
ax = curve.subplots()
for kind, colour, label in (("mask", plotting.VERMILLION, "from the weights"), ("random", plotting.BLUE, "random")):
    plotting.runs_band(ax, STRENGTHS, attacked[kind], label, colour, unit="masks")
ax.set(xlabel="strength of the mask (norm)", ylabel="test accuracy", ylim=(0, 1.28), yticks=np.arange(0, 1.1, 0.2))
ax.legend(loc="upper left")
axes = mosaic.subplots(2, 5)
unit_maps(mosaic, axes, masks["mask"], [f"for {c}" for c in range(10)], ["", ""])
alt = "Left: test accuracy falls with the strength of ten masks made from the weights, and far less with random masks. Right: the ten masks."
results.save_figure(fig, "mask", alt=alt)

# %% [markdown]
# **Figure `mask`.** Left: accuracy on the test set when a mask is added to every image; thin lines are the ten masks, an accuracy of 0.1 is what guessing gives. Right: the masks
# made from the weights, one for each digit; red adds ink, blue takes it away.
#
# ## Over training runs
#
# The numbers above belong to one model, or to three. `sweeps/01_mnist_bilinear.py` trains five more, from seeds that this notebook does not use, on the schedule of 12 epochs, and measures each.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
labels = {
    "test_accuracy": "test accuracy",
    "truncated_accuracy_1": "accuracy,\n1 eigenvector per digit",
    "truncated_accuracy_10": "accuracy,\n10 eigenvectors per digit",
    "mask_accuracy_6": "accuracy under\nmasks of norm 6",
    "random_accuracy_6": "accuracy under\nrandom masks of norm 6",
}
fig = plotting.runs_strip(results.read_sweep("01_mnist_bilinear"), labels)
alt = "Five panels with a dot for each training run, and their mean with one standard deviation: each panel has an axis of its own; the accuracy under masks from the weights spreads most."
results.save_figure(fig, "training_runs", alt=alt)

# %% [markdown]
# **Figure `training_runs`.** Test accuracy of five training runs: of the whole model, with one and with ten eigenvectors per digit in layer 2, and under ten masks of norm 6 (mean over the masks).
# Every dot is a run; beside them their mean and one standard deviation. Each panel has an axis of its own.
#
# ## What we found

# %%
rows = {
    "test accuracy after the last epoch": "test_accuracy",
    "final training loss": "train_loss",
    f"accuracy with {', '.join(map(str, KEPT[:5]))} eigenvectors a digit": "truncated_accuracy",
    "accuracy after 12 epochs, with noise, without": "short_accuracy",
    "roughness with noise, without": "roughness",
    "peak with noise, without": "peak",
    "edge with noise, without": "edge",
    "overlap, decomposed in hidden, in pixel space": "overlap",
    "|cos| between both spaces' eigenvectors": "space_agreement",
    "|cos| between seeds": "seed_similarity",
    "its standard deviation": "seed_similarity_sd",
    "|cos| between digits": "random_similarity",
    f"accuracy under masks of norm {', '.join(map(str, STRENGTHS[2::2]))}": "mask_accuracy",
    "accuracy under random masks of these norms": "random_accuracy",
}
results.findings([(what, key, "not stated") for what, key in rows.items()])

# %% [markdown]
# The original notebook states no numbers: it is a notebook of pictures, and the pictures are those above. We measure on them:
#
# - Ten eigenvectors per digit, of three hundred, keep the accuracy; a single one still recognises most digits.
# - The noise of the paper keeps the strongest pixel vectors away from the edge of the image. The follow-up paper puts it differently: we do not find that without noise the pixel vectors
#   are more concentrated on single pixels. What differs is where their weight lies.
# - The strongest pixel vectors of two training runs are alike: their mean $|\cos|$ is three times that between different digits. Its spread is wide, from 0.3 to 0.9, and for one digit it depends on which two runs are compared.
# - A mask made from the weights alone ruins the accuracy at a norm at which a random mask takes less than one point in a hundred.
# - Hidden-space eigenvectors are nearly, not exactly, orthogonal in pixels; decomposing in pixel space changes them little where the eigenvalue stands alone, and mixes those whose eigenvalues are close.
#
# ## Where the original notebook differs
#
# - It keeps its trained model as a pickle on a private drive; here the weights are safetensors, and nothing is ever unpickled.
# - It imports the model's class from the authors' repository ([tdooms/bilinear-decomposition](https://github.com/tdooms/bilinear-decomposition), `mnist/model.py`); ours is written anew, and draws the initial weights in another order.
# - It feeds batches through a `DataLoader` that converts one image at a time. Here the pixels are a tensor in memory: the same batches, drawn from another random stream.
# - It flips the sign of two layer-2 eigenvectors of digit 9 by hand. Here stated rules fix the signs (see above).
#
# ## Limits
#
# One data set, one architecture, one training run at full length; the comparisons between seeds and noise levels use the shorter schedule of 12 epochs, and that of noise rests on one model of each kind.
# A random mask is a weak baseline, because the model is trained under such noise. That a pixel vector looks like a stroke is an impression; what is measured is how few eigenvectors suffice, how similar they are between
# seeds, and what adding one does.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - Y. LeCun, C. Cortes, C. J. C. Burges. *The MNIST database of handwritten digits.* 1998.

# %%
results.finish()
