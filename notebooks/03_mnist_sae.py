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
# The notebook repeated here ("the original notebook" below) asks in its first line "What happens when we train SAEs on MLPs? With information?" It
# trains the autoencoder and looks at one feature; the second question stays open there and is taken up below. Sparse autoencoders on
# activations are due to Bricken et al. (2023) and Cunningham et al. (2023), [arXiv 2309.08600](https://arxiv.org/abs/2309.08600).
#
# **Among the five.** [05](05_toy_superposition.ipynb) shows how a network can hold more features than it has dimensions; this notebook is about the usual way to take such features
# apart again, from the activations. [01](01_mnist_bilinear.ipynb) and [02](02_tinystories.ipynb) go the other way and read features off the weights, without data, and
# [04](04_dihedral_fourier.ipynb) has a network whose features are known exactly. All five check what they read: by what is left when it is taken away, or by what chance would give.

# %% tags=["parameters"]
MODE = "full"  # "quick" trains on fewer images for a few epochs
SEED = 0  # @param {type: "integer"}
# whose labels are shown: an index, or -1 for the third that fires on 1 % of the images or more
FEATURE = -1  # @param {type: "integer"}
# features per image of the top-k kind: the L0 that the published kind reaches, rounded
K = 30  # @param {type: "integer"}
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
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from einops import rearrange
from matplotlib.ticker import LogLocator, NullFormatter
from plotly.subplots import make_subplots
from torch.nn import functional as F

from paper_utils import data, plotting, results, runs, sae, training

training.check_device(DEVICE)
plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"
EPOCHS, COMPARE_AT, SPREAD_EPOCHS = (6, 3, 3) if QUICK else (200, 50, 31)
SEEDS = (1, 2) if QUICK else (1, 2, 3, 4, 5)
MARKS = (1, 2, 3, 6) if QUICK else (1, 6, 11, 21, 31, 50, 56, 100, 150, 200)  # live features are counted after these

# %%
images = data.load_mnist()
if QUICK:
    images = images.first(6400)
train_x, train_y, test_y = images.train_x, images.train_y, images.test_y
results.begin("03_mnist_sae", mode=MODE, seeds=[SEED, *SEEDS], data=images)

# %% [markdown]
# ## The classifier
#
# A multilayer perceptron with 784, 128, 128 and 10 units, ReLU and biases,
#
# $$h = W_2\,\mathrm{relu}(W_1 \tilde x + b_1) + b_2, \qquad \text{logits} = W_3\,\mathrm{relu}(h) + b_3, \qquad \tilde x = (x - 0.1307)/0.3081,$$
#
# is trained with plain SGD (learning rate 0.001, batches of 64) for five epochs. It then recognises most digits and is far from converged. The
# autoencoder reads $h$, the second layer before its ReLU, on the training images in one shuffled order. The whole notebook is about the first
# classifier; the others are for [further runs](#How-much-the-run-varies).
#
# Weights are kept as safetensors under `build/weights/`, by recipe, data and code; a second run loads them.

# %%
calls = [(sae.Classifier(seed=seed).to(DEVICE), sae.ClassifierConfig(), seed) for seed in (SEED, *SEEDS)]
trained = runs.cached(sae.train_classifier, calls, images)
classifier, *other_classifiers = (model.cpu().requires_grad_(False) for model, _ in trained)
losses = np.array(trained[0][1]["step_loss"])
activations, order = sae.activations_of(classifier, images, SEED)
labels, n = train_y[order], len(order)
test_activations = classifier.activations(images.test_x)
test_logits = classifier.head(test_activations)
test_accuracy = (test_logits.argmax(1) == test_y).float().mean()
results.record(classifier_loss=trained[0][1]["loss"][-1], classifier_accuracy=test_accuracy)
print(f"activations {tuple(activations.shape)}, standard deviation {activations.std():.2f}")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
smooth = np.convolve(losses, np.ones(50) / 50, mode="valid")
fig, ax = plt.subplots(figsize=(4.5, 2.2))
ax.plot(losses, color=plotting.SKY, linewidth=0.3, rasterized=True)
ax.plot(np.arange(len(smooth)) + 25, smooth, color=plotting.BLUE)
ax.set(xlabel="step (batch of 64 images)", ylabel="cross entropy (nats)", ylim=(0, None))
alt = "The classifier's loss falls from about 2.3 over five epochs, noisy from batch to batch."
results.save_figure(fig, "classifier_loss", alt=alt)

