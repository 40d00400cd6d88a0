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
# **Claim.** Forty-nine features of an MNIST classifier, pressed through a plane, seem to gather in few directions in
# some training runs. All their directions share one offset; without it the encoder's own columns spread over the plane
# like random ones. In Elhage's toy model, set up properly, sparsity decides how features share a plane (pairs, digons,
# pentagons), and a plane holds as much of the MNIST features as two principal components do.
#
# This section starts from a public replication notebook ("the original notebook" below) of Elhage and others (2022),
# *Toy Models of Superposition*, [arXiv 2209.10652](https://arxiv.org/abs/2209.10652).
#
# **Among the five.** When features outnumber dimensions they must share directions: this notebook shows when and how.
# [03](03_mnist_sae.ipynb) asks the opposite question, how to take them apart again. [01](01_mnist_bilinear.ipynb) and
# [02](02_tinystories.ipynb) read features off weights, [04](04_dihedral_fourier.ipynb) reads a network whose task has
# an exact theory. All five check what they read, by removing it or by comparing it with chance.

# %% tags=["parameters"]
MODE = "full"  # "quick" trains on 2,000 images and shortens the toy models to a thirtieth
# where all models are trained: "cpu", "cuda" or "mps"
DEVICE = "cpu"  # @param ["cpu", "cuda", "mps"]
SEED = 0  # @param {type: "integer"}
# further seeds of both models, for the question how often the features gather
N_SEEDS = 5  # @param {type: "integer"}
# degrees to either side of a ray within which a feature counts as gathered on it
WIDTH = 15.0  # @param {type: "number"}

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
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from draw import toy_superposition as drawing

from paper_utils import data, plotting, results, runs, training
from paper_utils import superposition as sp

training.check_device(DEVICE)
plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"
SEEDS = [SEED + i for i in range(1 + N_SEEDS)]
images = data.load_mnist().first(2_000 if QUICK else 60_000)
results.begin("05_toy_superposition", mode=MODE, seeds=SEEDS, data=images)

# %% [markdown]
# ## The two models of the original notebook
#
# The first model classifies digits through one hidden layer of 49 values. They are the "features" of this experiment:
#
# $$h = \mathrm{ReLU}(\tanh(W x + b)) \in [0, 1)^{49}, \qquad \text{logits} = V h + c .$$
#
# The second sees only these features, presses them through a plane, and must rebuild them:
#
# $$z = \tanh(W_{enc}\, h + b_{enc}) \in (-1, 1)^2, \qquad h' = \mathrm{ReLU}(\tanh(W_{dec}\, z + b_{dec})) .$$
#
# The recipe is the original's: pixels in [0, 1], Adam, batches of 64; the classifier takes 10 epochs of cross entropy
# at learning rate $10^{-3}$, the autoencoder 20 epochs of mean squared error at $10^{-4}$, with the classifier frozen.
# Five further pairs have other initial weights; their classifiers take 3 epochs, which give features of the same kind,
# and all six autoencoders see one order of batches.

# %%
full, short, config = sp.FeatureConfig(), sp.FeatureConfig(epochs=3), sp.PlaneConfig()
recipes = [(full if seed == SEED else short, seed) for seed in SEEDS]
classifiers = [(sp.FeatureNet(recipe, seed).to(DEVICE), recipe, seed) for recipe, seed in recipes]
nets, net_histories = zip(*runs.cached(sp.train_feature_net, classifiers, images), strict=True)

# %% [markdown]
# After each of its 20 epochs the autoencoder is asked two things about each feature $i$, over all training images:
#
# - its **importance**: how much the error rises when the feature is set to 0 in the input, $\Delta_i = \langle (h'(h
#   \text{ without } i) - h)^2\rangle - \langle (h'(h) - h)^2\rangle$, divided by the sum over features, then scaled
#   to 0..1;
# - its **direction**: the mean code of the images when all the other features are set to 0.
#
# `feature_importance` and `feature_directions` ask this of all features at once, by the model's own code and decoder;
# `train_plane` calls them after each epoch.

# %%
pairs = [(sp.PlaneAutoencoder(config, s).to(DEVICE), config, SEED, net) for s, net in zip(SEEDS, nets, strict=True)]
planes, plane_histories = zip(*runs.cached(sp.train_plane, pairs, images), strict=True)
rises, directions = (torch.tensor([h[k] for h in plane_histories]) for k in ("rise", "direction"))  # [run epoch ...]
importances = torch.stack([sp.scaled_importance(r) for r in rises.flatten(0, 1)]).reshape(rises.shape)

# %% [markdown]
# ## First experiment: the features as arrows
#
# Each feature keeps its colour in all pictures, from dark for the most important one after epoch 20 to light for the
# least. An arrow ends at importance × direction ("free length", the original's left panel) or at importance × unit
# direction ("unit length", its right panel), where the length shows the importance alone. A direction of length 0 has
# no unit vector and stays 0.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
importance, direction = importances[0], directions[0]  # of the run with the original's 10 epochs
rank = importance[-1].argsort(descending=True).argsort()  # 0: the most important after the last epoch
free, unit = (importance[..., None] * d for d in (direction, sp.unit_vectors(direction)))
ends = {"importance × direction": free, "importance × unit direction": unit}
alt = "49 features as arrows in the code's plane after epochs 1 and 20."
results.save_figure(drawing.directions_first_last(ends, rank), "directions_first_last", alt=alt)

