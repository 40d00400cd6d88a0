"""The two-layer bilinear MLP of notebook 1 over input and layer noise, weight decay and training runs, in 12 epochs.

Which of noise and decay makes the rank low? 12 epochs (2 rising, 6 halving, 4 constant) on all images instead of 64,
which take minutes a run. A point trains a pair of models from seeds that no other run uses, so that the similarity of
two runs has independent repetitions; each model is a row. Accuracies and masks are of the test images.

rank: (sum |lambda|)^2 / sum lambda^2 of a digit's layer-2 eigenvalues, mean over digits. accuracy_k: with k
eigenvectors a digit; agreement_10: the share of images that ten of them name as the full model does. inkless: share of
the strongest patterns' power in pixels with less than 1 % ink on average. Masks of norm 6, on every fifth test image:
the share of other digits' images called the target, mean over ten targets, and the number of targets with 15 % or more;
against_kept: the share of a digit's own images that keep its name under the mask against it.
similarity: mean |cos| of equal digits' strongest patterns; matched: of the best partner among the other run's four
strongest; subspace: what the spans of both four have in common; each beside the same for different digits.
"""

import statistics

import torch
from torch.nn import functional as F

from paper_utils import bilinear, data
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

GRID = {"noise": [0.0, 0.33], "weight_decay": [0.0, 0.5], "seed": range(10, 13)}
LOAD = data.load_mnist
PARTNER = 100  # is added to a point's seed for the second model


def run(images: data.Images, noise: float, weight_decay: float, seed: int, device: str = "cpu") -> list[dict]:
    """Train the pair; a row for each."""
    config = BilinearConfig(input_noise=noise, layer_noise=noise)
    return pair(images, config, BilinearRecipe(decay=6, constant=4, weight_decay=weight_decay), seed, device)


def pair(images: data.Images, config: BilinearConfig, recipe: BilinearRecipe, seed: int, device: str) -> list[dict]:
    """Train two models on one recipe; a row of measures for each, with how similar the two are."""
    models = []
    for each in (seed, seed + PARTNER):
        model = BilinearMLP(config, each).to(device)
        bilinear.train(model, images, recipe, each)
        models.append(model.cpu().eval().requires_grad_(False))
    alike = similarities(*(bilinear.class_features(model, 4) for model in models))
    return [{"run": seed + PARTNER * i} | measures(model, images) | alike for i, model in enumerate(models)]


def measures(model: BilinearMLP, images: data.Images) -> dict[str, float]:
    """What the module's docstring says of one model."""
    x, y = images.test_x, images.test_y
    found = {"test_accuracy": model.accuracy(x, y)}
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    found["rank"] = (values.abs().sum(1).square() / values.square().sum(1)).mean().item()
    h1 = model.hidden(x)[1]
    for k in (1, 2, 5, 10):
        answers = bilinear.truncated_logits(h1, values, vectors, k).argmax(1)
        found[f"accuracy_{k}"] = (answers == y).double().mean().item()
    found["agreement_10"] = (answers == model(x).argmax(1)).double().mean().item()
    strongest = bilinear.class_features(model)[:, 0]
    inkless = images.train_x.mean(0) < 0.01
    found["inkless"] = strongest.square()[:, inkless].sum(1).mean().item()
    against = bilinear.class_features(model, against=True)[:, 0]
    directions = torch.randn(10, len(model.w_e), generator=torch.Generator().manual_seed(0))
    means = torch.stack([images.train_x[images.train_y == c].mean(0) for c in range(10)])
    masks = {
        "mask": strongest,
        "negative": -strongest,
        "against": against,
        "random_direction": bilinear.pixel_features(model, directions)[2][:, :, -1],
        "mean_digit": F.normalize(means, dim=1),
    }
    x, y = x[::5], y[::5]
    for kind, patterns in masks.items():
        rates = torch.tensor([called(model, x[y != c], patterns[c], c) for c in range(10)])
        found |= {f"{kind}_rate": rates.mean().item(), f"{kind}_digits_over_15": (rates >= 0.15).sum().item()}
    # Of the digit's own images, those that keep their name.
    found["against_kept"] = statistics.fmean(called(model, x[y == c], against[c], c) for c in range(10))
    return found


def called(model: BilinearMLP, x: torch.Tensor, pattern: torch.Tensor, target: int) -> float:
    """The share of the images x that are called `target` once the pattern is added at norm 6."""
    return (model(x + 6 * pattern).argmax(1) == target).double().mean().item()


def similarities(a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
    """Of two models' patterns [digit 4 pixel]: how alike equal digits are, and different ones."""
    cosines = torch.einsum("c i p, d j p -> c d i j", a, b).abs()
    bases = [torch.linalg.qr(patterns.mT)[0] for patterns in (a, b)]
    shared = torch.einsum("c p i, d p j -> c d i j", *bases).square().sum((2, 3)) / 4
    tables = {"similarity": cosines[:, :, 0, 0], "matched": cosines[:, :, 0].amax(2), "subspace": shared}
    equal = torch.eye(len(a), dtype=torch.bool)
    return {
        f"{name}{what}": table[where].mean().item()
        for name, table in tables.items()
        for what, where in (("", equal), ("_other_digits", ~equal))
    }
