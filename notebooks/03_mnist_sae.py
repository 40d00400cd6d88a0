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
# # 3. A sparse autoencoder on the activations of an MNIST MLP
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/03_mnist_sae.ipynb)
#
# **Claim.** A sparse autoencoder with 1,024 features rebuilds the 128 hidden activations of a small MNIST classifier from about thirty
# features per image, well enough for the classifier to go on as before; but most of its dictionary dies, and the features that remain fire
# on a large part of all images and tell, each, a third of a bit about the digit at most.
#
# The notebook repeated here ("the seed" below) asks in its first line "What happens when we train SAEs on MLPs? With information?" It
# trains the autoencoder and looks at one feature; the second question stays open there and is taken up below. Sparse autoencoders on
# activations are due to Bricken et al. (2023) and Cunningham et al. (2023), [arXiv 2309.08600](https://arxiv.org/abs/2309.08600).
#
# **Among the five.** [05](05_toy_superposition.ipynb) shows how a network can hold more features than it has dimensions; this notebook is about the usual way to take such features
# apart again, from the activations. [01](01_mnist_bilinear.ipynb) and [02](02_tinystories.ipynb) go the other way and read features off the weights, without data, and
# [04](04_dihedral_fourier.ipynb) has a network whose features are known exactly. All five check what they read: by what is left when it is taken away, or by what chance would give.

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
MODE = "full"  # "quick" trains on fewer images for a few epochs
SEED = 0
FEATURE = -1  # whose labels are shown: an index, or -1 for the third that fires on 1 % of the images or more
K = 30  # features per image of the top-k kind: the L0 that the published kind reaches, rounded
DEVICE = "cpu"  # "cuda" where there is a GPU

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from einops import einsum, rearrange
from matplotlib.ticker import LogLocator, NullFormatter
from torch.nn import functional as F

from paper_utils import data, plotting, results, sae, training

plt.rcParams.update(plotting.STYLE)
training.check_device(DEVICE)
QUICK = MODE == "quick"
EPOCHS, COMPARE_AT, SEED_EPOCHS = (6, 3, 3) if QUICK else (200, 50, 31)
SEEDS = (1, 2) if QUICK else (1, 2, 3, 4, 5)
MARKS = (1, 2, 3, 6) if QUICK else (1, 6, 11, 21, 31, 50, 56, 100, 150, 200)  # live features are counted after these
STATED = [e for e in (1, 6, 31, 56, 200) if e <= EPOCHS]  # epochs whose losses are recorded
SPREAD = [e for e in (1, 6, 31) if e <= SEED_EPOCHS]
COLOURS = dict(zip(sae.KINDS, plotting.OKABE_ITO, strict=False))