# %% [markdown]
# **Figure `directions_first_last`.** The 49 features after the first and the last epoch; left with free length, right
# with unit length, each column of panels with one scale. Dark features are the important ones at the end. They start
# as one bundle in one quadrant and open into a fan; several that mattered in epoch 1 (green) have shrunk to nothing
# by epoch 20.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
alt = "The 49 features as arrows of their importance's length after each of the 20 epochs: a bundle that opens."
results.save_figure(drawing.directions_all_epochs(unit, rank), "directions_all_epochs", alt=alt)

# %% [markdown]
# **Figure `directions_all_epochs`.** Importance × unit direction after each of the 20 epochs; the panels of a row
# share one scale, the grey cross is the origin, and each feature keeps its colour. In this run the bundle opens: at
# the end a few long arrows stand out, but half of the importance points elsewhere. The original notebook saw "around
# 2 features" at the end. Figure `offset` has other runs, the animation below the free length.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
page, alt = drawing.directions_animation(ends, rank), "The 49 features as arrows, animated over the 20 epochs"
results.save_page(page, "directions_animation", alt=alt)

# %% [markdown]
# The interactive page `directions_animation` shows the same as an animation with a slider, with the number of the
# feature under the pointer.
#
# Importance and direction of one feature, computed literally from a copy of all features:

# %%
x = images.train_x.to(DEVICE)
with torch.no_grad():
    features = torch.stack([net.features(x).cpu() for net in nets])  # [run image feature]
h, plane = features[0], planes[0].cpu().requires_grad_(False)
without, only = h.clone(), torch.zeros_like(h)
without[:, 7] = 0
only[:, 7] = h[:, 7]
rise = (plane(without) - h).square().mean() - (plane(h) - h).square().mean()
assert torch.allclose(rise, rises[0, -1, 7], atol=1e-6)
assert torch.allclose(plane.encode(only).mean(0), direction[-1, 7], atol=1e-5)

# %% [markdown]
# ## Accuracy and losses

# %% tags=["hide-input"] jupyter={"source_hidden": true}
net_last, plane_last = (
    np.reshape(history["step_loss"], (len(history["loss"]), -1))[:, -1]  # the only loss that the original prints
    for history in (net_histories[0], plane_histories[0])
)
means_only = features.var(1, correction=0).mean(1)  # [run]: the error when each feature is replaced by its mean
fig = drawing.training_curves(net_histories[0], plane_histories[0], net_last, plane_last, means_only[0].item())
alt = "Accuracy and cross entropy of the classifier and error of the autoencoder over epochs."
results.save_figure(fig, "training_curves", alt=alt)

# %% [markdown]
# **Figure `training_curves`.** Left: accuracy of the classifier after each epoch, here (blue) and in the original
# notebook (crosses): two runs of one recipe. Middle: its cross entropy, as the mean of the epoch and in the last
# batch alone, the only number that the original prints. Right: the autoencoder's error over all images, and its last
# batch beside the original's. The dotted line is the error when each feature is replaced by its mean: after 20 epochs
# the autoencoder has only just passed it.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
sparsity = (h == 0).float().mean(0)
results.record(
    accuracy_final=net_histories[0]["accuracy"][-1],
    last_batch_1=plane_last[0],
    last_batch_20=plane_last[-1],
    mse_20=plane_histories[0]["mse"][-1],
    mse_mean_only=means_only[0],
    sparsity=sparsity.mean(),
    sparsity_range=[sparsity.min().item(), sparsity.max().item()],
)

# %% [markdown]
# ## How many directions are these?
#
# `gathered_share` makes "around two" a number. It takes the best $k$ rays from the origin and sums the importance of
# all features whose direction is within 15° of one of them. Random directions do not give 0, because the rays are
# chosen to fit. The baseline is what 49 uniformly random angles with the same importances give, in 2,000 draws (200
# for three rays).
#
# One part of the directions is common to all of them. A feature that is alone *and off* still has a code,
# $\tanh(b_{enc})$; all 49 measured directions share this offset. Only the columns of $W_{enc}$ tell the features
# apart.

# %%
last = importances[:, -1]  # [run feature]
columns = torch.stack([p.encoder.weight.detach().cpu().T for p in planes])  # [run feature 2]
with torch.no_grad():
    offsets = torch.stack([p.encode(torch.zeros(49, device=DEVICE)).cpu() for p in planes])  # [run 2]
RAYS = [1, 2, 3]
generator = torch.Generator().manual_seed(SEED)


def gathered(directions, weight):
    return [sp.gathered_share(directions, weight, k, WIDTH) for k in RAYS]


def gathered_random(weight, draws=5 if QUICK else 2_000):  # [draw ray]; of three rays a tenth of the draws
    found = np.full((draws, len(RAYS)), np.nan)
    for i, k in product(range(draws), RAYS):
        if k < 3 or i % 10 == 0:
            found[i, k - 1] = sp.gathered_share(torch.randn(49, 2, generator=generator), weight, k, WIDTH)
    return found


