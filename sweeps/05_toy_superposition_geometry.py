"""Which figures do five features form in a plane? A hundred toy models for each sparsity and kind of importance.

Each is trained from the same weights for 3,000 steps, for 20,000 and, where features are rare, for 60,000: where two
schedules differ, the shorter one is not enough. "error" is the largest error of an angle, in degrees, from the figure
that fits best (180 where no figure has as many features).
"""

import torch

from paper_utils import superposition as sp

GRID = {
    "decay": (0.9, 1.0),
    "sparsity": (0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999),
    "steps": (3_000, 20_000, 60_000),
}
LOAD = None
MODELS = 100


def run(decay: float, sparsity: float, steps: int, device: str = "cpu") -> list[dict[str, float | str]]:
    """A row for each model: its figure, the error of its angles, and how many features are longer than 0.5."""
    if steps > 20_000 and sparsity < 0.9:
        return []  # the question is where features are rare
    toys = sp.ToyModel(5, 2, MODELS, seed=1_000).to(device)
    importance = decay ** torch.arange(5.0)
    sp.train_toy(toys, sp.SparseSource((sparsity,) * MODELS, 5), importance, sp.ToyConfig(steps, 256), seed=1)
    rows = []
    for model, w in enumerate(toys.w.detach().cpu()):
        error = min(sp.angle_errors(w).values(), default=180.0)
        kept = int((w.norm(dim=0) > 0.5).sum())
        rows.append({"model": model, "geometry": sp.geometry(w), "error": round(error, 2), "kept": kept})
    return rows