# %% [markdown]
# **Figure `classifier_loss`.** Loss of every batch (light) and its mean over fifty batches (dark). The original notebook's curve falls from 2.36 to
# between 0.4 and 0.7, as this one does. The loss is still falling at the end: the classifier is far from converged.
#
# ## The autoencoder, as published
#
# $$f = \mathrm{relu}\big(W_\mathrm{enc}(x - b_\mathrm{dec}) + b_\mathrm{enc} + b'_\mathrm{enc}\big), \qquad
# \hat x = f\,W_\mathrm{dec} + b_\mathrm{dec} + b'_\mathrm{dec},$$
#
# $$L = \frac1{|B|}\sum_{x \in B} |x - \hat x|^2 + \lambda \sum_{x \in B}\sum_{j} f_j(x), \qquad \lambda = 0.003,$$
#
# with 128 inputs and 1,024 features. A row of $W_\mathrm{dec}$ is a feature's direction. Adam (0.001, times 0.99 every ten epochs), batches of 64
# always in the same order, 200 epochs. Four things in this recipe are unusual; the published kind keeps them, since its numbers depend on them.
#
# 1. **Two biases on each side.** The linear layers bring their own $b'$, and the autoencoder adds $b$. At the encoder both get the same
#    gradient and the same Adam step, so that their sum moves at twice the learning rate. At the decoder $b_\mathrm{dec}$ is also subtracted from the input and
#    $b'_\mathrm{dec}$ is not: they are two different parameters.
# 2. **The L1 term is a sum over the batch**, while the reconstruction term is a mean: the usual coefficient, per image, is $64 \cdot 0.003 = 0.192$.
# 3. **The decoder is scaled once, across features.** Each of the 128 rows of its (128 × 1,024) matrix is divided by its norm. That axis runs over
#    features, so no feature's direction gets unit norm.
# 4. **The renormalisation has no effect.** After each step the original notebook removes from the gradient what is parallel to that same scaling, then assigns the
#    scaled weights to an attribute that nothing reads. Nothing keeps a direction from growing, and a longer direction pays less L1 for the same output.
#
# All autoencoders of this notebook are trained side by side. We train the original recipe for 200 epochs; all [three kinds](#Beyond-the-original-notebook:-three-kinds) for 50, on the
# same activations; and five repeats of the original recipe for 31, each on its own classifier. The loss is `sae.SparseAutoencoder.loss`.


# %%
def call(kind: str, epochs: int, classifier: sae.Classifier, seed: int) -> tuple:
    model = sae.SparseAutoencoder(kind=kind, seed=seed, k=K).to(DEVICE)
    return model, sae.SAEConfig(epochs=epochs), classifier, seed, MARKS


calls = [call("published", EPOCHS, classifier, SEED)]
calls += [call(kind, COMPARE_AT, classifier, SEED) for kind in sae.KINDS]
calls += [call("published", SPREAD_EPOCHS, other, s) for other, s in zip(other_classifiers, SEEDS, strict=True)]
trained = [(model.cpu().requires_grad_(False), past) for model, past in runs.cached(sae.train, calls, images)]
published, history = trained[0]
kinds, further = dict(zip(sae.KINDS, trained[1:4], strict=True)), [past for _, past in trained[4:]]

# %% [markdown]
# The original notebook prints these numbers, every fifth epoch until 56, where its log ends:

# %%
TERMS = {"reconstruction": "reconstruction loss", "l1": "L1 loss", "l0": "features per image (L0)"}
RECONSTRUCTION = [5506.7, 1459.3, 1280.0, 1195.3, 1154.1, 1126.1, 1103.3, 1084.6, 1067.9, 1054.5, 1041.9, 1031.6]
L1 = [7636.7, 2675.1, 2456.0, 2336.6, 2236.8, 2152.9, 2080.2, 2017.8, 1962.9, 1914.3, 1869.8, 1829.1]
L0 = [56.32, 24.39, 26.21, 27.61, 28.35, 28.89, 29.34, 29.72, 30.05, 30.31, 30.56, 30.76]
ORIGINAL = pd.DataFrame(zip(RECONSTRUCTION, L1, L0, strict=True), columns=list(TERMS), index=range(1, 57, 5))
STATED = [epoch for epoch in (1, 6, 31, 56, 200) if epoch <= EPOCHS]
results.record(**{f"{term}_epoch_{epoch}": history[term][epoch - 1] for term in TERMS for epoch in STATED})

# %% tags=["hide-input"] jupyter={"source_hidden": true}
DOTS = {"color": plotting.VERMILLION, "marker": "o", "markersize": 3, "linestyle": "", "label": "the original's log"}


def plain_log(*axes) -> None:
    """Logarithmic axes with plain numbers: at 1, 10, 100 along x, at 1, 2, 5 along y."""
    for axis in axes:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1,) if axis.axis_name == "x" else (1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def draw_terms(axes, draw, epochs: int) -> None:
    """One panel a term, by `draw(ax, term)`, with the original's log on it."""
    for ax, (term, label) in zip(axes, TERMS.items(), strict=False):
        draw(ax, term)
        ax.plot(ORIGINAL[term].loc[:epochs], **DOTS)
        ax.set(xlabel="epoch", title=label)
        plain_log(*([ax.xaxis] if term == "l0" else [ax.xaxis, ax.yaxis]))


fig, axes = plt.subplots(1, 3, figsize=(plotting.TEXT_WIDTH, 2.3))
epochs = np.arange(1, EPOCHS + 1)
draw_terms(axes, lambda ax, term: ax.plot(epochs, history[term], color=plotting.BLUE, label="this run"), 56)
axes[2].legend()
alt = "Reconstruction loss, L1 loss and L0 over the epochs, on logarithmic axes, with the original notebook's printed values beside."
results.save_figure(fig, "sae_losses", alt=alt)

# %% [markdown]
# **Figure `sae_losses`.** Both terms of the loss, summed over an epoch's 938 batches as the original notebook prints them, and the mean number of features per image.
# Line: this run. Dots: what the original notebook printed for its run, with another classifier and another initial point. L1 goes on falling while L0 *rises*:
# L1 falls because activations shrink, not because fewer features fire.

# %%
for epochs, model in ((COMPARE_AT, kinds["published"][0]), (EPOCHS, published)):
    norms = model.w_dec[sae.firing_counts(model, activations) > 0].norm(dim=1)
    print(f"after {epochs} epochs: mean norm of a live direction {norms.mean():.2f}")
drift = (published.w_dec.norm(dim=0) - 1).abs().max()
print(f"largest distance of a row's norm across features from the 1 it was scaled to: {drift:.2f}")

# %% [markdown]
# The live directions grow through the training, and a longer direction needs a smaller activation for the same output.
#
# ## How much the run varies
#
# The original notebook's numbers come from one run. Here are further runs of the whole recipe (classifier, order of the images, autoencoder, each from its own seed) over
# the first 31 epochs.

# %%
rows = {}
for epoch in (e for e in (1, 6, 31) if e <= SPREAD_EPOCHS):
    for term in (*TERMS, "live"):
        at = MARKS.index(epoch) if term == "live" else epoch - 1
        values = np.array([past[term][at] for past in further])
        own = ORIGINAL[term][epoch] if term in TERMS else "not stated"
        rows[epoch, term] = [f"{values.mean():.5g}", f"{values.std(ddof=1):.3g}", f"{history[term][at]:.5g}", own]
        if term in TERMS:
            results.record(**{f"{term}_epoch_{epoch}_mean": values.mean()})
columns = [f"mean of {len(SEEDS)} runs", "s.d.", "the full run", "the original"]
pd.DataFrame(rows, columns, pd.MultiIndex.from_tuples(rows, names=["epoch", ""])).T

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 4, figsize=(plotting.TEXT_WIDTH, 2.3))
early = np.arange(1, SPREAD_EPOCHS + 1)