def plain_log(*axes) -> None:
    """Logarithmic axes with plain numbers: at 1, 10, 100 along x, at 1, 2, 5 along y."""
    for axis in axes:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if axis.axis_name == "x" else (1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


# %% [markdown]
# The account of this run: what it must write. A figure or number that is announced here and not written makes the run fail.

# %%
FIGURES = ["classifier_loss", "sae_losses", "seed_spread", "firing_histogram", "feature_labels"]
FIGURES += ["mutual_information", "informative_features", "comparison"]
MEASURES = ["l0", "mse", "variance_explained", "live", "dead", "accuracy", "cross_entropy", "loss_recovered"]
MEASURES += ["rare", "best_bits", "total_bits"]
images = data.load_mnist()
results.begin(
    "03_mnist_sae",
    mode=MODE,
    seed=[SEED, *SEEDS],
    source=images.source,
    files=images.files,
    figures=FIGURES,
    numbers=["classifier_loss", "classifier_accuracy", "live", "dead", "dead_share", "l0_final", "always_on"]
    + ["firing_share_min", "firing_share_mean"]
    + [f"{term}_epoch_{e}" for term in ("reconstruction", "l1", "l0") for e in STATED]
    + [f"{t}_epoch_{e}_{s}" for t in ("reconstruction", "l1", "l0", "live") for e in SPREAD for s in ("mean", "sd")]
    + ["decoder_norm_compared", "decoder_norm_final", "norm_drift", "feature", "feature_top_label", "feature_top_share"]
    + ["label_information", "best_bits", "median_bits", "features_above_tenth_bit", "misaligned_bits"]
    + [f"{kind}_{measure}" for kind in sae.KINDS for measure in MEASURES]
    + ["original_accuracy", "original_cross_entropy"],
)

# %% [markdown]
# ## The classifier
#
# A multilayer perceptron with 784, 128, 128 and 10 units, ReLU and biases,
#
# $$h = W_2\,\mathrm{relu}(W_1 \tilde x + b_1) + b_2, \qquad \text{logits} = W_3\,\mathrm{relu}(h) + b_3, \qquad \tilde x = (x - 0.1307)/0.3081,$$
#
# trained with plain SGD (learning rate 0.001, batches of 64) for five epochs: enough for most digits, far from converged. The
# autoencoder reads $h$, the second layer before its ReLU, on the training images in one shuffled order. The first classifier is the one that the whole
# notebook is about; the others are for [further runs](#How-much-the-run-varies).
#
# Weights are kept as safetensors under `build/weights/`, by recipe, data and code; a second run loads them.


# %%
train_x, train_y = images.train_x.to(DEVICE), images.train_y.to(DEVICE)
if QUICK:
    train_x, train_y = train_x[:6400], train_y[:6400]


def classifier_run(seed: int) -> training.Run:
    config = sae.ClassifierConfig()

    def train(x, y) -> tuple[dict, training.History]:
        model = sae.Classifier(seed=seed).to(DEVICE)
        history = sae.train_classifier(model, x.to(DEVICE), y.to(DEVICE), config, seed)
        return model.state_dict(), history

    recipe = (config, seed, len(train_x), DEVICE)
    return training.Run("mnist_classifier", recipe, images.files, sae.TRAINED_BY, train, (train_x, train_y))


def loaded_classifier(state: dict) -> sae.Classifier:
    model = sae.Classifier().to(DEVICE)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def shuffled(seed: int) -> torch.Tensor:
    return torch.randperm(len(train_x), generator=torch.Generator().manual_seed(seed)).to(DEVICE)


# %%
(state, classifier_history), *others = training.cached(*(classifier_run(seed) for seed in (SEED, *SEEDS)))
classifier, other_classifiers = loaded_classifier(state), [loaded_classifier(other) for other, _ in others]
order = shuffled(SEED)
activations, labels = classifier.activations(train_x[order]), train_y[order]
test_activations, test_y = classifier.activations(images.test_x.to(DEVICE)), images.test_y.to(DEVICE)
results.record("classifier_loss", classifier_history["loss"][-1])
results.record("classifier_accuracy", (classifier.head(test_activations).argmax(1) == test_y).float().mean().item())
print(f"activations {tuple(activations.shape)}, standard deviation {activations.std():.2f}")

# %%
losses = np.array(classifier_history["step_loss"])
smooth = np.convolve(losses, np.ones(50) / 50, mode="valid")
fig, ax = plt.subplots(figsize=(4.5, 2.2))
ax.plot(losses, color=plotting.SKY, linewidth=0.3, rasterized=True)
ax.plot(np.arange(len(smooth)) + 25, smooth, color=plotting.BLUE)
ax.set(xlabel="step (batch of 64 images)", ylabel="cross entropy (nats)", ylim=(0, None))
results.save_figure(
    fig,
    "classifier_loss",
    alt="The classifier's loss falls from about 2.3 over five epochs, noisy from batch to batch.",
)

# %% [markdown]
# **Figure `classifier_loss`.** Loss of every batch (light) and its mean over fifty batches (dark). The seed's own curve falls from 2.36 to
# between 0.4 and 0.7, as this one does; it is still falling at the end, which is what "far from converged" means.

# %% [markdown]
# ## The autoencoder, as published
#
# $$f = \mathrm{relu}\big(W_\mathrm{enc}(x - b_\mathrm{dec}) + b_\mathrm{enc} + b'_\mathrm{enc}\big), \qquad
# \hat x = f\,W_\mathrm{dec} + b_\mathrm{dec} + b'_\mathrm{dec},$$
#
# $$L = \frac1{|B|}\sum_{x \in B} |x - \hat x|^2 + \lambda \sum_{x \in B}\sum_{j} f_j(x), \qquad \lambda = 0.003,$$
#
# with 128 inputs and 1,024 features. A row of $W_\mathrm{dec}$ is a feature's direction. Adam (0.001, times 0.99 every ten epochs), batches of 64
# always in the same order, 200 epochs. Four things in this recipe are unusual; they are kept for the published kind, since its numbers depend on them.
#
# 1. **Two biases on each side.** The linear layers bring their own $b'$, and the autoencoder adds $b$. At the encoder both get the same
#    gradient and the same Adam step, so that their sum moves at twice the learning rate. At the decoder $b_\mathrm{dec}$ is also subtracted from the input and
#    $b'_\mathrm{dec}$ is not: they are two different parameters.
# 2. **The L1 term is a sum over the batch**, while the reconstruction term is a mean: the usual coefficient, per image, is $64 \cdot 0.003 = 0.192$.
# 3. **The decoder is scaled once, across features.** Each of the 128 rows of its (128 × 1,024) matrix is divided by its norm. That axis runs over
#    features, so no feature's direction gets unit norm.
# 4. **The renormalisation has no effect.** After each step the seed removes from the gradient what is parallel to that same scaling, then assigns the scaled
#    weights to an attribute that nothing reads. Nothing keeps a direction from growing, and a longer direction pays less L1 for the same output.


# %% [markdown]
# The gradients of `train_sae` are written out. One step of them by hand, from the formulas, and the same from autograd:

# %%
probe = sae.SparseAutoencoder(seed=SEED).to(DEVICE)
x, config = activations[:64], sae.SAEConfig(epochs=EPOCHS)
f = probe.encode(x)
g = 2 / 64 * (probe.decode(f) - x)  # d L / d x_hat
d_pre = (f > 0) * (einsum(g, probe.w_dec, "batch input, feature input -> batch feature") + config.l1)
by_hand = {
    "w_enc": einsum(d_pre, x - probe.b_dec, "batch feature, batch input -> feature input"),
    "w_dec": einsum(f, g, "batch feature, batch input -> feature input"),
    "b_enc": d_pre.sum(0),
    "bias_enc": d_pre.sum(0),
    "b_dec": g.sum(0) - d_pre.sum(0) @ probe.w_enc,
    "bias_dec": g.sum(0),
}
sum(probe.loss(x, config)).backward()
for name, gradient in by_hand.items():
    assert torch.allclose(gradient, probe.get_parameter(name).grad, atol=1e-4), name
    print(f"{name:8} {tuple(gradient.shape)!s:12} largest gradient {gradient.abs().max():.3f}")


# %% [markdown]
# Training, of all autoencoders of this notebook, side by side. The full run is 200 epochs from seed `SEED`; its weights after the epoch at which the [three kinds](#Beyond-the-seed:-three-kinds)
# are compared are kept as well. Then the two other kinds on the same activations, and further runs, each on its own classifier.


# %%
def sae_run(kind: str, seed: int, epochs: int, activations: torch.Tensor) -> training.Run:
    config = sae.SAEConfig(epochs=epochs)

    def train(activations) -> tuple[dict, training.History]:
        model, activations = sae.SparseAutoencoder(kind=kind, seed=seed, k=K).to(DEVICE), activations.to(DEVICE)
        extra, live = {}, []

        def each_epoch(epoch: int) -> None:
            if epoch in MARKS:
                live.append((sae.firing_counts(model, activations) > 0).sum().item())
            if epoch == COMPARE_AT < epochs:
                extra.update({f"at_{epoch}.{name}": value.clone() for name, value in model.state_dict().items()})

        history = sae.train_sae(model, activations, config, each_epoch)
        return model.state_dict() | extra, history | {"live": live}

    k = K if kind == "topk" else None
    recipe = (kind, config, seed, k, sae.ClassifierConfig(), len(train_x), MARKS, COMPARE_AT, DEVICE)
    return training.Run(f"sae_{kind}", recipe, images.files, sae.TRAINED_BY, train, (activations,))


def loaded(kind: str, state: dict, prefix: str = "") -> sae.SparseAutoencoder:
    model = sae.SparseAutoencoder(kind=kind, k=K).to(DEVICE)
    model.load_state_dict({name: state[prefix + name] for name in model.state_dict()})
    return model.requires_grad_(False)


# %%
runs = [sae_run("published", SEED, EPOCHS, activations)]
runs += [sae_run(kind, SEED, COMPARE_AT, activations) for kind in ("topk", "corrected")]
for seed, other in zip(SEEDS, other_classifiers, strict=True):
    runs.append(sae_run("published", seed, SEED_EPOCHS, other.activations(train_x[shuffled(seed)])))
(state, history), topk, corrected, *further = training.cached(*runs)
published = loaded("published", state)
for epoch in STATED:
    for term in ("reconstruction", "l1", "l0"):
        results.record(f"{term}_epoch_{epoch}", history[term][epoch - 1])

# %% [markdown]
# The seed's own printed numbers, every fifth epoch until 56, where its log ends:

# %%
SEED_EPOCH = np.arange(1, 57, 5)
SEED_RECONSTRUCTION = [5506.7, 1459.3, 1280.0, 1195.3, 1154.1, 1126.1, 1103.3, 1084.6, 1067.9, 1054.5, 1041.9, 1031.6]
SEED_L1 = [7636.7, 2675.1, 2456.0, 2336.6, 2236.8, 2152.9, 2080.2, 2017.8, 1962.9, 1914.3, 1869.8, 1829.1]
SEED_L0 = [56.32, 24.39, 26.21, 27.61, 28.35, 28.89, 29.34, 29.72, 30.05, 30.31, 30.56, 30.76]
fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.3))
terms = {
    "reconstruction": ("reconstruction loss", SEED_RECONSTRUCTION),
    "l1": ("L1 loss", SEED_L1),
    "l0": ("features per image (L0)", SEED_L0),
}
for ax, (term, (label, own)) in zip(axes, terms.items(), strict=True):
    ax.plot(np.arange(1, EPOCHS + 1), history[term], color=plotting.BLUE, label="this run")
    ax.plot(SEED_EPOCH, own, "o", color=plotting.VERMILLION, markersize=3, label="the seed's log")
    ax.set(xlabel="epoch", ylabel=label)
    plain_log(*([ax.xaxis] if term == "l0" else [ax.xaxis, ax.yaxis]))
