"""Does a sparse autoencoder find features that are known? The bridge from notebook 5 to notebook 3.

A toy model with forty features in ten dimensions gives codes W x. An autoencoder with 80 latents sees the codes only;
its mark is the mean, over the features that the toy model represents (longer than 0.5), of the largest cosine between
the feature's column of W and the direction of a latent that fires. Chance is the mark of 80 random directions.
"""

from dataclasses import replace

import torch

from paper_utils import sae
from paper_utils import superposition as sp

GRID = {"sparsity": (0.5, 0.7, 0.9, 0.99), "strength": (0.03, 0.1, 0.3), "seed": range(10, 13)}
LOAD = None
LATENTS, ROWS = 80, 10_000
RECIPE = sae.SAEConfig(epochs=100, batch_size=512, lr=3e-3)


def run(sparsity: float, strength: float, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train toy model and autoencoder from one seed; return what is named in the module's docstring."""
    toy, source = sp.ToyModel(40, 10, 1, seed).to(device), sp.SparseSource((sparsity,), 40)
    sp.train_toy(toy, source, torch.ones(40), sp.ToyConfig(), seed)
    w, generator = toy.w.detach().cpu()[0], torch.Generator().manual_seed(seed)
    x = source(5 * ROWS, generator)[0]
    x = x[(x > 0).any(1)][:ROWS]  # an input without features has no code to explain
    codes = (x @ w.T).to(device)
    model = sae.SparseAutoencoder(10, LATENTS, "corrected", seed).to(device)
    # The strength is for the mean over a batch; SAEConfig's l1 multiplies the sum.
    history = sae.train_sae(model, codes, replace(RECIPE, l1=strength / RECIPE.batch_size))
    known = sp.unit_vectors(w.T[w.norm(dim=0) > 0.5])

    def cosines(directions: torch.Tensor) -> torch.Tensor:
        return (known @ sp.unit_vectors(directions).T).amax(1)

    alive = sae.firing_counts(model, codes).cpu() > 0
    found = cosines(model.w_dec.detach().cpu()[alive]) if alive.any() else torch.zeros(len(known))
    chance = torch.stack([cosines(torch.randn(LATENTS, 10, generator=generator)).mean() for _ in range(200)])
    return {
        "recovery": found.mean().item(),
        "found": (found > 0.95).float().mean().item(),
        "chance": chance.quantile(0.975).item(),
        "represented": len(known),
        "live": int(alive.sum()),
        "l0": history["l0"][-1],
        "active": (x > 0).sum(1).float().mean().item(),
    }