shares = {  # each [run ray]
    "measured directions": np.array([gathered(d, w) for d, w in zip(directions[:, -1], last, strict=True)]),
    "encoder columns": np.array([gathered(c, w) for c, w in zip(columns, last, strict=True)]),
}
nulls = np.array([gathered_random(w) for w in last])  # [run draw ray]
shares["random angles"] = np.nanmean(nulls, 1)
above = (nulls[:, :, 1] >= shares["measured directions"][:, None, 1]).mean(1)  # p of each run, two rays
both = zip(directions.flatten(0, 1), importances.flatten(0, 1), strict=True)
by_epoch = np.reshape([sp.gathered_share(d, w, 2, WIDTH) for d, w in both], (len(SEEDS), -1))  # [run epoch]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.offset(columns[0], last[0], by_epoch, nulls[0, :, 1], shares)
alt = "The features without the common offset, and how much importance lies near a few rays, over seeds."
results.save_figure(fig, "offset", alt=alt)

# %% [markdown]
# **Figure `offset`.** Left: importance × encoder column, the arrows without the common offset. Middle: share of the
# importance within 15° of the best two rays, for the measured directions over the epochs (dark: seed 0; light: five
# more seeds; dashed: the mean of random angles with the importances of seed 0; grey: 95 % of their draws). In most
# runs the share falls first and then rises again; in seed 0 it only falls. Right: the same against the number of rays
# after epoch 20, thin lines for single seeds, thick for their mean. The measured directions (blue) gather more than
# random angles (grey); the encoder columns (red) do not.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
two = {name: values[:, 1] for name, values in shares.items()}  # near the best two rays, [run]
mean_direction = (last[..., None] * directions[:, -1]).sum(1)
results.record(
    seeds_rise_again=(by_epoch[:, -1] > by_epoch.min(1) + 0.1).sum(),
    seeds_above_random=(above < 0.05).sum(),
    offset_cosine=torch.cosine_similarity(mean_direction, offsets),
)

# %% [markdown]
# ## Second experiment: what the weights say
#
# The features are sorted by importance, the most important first; all weights are those after epoch 20. The
# interference of a feature is $\sum_{j \ne i} (w_i \cdot w_j)^2$, over the encoder's columns and over the decoder's
# rows.

# %%
order = last[0].argsort(descending=True)
w_enc, w_dec, b_dec = plane.encoder.weight[:, order], plane.decoder.weight[order], plane.decoder.bias[order]
matrix = w_dec @ w_enc  # [feature feature]: what feature j (column) does to the rebuilt feature i (row)
top = torch.where(matrix >= matrix.quantile(0.99), matrix, 0)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.second_experiment(w_enc, w_dec, b_dec, top)
alt = "Norm, bias and interference of the features by importance, and the product of weights."
results.save_figure(fig, "second_experiment", alt=alt)

# %% [markdown]
# **Figure `second_experiment`.** Above, by rank of importance: the norm of the encoder's column falls with the rank,
# as the original notebook found (in each run: table of findings). The decoder's bias mostly falls, too, and rises
# only in the original's reversed array (dotted). Interference is near 0 among encoder columns and not among decoder
# rows (logarithmic axis). Below: the product of both weights, all of it and only its largest 1 %, with one colour
# scale. Important features (left) reach many outputs besides their own.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
alt = "The five most important features' corner of the product, masked and whole."
results.save_figure(drawing.top_corner(matrix, top), "top_corner", alt=alt)

# %% [markdown]
# **Figure `top_corner`.** The corner of the five most important features. Left as in the original notebook, with all
# but the largest 1 % of the whole matrix set to 0; right everything. The mask keeps parts of columns rather than the
# diagonal: about a fifth of the kept entries lie on the diagonal, on average over the six runs (1 in 49 would by
# chance). Unmasked, features that share a direction rebuild each other about as strongly as themselves, and some work
# against each other (blue).

# %% tags=["hide-input"] jupyter={"source_hidden": true}
results.record(encoder_interference=sp.interference(w_enc, unit=False).mean())

# %% [markdown]
# ## Beyond the original notebook: Elhage's model, set up properly
#
# The original closes with "I did not set up model hyperparameters properly". The model it wanted to compare with is
#
# $$x' = \mathrm{ReLU}(W^\top W x + b), \qquad W \in \mathbb{R}^{m \times n}, \quad L = \sum_i I_i \, (x_i - x'_i)^2 ,$$
#
# with tied weights, no squashing, an importance $I_i$ for each feature, and synthetic features whose sparsity is
# known: $x_i = 0$ with probability $S$, else uniform in [0, 1]. Here all instances, that is sparsities × seeds ×
# kinds of importance, train at once as one batched model. Each sees the same random numbers, thinned to its own
# sparsity. Adam takes 3,000 steps of 512 samples at learning rate 0.003, where Elhage and others take 10,000 of 1,024
# at 0.001.

# %%
SPARSITIES = [0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]
SLIDE = [1 - 200 ** (-k / 40) for k in range(41)]  # evenly spaced in log(1 / (1 - S))
toy_config = sp.ToyConfig(steps=100) if QUICK else sp.ToyConfig()


def toy_call(n, m, decays, n_seeds, sparsities=SPARSITIES, config=toy_config):
    """One batched model of instances [decay sparsity seed], and how it is trained, with I_i = decay^i."""
    grid = list(product(decays, sparsities, range(n_seeds)))
    importance = torch.tensor([decay for decay, *_ in grid])[:, None] ** torch.arange(n)
    source = sp.SparseSource(tuple(s for _, s, _ in grid), n)
    return sp.ToyModel(n, m, len(grid), SEED).to(DEVICE), source, importance, config, SEED


