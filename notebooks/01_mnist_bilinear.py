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
# **Claim.** A multilayer perceptron whose non-linearity is an elementwise product classifies MNIST as well as a usual one, and each of
# its outputs is exactly a quadratic form in the layer below. The eigenvectors of these forms show, without running the model on a single
# image, which pen strokes speak for a digit and which speak against it.
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the seed" below, and its
# follow-up, [arXiv 2410.08417](https://arxiv.org/abs/2410.08417).
#
# **Among the five.** This notebook and [02](02_tinystories.ipynb) read features off weights by one and the same eigendecomposition, here those of
# a classifier, there those of a transformer that tells stories. [04](04_dihedral_fourier.ipynb) reads a network whose task has an exact theory, so that
# the reading can be held against it. That features are directions at all is what [05](05_toy_superposition.ipynb) is about (when does a network pack more of them
# than it has dimensions?) and [03](03_mnist_sae.ipynb) (how are they taken apart again?). And all five check what they read: by what is left when it is taken away, or by
# what chance would give.

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
DEVICE = "cpu"  # "cuda" where there is a GPU

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum
from torch.nn import functional as F

from paper_utils import bilinear, data, plotting, results, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

plt.rcParams.update(plotting.STYLE)
training.check_device(DEVICE)
QUICK = MODE == "quick"
RANKS = [-1, -2, 0, 1]  # the two most positive and the two most negative eigenvectors
KEPT = [1, 2, 5, 10, 20, 50, 300]
SEEDS = [1, 2] if QUICK else [1, 2, 3]  # of the shorter trainings that compare models
STRENGTHS = [0, 1, 2, 3, 4, 6, 8]
PANEL_DIGITS = [DIGIT] if QUICK else range(10)

# %% [markdown]
# The account of this run: what it must write. A figure or number that is announced here and not written makes the run fail.

# %%
images = data.load_mnist()
panels = {(c, i): f"layer1_eigenvectors_{c}_{i}" for c in PANEL_DIGITS for i in range(len(RANKS))}
figures = ["sample_digits", "training_curves", "layer2_eigenvalues_all", *panels.values()]
figures += [f"layer2_eigenvalues_{c}" for c in range(10)]
figures += ["truncation", "noise", "pixel_space", "seeds", "mask"]
numbers = ["test_accuracy", "test_accuracy_best", "train_loss", "parameters", "tensor_difference", "form_error"]
numbers += [f"truncated_accuracy_{k}" for k in KEPT]
numbers += [f"{measure}_{kind}" for measure in ("roughness", "peak", "edge") for kind in ("noise", "plain")]
numbers += ["short_accuracy_noise", "short_accuracy_plain", "peak_ratio"]
numbers += ["hidden_overlap", "pixel_overlap", "space_agreement"]
numbers += ["seed_similarity", "seed_similarity_sd", "random_similarity"]
numbers += [f"{kind}_accuracy_{s}" for kind in ("mask", "random") for s in STRENGTHS]

# %%
results.begin(
    "01_mnist_bilinear",
    mode=MODE,
    seed=[SEED, *SEEDS],
    source=images.source,
    files=images.files,
    figures=figures,
    numbers=numbers,
)

# %% [markdown]
# ## Data
#
# 60,000 training and 10,000 test images of 28 × 28 pixels, each pixel between 0 (paper) and 1 (ink), one row of 784 numbers per image.

# %%
used = slice(10_000 if QUICK else None)
train_x, train_y = images.train_x[used].to(DEVICE), images.train_y[used].to(DEVICE)
test_x, test_y = images.test_x.to(DEVICE), images.test_y.to(DEVICE)
fig, axes = plt.subplots(2, 3, figsize=(3.4, 2.5))
for ax, pixels, label in zip(axes.flat, images.test_x, images.test_y, strict=False):
    plotting.grey_image(ax, pixels)
    ax.set_title(f"label {label.item()}")
results.save_figure(
    fig, "sample_digits", alt="Six handwritten digits, the first of the test set, in two rows of three."
)

# %% [markdown]
# **Figure `sample_digits`.** The first six images of the test set, with their labels.