axes[2].legend()
results.save_figure(
    fig,
    "sae_losses",
    alt="Reconstruction loss, L1 loss and L0 over the epochs, on logarithmic axes, with the seed's printed values beside.",
)

# %% [markdown]
# **Figure `sae_losses`.** Both terms of the loss, summed over an epoch's 938 batches as the seed prints them, and the mean number of features per image.
# Line: this run. Dots: what the seed printed for its run, with another classifier and another initial point. L1 goes on falling while L0 *rises*:
# the penalty is paid off not by using fewer features but by making them smaller.

# %%
compared = loaded("published", state, f"at_{COMPARE_AT}.")
for name, model in (("compared", compared), ("final", published)):
    live = sae.firing_counts(model, activations) > 0
    results.record(f"decoder_norm_{name}", model.w_dec[live].norm(dim=1).mean().item())
    print(f"{name}: mean norm of a live direction {model.w_dec[live].norm(dim=1).mean():.2f}")
drift = (published.w_dec.norm(dim=0) - 1).abs().max().item()
results.record("norm_drift", drift)
print(f"largest distance of a row's norm across features from the 1 it was scaled to: {drift:.2f}")

# %% [markdown]
# This is how: the live directions grow (`decoder_norm_compared` after the first part of the training, `decoder_norm_final` at its end), and a longer direction
# needs a smaller activation for the same output.
#
# ## How much the run varies
#
# The seed's numbers come from one run. Here are further runs of the whole recipe (classifier, order of the images, autoencoder, each from its own seed) over
# the first 31 epochs.