slide = toy_call(5, 2, [0.9, 1.0], 1, SLIDE, replace(toy_config, steps=3 * toy_config.steps))
slide[0].w.data[:] = slide[0].w.data[0].clone()  # one set of first weights: the same plane as features get rarer
trained = runs.cached(sp.train_toy, [toy_call(20, 5, [0.7], 1), slide])
w_20, w_slide = (model.w.detach().cpu() for model, _ in trained)  # [sparsity hidden feature]
w_slide = w_slide.reshape(2, 41, 2, 5)  # [decay sparsity hidden feature]

# %% [markdown]
# ### Twenty features in five dimensions

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.toy_maps({s: w_20[SPARSITIES.index(s)] for s in [0.0, 0.7, 0.9, 0.99, 0.999]})
alt = "Products of weights and norms of twenty features in five dimensions at five sparsities."
results.save_figure(fig, "toy_maps", alt=alt)

# %% [markdown]
# **Figure `toy_maps`.** Twenty features in five dimensions, $I_i = 0.7^i$, from dense (left) to very sparse (right).
# Above, $W^T W$: the diagonal shows what is represented, blue beside it the opposite partner of a digon. Below, the
# length of each feature, coloured by its superposition $\sum_{j \ne i} (\hat W_i \cdot W_j)^2$; from 1 on, the other
# features together activate its direction as strongly as it does itself. In dense data the five most important
# features get one dimension each and no other is kept; in sparse data more features share them. (One run of 3,000
# steps; where features are as rare as on the right, longer trainings still change the picture.)

# %% [markdown]
# ### Five features in two dimensions: pairs, digons, pentagons
#
# Which figure do the features form? `geometry` takes those longer than 0.5, compares the angles from each to the next
# around the circle with those of the ideal figures (a pair at a right angle, two opposite features or *digon*, a
# triangle, a digon and one more, two digons, a pentagon), and names the figure whose angles are all within 15°. The
# fraction of a dimension that a feature has, $D_i = \|W_i\|^2 / \sum_j (\hat W_i \cdot W_j)^2$, cannot do that alone:
# two features on each of two axes at a right angle have the $D_i$ of two digons.
#
# The sweep `05_toy_superposition_geometry` trains a hundred models for each sparsity from the same weights for 3,000
# steps, for 20,000 and, where features are rare, for 60,000.

# %%
models = results.read_sweep("05_toy_superposition_geometry")
names = models.pivot(index=["decay", "sparsity", "model"], columns="steps", values="geometry")
longest = names[60_000].fillna(names[20_000])
counts = longest.groupby(["decay", "sparsity"]).value_counts().unstack(fill_value=0)
counts = counts.reindex(columns=drawing.GEOMETRIES, fill_value=0)  # of 100 models
thrice = names.dropna()
moved = {  # the share of models, each compared with itself, whose figure a longer training changes
    "3,000, then 20,000": (names[3_000] != names[20_000]).groupby(["decay", "sparsity"]).mean(),
    "20,000, then 60,000": (thrice[20_000] != thrice[60_000]).groupby(["decay", "sparsity"]).mean(),
}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
at = {s: np.abs(np.array(SLIDE) - s).argmin() for s in (0, 0.3, 0.7, 0.9, 0.99)}
drawn = {(decay, s): kind[k] for decay, kind in zip((0.9, 1.0), w_slide, strict=True) for s, k in at.items()}
alt = "Five features in the plane at five sparsities, how often each figure occurs, and what more steps change."
results.save_figure(drawing.toy_geometry(drawn, counts, moved), "toy_geometry", alt=alt)

# %% [markdown]
# **Figure `toy_geometry`.** Five features in two dimensions. Above: planes of the slider page below, one model of
# 9,000 steps each, with falling importance (first row) and equal importance (second row). Below, left and middle: the
# geometries of 100 models at each sparsity after their longest training. Right: the share of models whose geometry
# changes between 3,000 and 20,000 steps (circles) and between 20,000 and 60,000 (crosses); solid for falling, dotted
# for equal importance. As features get rarer, a pair at a right angle gives way to two digons, and these to a
# pentagon. At S = 0.2 and 0.3 models of equal importance keep three features. They have the dimensionalities of a
# triangle, about 2/3, but seldom its angles: mostly they stand in a fan of about 130°, which is a triangle with one
# arm turned round. The $D_i$ contain squares of cosines and cannot tell the two apart. At S = 0.999 a fifth of the
# models is left with two digons after 60,000 steps, nearly the same models for both kinds of importance, which share
# first weights and data. In dense data of equal importance 3,000 steps are too few (dotted, left), and nothing longer
# than 20,000 was tried.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
kinds = dict(zip(("importance 0.9^i", "equal importance"), w_slide, strict=True))
alt = "The columns of W over sparsity, with the name of the figure they form"
results.save_page(drawing.toy_slider(kinds, SLIDE), "toy_slider", alt=alt)

