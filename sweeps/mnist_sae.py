"""Sparse autoencoders on the activations of an MNIST classifier, and on codes whose features are known."""

from dataclasses import replace

import torch
from torch import nn

from paper_utils import data, sae, training
from paper_utils import superposition as sp
from sweeps import Sweep

SEEDS = range(10, 13)  # none of the notebook's own


def autoencoder(kind: str, strength: float, seed: int, d_input: int = 128, n_features: int = 1024) -> nn.Module:
    """Build one whose strength is its k, or the weight of its L1 term, which only its recipe names."""
    k = {"k": strength} if sae.KINDS[kind].by_k else {}
    return sae.SparseAutoencoder(d_input, n_features, kind, seed, **k)


def l1_of(kind: str, strength: float) -> float:
    """Return the weight of the L1 term, which the kinds with a k do not have."""
    return 0.0 if sae.KINDS[kind].by_k else strength


def trained_activations(classifier: sae.Classifier, images: data.Images, seed: int) -> torch.Tensor:
    """Train the classifier; return its activations on the training images in a shuffled order."""
    sae.train_classifier(classifier, images, seed)
    return sae.activations_of(classifier, images, seed)[0]


def subspace(kind: str, x: torch.Tensor, seed: int) -> torch.Tensor:
    """Return orthonormal directions [hidden, hidden] of activations x, as columns, the first ones first to be kept."""
    if kind == "neurons":
        return torch.eye(x.shape[1])[:, x.var(0).argsort(descending=True)]
    if kind == "random directions":
        return torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=torch.Generator().manual_seed(seed))).Q
    return torch.linalg.eigh(torch.cov(x.T)).eigenvectors.flip(1)