def draw(ax, term: str) -> None:
    plotting.runs_band(ax, early, [past[term] for past in further], "further runs", plotting.BLUE)
    ax.plot(early, history[term][:SPREAD_EPOCHS], color=plotting.BLACK, label="full run")


draw_terms(axes, draw, SPREAD_EPOCHS)
for past in further:
    axes[3].plot(MARKS[: len(past["live"])], past["live"], ".-", color=plotting.BLUE, linewidth=0.6, markersize=3)
axes[3].plot(MARKS, history["live"], ".-", color=plotting.BLACK, markersize=3)
axes[3].plot(200, 147, **DOTS)
axes[3].set(xlabel="epoch", title="live features of 1,024", ylim=(0, None))
plain_log(axes[3].xaxis)
handles, names = axes[0].get_legend_handles_labels()
names = [name.split(" (")[0] + (" (mean, 1 s.d.)" if "(" in name else "") for name in names]
fig.legend(handles, names, loc="outside upper center", ncols=3)
alt = "Reconstruction, L1, L0 and live features over epochs for further runs, the full run and the original notebook's printed values."
results.save_figure(fig, "seed_spread", alt=alt)

# %% [markdown]
# **Figure `seed_spread`.** Thin blue: further runs, each with its own classifier; thick blue and band: their mean and one standard deviation.
# Black: the full run. Red dots: the original notebook's log, and at epoch 200 its 147 live features. A feature is live where at least one training image fires it.
#
# ## How often features fire
#
# A feature fires on an image where it is above 0. The counts are sums over the columns of one matrix of 60,000 × 1,024.

# %%
counts = sae.firing_counts(published, activations)
live = counts.count_nonzero().item()
firing_share = counts[counts > 0] / n
results.record(live=live, dead=len(counts) - live, dead_share=1 - live / len(counts))
results.record(firing_share_mean=firing_share.mean())
print(f"{live} live features, {len(counts) - live} dead; a live one fires on {firing_share.mean():.0%} of the images")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.2))
axes[0].hist(counts, bins=50, color=plotting.BLUE)
axes[0].set(xlabel="images that fire the feature", ylabel="features", yscale="log")
axes[0].set_title(f"all 1,024 features ({len(counts) - live} never fire)")
axes[1].hist(firing_share, bins=np.linspace(0, 1, 41), color=plotting.BLUE)
axes[1].set(xlabel="share of images that fire the feature", ylabel="features", xlim=(0, 1))
axes[1].set_title(f"the {live} live features")
alt = "Histogram of how many training images fire each feature: most features never fire, the live ones fire on very different numbers of images."
results.save_figure(fig, "firing_histogram", alt=alt)

# %% [markdown]
# **Figure `firing_histogram`.** How many training images fire each feature. Left: all features, as in the original notebook (here with a logarithmic count, or only the
# dead ones would be visible). Right: the live ones, by the share of images.
#
# L0 alone makes this code look sparse: about thirty features of 1,024. But most of the 1,024 are dead, and a typical live feature fires on a large part of all images. Of
# the live ones, about half are on at any time: the code that this recipe ends with is closer to a dense one of a few dozen dimensions.
#
# ## What one feature fires on
#
# For each feature and digit, the number of images of that digit that fire it: one matrix product of the firing pattern with the labels,
# $C = [f > 0]^\top Y$ with $Y$ one-hot. The original notebook counts in a double loop over images and features. First such a loop, on a few images:

# %%
by_loop = torch.zeros(len(counts), 10, dtype=torch.long)
for fires, label in zip(published.encode(activations[:50]) > 0, labels[:50], strict=True):
    for j in fires.nonzero()[:, 0]:
        by_loop[j, label] += 1
assert torch.equal(by_loop, sae.label_counts(published, activations[:50], labels[:50]))