# %% [markdown]
# The interactive page `toy_slider` shows one plane over 41 sparsities: drag the slider, or move it with the arrow
# keys, and watch a feature arrive and the figure change its name. All its models start from the same weights.
#
# ### When is a feature given a dimension of its own?
#
# The smallest case is two features for one dimension. The first has importance 1, the second any other. A feature is
# there in a share $p = 1 - S$ of the inputs, and its variance is $p/3 - p^2/4$. Three weights are worth comparing. To
# keep only the first feature costs $I_2\,(p/3 - p^2/4)$, to keep only the second $p/3 - p^2/4$. With both on one axis
# in opposite directions, $W = (1, -1)$, the ReLU hides each from the other unless both are there at once. Then one is
# lost and the other damped, which costs $(1 + I_2)\, p^2 / 6$: the smaller of two uniform numbers has the mean square
# 1/6. A model should do what costs least.

# %%
phase = results.read_sweep("05_toy_superposition_phase")  # ten models a point, of which some start the wrong way round


def least_loss(p, importance):
    """Which of the three weights is best: 0 the first feature only, 1 both, 2 the second only."""
    alone = p / 3 - p**2 / 4
    return np.argmin([importance * alone, (1 + importance) * p**2 / 6, alone], axis=0)


phase["theory"] = np.array(["ignored", "superposed", "own"])[least_loss(phase.density, phase.importance)]
phase["agrees"] = phase.second == phase.theory
best = phase.loc[phase.groupby(["density", "importance"]).loss.idxmin()]  # of ten models

# %% tags=["hide-input"] jupyter={"source_hidden": true}
alt = "Maps of density and importance, by theory and by training: ignored, superposed, alone in the dimension."
results.save_figure(drawing.phase_diagram(least_loss, best, phase), "phase_diagram", alt=alt)

# %% [markdown]
# **Figure `phase_diagram`.** Left: what the least of the three losses says of the second feature. Middle: what the
# best of ten trained models does with it; it follows the theory but for points near the borders. Right: how many of
# the ten superpose the two. Where that is best, nearly all models whose two weights start with opposite signs do it.
# If the weights start with the same sign, one of them has to change it: it seldom does for two features of about the
# same importance (the dark band), and mostly does for a strong and a weak one. Elhage and others leave out the worst
# of ten.
#
# ### Features per dimension

# %%
features_of = results.read_sweep("05_toy_superposition_dimensions")  # 40 features in 10 dimensions
per_dimension = (features_of.length**2).groupby([features_of.seed, features_of.density]).sum().unstack() / 10
per_dimension = per_dimension.iloc[:, ::-1]  # [run density], from dense to rare
seen = features_of[features_of.length > 0.1]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.features_per_dimension(per_dimension, seen)
alt = "Features per dimension rise with rarity; the dimensionalities of single features gather at a half."
results.save_figure(fig, "features_per_dimension", alt=alt)

# %% [markdown]
# **Figure `features_per_dimension`.** Forty features of equal importance in ten dimensions, at 31 sparsities in five
# training runs. Left: features per dimension, $\|W\|_F^2 / m$. Right: each feature longer than 0.1 as a dot at its
# own fraction of a dimension, $D_i$; red, Elhage's $D^*$; grey, the fractions of the simplest geometries. Where a
# feature is in about a third to a half of the inputs, twenty features form ten digons in each run (each has a partner
# opposite to it) and the others are not kept. At a quarter most features have 2/5. The long plateau on the right is
# no geometry: all forty features are kept, each has its share 10/40, and rarer features only grow longer, which
# changes $D^*$ and not $D_i$. No plateau stands at 2/3 or 3/4, where Elhage and others draw lines.
#
# ### Features that come together, and features that never do
#
# MNIST features are not independent. Two pairs of features in a plane show what that changes; three correlated pairs
# show what becomes of it when features are frequent. In a correlated pair one draw decides whether both features are
# there. In an anti-correlated pair at most one is there, so that each feature is there half as often as its pair.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
pairs_of = results.read_sweep("05_toy_superposition_correlated")
alt = "Correlated pairs and anti-correlated pairs over density: cosines, and what is kept of their differences."
results.save_figure(drawing.correlated_pairs(pairs_of), "correlated_pairs", alt=alt)