# %% [markdown]
# ## Model
#
# A bilinear layer multiplies two linear maps of the same input, element by element, where a usual layer applies ReLU to one:
#
# $$h_0 = W_e x, \qquad h_i = (L_i h_{i-1}) \odot (R_i h_{i-1}), \qquad \text{logits} = W_u h_2 .$$
#
# No biases, no residual connection, no normalisation. $W_e$ is 300 × 784, each $L_i$ and $R_i$ is 300 × 300, $W_u$ is 10 × 300. In training,
# every pixel gets Gaussian noise of standard deviation 0.33, and so does every layer's output, there in units of the batch's own standard deviation.
# The noise keeps the weights from using single pixels, as is shown [below](#With-and-without-noise).

# %%
config = BilinearConfig()
recipe = BilinearRecipe(warmup=1, decay=2, constant=0) if QUICK else BilinearRecipe()
model = BilinearMLP(config, SEED).to(DEVICE)
for name, weight in model.named_parameters():
    print(f"{name:6} {tuple(weight.shape)}")
results.record("parameters", sum(weight.numel() for weight in model.parameters()))
recipe


# %% [markdown]
# ## Training
#
# Cross entropy, AdamW with the strong weight decay of 0.5, batches of 100. The learning rate rises over two epochs, is halved every second
# epoch for twelve, and stays at 1/64 of its peak for fifty. Further [below](#Beyond-the-seed) we compare models from other seeds, and one without the noise, trained on a schedule of
# 12 epochs. All are trained here, side by side. The weights are kept as safetensors under `build/weights/`, by recipe, data and code:
# a second run loads them. What is analysed below was loaded from that file in every case.


# %%
def run(config: BilinearConfig, recipe: BilinearRecipe, seed: int) -> training.Run:
    def train(x, y, test_x, test_y) -> tuple[dict, training.History]:
        x, y, test = x.to(DEVICE), y.to(DEVICE), (test_x.to(DEVICE), test_y.to(DEVICE))
        fresh = BilinearMLP(config, seed).to(DEVICE)
        history = bilinear.train(fresh, x, y, recipe, seed, test)
        return fresh.state_dict(), history

    decides = (config, recipe, seed, len(train_x), DEVICE)
    tensors = (train_x, train_y, test_x, test_y)
    return training.Run("bilinear", decides, images.files, bilinear.TRAINED_BY, train, tensors)


def loaded(config: BilinearConfig, state: dict) -> BilinearMLP:
    model = BilinearMLP(config, SEED).to(DEVICE)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


# %%
short = recipe if QUICK else BilinearRecipe(decay=6, constant=4)
plain_config = replace(config, input_noise=0.0, layer_noise=0.0)
runs = [run(config, recipe, SEED), *(run(config, short, seed) for seed in SEEDS), run(plain_config, short, SEEDS[0])]
(state, history), *noisy, (plain_state, _) = training.cached(*runs)
model, plain_model = loaded(config, state), loaded(plain_config, plain_state)
noisy_models = [loaded(config, weights) for weights, _ in noisy]

results.record("test_accuracy", model.accuracy(test_x, test_y))
results.record("test_accuracy_best", max(history["test_accuracy"]))
results.record("train_loss", history["loss"][-1])
print(f"test accuracy after {recipe.epochs} epochs: {model.accuracy(test_x, test_y):.4f}")

