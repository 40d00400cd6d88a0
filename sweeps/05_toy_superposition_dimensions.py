"""How many features does a dimension hold as features get rarer, and what fraction of one does each feature have?

Forty features of equal importance in ten dimensions, at 31 sparsities from dense to one active input in 100, evenly
spaced in the logarithm of 1 / (1 - S), as Elhage and others plot it; five training runs.
"""

import torch

from paper_utils import superposition as sp

GRID = {"seed": range(10, 15)}  # none of the notebook's own
LOAD = None
DENSITIES = tuple(100 ** (-k / 30) for k in range(31))


def run(seed: int, device: str = "cpu") -> list[dict[str, float]]:
    """A row for each feature of each model: length, dimensionality, least cosine with one longer than 0.5."""
    n, m = 40, 10
    toys = sp.ToyModel(n, m, len(DENSITIES), seed=100 * seed).to(device)
    source = sp.SparseSource(tuple(1 - d for d in DENSITIES), n)
    sp.train_toy(toys, source, torch.ones(n), sp.ToyConfig(10_000, 512), seed)
    w = toys.w.detach().cpu()
    length, dimension, unit = w.norm(dim=1), sp.dimensionality(w), sp.unit_vectors(w.mT)
    opposite = (unit @ unit.mT).masked_fill((length < 0.5)[:, None, :], 1.0).amin(-1)
    numbers = {"length": length, "d": dimension, "opposite": opposite}
    return [
        {"density": round(density, 5)} | {name: round(values[i, k].item(), 4) for name, values in numbers.items()}
        for i, density in enumerate(DENSITIES)
        for k in range(n)
    ]