# %% [markdown]
# **Figure `correlated_pairs`.** Means of 30 models with their 95 % intervals (1.96 standard errors). Left: the cosine
# between the two features of a pair. Four rare features form two digons. Rare features hardly ever meet, so that each
# of the three others is equally likely to be opposite, with a mean cosine of −1/3: anti-correlated and independent
# pairs are alike. The more often features are there, the more models put features that never come together opposite
# to each other. Two features that come together stand at a right angle while they are rare, and on one direction when
# they are frequent. Right: how much of $W$ lies on the difference of a pair's two features. Principal components
# would keep only the sum of each pair (0), at every share below 1. The toy model does so where pairs are frequent,
# and keeps both features where they are rare. At 1 every feature is always there, and correlated pairs are
# independent ones.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
shared = phase[phase.theory == "superposed"]
near = shared.importance.between(0.5, 2)  # two features of about the same importance
frequent = seen[seen.density.between(0.34, 0.55)]  # in about a third to a half of the inputs
partner = (frequent.opposite < -0.97).groupby([frequent.density, frequent.seed]).mean()
by_kind = pairs_of.set_index(["pairs", "kind", "density"]).sort_index()
results.record(
    toy_pair_dense=counts.loc[(0.9, 0.0), "pair"],
    toy_triangle=counts.loc[(1.0, 0.3), "triangle"],
    toy_digons=counts.loc[(1.0, 0.7), "digons"],
    toy_pentagon=counts.loc[(1.0, 0.99), "pentagon"],
    toy_moved_last=moved["20,000, then 60,000"].to_numpy(),
    phase_best_agrees=best.agrees.mean(),
    phase_always_superposed=(best.theory == "superposed").mean(),  # what this one word would get right
    phase_opposite=shared[shared.opposite == 1].agrees.mean(),
    phase_same_sign_near=shared[(shared.opposite == 0) & near].agrees.mean(),
    per_dimension_dense=per_dimension.iloc[:, 0].to_numpy(),
    digon_partners=partner.to_numpy(),
    anti_cosine_often=by_kind.loc[(2, "anti-correlated", 1.0), "cosine"].mean(),
    correlated_cosine_rare=by_kind.loc[(2, "correlated", 0.03), "cosine"].to_numpy(),
    collapse_correlated=by_kind.loc[(3, "correlated", 0.5), "difference"].to_numpy(),
)

# %% [markdown]
# ## Where the MNIST features sit
#
# The original notebook sets "sparsity = 0". Measured, the 49 features are far from dense: each is 0 on a good part of
# the images. So the proper question is which synthetic sparsity they resemble. The same toy model, $m = 2$ and equal
# importance, is trained
#
# - on the **MNIST features** of the five further seeds;
# - on the same features **shuffled**: each feature permuted over the images by itself, which keeps its sparsity and
#   its values and destroys all correlation between features;
# - on **synthetic** features, $n = 49$, over the grid of sparsities and at exactly the sparsity measured.

# %%
measured_s = round((features[1:] == 0).float().mean().item(), 4)
grid = sorted([*SPARSITIES, measured_s])
some = features[1:, :20_000]
by_itself = torch.rand(some.shape, generator=torch.Generator().manual_seed(SEED)).argsort(1)
both = torch.cat([some, some.gather(1, by_itself)])  # as they are, then shuffled
wide_config = replace(toy_config, batch_size=256)  # n = 49 costs ten times what n = 5 costs
on_grid = toy_call(49, 2, [1.0], 2, grid, wide_config)
source = sp.RowSource(both.to(DEVICE))
on_rows = (sp.ToyModel(49, 2, len(both), SEED).to(DEVICE), source, torch.ones(49), wide_config, SEED)
(synthetic, synthetic_history), (mnist, mnist_history) = runs.cached(sp.train_toy, [on_grid, on_rows])

# %%
w_49 = synthetic.w.detach().cpu().reshape(len(grid), 2, 2, 49)  # [sparsity seed hidden feature]
w_mnist, w_shuffled = mnist.w.detach().cpu().reshape(2, N_SEEDS, 2, 49)
density = 1 - torch.tensor(grid)[:, None]
variance = density / 3 - (density / 2) ** 2  # of a synthetic feature
explained_49 = 1 - torch.tensor(synthetic_history["loss"]).reshape(-1, 2) / variance  # 0: no better than the mean
explained_rows = 1 - torch.tensor(mnist_history["loss"]).reshape(2, N_SEEDS) / some.var(1, correction=0).mean(1)
spectra, bases = torch.linalg.eigh(torch.stack([run.T.cov() for run in both]))  # ascending
principal = (spectra[:, -2:].sum(1) / spectra.sum(1)).reshape(2, N_SEEDS)  # [kind run]: share of two components
planes_of = torch.linalg.qr(w_mnist.mT).Q  # [run 49 2]
angles = torch.linalg.svdvals(planes_of.mT @ bases[:N_SEEDS, :, -2:])  # cosines of the principal angles

# %% tags=["hide-input"] jupyter={"source_hidden": true}
s_sets = (some == 0).float().mean((1, 2))
planes_49 = {"mnist": w_mnist, "shuffled": w_shuffled}
measured = {k: (s_sets, w, explained_rows[i], principal[i]) for i, (k, w) in enumerate(planes_49.items())}
fig = drawing.mnist_among_synthetic(grid, w_49, explained_49, measured)
alt = "Features per dimension, superposition and explained variance against sparsity."
results.save_figure(fig, "mnist_among_synthetic", alt=alt)

# %% [markdown]
# **Figure `mnist_among_synthetic`.** The 49 MNIST features of five seeds (circles), the same features each shuffled by
# itself (crosses), and synthetic features of known sparsity (black, means of two seeds), all in the same toy model with
# m = 2. In features per dimension and in superposition all of them lie together; a projection on two dimensions would
# have 1 of each. In what the plane explains of their variance the MNIST features lie far above: they are correlated, and
# shuffling takes that away. Green: two principal components of the same features, the most that a linear map of this
# size can explain. Dotted: the same of 49 independent features of equal variance, 2/49.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
per_dimension_of = {kind: sp.features_per_dimension(w) for kind, w in planes_49.items()}
per_dimension_of["synthetic"] = sp.features_per_dimension(w_49[grid.index(measured_s)])
results.record(
    **{f"{kind}_per_dimension": values.mean() for kind, values in per_dimension_of.items()},
    mnist_longest=w_mnist.norm(dim=1).amax(-1),
    per_dimension_less_shuffled=per_dimension_of["mnist"] - per_dimension_of["shuffled"],
    mnist_explained=explained_rows[0],
    shuffled_explained=explained_rows[1],
    explained_ratio=explained_rows[0] / explained_rows[1],
    principal_explained=principal[0],
    principal_ratio=principal[0] / principal[1],
    principal_angle_cosine=angles.min(),
    shuffled_principal=principal[1],
    explained_off_principal=explained_rows[0] / principal[0] - 1,
)