# %%
epochs = np.arange(1, recipe.epochs + 1)
fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.1))
for ax, (key, label) in zip(
    axes, {"loss": "training loss (nats)", "test_accuracy": "test accuracy", "lr": "learning rate"}.items(), strict=True
):
    ax.plot(epochs, history[key], ".-", markersize=3)
    ax.set(xlabel="epoch", ylabel=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
axes[0].set_yscale("log")
axes[2].set_yscale("log")
results.save_figure(
    fig,
    "training_curves",
    alt="Three curves over epochs: the training loss falls, the test accuracy rises and levels off, the learning rate "
    "rises for two epochs, steps down for twelve and stays constant.",
)

# %% [markdown]
# **Figure `training_curves`.** Training loss (mean over an epoch's batches, with noise), accuracy on the test set (without noise), learning rate.
# Nearly all is learnt while the rate is high; the fifty epochs at its lowest change little.

# %% [markdown]
# ## The interaction tensor of the second layer
#
# For class $c$, the second layer and the read-out together are a quadratic form in $h_1$:
#
# $$\text{logit}_c = \sum_h W_u[c,h]\,(L_2[h] \cdot h_1)(R_2[h] \cdot h_1) = h_1^\top B_c\, h_1, \qquad
# B_c = \sum_h W_u[c,h]\; \tfrac12\!\left(L_2[h] R_2[h]^\top + R_2[h] L_2[h]^\top\right).$$
#
# Only the symmetric part of a matrix counts in a form, so $B_c$ is made symmetric. First once by hand, with the letters of the equation;
# then by the tested function. Both must agree, and the form must give the model's own logits.

# %%
by_hand = torch.stack([model.w_l[1].T @ torch.diag(model.w_u[c]) @ model.w_r[1] for c in range(10)])
by_hand = (by_hand + by_hand.transpose(1, 2)) / 2
b2 = bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1])
difference = ((by_hand - b2).abs().max() / b2.abs().max()).item()
assert difference < 1e-5

values2, vectors2 = bilinear.eigendecompose(b2)
h0 = test_x[:1000] @ model.w_e.T
h1 = (h0 @ model.w_l[0].T) * (h0 @ model.w_r[0].T)
logits = model(test_x[:1000])
form = einsum(
    einsum(h1, vectors2, "image h, digit h i -> image digit i") ** 2, values2, "image digit i, digit i -> image digit"
)
error = ((form - logits).abs().max() / logits.abs().max()).item()
assert error < 1e-4
results.record("tensor_difference", difference)
results.record("form_error", error)
print(f"largest error of the eigenvector form, relative to the largest logit: {error:.1e}")


# %% [markdown]
# A symmetric matrix has orthonormal eigenvectors $v_i$, so $\text{logit}_c = \sum_i \lambda_i (v_i \cdot h_1)^2$: each eigenvector is a feature
# whose presence, of either sign, speaks for the class ($\lambda_i > 0$) or against it ($\lambda_i < 0$).


# %%
for c in range(10):
    fig, ax = plt.subplots(figsize=(3.4, 2.4))
    plotting.spectrum(ax, values2[c].cpu())
    ax.set(xlabel="rank", ylabel="eigenvalue", title=f"layer 2, digit {c}")
    alt = f"The 300 eigenvalues of digit {c}'s interaction matrix in ascending order: a few negative, most near zero, a few positive."
    results.save_figure(fig, f"layer2_eigenvalues_{c}", alt=alt, show=c == DIGIT)

# %% [markdown]
# **Figure `layer2_eigenvalues_*`.** The eigenvalues of one digit's form, in ascending order. Few stand out from zero on either side:
# a digit is recognised by a handful of features. (Shown: the chosen digit; one file for each.)

# %%
fig, axes = plt.subplots(2, 5, figsize=(plotting.TEXT_WIDTH, 2.9), sharex=True, sharey=True)
for c, ax in enumerate(axes.flat):
    plotting.spectrum(ax, values2[c].cpu())
    ax.set_title(f"digit {c}")
fig.supxlabel("rank", fontsize=8)
fig.supylabel("eigenvalue", fontsize=8)
alt = "Ten small spectra, one per digit: each has a few large positive and a few large negative eigenvalues, and many near zero."
results.save_figure(fig, "layer2_eigenvalues_all", alt=alt)

# %% [markdown]
# **Figure `layer2_eigenvalues_all`.** The same for all ten digits, on common axes.

# %% [markdown]
# ## From an eigenvector to pixels
#
# A layer-2 eigenvector $v$ is a direction in the output of layer 1, and so again defines a quadratic form, now in $h_0 = W_e x$:
# $v \cdot h_1 = h_0^\top B^{(v)} h_0$. Its eigenvectors $u_j$ with eigenvalues $\mu_j$ are carried to pixels by $p_j = W_e^\top u_j$, and
#
# $$v \cdot h_1(x) = \sum_j \mu_j\,(p_j \cdot x)^2 ,$$
#
# so that $\mu_j (p_j \cdot x)^2$ is the *activation* of $p_j$ on an image.
#
# An eigenvector's sign is arbitrary, twice over. We take the $v$ that is positive on average over the training images, so that positive $\mu_j$
# speak for what $v$ usually says (the seed flips two of its four by hand); and we draw each $p_j$ with the sign it has, on average, on the
# images that activate it most, so that red is ink where such images have ink.