by_label = sae.label_counts(published, activations, labels)
feature = FEATURE if FEATURE >= 0 else (counts >= n // 100).nonzero()[:3, 0][-1].item()
if feature >= len(counts) or counts[feature] == 0:
    raise ValueError(f"FEATURE = {FEATURE} fires on no image; those that do: {counts.nonzero()[:, 0].tolist()}")

# %% [markdown]
# One more thing about the original notebook's picture. Its activations come from a loader that shuffles, but the labels it counts are read from the data set in stored order: image
# $i$ of one is not image $i$ of the other. It therefore shows the distribution of labels over arbitrary images, whatever the feature. Both versions:

# %% tags=["hide-input"] jupyter={"source_hidden": true}
misaligned = sae.label_counts(published, activations, train_y)
class_sizes = torch.bincount(labels, minlength=10)
titles = ("its own images' labels", "labels in stored order, as in the original")
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.1), sharey=True)
for ax, table, title in zip(axes, (by_label, misaligned), titles, strict=True):
    ax.bar(range(10), table[feature] / table[feature].sum(), color=plotting.BLUE)
    ax.stairs(class_sizes / n, np.arange(-0.5, 10), color="0.4", linewidth=0.8)
    ax.set(xlabel="label", xticks=range(10), title=title)
axes[0].set_ylabel(f"share where feature {feature} fires")
alt = "Bar charts of the labels of the images that fire one feature: with the images' own labels, and with labels in stored order, which follow the frequencies of the digits."
results.save_figure(fig, "feature_labels", alt=alt)

# %% [markdown]
# **Figure `feature_labels`.** Labels of the images on which the chosen feature fires (`FEATURE`; by default the third that fires on at least 1 % of the images; the original notebook takes the third live one, but which features just survive is a matter of rounding). Left: with each image's own label.
# Right: with labels in stored order, the original notebook's pairing. Grey line: shares of the digits in the training set. The right one follows the grey line, as any feature would.
#
# ## With information?
#
# How much does it tell about the digit whether a feature fires? The mutual information of the two, exactly from the counts:
#
# $$I(F;Y) = \sum_{f \in \{0,1\}} \sum_{y} p(f,y)\,\log_2 \frac{p(f,y)}{p(f)\,p(y)}\ \text{bits}.$$
#
# It is at most 1 bit, the most a yes or no can tell; a detector of one digit, which fires on this digit and no other, tells somewhat less than half a bit.
# By hand for the chosen feature, then for all. To compare, the labels in stored order, and the most that any feature tells of twenty random orders:

# %%
joint = torch.stack([by_label[feature], class_sizes - by_label[feature]]).double() / n
expected = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
by_hand = (joint[joint > 0] * torch.log2(joint[joint > 0] / expected[joint > 0])).sum()
bits = sae.mutual_information(by_label, class_sizes)
assert torch.isclose(by_hand, bits[feature])

misaligned_bits = sae.mutual_information(misaligned, class_sizes)
alive, generator = published.sub_dictionary(counts.nonzero()[:, 0]), torch.Generator().manual_seed(SEED)
shuffles = [labels[torch.randperm(n, generator=generator)] for _ in range(20)]
chance = [sae.mutual_information(sae.label_counts(alive, activations, y), class_sizes).max() for y in shuffles]
one_digit = sae.mutual_information(torch.diag(class_sizes), class_sizes)
results.record(best_bits=bits.max(), features_above_tenth_bit=(bits > 0.1).sum(), one_digit_bits=one_digit.min())
results.record(misaligned_bits=misaligned_bits.max(), chance_bits=max(chance))

ranked = bits.argsort(descending=True)[:live]
columns = {"bits": bits.numpy(), "fires on": (counts / n).numpy(), "top label": by_label.argmax(1).numpy()}
pd.DataFrame(columns).loc[ranked[:10].tolist()].rename_axis("feature").round(3)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4))
ranks, rates = np.arange(1, live + 1), np.linspace(1e-4, 1 - 1e-4, 400)
axes[0].plot(ranks, bits[ranked], ".-", markersize=3, label="own labels")
by_chance = misaligned_bits.sort(descending=True).values[:live]
axes[0].plot(ranks, by_chance, color=plotting.VERMILLION, label="labels in stored order")
axes[0].set(xlabel="rank of the feature", ylabel="mutual information (bits)", ylim=(0, None))
axes[0].legend()
axes[1].plot(rates, -(rates * np.log2(rates) + (1 - rates) * np.log2(1 - rates)), color="0.6", linewidth=0.8)
for label in range(10):
    its = ranked[by_label[ranked].argmax(1) == label]
    axes[1].scatter(counts[its] / n, bits[its], s=22, marker=f"${label}$", color=plotting.BLUE, linewidths=0.1)