# %%
spread = {seed: past for seed, (_, past) in zip(SEEDS, further, strict=True)}
rows = {}
for epoch in SPREAD:
    for term in ("reconstruction", "l1", "l0", "live"):
        at = MARKS.index(epoch) if term == "live" else epoch - 1
        runs = np.array([h[term][at] for h in spread.values()])
        results.record(f"{term}_epoch_{epoch}_mean", runs.mean())
        results.record(f"{term}_epoch_{epoch}_sd", runs.std(ddof=1))
        own = {"reconstruction": SEED_RECONSTRUCTION, "l1": SEED_L1, "l0": SEED_L0}.get(term)
        own = own[list(SEED_EPOCH).index(epoch)] if own else "not stated"
        rows[epoch, term] = [f"{runs.mean():.5g}", f"{runs.std(ddof=1):.2g}", f"{history[term][at]:.5g}", own]
columns = [f"mean of {len(SEEDS)} runs", "s.d.", "the full run", "the seed"]
pd.DataFrame(rows, columns, pd.MultiIndex.from_tuples(rows, names=["epoch", ""])).T

# %%
early, dots = SEED_EPOCH <= SEED_EPOCHS, {"color": plotting.VERMILLION, "marker": "o", "markersize": 3, "linestyle": ""}
fig, axes = plt.subplots(1, 4, figsize=(plotting.TEXT_WIDTH, 2.3))
for ax, (term, (label, own)) in zip(axes, terms.items(), strict=False):
    runs = np.array([h[term] for h in spread.values()])
    plotting.runs_band(ax, np.arange(1, SEED_EPOCHS + 1), runs, "further runs", plotting.BLUE)
    ax.plot(np.arange(1, SEED_EPOCHS + 1), history[term][:SEED_EPOCHS], color=plotting.BLACK, label="full run")
    ax.plot(SEED_EPOCH[early], np.array(own)[early], **dots, label="the seed's log")
    ax.set(xlabel="epoch", ylabel=label)
    plain_log(*([ax.xaxis] if term == "l0" else [ax.xaxis, ax.yaxis]))
for runs in spread.values():
    axes[3].plot(MARKS[: len(runs["live"])], runs["live"], ".-", color=plotting.BLUE, linewidth=0.6, markersize=3)
axes[3].plot(MARKS[: len(history["live"])], history["live"], ".-", color=plotting.BLACK, markersize=3)
axes[3].plot(200, 147, **dots)
axes[3].set(xlabel="epoch", ylabel="live features of 1,024", ylim=(0, None))
plain_log(axes[3].xaxis)
handles, names = axes[0].get_legend_handles_labels()
names = [name.split(" (")[0] + (" (mean, 1 s.d.)" if "(" in name else "") for name in names]
fig.legend(handles, names, loc="outside upper center", ncols=3)
results.save_figure(
    fig,
    "seed_spread",
    alt="Reconstruction, L1, L0 and live features over epochs for further runs, the full run and the seed's printed values.",
)

# %% [markdown]
# **Figure `seed_spread`.** Thin blue: further runs, each with its own classifier; thick blue and band: their mean and one standard deviation.
# Black: the full run. Red dots: the seed's log, and at epoch 200 its 147 live features. A feature is live where at least one training image fires it.
#
# ## How often features fire
#
# A feature is counted on an image where it is above 0. The counts are a sum over the columns of one matrix of 60,000 × 1,024; by hand on
# the first images, then for all with the tested function:

# %%
counts = sae.firing_counts(published, activations)
first = (published.encode(activations[:500]) > 0).sum(0)
assert torch.equal(first, sae.firing_counts(published, activations[:500]))
live = (counts > 0).sum().item()
results.record("live", live)
results.record("dead", len(counts) - live)
results.record("dead_share", 1 - live / len(counts))
results.record("l0_final", counts.sum().item() / len(activations))
results.record("always_on", (counts > 0.9 * len(activations)).sum().item())
firing_share = counts[counts > 0] / len(activations)
results.record("firing_share_min", firing_share.min().item())
results.record("firing_share_mean", firing_share.mean().item())
print(f"{live} live features, {len(counts) - live} dead; a live one fires on {firing_share.mean():.0%} of the images")

# %%
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.2))
axes[0].hist(counts.cpu(), bins=50, color=plotting.BLUE)
axes[0].set(xlabel="images that fire the feature", ylabel="features", yscale="log")
axes[0].set_title(f"all 1,024 features ({len(counts) - live} never fire)")
axes[1].hist(counts[counts > 0].cpu() / len(activations), bins=np.linspace(0, 1, 41), color=plotting.BLUE)
axes[1].set(xlabel="share of images that fire the feature", ylabel="features", xlim=(0, 1))
axes[1].set_title(f"the {live} live features")
results.save_figure(
    fig,
    "firing_histogram",
    alt="Histogram of how many training images fire each feature: most features never fire, the live ones fire on very "
    "different numbers of images.",
)

# %% [markdown]
# **Figure `firing_histogram`.** How many training images fire each feature. Left: all features, as in the seed (here with a logarithmic count, or only the
# dead ones would be visible). Right: the live ones, by the share of images.
#
# L0 alone makes this code look sparse: about thirty features of 1,024. But most of the 1,024 are dead, and a typical live feature fires on a large part of all images. Of
# the live ones, about half are on at any time: the code that this recipe ends with is closer to a dense one of a few dozen dimensions.
#
# ## What one feature fires on
#
# For each feature and digit, the number of images of that digit that fire it: one matrix product of the firing pattern with the labels,
# $C = [f > 0]^\top Y$ with $Y$ one-hot. The seed counts in a double loop over images and features. First such a loop, on a few images:

# %%
by_loop = torch.zeros(len(counts), 10, dtype=torch.long)
f = published.encode(activations[:50])
for image in range(50):
    for j in f[image].nonzero()[:, 0].tolist():
        by_loop[j, labels[image]] += 1
assert torch.equal(by_loop, sae.label_counts(published, activations[:50], labels[:50]).cpu())

by_label = sae.label_counts(published, activations, labels)
frequent = torch.where(counts >= len(labels) // 100, counts, 0)
feature = sae.live_feature(frequent, None) if FEATURE < 0 else sae.live_feature(counts, FEATURE)
shares = by_label[feature] / by_label[feature].sum()
results.record("feature", feature)
results.record("feature_top_label", shares.argmax().item())
results.record("feature_top_share", shares.max().item())

# %% [markdown]
# One more thing about the seed's picture. Its activations come from a loader that shuffles, but the labels it counts are read from the data set in stored order: image
# $i$ of one is not image $i$ of the other. What it shows is thus the distribution of labels over arbitrary images, whatever the feature. Both versions:

# %%
misaligned = sae.label_counts(published, activations, train_y)
class_sizes = torch.bincount(labels, minlength=10)
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.1), sharey=True)
for ax, table, title in zip(
    axes, (by_label, misaligned), ("its own images' labels", "labels in stored order, as in the seed"), strict=True
):
    ax.bar(range(10), (table[feature] / table[feature].sum()).cpu(), color=plotting.BLUE)
    ax.step(
        np.arange(-0.5, 10), [*(class_sizes / class_sizes.sum()).tolist(), 0], where="post", color="0.4", linewidth=0.8
    )
    ax.set(xlabel="label", xticks=range(10), title=title)
axes[0].set_ylabel(f"share where feature {feature} fires")
results.save_figure(
    fig,
    "feature_labels",
    alt="Bar charts of the labels of the images that fire one feature: with the images' own labels, and with labels in stored "
    "order, which follow the frequencies of the digits.",
)

# %% [markdown]
# **Figure `feature_labels`.** Labels of the images on which the chosen feature fires (`FEATURE`; by default the third that fires on at least 1 % of the images; the seed takes the third live one, but which features just survive is a matter of rounding). Left: with each image's own label.
# Right: with labels in stored order, the seed's pairing. Grey line: shares of the digits in the training set. The right one follows the grey line, as any feature would.
#
# ## With information?
#
# How much does it tell about the digit whether a feature fires? The mutual information of the two, exactly from the counts:
#
# $$I(F;Y) = \sum_{f \in \{0,1\}} \sum_{y} p(f,y)\,\log_2 \frac{p(f,y)}{p(f)\,p(y)}\ \text{bits}.$$
#
# It is at most 1 bit, the most a yes or no can tell. By hand for the chosen feature, then for all:

# %%
n = len(labels)
joint = torch.stack([by_label[feature], class_sizes - by_label[feature]]).double() / n
expected = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
by_hand = (joint[joint > 0] * torch.log2(joint[joint > 0] / expected[joint > 0])).sum()
bits = sae.mutual_information(by_label, class_sizes)
assert torch.isclose(by_hand, bits[feature])
chance = sae.mutual_information(misaligned, class_sizes)
share = class_sizes.double() / n
results.record("label_information", -(share * torch.log2(share)).sum().item())
results.record("best_bits", bits.max().item())
results.record("median_bits", bits[counts > 0].median().item())
results.record("features_above_tenth_bit", (bits > 0.1).sum().item())
results.record("misaligned_bits", chance.max().item())
ranked = bits.argsort(descending=True)[:live]
pd.DataFrame(
    {"bits": bits[ranked].numpy(), "fires on": (counts[ranked] / n).numpy(), "top label": by_label[ranked].argmax(1)},
    index=pd.Index(ranked.tolist(), name="feature"),
).head(10).round(3)

# %%
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4))
axes[0].plot(np.arange(1, live + 1), bits[ranked], ".-", markersize=3, label="own labels")
axes[0].plot(
    np.arange(1, live + 1),
    chance.sort(descending=True).values[:live],
    color=plotting.VERMILLION,
    label="labels in stored order",
)
axes[0].set(xlabel="rank of the feature", ylabel="mutual information (bits)", ylim=(0, None))
axes[0].legend()
rates = np.linspace(1e-4, 1 - 1e-4, 400)
axes[1].plot(rates, -(rates * np.log2(rates) + (1 - rates) * np.log2(1 - rates)), color="0.6", linewidth=0.8)
for label in range(10):
    its = ranked[by_label[ranked].argmax(1) == label]
    axes[1].scatter(counts[its] / n, bits[its], s=22, marker=f"${label}$", color=plotting.BLUE, linewidths=0.1)
axes[1].set(xlabel="share of images that fire the feature", ylabel="mutual information (bits)", ylim=(0, 1.02))
results.save_figure(
    fig,
    "mutual_information",
    alt="Left: mutual information of each live feature with the label, ranked, against almost nothing for misaligned labels. "
    "Right: the same over how often the feature fires, below the entropy of firing.",
)

# %% [markdown]
# **Figure `mutual_information`.** Left: information of each live feature about the digit, ranked; red: the same counted with labels in stored order, which is what chance gives.
# Right: each live feature by how often it fires, drawn as the digit it fires on most. Grey: the entropy of firing, which no feature can exceed. Where digits pile up near 0 bits, features tell next to nothing.
#
# ## What features look like
#
# Two ways to look at a feature: the images that fire it most, and its direction carried back to pixels. A direction $d$ of the second layer has the gradient
# $W_1^\top (o \odot W_2^\top d)$ with respect to the image, where $o$ marks the first layer's open units; averaged over the images that fire the feature, $o$ is the share of them on which each unit is open.
# The maps show it per standard deviation of each pixel: at the border, where no image has ink, the first layer still holds the random weights it started with.


# %%
hidden_open = (classifier.fc1((train_x[order] - sae.PIXEL_MEAN) / sae.PIXEL_STD) > 0).float()
shown = ranked[:100]
f = torch.cat([published.encode(part)[:, shown] for part in activations.split(5000)])
open_share = (f > 0).float().T @ hidden_open / counts[shown, None]
directions = sae.to_pixels(classifier, published.w_dec[shown], open_share) * train_x.std(0)
tops = f.topk(8, dim=0).indices.T  # [feature, image], positions in the shuffled order

# By hand: the mean gradient over the firing images of the most informative feature, by autograd.
pixels = train_x[order][f[:, 0] > 0][:2000].clone().requires_grad_(True)
(gradient,) = torch.autograd.grad((classifier.activations(pixels) @ published.w_dec[shown[0]]).sum(), pixels)
some = hidden_open[f[:, 0] > 0][:2000].mean(0, keepdim=True)
assert torch.allclose(gradient.mean(0), sae.to_pixels(classifier, published.w_dec[shown[:1]], some)[0], atol=1e-4)

# %%
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 6.4))
for place, cell in enumerate(fig.subfigures(8, 2, wspace=0.03).flat):
    left, middle, right = cell.subplots(1, 3, width_ratios=[1, 3.2, 1.5])
    plotting.signed_map(left, directions[place].reshape(28, 28))
    row = rearrange(train_x[order][tops[place, :4]], "image (h w) -> h (image w)", h=28)
    middle.imshow(row, cmap="gray_r", vmin=0, vmax=1)
    middle.set_axis_off()
    j = shown[place].item()
    middle.set_title(f"feature {j}: {bits[j]:.2f} bits, fires on {counts[j] / n:.0%}", fontsize=7, pad=2)
    right.bar(range(10), by_label[j] / by_label[j].sum(), color=plotting.BLUE)
    right.set(xticks=range(0, 10, 3), yticks=[])
    right.tick_params(labelsize=7, pad=1, length=2)
    right.spines["left"].set_visible(False)
