"""The two-layer bilinear MLP of notebook 1, trained from several seeds on the notebook's shorter schedule.

All images, 12 epochs (2 rising, 6 halving, 4 constant) instead of 64: 64 epochs take four minutes a run, and after 12
epochs the learning rate has come down to an eighth. All accuracies are of the test images: of the whole model, with 1
and with 10 eigenvectors per digit kept in layer 2, and under ten masks of norm 6, made from the weights or random.
"""

import statistics

import torch
from torch.nn import functional as F

from paper_utils import bilinear, data
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

GRID = {"seed": range(10, 15)}  # none of the notebook's own
LOAD = data.load_mnist


def run(images: data.Images, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train one model; its test accuracies: whole, truncated, and under masks (mean of ten masks)."""
    model = BilinearMLP(BilinearConfig(), seed).to(device)
    bilinear.train(model, images, BilinearRecipe(decay=6, constant=4), seed)
    model.cpu().eval().requires_grad_(False)
    x, y = images.test_x, images.test_y
    measures = {"test_accuracy": model.accuracy(x, y)}

    h1 = model.hidden(x)[1]
    forms = bilinear.eigendecompose(bilinear.interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    for k in (1, 10):
        hits = bilinear.truncated_logits(h1, *forms, k).argmax(1) == y
        measures[f"truncated_accuracy_{k}"] = hits.double().mean().item()

    random = F.normalize(torch.randn(10, 784, generator=torch.Generator().manual_seed(seed)), dim=1)
    masks = {"mask": [bilinear.weight_mask(model, digit) for digit in range(10)], "random": random}
    for kind, patterns in masks.items():
        measures[f"{kind}_accuracy_6"] = statistics.fmean(model.accuracy(x + 6 * pattern, y) for pattern in patterns)
    return measures