axes[1].set(xlabel="share of images that fire the feature", ylabel="mutual information (bits)", ylim=(0, 1.02))
alt = "Left: mutual information of each live feature with the label, ranked, against almost nothing for misaligned labels. Right: the same over how often the feature fires, below the entropy of firing."
results.save_figure(fig, "mutual_information", alt=alt)

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
hidden = [classifier.fc1((part - sae.PIXEL_MEAN) / sae.PIXEL_STD) > 0 for part in train_x.split(5000)]
shown = ranked[:100]
f = published.sub_dictionary(shown).encode(activations)
open_share = (f > 0).float().T @ torch.cat(hidden)[order].float() / counts[shown, None]
directions = sae.to_pixels(classifier, published.w_dec[shown], open_share) * train_x.std(0)
tops = f.topk(8, dim=0).indices.T  # [feature, image], positions in the shuffled order

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = plt.figure(figsize=(plotting.TEXT_WIDTH, 6.4))
for place, cell in enumerate(fig.subfigures(8, 2, wspace=0.03).flat):
    left, middle, right = cell.subplots(1, 3, width_ratios=[1, 3.2, 1.5])
    plotting.signed_map(left, directions[place].reshape(28, 28))
    row = rearrange(train_x[order[tops[place, :4]]], "image (h w) -> h (image w)", h=28)
    middle.imshow(row, cmap="gray_r", vmin=0, vmax=1)
    middle.set_axis_off()
    j = shown[place].item()
    middle.set_title(f"feature {j}: {bits[j]:.2f} bits, fires on {counts[j] / n:.0%}", fontsize=7, pad=2)
    right.bar(range(10), by_label[j] / by_label[j].sum(), color=plotting.BLUE)
    right.set(xticks=range(0, 10, 3), yticks=[])
    right.tick_params(labelsize=7, pad=1, length=2)
    right.spines["left"].set_visible(False)
alt = "Sixteen features: each with its direction in pixels, red and blue, the four images that fire it most, and a bar chart of the labels it fires on."
results.save_figure(fig, "informative_features", alt=alt)