# %%
def layer1_eigenvectors(c: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For the RANKS of digit c: the directions v [rank hidden], values mu [rank hidden], pixel vectors p [rank pixel hidden]."""
    v = vectors2[c][:, RANKS].T
    h0 = train_x[:5000] @ model.w_e.T
    h1 = (h0 @ model.w_l[0].T) * (h0 @ model.w_r[0].T)
    v = v * (h1 @ v.T).mean(0).sign()[:, None]
    mu, u = bilinear.eigendecompose(bilinear.interaction_tensor(v, model.w_l[0], model.w_r[0]))
    return v, mu, einsum(model.w_e, u, "hidden pixel, rank hidden j -> rank pixel j")


def top_images(p: torch.Tensor, mu: torch.Tensor, n: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For pixel vectors p [pixel j]: them with their drawn sign, the n most activating images [j n pixel], the mean activations [j]."""
    similarity = train_x @ p
    best = similarity.abs().topk(n, dim=0).indices
    sign = similarity.gather(0, best).mean(0).sign()
    return p * sign, train_x[best.T], mu * similarity.square().mean(0)


# %%
def draw_pixel_vector(
    fig: plt.Figure, row: int, column: int, p: torch.Tensor, nearest: torch.Tensor, mean: float
) -> None:
    x, y = 0.31 + 0.145 * column, (0.475, 0.02)[row]
    ax = fig.add_axes((x, y + 0.115, 0.137, 0.246))
    mapped = plotting.signed_map(ax, p.reshape(28, 28), vmax=0.25)
    ax.set_title(f"mean {mean:+.3g}", fontsize=7, pad=2)
    strip = fig.add_axes((x, y + 0.015, 0.137, 0.09))
    strip.imshow(torch.cat([image.reshape(28, 28) for image in nearest], dim=1), cmap="gray_r", vmin=0, vmax=1)
    strip.set_axis_off()
    if (row, column) == (0, 0):
        bar = fig.colorbar(mapped, cax=fig.add_axes((0.897, 0.59, 0.012, 0.246)), ticks=[-0.25, 0, 0.25])
        bar.set_label("weight of a pixel")


# %%
def draw_panel(c: int, i: int, v: torch.Tensor, mu: torch.Tensor, p: torch.Tensor) -> plt.Figure:
    fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 3.9), layout="none")
    left = fig.add_gridspec(2, 1, left=0.1, right=0.265, top=0.86, bottom=0.11, hspace=0.5)
    spectrum, bars = fig.add_subplot(left[0]), fig.add_subplot(left[1])
    plotting.spectrum(spectrum, mu)
    spectrum.set(xlabel="rank in layer 1", ylabel=r"eigenvalue $\mu_j$")
    logits = model.w_u @ ((model.w_l[1] @ v) * (model.w_r[1] @ v))
    bars.bar(range(10), logits, color=[plotting.POSITIVE if x > 0 else plotting.NEGATIVE for x in logits])
    bars.axhline(0, color="0.3", linewidth=0.6)
    bars.set(xlabel="digit", ylabel="logit of $v$", xticks=range(10))
    for row, chosen in enumerate(([-1, -2, -3, -4], [0, 1, 2, 3])):
        drawn, nearest, activation = top_images(p[:, chosen], mu[chosen])
        for column in range(4):
            draw_pixel_vector(fig, row, column, drawn[:, column], nearest[column], activation[column].item())
    place = {-1: "most positive", -2: "second most positive", 0: "most negative", 1: "second most negative"}[RANKS[i]]
    fig.suptitle(f"Digit {c}: its {place} layer-2 eigenvector, seen through layer 1", fontsize=9)
    return fig