def bits(fires: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mutual information of each column of `fires` with the labels."""
    return sae.mutual_information(sae.tabulate(fires, labels), torch.bincount(labels, minlength=10))


def features_per_image(model: sae.SparseAutoencoder, classifier: sae.Classifier, images: data.Images) -> float:
    """Return L0 on the test images."""
    return sae.firing_counts(model, classifier.activations(images.test_x)).sum().item() / len(images.test_x)


# ---- The frontiers

L1, K, DIMENSIONS = (3e-4, 1e-3, 3e-3, 1e-2), (4, 8, 16, 32), (2, 4, 8, 12, 16, 24, 32, 48, 64)
TRAINED = {"published": L1, "corrected": L1, "topk": K, "batchtopk": K}
STRENGTHS = TRAINED | dict.fromkeys(["principal components", "neurons", "random directions"], DIMENSIONS)
EPOCHS = 4


def build_frontier(seed: int, kind: str) -> nn.ModuleList:
    """Return a classifier and an autoencoder of each strength of a kind; none for a kind of subspace."""
    models = [autoencoder(kind, strength, seed) for strength in STRENGTHS[kind]] if kind in TRAINED else []
    return nn.ModuleList([sae.Classifier(seed=seed), *models])


def train_frontier(models: nn.ModuleList, images: data.Images, seed: int, kind: str) -> list[training.History]:
    """Train the classifier, and the autoencoders on its activations."""
    x = trained_activations(models[0], images, seed)
    recipe, calls = sae.SAEConfig(EPOCHS, lr_step=1, lr_decay=0.5), zip(models[1:], STRENGTHS[kind], strict=False)
    return [sae.train_sae(model, x, replace(recipe, l1=l1_of(kind, strength))) for model, strength in calls]


def measure_frontier(models: nn.ModuleList, _: list, images: data.Images, seed: int, kind: str) -> list[dict]:
    """Return a row for each strength of a kind."""
    classifier, *autoencoders = models
    x, order = sae.activations_of(classifier, images, seed)
    labels, rows = images.train_y[order], []
    for place, strength in enumerate(STRENGTHS[kind]):
        if kind in TRAINED:
            edit = autoencoders[place]
            sizes, by_label = {"l0": features_per_image(edit, classifier, images)}, sae.label_counts(edit, x, labels)
            sizes["live"] = by_label.sum(1).count_nonzero().item()
            told = sae.mutual_information(by_label, torch.bincount(labels, minlength=10))
        else:
            mean, basis = x.mean(0), subspace(kind, x, seed)[:, :strength]
            edit = lambda h, mean=mean, basis=basis: mean + (h - mean) @ basis @ basis.T  # noqa: E731
            sizes = {"l0": strength, "live": strength}
            told = bits((x if kind == "neurons" else x - mean) @ basis > 0, labels)
        found = sae.evaluate(edit, classifier, images.test_x, images.test_y)
        rows.append({"strength": strength, **sizes, "best_bits": told.max().item(), **found})
    return rows


FRONTIERS = Sweep(
    name="03_mnist_sae",
    why="""Frontiers: how much of the activations and of the classifier each kind of autoencoder keeps at how many
    features.

    Four kinds at four strengths (the L1 weight, or k), all on the same schedule of four epochs, the learning rate
    halved after each; the notebook draws its own long trainings on the same axes. Three subspaces of k dimensions stand
    beside them, which need no training: the largest principal components, the neurons of largest variance, random
    directions. Everything varies with the seed: classifier, order of the images, autoencoder. Measured on the 10,000
    test images; on the 60,000 training images, `live` counts features that at least one fires, and `best_bits` is the
    most that the firing of one feature (the sign of one coordinate) tells about the digit.""",
    version=1,
    grid={"seed": SEEDS, "kind": list(STRENGTHS)},
    build=build_frontier,
    train=train_frontier,
    measure=measure_frontier,
    load=data.load_mnist,
)


# ---- Why features die

ARMS = {  # what is changed: the axis of the projection, unit norm, the L1 strength, whitened activations
    "original recipe": (0, False, 3e-3, False),
    "no projection": (None, False, 3e-3, False),
    "unit norm": (0, True, 3e-3, False),
    "unit norm, no projection": (None, True, 3e-3, False),
    "L1 x 1/3": (0, False, 1e-3, False),
    "L1 x 1/10": (0, False, 3e-4, False),
    "no L1": (0, False, 0.0, False),
    "whitened": (0, False, 3e-3, True),
}
DEATHS_AT = (1, 3, 6, 8, 11)


def whitened(x: torch.Tensor) -> torch.Tensor:
    """Return the points with equal variance along each principal component, and the same total variance."""
    u = torch.linalg.svd(x - x.mean(0), full_matrices=False).U
    return u * ((x - x.mean(0)).square().sum() / u.square().sum()).sqrt()


def build_arm(seed: int, arm: str) -> nn.ModuleList:
    """Return a classifier and an autoencoder with the decoder of an arm."""
    model = sae.SparseAutoencoder(seed=seed)
    model.norm_axis, model.unit_norm = ARMS[arm][:2]
    return nn.ModuleList([sae.Classifier(seed=seed), model])


def train_arm(models: nn.ModuleList, images: data.Images, seed: int, arm: str) -> training.History:
    """Train the classifier, and the autoencoder on its activations."""
    _, _, l1, white = ARMS[arm]
    x = trained_activations(models[0], images, seed)
    return sae.train_sae(models[1], whitened(x) if white else x, sae.SAEConfig(DEATHS_AT[-1], l1=l1), DEATHS_AT)


def measure_arm(models: nn.ModuleList, history: training.History, images: data.Images, seed: int, arm: str) -> list:
    """Return a row for each of DEATHS_AT."""
    norms = models[1].w_dec.norm(dim=1)[torch.tensor(history["counts"][-1]) > 0]
    rows = []
    for epoch, counts in zip(DEATHS_AT, history["counts"], strict=True):
        counts = torch.tensor(counts)
        row = {name: history[name][epoch - 1] for name in ("reconstruction", "l1", "l0", "fired")}
        row |= {"live": (counts > 0).sum().item(), "above_1_percent": (counts > 600).sum().item()}
        rows.append({"epoch": epoch} | row | {"final_norm": norms.mean().item() if len(norms) else 0.0})
    return rows


DEATHS = Sweep(
    name="03_mnist_sae_deaths",
    why="""Why features die: the original recipe with one thing changed at a time, over its first eleven epochs.

    The original notebook prints its losses after epochs 1, 6 and 11, and most deaths fall between the last two. Changed
    are what the original does to the decoder (it removes the gradient's part along the features' axis and never
    renormalises: a 2 x 2 ablation), the strength of the L1 term, and the data: whitened activations have the same total
    variance, spread over all 128 dimensions alike. Everything varies with the seed: classifier, order of the images,
    autoencoder. A row is one training after one epoch; a feature is live where at least one of the 60,000 training
    images fires it.""",
    version=1,
    grid={"seed": SEEDS, "arm": list(ARMS)},
    build=build_arm,
    train=train_arm,
    measure=measure_arm,
    load=data.load_mnist,
)


# ---- Longer trainings

PARTS = {  # kinds with their strengths (the L1 weight, or k); epochs; the learning rate's step and decay
    "four times as long": ((("published", 3e-3), ("corrected", 3e-3), ("topk", 16), ("batchtopk", 16)), 16, 4, 0.5),
    "L1 x 1/10": ((("published", 3e-4),), 56, 10, 0.99),
}
LONGER_AT = (1, 6, 11, 16, 31, 56, 100, 200)


def build_longer(seed: int, part: str) -> nn.ModuleList:
    """Return a classifier and the part's autoencoders."""
    return nn.ModuleList([sae.Classifier(seed=seed), *(autoencoder(*each, seed) for each in PARTS[part][0])])


def train_longer(models: nn.ModuleList, images: data.Images, seed: int, part: str) -> list[training.History]:
    """Train the classifier, and the autoencoders on its activations."""
    kinds, epochs, lr_step, lr_decay = PARTS[part]
    x = trained_activations(models[0], images, seed)
    recipes = [sae.SAEConfig(epochs, l1=l1_of(*each), lr_step=lr_step, lr_decay=lr_decay) for each in kinds]
    return [sae.train_sae(model, x, recipe, LONGER_AT) for model, recipe in zip(models[1:], recipes, strict=True)]


def measure_longer(models: nn.ModuleList, histories: list, images: data.Images, seed: int, part: str) -> list[dict]:
    """Return a row for each kind and each of LONGER_AT that is reached."""
    classifier, *autoencoders = models
    h, order = sae.activations_of(classifier, images, seed)
    labels, rows = images.train_y[order], []
    mean, basis, sizes = h.mean(0), subspace("principal components", h, seed), torch.bincount(labels, minlength=10)
    some = torch.randn(h.shape[1], 1000, generator=torch.Generator().manual_seed(seed))
    neurons, at_random = bits(h > 0, labels), bits((h - mean) @ some > 0, labels)
    for model, history, (kind, strength) in zip(autoencoders, histories, PARTS[part][0], strict=True):
        l0 = features_per_image(model, classifier, images)
        kept = basis[:, : max(1, round(l0))]
        final = {"l0": l0}
        for name, edit in (("", model), ("components_", lambda a, kept=kept: mean + (a - mean) @ kept @ kept.T)):
            found = sae.evaluate(edit, classifier, images.test_x, images.test_y)
            final[f"{name}unexplained"] = 1 - found["variance_explained"]
            final[f"{name}loss_added"] = found["loss_added"]
        by_label = sae.label_counts(model, h, labels)
        live = model.w_dec[by_label.sum(1) > 0]
        final["antipodal"] = (sae.most_opposite(live) < -0.9).float().mean().item() if len(live) else 0.0
        final["best_bits"] = sae.mutual_information(by_label, sizes).max().item()
        final |= {"neuron_bits": neurons.max().item(), "random_bits": at_random.median().item()}
        for epoch, counts in zip(LONGER_AT, history["counts"], strict=False):
            counts = torch.tensor(counts)
            row = {"kind": kind, "strength": strength, "epoch": epoch, "live": counts.count_nonzero().item()}
            row["above_1_percent"] = (counts > len(h) // 100).sum().item()
            row |= {term: history[term][epoch - 1] for term in ("reconstruction", "l0")}
            row |= {"l1": history["l1"][epoch - 1] if "l1" in history else 0.0}
            rows.append(row | {f"final_{name}": value for name, value in final.items()})
    return rows


LONGER = Sweep(
    name="03_mnist_sae_longer",
    why="""What longer training changes: the frontiers with four times the epochs, and the original recipe at its
    default L1.

    The frontiers (03_mnist_sae) train for four epochs and halve the learning rate after each. Here each kind has the
    same schedule stretched to sixteen, at one of their strengths. The original recipe, on its own schedule, has a tenth
    of its L1, which is the default of the original's class, for 56 epochs, where the original's log ends: are 147
    features live then? Everything varies with the seed, as in the frontiers.

    A row is one training after one epoch. On the 60,000 training images: `live` counts features that at least one
    fires, `above_1_percent` those that 600 fire. All others are measured at the end: on the test images what the
    reconstruction loses, and as many principal components as L0 says; of the directions of live features the share with
    an antipodal partner (cosine below -0.9); on the training images what the best feature, the best neuron and the
    median of 1,000 random directions tell about the digit (bits).""",
    version=1,
    grid={"seed": [10, 11], "part": list(PARTS)},
    build=build_longer,
    train=train_longer,
    measure=measure_longer,
    load=data.load_mnist,
)


# ---- A bridge to notebook 5

SPARSITIES, TOY_STRENGTHS = (0.7, 0.9, 0.97, 0.99), {"corrected": (0.03, 0.1, 0.3, 1.0), "topk": (1, 2, 4, 8)}
TOY_KINDS = [(kind, strength) for kind, strengths in TOY_STRENGTHS.items() for strength in strengths]
N_FEATURES, N_HIDDEN, DICTIONARY, CODES, TOY_EPOCHS, BATCH = 40, 10, 80, 20_000, 12, 128


def toy_codes(toys: sp.ToyModel, generator: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return for each sparsity the known features, those that the toy model represents, and the codes that it makes."""
    features = sp.SparseSource(SPARSITIES, N_FEATURES)(CODES, generator)
    made = zip(toys.w.detach().cpu(), features, strict=True)
    # An input without features has no code.
    return [(w.T[w.norm(dim=0) > 0.5], x[(x > 0).any(1)] @ w.T) for w, x in made]


def build_toys(seed: int) -> nn.ModuleList:
    """Return a toy model of each sparsity, and for each of them an autoencoder of each strength."""
    toys = sp.ToyModel(N_FEATURES, N_HIDDEN, len(SPARSITIES), seed=100 * seed)
    models = [autoencoder(*each, seed, N_HIDDEN, DICTIONARY) for _ in SPARSITIES for each in TOY_KINDS]
    return nn.ModuleList([toys, *models])


def train_toys(models: nn.ModuleList, seed: int) -> list[list[int]]:
    """Train the toy models, and the autoencoders on their codes; return how often each of their features fires."""
    toys, models, counts = models[0], iter(models[1:]), []
    source = sp.SparseSource(SPARSITIES, N_FEATURES)
    sp.train_toy(toys, source, torch.ones(N_FEATURES), sp.ToyConfig(steps=2000), seed)
    for _, codes in toy_codes(toys, torch.Generator().manual_seed(seed)):
        for kind, strength in TOY_KINDS:
            l1 = l1_of(kind, strength) / BATCH  # SAEConfig's l1 weighs a sum over the batch
            config = sae.SAEConfig(epochs=TOY_EPOCHS, batch_size=BATCH, lr=3e-3, l1=l1, lr_step=1, lr_decay=0.8)
            counts += sae.train_sae(next(models), codes.to(toys.w.device), config, (TOY_EPOCHS,))["counts"]
    return counts


def measure_toys(models: nn.ModuleList, counts: list[list[int]], seed: int) -> list[dict]:
    """Return a row for each autoencoder, and for each dictionary that learns nothing."""
    generator, rows, trained = torch.Generator().manual_seed(seed), [], zip(models[1:], counts, strict=True)
    for sparsity, (known, codes) in zip(SPARSITIES, toy_codes(models[0], generator), strict=True):
        drawn = [torch.randn(DICTIONARY, N_HIDDEN, generator=generator) for _ in range(100)]
        some_codes = codes[torch.randperm(len(codes), generator=generator)[:DICTIONARY]]
        found = [("random", 0, each) for each in drawn] + [("codes", 0, some_codes)]
        for kind, strength in TOY_KINDS:
            model, fired = next(trained)
            found.append((kind, strength, model.w_dec[torch.tensor(fired) > 0]))
        for kind, strength, directions in found:
            row = {"kind": kind, "strength": strength, "sparsity": sparsity, "known": len(known)}
            mark = sae.best_cosines(known, directions).mean().item()
            rows.append(row | {"live": len(directions), "recovery": mark})
    return rows


TOYS = Sweep(
    name="03_mnist_sae_toys",
    why="""A bridge to notebook 5: autoencoders on codes whose true features are known.

    The codes z = W x are those of notebook 5's toy model: 40 features, each absent with probability S, squeezed into
    ten dimensions by a trained ReLU model. An autoencoder sees codes only; the true features are the columns of W that
    the toy model represents (length above 0.5). Recovery is the mean, over these, of the largest cosine with any
    direction of the dictionary (its decoder's live directions, at most 80). Beside it stands the same for dictionaries
    that learn nothing: 80 random directions, and 80 of the codes themselves. Three runs, each with its own toy models,
    codes and dictionaries.""",
    version=1,
    grid={"seed": SEEDS},
    build=build_toys,
    train=train_toys,
    measure=measure_toys,
)