results.save_figure(
    fig,
    "informative_features",
    alt="Sixteen features: each with its direction in pixels, red and blue, the four images that fire it most, and a bar chart "
    "of the labels it fires on.",
)

# %% [markdown]
# **Figure `informative_features`.** The sixteen features that tell most about the digit. Each: its direction in pixels (red: more ink than usual there
# raises the activation along it, blue lowers it; each map scaled to its own largest value), the four training images that fire it most, and the distribution of labels where it fires (digits 0 to 9).
#
# The same for up to a hundred features, with a slider from the most informative down, is an interactive page: `make figures` writes it to `build/interactive/03_mnist_sae/feature_browser.html`.

# %%
names = [f"feature {j}: {bits[j]:.3f} bits, fires on {counts[j] / n:.1%} of the images" for j in shown.tolist()]
page = sae.browser(
    names, (by_label[shown] / counts[shown, None]).numpy(), train_x[order][tops].numpy(), directions.numpy()
)
results.save_page(page, "feature_browser", alt="features of the sparse autoencoder, most informative first")

# %% [markdown]
# ## Beyond the seed: three kinds
#
# Beside the published kind after the same number of epochs, on the same activations from the same seed:
#
# - **corrected**: one bias on each side; each feature's direction is brought back to unit norm after every step, and what is parallel to it is removed from its gradient.
#   L1 is a mean over the batch with the coefficient $64\,\lambda = 0.192$: on every full batch the same function of $f$ as the published term, so no strength was tuned. What a unit of $f$ is
#   worth does differ, since published directions may grow.
# - **topk**: as corrected, but the `K` largest features of each image are kept and there is no L1 (Gao et al. 2024, [arXiv 2406.04093](https://arxiv.org/abs/2406.04093)). As in that paper the
#   encoder starts as the decoder's transpose; its auxiliary loss, which revives dead features, is left out. `K` is matched to the published L0.
#
# Measured on the test images, which no autoencoder has seen (live features, and what follows from counts, on the training images, as above). Loss recovered is $(\mathrm{CE}_0 - \mathrm{CE}_{\hat x})/(\mathrm{CE}_0 - \mathrm{CE}_x)$,
# with zeros, the reconstruction and the activations themselves put before the classifier's last layer. `rare` counts the live features that fire on less than a tenth of the images; `total_bits`
# adds up all features' information, which counts twice what two features both tell.

# %%
models, histories = {"published": compared}, {"published": history}
for kind, (weights, past) in {"corrected": corrected, "topk": topk}.items():
    models[kind], histories[kind] = loaded(kind, weights), past
table = {}
for kind, model in models.items():
    table[kind] = sae.evaluate(model, classifier, test_activations, test_y)
    per_label = sae.label_counts(model, activations, labels)
    fires, told = per_label.sum(1), sae.mutual_information(per_label, class_sizes)
    table[kind] |= {"live": (fires > 0).sum().item(), "dead": (fires == 0).sum().item()}
    table[kind] |= {"rare": ((fires > 0) & (fires < 0.1 * n)).sum().item()}
    table[kind] |= {"best_bits": told.max().item(), "total_bits": told.sum().item()}
    for measure in MEASURES:
        results.record(f"{kind}_{measure}", table[kind][measure])
logits = classifier.head(test_activations)
loss, hits = F.cross_entropy(logits, test_y).item(), (logits.argmax(1) == test_y).float().mean().item()
results.record("original_accuracy", hits)
results.record("original_cross_entropy", loss)
bars = {
    "variance not explained (%)": [100 * (1 - row["variance_explained"]) for row in table.values()],
    "change of accuracy (points)": [100 * (row["accuracy"] - hits) for row in table.values()],
    "change of cross entropy (nats)": [row["cross_entropy"] - loss for row in table.values()],
}
pd.DataFrame(table).loc[MEASURES].map("{:.4g}".format)

# %%
fig, axes = plt.subplots(2, 3, figsize=(plotting.TEXT_WIDTH, 3.6))
for kind, past in histories.items():
    style = {"color": COLOURS[kind], "label": kind}
    for ax, term in zip(axes[0], ("reconstruction", "l0"), strict=False):
        ax.plot(np.arange(1, COMPARE_AT + 1), past[term][:COMPARE_AT], **style)
    marks = [epoch for epoch in MARKS if epoch <= COMPARE_AT]
    axes[0, 2].plot(marks, past["live"][: len(marks)], ".-", markersize=4, **style)
plain_log(axes[0, 0].yaxis, axes[0, 1].yaxis, *(ax.xaxis for ax in axes[0]))
axes[0, 2].set_ylim(0, None)
for ax, label in zip(
    axes[0], ("reconstruction loss", "features per image (L0)", "live features of 1,024"), strict=True
):
    ax.set(xlabel="epoch", ylabel=label)