# %%
for c in PANEL_DIGITS:
    v, mu, p = layer1_eigenvectors(c)
    for i, rank in enumerate(RANKS):
        fig = draw_panel(c, i, v[i].cpu(), mu[i].cpu(), p[i].cpu())
        alt = (
            f"Digit {c}, layer-2 eigenvector of rank {rank}: its spectrum in layer 1, the logits it produces, and its four most positive "
            "and four most negative pixel eigenvectors as red-blue images, each above the three training images that activate it most."
        )
        results.save_figure(fig, panels[c, i], alt=alt, show=c == DIGIT)

# %% [markdown]
# **Figure `layer1_eigenvectors_*`.** One layer-2 eigenvector $v$ of the chosen digit per panel (the other digits' panels are in `figures/`). Left: the spectrum of $v$'s own form in layer 1,
# and the logits that $v$ itself, put in place of $h_1$, would produce. Right: the pixel vectors $p_j$ of the four largest (upper row) and four
# smallest (lower row) eigenvalues, red where ink counts with the drawn sign and blue where it counts against it, all on one scale;
# below each the three training images on which it is most active, and above each its mean activation $\mu_j (p_j \cdot x)^2$ over the training set.

# %% [markdown]
# ## Beyond the seed
#
# ### How few eigenvectors suffice
#
# If a digit is recognised by a handful of features, the other eigenvectors can go. For each class only the $k$ eigenvectors with the largest
# $|\lambda|$ are kept in the second layer; the first layer stays whole.

# %%
h0 = test_x @ model.w_e.T
h1 = (h0 @ model.w_l[0].T) * (h0 @ model.w_r[0].T)
kept_accuracy = []
for k in KEPT:
    logits = bilinear.truncated_logits(h1, values2, vectors2, k)
    kept_accuracy.append((logits.argmax(1) == test_y).float().mean().item())
    results.record(f"truncated_accuracy_{k}", kept_accuracy[-1])

fig, ax = plt.subplots(figsize=(3.4, 2.4))
ax.semilogx(KEPT, kept_accuracy, "o-", markersize=4)
ax.axhline(model.accuracy(test_x, test_y), color="0.5", linestyle="--", linewidth=0.8, label="full model")
ax.set(xlabel="eigenvectors kept per digit", ylabel="test accuracy", xticks=KEPT, xticklabels=KEPT)
ax.minorticks_off()
ax.legend(loc="lower right")
alt = "Test accuracy against the number of eigenvectors kept per digit, rising to the full model's accuracy, drawn as a dashed line."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Test accuracy when every digit keeps only its $k$ eigenvectors of largest $|\lambda|$ in layer 2 ($k$ on a logarithmic axis). Where the
# curve meets the dashed line nothing is lost any more: from about ten eigenvectors on. Mind the axis: even one for each digit is right on more than 95 % of the images.

# %% [markdown]
# ### With and without noise
#
# The follow-up paper reports that without the noise the eigenvectors over-fit to single pixels. Two models from the same seed, one with the
# paper's noise and one with none, on the schedule of 12 epochs instead of 64. For each digit we take the most positive layer-2 eigenvector and
# draw its most positive layer-1 eigenvector. Three measures, over all ten: *roughness*, the share of a pixel vector's power that is lost by
# averaging each pixel with its eight neighbours; *peak*, the share of the power in its strongest 1 % of pixels (8 of 784); and *edge*, the share in pixels
# that hardly ever have ink (on average below 1 % over the training images), of which the data can say little.


# %%
def strongest(model: BilinearMLP) -> torch.Tensor:
    """Unit pixel vectors [digit pixel]: the top layer-1 eigenvector of each digit's top layer-2 eigenvector, ink positive."""
    _, v2 = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    v = v2[:, :, -1]
    h0 = train_x[:5000] @ model.w_e.T
    v = v * ((h0 @ model.w_l[0].T) * (h0 @ model.w_r[0].T) @ v.T).mean(0).sign()[:, None]
    _, u = bilinear.eigendecompose(bilinear.interaction_tensor(v, model.w_l[0], model.w_r[0]))
    p = F.normalize(u[:, :, -1] @ model.w_e, dim=1)
    return p * (train_x.mean(0) @ p.T).sign()[:, None]