# %% [markdown]
# ## The bridge to notebook 3: codes whose features are known
#
# [Notebook 3](03_mnist_sae.ipynb) asks a sparse autoencoder for the features of a network, where nobody knows the
# right answer. Here the answer is known: the codes $z = W x$ of a toy model with 40 features in 10 dimensions are
# made of its columns. An autoencoder with 80 latents that sees only such codes should find the columns as directions
# of its decoder. Its score is the largest cosine between a feature's column and the direction of any latent that
# fires, in the mean over the features that the toy model represents (length above 0.5). Chance is the score of 80
# random directions. All strengths of the L1 term are shown, because nobody could choose the best one without knowing
# the features.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
bridge = results.read_sweep("05_toy_superposition_bridge")
strong = bridge[(bridge.strength == 0.3) & (bridge.sparsity >= 0.7)]
results.record(recovery_strong=strong.recovery.to_numpy(), recovery_chance=bridge.chance.max())
alt = "How well autoencoders find the known features of toy codes at four sparsities and three strengths."
results.save_figure(drawing.bridge(bridge), "bridge", alt=alt)

# %% [markdown]
# **Figure `bridge`.** Three autoencoders (dots; lines join their means) at each sparsity and strength of the L1 term.
# With the strongest one they find nearly every feature from S = 0.7 on. The weakest stays near chance except at S =
# 0.7: ten dimensions can be rebuilt from 80 latents in many ways, and a weak term hardly favours a sparse one. S =
# 0.7 is the easiest, because the toy model keeps only twenty features there, in ten digons at right angles; at 0.9 it
# keeps nearly all forty. At S = 0.5 twenty of the forty inputs are on at a time, and no strength up to 0.3 finds the
# features kept.

# %% [markdown]
# ## Over training runs
#
# `make sweeps` repeats the two models of the original notebook from seeds that this notebook does not use (classifier
# 3 of 10 epochs, autoencoder in full, each in its own order of batches).

# %% tags=["hide-input"] jupyter={"source_hidden": true}
labels = {
    "explained": "variance explained\nby the plane",
    "last_batch": "error of the\nlast batch",
    "gathered_two": "importance near\nthe best two rays",
    "columns_above_random": "the same, columns\nless random angles",
    "bias_correlation": "correlation of bias\nand importance",
    "norm_correlation": "correlation of norm\nand importance",
    "encoder_squared_cosine": "mean squared cosine\nof encoder columns",
    "top_on_diagonal": "largest 1 % of $W_{dec} W_{enc}$:\nshare on the diagonal",
}
sweep = results.read_sweep("05_toy_superposition")
alt = "Eight measures of the autoencoder, one dot for each training run."
results.save_figure(drawing.runs_strip(sweep, labels), "training_runs", alt=alt)

# %% [markdown]
# **Figure `training_runs`.** Each dot is one training run, the square their mean with one standard deviation. The
# share of the importance that gathers near two rays differs most. On average the columns gather no more than random
# angles do, and in each run bias and norm grow with the importance.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
ours = pd.DataFrame([sp.weight_measures(p.cpu(), w) for p, w in zip(planes, last, strict=True)])
ours["explained"] = [
    1 - history["mse"][-1] / m for history, m in zip(plane_histories, means_only.tolist(), strict=True)
]
ours["gathered_two"] = two["measured directions"]
ours["columns_above_random"] = two["encoder columns"] - two["random angles"]
# One value a training run: the six of this notebook, then those of the sweep.
results.record(**{name: [*ours[name], *sweep[name]] for name in ours})

# %% [markdown]
# ## What we found

