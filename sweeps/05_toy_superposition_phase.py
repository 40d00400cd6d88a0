"""When is a feature ignored, superposed or given a dimension of its own? Elhage's phase diagram, two features in one.

The first feature has importance 1, the second one of 13 importances from 0.1 to 10; ten models a point, of which the
worst counts as not trained and is left out, as Elhage and others do.
"""

import torch

from paper_utils import superposition as sp

GRID = {"density": tuple(round(10 ** (-k / 6), 4) for k in range(13))}
LOAD = None
IMPORTANCES = tuple(round(10 ** (k / 6 - 1), 4) for k in range(13))
MODELS = 10


def run(density: float, device: str = "cpu") -> list[dict[str, float]]:
    """A row for each importance of the second feature: how many of its nine best models do what with it."""
    toys = sp.ToyModel(2, 1, len(IMPORTANCES) * MODELS, seed=0).to(device)
    importance = torch.tensor([[1.0, i] for i in IMPORTANCES]).repeat_interleave(MODELS, 0)
    source = sp.SparseSource((1 - density,) * len(importance), 2)
    history = sp.train_toy(toys, source, importance, sp.ToyConfig(4_000, 512), seed=0)
    long = (toys.w.detach().cpu()[:, 0].abs() > 0.5).reshape(-1, MODELS, 2)
    best = torch.tensor(history["loss"]).reshape(-1, MODELS).argsort(1)[:, : MODELS - 1]
    rows = []
    for i, (kept, order) in enumerate(zip(long, best, strict=True)):
        first, second = kept[order].unbind(1)
        counts = {"ignored": first & ~second, "superposed": first & second, "own": second & ~first}
        counts["neither"] = ~first & ~second
        rows.append({"importance": IMPORTANCES[i], **{name: int(where.sum()) for name, where in counts.items()}})
    return rows