# %% [markdown]
# **Figure `informative_features`.** The sixteen features that tell most about the digit. Each: its direction in pixels (red: more ink than usual there
# raises the activation along it, blue lowers it; each map scaled to its own largest value), the four training images that fire it most, and the distribution of labels where it fires (digits 0 to 9).
#
# The same for up to a hundred features, with a slider from the most informative down, is an interactive page: `make figures` writes it to `figures/03_mnist_sae/pages/feature_browser.html`.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
# Pictures go into the page as single bytes: a hundred features stay below 2 MB.
digits = (train_x[order[tops]] * 255).round().byte()
digits = rearrange(digits, "feature (row column) (h w) -> feature (row h) (column w)", column=4, h=28).numpy()
maps = (directions / directions.abs().amax(1, keepdim=True) * 127).round().char().reshape(-1, 28, 28).numpy()
titles = ("labels where it fires", "images that fire it most", "direction in pixels")
page = make_subplots(1, 3, subplot_titles=titles, column_widths=[0.28, 0.44, 0.28], horizontal_spacing=0.05)
grey, signed = {"colorscale": "gray_r", "zmin": 0, "zmax": 255}, {"colorscale": "RdBu_r", "zmin": -127, "zmax": 127}
steps = []
for i, j in enumerate(shown.tolist()):
    first, bare = {"visible": i == 0, "row": 1}, {"showscale": False, "hoverinfo": "skip"}
    told = "label %{x}: %{y:.1%}<extra></extra>"
    page.add_bar(
        x=list(range(10)),
        y=(by_label[j] / counts[j]).numpy(),
        marker_color=plotting.BLUE,
        hovertemplate=told,
        **first,
        col=1,
    )
    page.add_heatmap(z=digits[i], **grey, **bare, **first, col=2)
    page.add_heatmap(z=maps[i], **signed, **bare, **first, col=3)
    name = f"feature {j}: {bits[j]:.3f} bits, fires on {counts[j] / n:.1%} of the images"
    visible = [trace // 3 == i for trace in range(3 * len(shown))]
    steps.append({"method": "restyle", "args": ["visible", visible], "label": name})
# The names stand above the slider, one at a time; as its tick labels they would be cut and overlap.
slider = {"steps": steps, "currentvalue": {"prefix": "", "font": {"size": 14, "color": "#222"}}, "pad": {"t": 50}}
slider |= {"font": {"color": "rgba(0,0,0,0)"}, "ticklen": 0, "minorticklen": 0}
page.update_layout(sliders=[slider], template="plotly_white", showlegend=False, width=1000, height=460)
page.update_xaxes(title_text="label", dtick=1, col=1).update_yaxes(title_text="share", col=1)
for col in (2, 3):
    page.update_xaxes(visible=False, constrain="domain", col=col)
    page.update_yaxes(visible=False, autorange="reversed", scaleanchor=f"x{col}", col=col)
results.save_page(page, "feature_browser", alt="features of the sparse autoencoder, most informative first")

# %% [markdown]
# ## Beyond the original notebook: three kinds
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
table = {}
for kind, (model, _) in kinds.items():
    per_label = sae.label_counts(model, activations, labels)
    fires, told = per_label.sum(1), sae.mutual_information(per_label, class_sizes)
    table[kind] = sae.evaluate(model, classifier, test_activations, test_y)
    table[kind] |= {"live": fires.count_nonzero().item(), "dead": (fires == 0).sum().item()}
    table[kind] |= {"rare": ((fires > 0) & (fires < 0.1 * n)).sum().item()}
    table[kind] |= {"best_bits": told.max().item(), "total_bits": told.sum().item()}
table = pd.DataFrame(table)
mse, alive = table.loc["mse"], table.loc["live"]
results.record(published_mse=mse["published"], topk_mse=mse["topk"])
results.record(loss_recovered_least=table.loc["loss_recovered"].min())
results.record(corrected_live_ratio=alive["corrected"] / alive["published"])
table.map("{:.4g}".format)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
colours = dict(zip(sae.KINDS, plotting.OKABE_ITO, strict=False))
fig, axes = plt.subplots(2, 3, figsize=(plotting.TEXT_WIDTH, 3.6))
for kind, (_, past) in kinds.items():
    style = {"color": colours[kind], "label": kind}
    for ax, term in zip(axes[0], ("reconstruction", "l0"), strict=False):
        ax.plot(np.arange(1, COMPARE_AT + 1), past[term], **style)
    axes[0, 2].plot(MARKS[: len(past["live"])], past["live"], ".-", markersize=4, **style)
plain_log(axes[0, 0].yaxis, axes[0, 1].yaxis, *(ax.xaxis for ax in axes[0]))
axes[0, 2].set_ylim(0, None)
for ax, label in zip(axes[0], (TERMS["reconstruction"], TERMS["l0"], "live features of 1,024"), strict=True):
    ax.set(xlabel="epoch", title=label)
axes[0, 0].legend()
bars = {
    "variance not explained (%)": 100 * (1 - table.loc["variance_explained"]),
    "change of accuracy (points)": 100 * (table.loc["accuracy"] - test_accuracy.item()),
    "change of cross entropy (nats)": table.loc["cross_entropy"] - F.cross_entropy(test_logits, test_y).item(),
}
for ax, (label, values) in zip(axes[1], bars.items(), strict=True):
    ax.bar(values.index, values, color=list(colours.values()), width=0.7)
    ax.bar_label(ax.containers[0], fmt="%.2g", fontsize=7, padding=2)
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.set(title=label, ymargin=0.15)
alt = "Three kinds of autoencoder compared: reconstruction, L0 and live features over epochs; variance not explained, change of accuracy and of cross entropy with the reconstruction in place of the activations."
results.save_figure(fig, "comparison", alt=alt)

# %% [markdown]
# **Figure `comparison`.** The three kinds on the same activations. Above: over the epochs, on the training images (reconstruction summed over batches, as before). Below: on the test images
# after the last of these epochs, with the reconstruction in place of the activations: variance of the activations it misses, and what the classifier then gets right or loses against its own activations.
#
# ## Over training runs
#
# `sweeps/03_mnist_sae.py` repeats classifier and published autoencoder from five seeds that this notebook does not use, by the recipe of the further runs above, and measures each after 31 epochs.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
panels = {
    "classifier_accuracy": "classifier's\ntest accuracy",
    "reconstruction": "reconstruction loss,\nepoch 31",
    "l0": "features per image\n(L0), epoch 31",
    "live": "live features of 1,024,\nepoch 31",
}
alt = "Four measures, each on an axis of its own, one dot for each training run beside mean and standard deviation."
results.save_figure(plotting.runs_strip(results.read_sweep("03_mnist_sae"), panels), "training_runs", alt=alt)

# %% [markdown]
# **Figure `training_runs`.** Each dot is one run with its own classifier, order of images and initial weights; beside them their mean and one standard deviation. The original notebook
# prints 1103.3 and 29.34 for reconstruction and L0 at this epoch.
#
# ## What we found

# %% tags=["hide-input"] jupyter={"source_hidden": true}
rows = [("classifier: test accuracy", "classifier_accuracy", "not stated")]
for term in TERMS:
    own = ORIGINAL[term].astype(str)
    rows += [(f"{term}, epoch {e}", f"{term}_epoch_{e}", own.get(e, "not stated")) for e in STATED]
rows += [
    ("live features at the end", "live", "147"),
    ("dead features at the end", "dead", "877"),
    ("share of dead features", "dead_share", "0.856"),
    ("mean share of images that fire a live feature", "firing_share_mean", "not stated"),
    ("most informative feature (bits)", "best_bits", "not asked"),
    ("features that tell more than 0.1 bit", "features_above_tenth_bit", "not asked"),
    ("a detector of one digit (bits)", "one_digit_bits", "not asked"),
    ("best with labels in stored order (bits)", "misaligned_bits", "its pairing"),
    ("best with labels in random order (bits)", "chance_bits", "not asked"),
]
results.findings(rows)

# %% [markdown]
# - The losses follow the original notebook's log closely at every epoch it prints. The differences are as large as those between runs, as the table of further runs above shows.
# - L0 agrees as well. The number of live features does not: it varies from run to run, falls in steps, and ours ends below the original notebook's 147. Both say that most of the dictionary is dead.
# - Under this recipe L1 stops being a penalty on the number of features. Live directions grow through the whole training, activations shrink in return, and L0 rises.
# - Information: every live feature that is at all informative fires for several digits. The best tell about a third of a bit, less than a detector of one digit would.
# - Replacing the activations by any of the three reconstructions changes the classifier's accuracy by fractions of a percentage point.
# - The corrected kind keeps several times as many features alive and uses more of them per image; the top-k kind rebuilds best, with the published kind's L0 and about as many live features. At this epoch some published
#   features fire rarely; at the end of the full run all but a few of the live ones fire often.
#
# ## Where the original notebook differs
#
# - **Labels.** Its picture of a feature's labels pairs shuffled activations with labels in stored order (`feature_labels`, right). Ours shuffles both alike.
# - **The recipe's four oddities** are kept for the published kind and taken out in the corrected one. The projection has one more effect: a feature that never fires has no gradient of its own, but the projection
#   gives its direction one, so that dead directions go on moving. Adam makes full-sized steps of this gradient.
# - **Counting.** One matrix product in place of a loop over 60,000 images and all live features; equal on the images where both were done.
# - **Sub-dictionary.** Each step computes loss and gradient only over the features that some image of the batch fires. The others' gradients are exactly 0, so this is the same training up to rounding.
# - Its log ends at epoch 56 of 200, and the execution numbers of its cells are those of several sessions: the 147 live features may belong to another run than the printed losses.
#
# ## Beyond the original notebook
#
# The further runs with their spread, the information in bits, features as pixels with the interactive page, and the three kinds compared are ours. The comparison uses fewer epochs than the original notebook's 200,
# the same number for each kind.
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
