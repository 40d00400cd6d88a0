"""What do correlations between features change? Pairs of features that come together, or never do, in a plane.

Two pairs (Elhage and others: correlated features are kept at right angles or side by side, anti-correlated ones
opposite), and three correlated pairs, which collapse to what the two of a pair have in common where features are dense.
Thirty models a point.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paper_utils import superposition as sp

GRID = {
    "kind": ("independent", "correlated", "anti-correlated"),
    "pairs": (2, 3),
    "density": (0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0),
}
LOAD = None
MODELS = 30


@dataclass(frozen=True)
class PairSource:
    """Features 2k and 2k + 1 are a pair: one draw for both (correlated), or one of the two at most."""

    kind: str
    pairs: int
    density: float

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        value, alone, chosen = torch.rand(3, batch, self.pairs, 2, generator=generator, device=generator.device)
        together = alone[..., :1].expand_as(alone)
        on = (alone if self.kind == "independent" else together) < self.density
        if self.kind == "anti-correlated":
            first = chosen[..., :1] < 0.5
            on = on & torch.cat([first, ~first], -1)
        return (value * on).reshape(1, batch, -1).expand(MODELS, -1, -1)


def run(kind: str, pairs: int, density: float, device: str = "cpu") -> list[dict[str, float]]:
    """A row for each model: mean cosine within pairs, kept features, and the share of the squared length of W that
    lies on the difference of a pair's features rather than on their sum (0: only what they have in common is kept)."""
    toys = sp.ToyModel(2 * pairs, 2, MODELS, seed=500).to(device)
    sp.train_toy(toys, PairSource(kind, pairs, density), torch.ones(2 * pairs), sp.ToyConfig(4_000, 512), seed=3)
    w = toys.w.detach().cpu().reshape(MODELS, 2, pairs, 2)  # [model hidden pair member]
    a, b = w.unbind(-1)
    cosine = torch.cosine_similarity(a, b, dim=1).mean(1)
    apart, common = (a - b).square().sum((1, 2)), (a + b).square().sum((1, 2))
    kept = (w.norm(dim=1) > 0.5).sum((1, 2))
    return [
        {"model": i, "cosine": round(c, 4), "kept": int(k), "difference": round(d, 4)}
        for i, (c, k, d) in enumerate(zip(cosine.tolist(), kept, (apart / (apart + common)).tolist(), strict=True))
    ]