def roughness(p: torch.Tensor) -> float:
    blurred = F.avg_pool2d(p.reshape(-1, 1, 28, 28), 3, stride=1, padding=1)
    return 1 - (blurred.square().sum() / p.square().sum()).item()


# %%
shown = {"noise": strongest(noisy_models[0]), "plain": strongest(plain_model)}
for kind, p in shown.items():
    results.record(f"roughness_{kind}", roughness(p))
    results.record(f"peak_{kind}", p.square().topk(8, dim=1).values.sum(1).mean())
    results.record(f"edge_{kind}", p.square()[:, train_x.mean(0) < 0.01].sum(1).mean())
peaks = [p.square().topk(8, dim=1).values.sum(1).mean().item() for p in shown.values()]
results.record("peak_ratio", peaks[1] / peaks[0])
results.record("short_accuracy_noise", noisy_models[0].accuracy(test_x, test_y))
results.record("short_accuracy_plain", plain_model.accuracy(test_x, test_y))

fig, axes = plt.subplots(2, 10, figsize=(plotting.TEXT_WIDTH, 1.75))
for row, (p, label) in enumerate(zip(shown.values(), ["with noise", "without"], strict=True)):
    for c in range(10):
        mapped = plotting.signed_map(axes[row, c], p[c].cpu().reshape(28, 28), vmax=0.2)
        axes[0, c].set_title(f"digit {c}")
    axes[row, 0].set_ylabel(label)
fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)
alt = "Two rows of ten red-blue pixel vectors, one per digit: with noise in training they are strokes in the middle of the image, without it they also weigh the edge of the image."
results.save_figure(fig, "noise", alt=alt)

# %% [markdown]
# **Figure `noise`.** For each digit, the strongest pixel vector of its strongest layer-2 eigenvector, scaled to unit norm, after training with the
# paper's noise (above) and without (below). Without noise much of the weight sits at the edge of the image, where there is next to no ink: our *edge* measure
# shows it, while *roughness* and *peak* do not. "Over-fits to single pixels" holds here for pixels the data does not constrain, not for isolated pixels in general.

# %% [markdown]
# ### Orthogonal where?
#
# The seed's eigenvectors $u_j$ are orthonormal in the 300-dimensional hidden space. Carried to pixels they are not: $W_e$ stretches some
# directions more than others. With the QR factors of $W_e^\top = QR$ the same form can be decomposed in pixel space,
# $W_e^\top B^{(v)} W_e = Q\,(R B^{(v)} R^\top)\,Q^\top$, and the eigenvectors of $R B^{(v)} R^\top$, carried by $Q$, are orthonormal images. We compare both views
# of the most positive layer-2 eigenvector of the chosen digit: *overlap* is the mean $|\cos|$ between two different ones of the eight shown.

# %%
v, mu, p = layer1_eigenvectors(DIGIT)
chosen = [-1, -2, -3, -4, 0, 1, 2, 3]
q = bilinear.interaction_tensor(v[:1], model.w_l[0], model.w_r[0])[0]
pixel_values, pixel_vectors = bilinear.pixel_eigendecompose(q, model.w_e)
views = {"hidden": F.normalize(p[0][:, chosen], dim=0), "pixel": pixel_vectors[:, chosen]}
for name, view in views.items():
    cosines = (view.T @ view).abs()
    results.record(f"{name}_overlap", cosines[~torch.eye(8, dtype=torch.bool)].mean())
matches = (views["hidden"].T @ views["pixel"]).abs()
results.record("space_agreement", matches.diagonal().mean())

fig, axes = plt.subplots(2, 8, figsize=(plotting.TEXT_WIDTH, 2.25))
for row, (name, values) in enumerate({"hidden": mu[0][chosen], "pixel": pixel_values[chosen]}.items()):
    for column in range(8):
        vector, _, _ = top_images(views[name][:, column : column + 1], values[column : column + 1])
        mapped = plotting.signed_map(axes[row, column], vector.cpu().reshape(28, 28), vmax=0.2)
        axes[row, column].set_title(f"{values[column]:+.2g}")
    axes[row, 0].set_ylabel(f"{name} space")