# %% tags=["hide-input"] jupyter={"source_hidden": true}
rows = [
    ("classifier: accuracy after 10 epochs", "accuracy_final", "0.9653"),
    ("autoencoder: last batch, epoch 1", "last_batch_1", "0.2728"),
    ("autoencoder: last batch, epoch 20", "last_batch_20", "0.1584"),
    ("autoencoder: all images, epoch 20", "mse_20", "not given"),
    ("the same with each feature's mean instead", "mse_mean_only", "not given"),
    ("share of the variance that the plane explains", "explained", "not given"),
    ("sparsity of the 49 features, mean", "sparsity", "said to be 0"),
    ("least and most", "sparsity_range", "said to be 0"),
    ("importance within 15° of two rays", "gathered_two", '"around 2 features"'),
    ("runs of 6 beyond 95 % of 2,000 random draws", "seeds_above_random", "not given"),
    ("encoder columns: the same, less random angles", "columns_above_random", "not given"),
    ("cosine of the mean direction and the shared offset", "offset_cosine", "not given"),
    ("importance and encoder norm: correlation", "norm_correlation", "higher with importance"),
    ("importance and decoder bias: correlation", "bias_correlation", "larger as importance falls"),
    ("largest 1 % of the product: share on the diagonal", "top_on_diagonal", "not given"),
]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
rows += [
    ("toy, S = 0.3, I = 1: triangles of 100, by their angles", "toy_triangle", "not done"),
    ("toy, S = 0.7, I = 1: two digons of 100", "toy_digons", "not done"),
    ("toy, S = 0.99, I = 1: pentagons of 100", "toy_pentagon", "not done"),
    ("phase diagram: best of ten models does what theory says", "phase_best_agrees", "not done"),
    ("the same, were every point superposed", "phase_always_superposed", "not done"),
    ("pairs of which one is always there: cosine (by lot −1/3)", "anti_cosine_often", "not done"),
    ("features per dimension: MNIST", "mnist_per_dimension", "not done"),
    ("the same, shuffled", "shuffled_per_dimension", "not done"),
    ("the same, synthetic ones as sparse", "synthetic_per_dimension", "not done"),
    ("length of the longest MNIST feature", "mnist_longest", "not done"),
    ("variance two dimensions explain: MNIST", "mnist_explained", "not done"),
    ("the same, by two principal components", "principal_explained", "not done"),
    ("the two planes: least cosine of an angle between them", "principal_angle_cosine", "not done"),
    ("variance two dimensions explain: shuffled", "shuffled_explained", "not done"),
    ("the same, by two principal components", "shuffled_principal", "not done"),
    ("MNIST over shuffled: the model", "explained_ratio", "not done"),
    ("MNIST over shuffled: two principal components", "principal_ratio", "not done"),
    ("known features found, strength 0.3, S ≥ 0.7: mean cosine", "recovery_strong", "not done"),
    ("the same, random directions (97.5 %)", "recovery_chance", "not done"),
]
results.findings(rows)

# %% [markdown]
# ## Where the original notebook differs
#
# - **The bias is drawn the wrong way round.** The original sorts encoder, decoder and bias by importance and then
#   reverses the bias alone. Its "larger b as importance is reduced" is the reversal: the correlation of bias and
#   importance is positive in every training run (figure `training_runs`).
# - **The directions share an offset.** $\tanh(b_{enc})$ is in each of them, and the importance-weighted mean direction
#   points its way in each run. Without it the columns hold no more of the importance near the best two rays than random
#   angles do: about 0.4 of it in either case. With it two rays hold 0.8 or more in a few of the runs only.
# - **The features are not dense.** "Sparsity = 0" is not set by anything: a feature is 0 on 44 % of the images on
#   average, between 11 % and always (one feature never fires).
# - **"Cos sim: around 0" is about lengths.** The quantity is a sum of squared inner products, and the encoder's
#   columns are short. The mean squared cosine between them is 0.50, and no 49 directions in a plane can have less than
#   0.49 (the Welch bound): they are spread as evenly as they can be. For the decoder, whose values the original computes
#   and does not draw, the sum of squared products is above 10 in seed 0.
# - **After twenty epochs little is learned.** The error is about that of replacing each feature by its mean; in the
#   other runs it lies above or below (figure `training_runs`).
# - With equal importances, or a sum of 0 or below, the original's scaling divides by zero or turns the order round. Both
#   are guarded here, as are directions of length 0.
#
# ## Beyond the original notebook
#
# How five features share a plane is decided by their sparsity (figure `toy_geometry`) and, where several figures are
# possible, by the first weights. Two features that compete for one dimension do what the least of three losses says,
# if the first weights let them (figure `phase_diagram`). Forty features in ten dimensions form digons over a wide
# range of sparsities (figure `features_per_dimension`). Features that come together are kept side by side or at a
# right angle, features that never do opposite to each other (figure `correlated_pairs`). An autoencoder finds such
# features again if its L1 term is strong enough (figure `bridge`).
#
# The MNIST features behave differently. Their toy model has about one feature per dimension, as a projection has. No
# single feature is longer than 0.5 in any of the five models, where the shuffled ones keep one. The plane holds what
# many features have in common: it lies within 18° of the two largest principal components (the cosines of both angles
# are in the table) and explains about as much of the variance as they do. Shuffled, the same features leave it no
# more than their own two principal components would (figure `mnist_among_synthetic`). Superposition in the sense of
# Elhage and others, single features that share directions because they rarely meet, needs sparser features than
# these.
#
# ## Limits
#
# - The six autoencoders share the order of batches, the classifiers of five of them have 3 epochs instead of 10, and
#   the toy models between 7.5 % (n = 49) and 150 % (five rare features) of the samples of Elhage and others.
# - Instances of a toy model see common random numbers, thinned to their sparsity: comparisons between sparsities are
#   sharper for it, but their errors are not independent.
# - "Near two rays" depends on the 15° chosen, a figure's name on the tolerance of 15° and on the length of 0.5
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

# %% tags=["hide-input"] jupyter={"source_hidden": true}
alt = "Five features of equal importance in a plane at four sparsities: a pair, a fan, two digons, a pentagon."
results.save_figure(drawing.cover({s: drawn[1.0, s] for s in (0, 0.3, 0.7, 0.99)}), "cover", alt=alt, show=False)

# %% [markdown]
# **Figure `cover`.** Planes of figure `toy_geometry`, as README shows them.

# %%
results.finish()
