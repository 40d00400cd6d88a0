"""The bilinear MLPs of notebook 1 in 12 epochs: over noise, weight decay and width, and beside other networks.

12 epochs (2 rising, 6 halving, 4 constant) on all images instead of 64, which take minutes a run. A point of the first
two sweeps trains a pair of models from seeds that no other run uses, so that the similarity of two runs has independent
repetitions; each model is a row.
"""

import statistics
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from paper_utils import bilinear, data, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe
from paper_utils.spectra import effective_rank
from sweeps import Sweep

PARTNER = 100  # is added to a point's seed for the second model of its pair
RECIPE = BilinearRecipe(decay=6, constant=4)


def pair(config: BilinearConfig, seed: int) -> nn.ModuleList:
    """Return two untrained models of one configuration."""
    return nn.ModuleList(BilinearMLP(config, each) for each in (seed, seed + PARTNER))


def train_pair(
    models: nn.ModuleList, images: data.Images, seed: int, weight_decay: float = RECIPE.weight_decay, **_: object
) -> training.History:
    """Train both models in place, one after the other; the history holds a value of each."""
    recipe, seeds = replace(RECIPE, weight_decay=weight_decay), (seed, seed + PARTNER)
    histories = [bilinear.train(model, images, recipe, each) for model, each in zip(models, seeds, strict=True)]
    return {name: [history[name] for history in histories] for name in histories[0]}


def measure_pair(models: nn.ModuleList, _: training.History, images: data.Images, seed: int, **__: object) -> list:
    """Return a row of measures for each model, with how similar both are."""
    tables = bilinear.similarities(*(bilinear.class_features(model, 4) for model in models))
    equal = torch.eye(10).bool()
    alike = {
        f"{name}{what}": table[where].mean().item()
        for name, table in tables.items()
        for what, where in (("", equal), ("_other_digits", ~equal))
    }
    return [{"run": seed + PARTNER * i} | measures(model, images) | alike for i, model in enumerate(models)]


def measures(model: BilinearMLP, images: data.Images) -> dict[str, float]:
    """Measure one model, as `GRID.why` says."""
    x, y = images.test_x, images.test_y
    row = {"test_accuracy": model.accuracy(x, y)}
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    row["rank"] = effective_rank(values).mean().item()
    h1 = model.hidden(x)[1]
    for k in (1, 2, 5, 10):
        answers = bilinear.truncated_logits(h1, values, vectors, k).argmax(1)
        row[f"accuracy_{k}"] = (answers == y).double().mean().item()
    row["agreement_10"] = (answers == model(x).argmax(1)).double().mean().item()
    patterns = bilinear.masks(model, images, torch.Generator().manual_seed(0))
    inkless = images.train_x.mean(0) < 0.01
    row["inkless"] = patterns["mask"].square()[:, inkless].sum(1).mean().item()
    x, y = x[::5], y[::5]
    answers = {kind: bilinear.called(model, x, each) for kind, each in patterns.items()}
    for kind in ("mask", "negative", "against", "random_direction", "mean_digit"):
        rates = bilinear.pushed(answers[kind], y).float()
        row |= {f"{kind}_rate": rates.mean().item(), f"{kind}_digits_over_15": (rates >= 0.15).sum().item()}
    row["against_kept"] = statistics.fmean(bilinear.kept(answers["against"], y).tolist())
    return row


NOISE = Sweep(
    name="01_mnist_bilinear",
    why="""
        The two-layer bilinear MLP over input and layer noise, weight decay and training runs: which of noise and decay
        makes the rank low? rank: (sum |lambda|)^2 / sum lambda^2 of a digit's layer-2 eigenvalues, mean over digits.
        accuracy_k: with k eigenvectors a digit; agreement_10: the share of images that ten of them name as the full
        model does. inkless: share of the strongest patterns' power in pixels with less than 1 % ink on average. Masks
        of norm 6, on every fifth test image: the share of other digits' images called the target, mean over ten
        targets, and the number of targets with 15 % or more; against_kept: the share of a digit's own images that keep
        its name under the mask against it. similarity: mean |cos| of equal digits' strongest patterns; matched: of the
        best partner among the other run's four strongest; subspace: what the spans of both four have in common; each
        beside the same for different digits.
    """,
    version=1,
    grid={"noise": [0.0, 0.33], "weight_decay": [0.0, 0.5], "seed": range(10, 13)},
    build=lambda noise, weight_decay, seed: pair(BilinearConfig(input_noise=noise, layer_noise=noise), seed),
    train=train_pair,
    measure=measure_pair,
    load=data.load_mnist,
)

WIDTH = Sweep(
    name="01_mnist_bilinear_width",
    why="""
        The same pairs and measures over hidden widths, with the noise and decay of the paper; the width of 300 is among
        the rows of 01_mnist_bilinear. The papers go up to 1,000, at eight times the time of 300.
    """,
    version=1,
    grid={"d_hidden": [30, 100], "seed": range(20, 23)},
    build=lambda d_hidden, seed: pair(BilinearConfig(d_hidden=d_hidden), seed),
    train=train_pair,
    measure=measure_pair,
    load=data.load_mnist,
)


class ReluMLP(BilinearMLP):
    """logits = w_u relu(w_l[0] relu(w_e x)), with the noise of a `BilinearMLP`."""

    def __init__(self, config: BilinearConfig, seed: int) -> None:
        super().__init__(config, seed)
        del self.w_r

    def hidden(self, x: torch.Tensor) -> list[torch.Tensor]:
        noise = self.config.input_noise if self.training else 0.0
        activations = [x + noise * torch.randn_like(x)]
        for w in (self.w_e, *self.w_l):
            h = F.linear(activations[-1], w).relu()
            noise = self.config.layer_noise * h.std() if self.training else 0.0
            activations.append(h + noise * torch.randn_like(h))
        return activations


def other_model(model: str, seed: int) -> BilinearMLP:
    """Return one untrained model by its name in the grid."""
    if model == "one bilinear layer":
        return BilinearMLP(BilinearConfig(n_layers=1), seed)
    return ReluMLP(BilinearConfig(d_hidden=472, n_layers=1), seed)


def train_other(net: BilinearMLP, images: data.Images, model: str, seed: int) -> training.History:
    """Train it in place."""
    return bilinear.train(net, images, RECIPE, seed)


def measure_other(net: BilinearMLP, history: training.History, images: data.Images, **_: object) -> dict[str, float]:
    """Return its number of weights and its test accuracy."""
    return {"weights": sum(w.numel() for w in net.parameters()), "test_accuracy": history["test_accuracy"][-1]}


MODELS = Sweep(
    name="01_mnist_bilinear_models",
    why="""
        What stands beside the two-layer bilinear MLP: one bilinear layer, and a usual MLP with ReLU. The same recipe,
        with the same noise, decay and batches. The ReLU MLP has two hidden layers of 472 units: 597,552 weights beside
        the two-layer model's 598,200. Its layers get the same noise. weights: how many there are.
    """,
    version=1,
    grid={"model": ["one bilinear layer", "two ReLU layers"], "seed": range(30, 33)},
    build=other_model,
    train=train_other,
    measure=measure_other,
    load=data.load_mnist,
)