fig.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8, pad=0.01)
alt = "Two rows of eight pixel vectors with their eigenvalues: above from the decomposition in hidden space, below in pixel space."
results.save_figure(fig, "pixel_space", alt=alt)

# %% [markdown]
# **Figure `pixel_space`.** The four most positive and the four most negative eigenvectors of the same quadratic form, with their eigenvalues:
# decomposed in hidden space and carried to pixels (above, scaled to unit norm), and decomposed in pixel space (below). The eigenvalues
# of the two rows are in different units: above per unit of hidden activity, below per unit of ink.

# %% [markdown]
# ### The same features from another seed?
#
# Three models trained from different seeds (12 epochs, with noise). Hidden spaces of different models cannot be compared, pixels can: for each digit
# the $|\cos|$ between the strongest pixel vectors of two models. Two random smooth images would serve as a baseline; stricter, we take the $|\cos|$ between the vectors
# of *different* digits in different models.

# %%
vectors = torch.stack([strongest(m) for m in noisy_models])
pairs = [(a, b) for a in range(len(SEEDS)) for b in range(a)]
cosines = torch.stack([(vectors[a] @ vectors[b].T).abs() for a, b in pairs])
same = cosines.diagonal(dim1=1, dim2=2)
other = cosines[:, ~torch.eye(10, dtype=torch.bool)]
results.record("seed_similarity", same.mean())
results.record("seed_similarity_sd", same.std())
results.record("random_similarity", other.mean())

fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.2))
for (a, b), row, colour in zip(pairs, same, plotting.OKABE_ITO, strict=False):
    ax.plot(range(10), row.cpu(), "o", markersize=4, color=colour, label=f"seeds {SEEDS[a]} and {SEEDS[b]}")
ax.axhline(same.mean(), color="0.3", linewidth=0.8, label="mean over digits and pairs")
ax.axhline(other.mean(), color="0.6", linewidth=0.8, linestyle="--", label="mean over different digits")
ax.set(xlabel="digit", ylabel="|cos|", xticks=range(10), ylim=(0, 1.02))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
alt = "Absolute cosine between the strongest pixel vectors of two models, for each digit and each pair of three seeds, with two mean lines."
results.save_figure(fig, "seeds", alt=alt)

# %% [markdown]
# **Figure `seeds`.** Similarity of each digit's strongest pixel vector between models trained from different seeds, one dot per pair of seeds.
# Solid: the mean of the dots; dashed: the mean between different digits, which is what the strokes that all digits share would give. Dots near the dashed line are
# digits whose strongest vector is another one in the other model.

# %% [markdown]
# ### An adversarial mask from the weights alone
#
# If the eigenvectors are what the model sees, adding one to an image should mislead it, without a gradient and without data. For digit $c$ the mask
# is the most positive pixel-space eigenvector of its most positive layer-2 eigenvector, with the sign that adds ink, at strength $s$ (its norm in
# pixels; an image has a norm of about 9). Beside it a random mask of the same norm. We report the accuracy over all test images, averaged over the ten masks.

# %%
generator = torch.Generator().manual_seed(SEED)
masks = {"mask": torch.stack([bilinear.weight_mask(model, c) for c in range(10)]).to(DEVICE)}
masks["random"] = F.normalize(torch.randn(10, 784, generator=generator), dim=1).to(DEVICE)
attacked = {kind: [] for kind in masks}
for kind, patterns in masks.items():
    for s in STRENGTHS:
        accuracies = [model.accuracy(test_x + s * pattern, test_y) for pattern in patterns]
        attacked[kind].append(np.array(accuracies))
        results.record(f"{kind}_accuracy_{s}", attacked[kind][-1].mean())

# %%
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 2.5))
curve, mosaic = fig.subfigures(1, 2, width_ratios=[1.1, 1])
ax = curve.subplots()
for kind, colour, label in (("mask", plotting.VERMILLION, "from the weights"), ("random", plotting.BLUE, "random")):
    plotting.runs_band(ax, STRENGTHS, np.stack(attacked[kind], axis=1), label, colour, unit="masks")