axes[0, 0].legend()
for ax, (label, values) in zip(axes[1], bars.items(), strict=True):
    ax.bar(list(table), values, color=[COLOURS[kind] for kind in table], width=0.7)
    ax.bar_label(ax.containers[0], fmt="%.2g", fontsize=7, padding=2)
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.set(ylabel=label, ymargin=0.15)
results.save_figure(
    fig,
    "comparison",
    alt="Three kinds of autoencoder compared: reconstruction, L0 and live features over epochs; variance not explained, "
    "change of accuracy and of cross entropy with the reconstruction in place of the activations.",
)

# %% [markdown]
# **Figure `comparison`.** The three kinds on the same activations. Above: over the epochs, on the training images (reconstruction summed over batches, as before). Below: on the test images
# after the last of these epochs, with the reconstruction in place of the activations: variance of the activations it misses, and what the classifier then gets right or loses against its own activations.
#
# ## What we found

# %%
own = {"reconstruction": SEED_RECONSTRUCTION, "l1": SEED_L1, "l0": SEED_L0}
log = {(term, epoch): str(values[i]) for term, values in own.items() for i, epoch in enumerate(SEED_EPOCH)}
rows = [("classifier: test accuracy", "classifier_accuracy", "not stated")]
for term in own:
    rows += [(f"{term}, epoch {e}", f"{term}_epoch_{e}", log.get((term, e), "not stated")) for e in STATED]
rows += [
    ("live features at the end", "live", "147"),
    ("dead features at the end", "dead", "877"),
    ("share of dead features", "dead_share", "0.856"),
    ("mean share of images that fire a live feature", "firing_share_mean", "not stated"),
    ("most informative feature (bits)", "best_bits", "not asked"),
    ("features that tell more than 0.1 bit", "features_above_tenth_bit", "not asked"),
    ("the same with labels in stored order: best (bits)", "misaligned_bits", "its pairing"),
]
results.findings(rows)

# %% [markdown]
# - The losses follow the seed's log closely at every epoch it prints; what difference there is, is one of runs, as the table of further runs above shows.
# - L0 agrees as well. The number of live features does not: it varies from run to run, falls in steps, and ours ends below the seed's 147. Both say that most of the dictionary is dead.
# - Under this recipe L1 stops being a penalty on the number of features. Live directions grow through the whole training, activations shrink in return, and L0 rises.
# - Information: every live feature that is at all informative fires for several digits. The best tell about a third of a bit of the more than three that the label holds.
# - Replacing the activations by any of the three reconstructions changes the classifier's accuracy by fractions of a percentage point.
# - The corrected kind keeps several times as many features alive and uses more of them per image; the top-k kind rebuilds best, with the published kind's L0 and about as many live features. At this epoch some published
#   features fire rarely; at the end of the full run all but a few of the live ones fire often.
#
# ## Where the seed differs
#
# - **Labels.** Its picture of a feature's labels pairs shuffled activations with labels in stored order (`feature_labels`, right). Ours shuffles both alike.
# - **The recipe's four oddities** are kept for the published kind and taken out in the corrected one. The projection has one more effect: a feature that never fires has no gradient of its own, but the projection
#   gives its direction one, so that dead directions go on moving. Adam makes full-sized steps of it.
# - **Counting.** One matrix product in place of a loop over 60,000 images and all live features; equal on the images where both were done.
# - **Gradients** are written out, and most products run over those features only that some image of a batch fires. The others' gradients are exactly 0, so this is the same training up to rounding.
# - Its log ends at epoch 56 of 200, and the execution numbers of its cells are those of several sessions: the 147 live features may belong to another run than the printed losses.
#
# ## Beyond the seed
#
# The further runs with their spread, the information in bits, features as pixels with the interactive page, and the three kinds compared are ours. The comparison uses fewer epochs than the seed's 200; the
# published kind enters it with its weights after as many epochs as the others.
#
# ## Limits
#
# - One classifier, far from converged, and one layer of it. The further runs vary everything at once and do not tell which part makes the differences.
# - Mutual information looks at firing only, not at how strongly a feature fires, and at one feature at a time; the sum over features is no joint information.
# - The direction in pixels is a mean gradient: exact for small changes of an image, and blind to what the ReLUs do beyond.
# - The three kinds were compared at one strength each, not along their curves of L0 against reconstruction; learning rates were not tuned for any of them, and the top-k kind lacks the auxiliary loss.
# - The live features at a given epoch depend on rounding: over many thousand steps, another processor, or another number of threads, gives other counts.
#
# ## References
#
# - Bricken, Templeton, Batson et al., "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning", Transformer Circuits Thread, 2023.
# - Cunningham, Ewart, Riggs, Huben, Sharkey, "Sparse Autoencoders Find Highly Interpretable Features in Language Models", [arXiv 2309.08600](https://arxiv.org/abs/2309.08600).
# - Gao, Dupré la Tour, Tillman, Goh, Troll, Radford, Sutskever, Leike, Wu, "Scaling and evaluating sparse autoencoders", [arXiv 2406.04093](https://arxiv.org/abs/2406.04093).
# - Kingma, Ba, "Adam: A Method for Stochastic Optimization", [arXiv 1412.6980](https://arxiv.org/abs/1412.6980).

# %%
results.finish()
