"""When is a feature ignored, superposed or given a dimension of its own? Elhage's phase diagram, two features in one.

The first feature has importance 1, the second one of 13 importances from 0.1 to 10; ten models a point. A model whose
two weights start with the same sign has to turn one of them round before it can superpose both.
"""

import torch

from paper_utils import superposition as sp

GRID = {"density": tuple(round(10 ** (-k / 6), 4) for k in range(13))}
LOAD = None
IMPORTANCES = tuple(round(10 ** (k / 6 - 1), 4) for k in range(13))
MODELS = 10


def run(density: float, device: str = "cpu") -> list[dict[str, float | str]]:
    """A row for each model of each importance: its loss, what the second feature is, whether it started as opposite."""
    toys = sp.ToyModel(2, 1, len(IMPORTANCES) * MODELS, seed=2_000).to(device)
    opposite = toys.w.detach()[:, 0].prod(1) < 0
    importance = torch.tensor([[1.0, i] for i in IMPORTANCES]).repeat_interleave(MODELS, 0)
    source = sp.SparseSource((1 - density,) * len(importance), 2)
    history = sp.train_toy(toys, source, importance, sp.ToyConfig(4_000, 512), seed=2)
    kept = toys.w.detach().cpu()[:, 0].abs() > 0.5
    named = {(True, False): "ignored", (True, True): "superposed", (False, True): "own", (False, False): "neither"}
    return [
        {
            "importance": round(i, 4),
            "model": k % MODELS,
            "second": named[tuple(long)],
            "opposite": int(away),
            "loss": round(loss, 7),
        }
        for k, (i, long, away, loss) in enumerate(
            zip(importance[:, 1].tolist(), kept.tolist(), opposite.tolist(), history["loss"], strict=True)
        )
    ]