ax.set(xlabel="strength of the mask (norm)", ylabel="test accuracy", ylim=(0, 1.28), yticks=np.arange(0, 1.1, 0.2))
ax.legend(loc="upper left")
axes = mosaic.subplots(2, 5)
for c, ax in enumerate(axes.flat):
    mapped = plotting.signed_map(ax, masks["mask"][c].cpu().reshape(28, 28), vmax=0.2)
    ax.set_title(f"for {c}")
mosaic.colorbar(mapped, ax=axes, label="weight (unit norm)", ticks=[-0.2, 0, 0.2], shrink=0.8)
alt = "Left: test accuracy falls with the strength of ten masks made from the weights, and far less with random masks. Right: the ten masks."
results.save_figure(fig, "mask", alt=alt)

# %% [markdown]
# **Figure `mask`.** Left: accuracy on the test set when a mask is added to every image; thin lines are the ten masks, an accuracy of 0.1 is what guessing gives. Right: the masks
# made from the weights, one for each digit; red adds ink, blue takes it away.

# %% [markdown]
# ## What we found

# %%
rows = {"test accuracy after the last epoch": "test_accuracy", "final training loss": "train_loss"}
rows |= {f"accuracy with {k} eigenvectors a digit": f"truncated_accuracy_{k}" for k in KEPT}
rows |= {"accuracy after 12 epochs, with noise": "short_accuracy_noise", "the same without": "short_accuracy_plain"}
for measure in ("roughness", "peak", "edge"):
    rows |= {f"{measure} with noise": f"{measure}_noise", f"{measure} without": f"{measure}_plain"}
rows |= {"overlap in pixels, decomposed in hidden space": "hidden_overlap", "in pixel space": "pixel_overlap"}
rows |= {"|cos| between both spaces' eigenvectors": "space_agreement"}
rows |= {"|cos| between seeds": "seed_similarity", "its standard deviation": "seed_similarity_sd"}
rows |= {"|cos| between digits": "random_similarity"}
rows |= {f"accuracy under masks of norm {s}": f"mask_accuracy_{s}" for s in STRENGTHS[2::2]}
rows |= {f"accuracy under random masks of norm {s}": f"random_accuracy_{s}" for s in STRENGTHS[2::2]}
results.findings([(what, key, "not stated") for what, key in rows.items()])

# %% [markdown]
# The seed states no numbers: it is a notebook of pictures, and the pictures are those above. What can be measured on them: ten eigenvectors per digit do the work
# of three hundred, and a single one still recognises most digits. The noise of the paper keeps the strongest pixel vectors away from the edge of the image. The same strokes come back from other seeds
# for some digits and not for others: the mean $|\cos|$ is far above that between different digits, and its spread is wide, because two eigenvectors of nearly equal eigenvalue change places.
# A mask made from the weights alone ruins the accuracy at a norm at which a random mask does nothing. Hidden-space eigenvectors are nearly, not exactly, orthogonal in pixels;
# decomposing in pixel space changes them little where the eigenvalue stands alone, and mixes those whose eigenvalues are close.
#
# One thing that the follow-up paper reports we do not find as it is put: without noise the pixel vectors are not more concentrated on single pixels. What differs is where their weight lies.

# %% [markdown]
# ## Where the seed differs
#
# - The seed keeps its trained model as a pickle on a private drive; here the weights are safetensors, and nothing is ever unpickled.
# - The model's class is not in the seed. Sizes, noise and initialisation follow the two papers.
# - The seed feeds batches through a `DataLoader` that converts one image at a time. Here the pixels are a tensor in memory: the same batches, drawn from another random stream.
# - The seed flips the sign of two layer-2 eigenvectors of digit 9 by hand. Here one rule fixes all signs (see above).
#
# ## Limits
#
# One data set, one architecture, one training run at full length; the comparisons between seeds and noise levels use the shorter schedule of 12 epochs.
# That a pixel vector looks like a stroke is an impression; what is measured is how few eigenvectors suffice, how similar they are between seeds, and what adding one does.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - Y. LeCun, C. Cortes, C. J. C. Burges. *The MNIST database of handwritten digits.* 1998.

# %%
results.finish()
