"""A bridge to notebook 5: autoencoders on codes whose true features are known.

The codes z = W x are those of notebook 5's toy model: 40 features, each absent with probability S, squeezed into ten
dimensions by a trained ReLU model. An autoencoder sees codes only; the true features are the columns of W that the toy
model represents (length above 0.5). Recovery is the mean, over these, of the largest cosine with any direction of the
dictionary (its decoder's live directions, at most 80). Beside it stands the same for dictionaries that learn nothing:
80 random directions, and 80 of the codes themselves. Three runs, each with its own toy models, codes and dictionaries.
"""

import torch
from torch.nn import functional as F

from paper_utils import sae
from paper_utils import superposition as sp

SPARSITIES, STRENGTHS = (0.7, 0.9, 0.97, 0.99), {"corrected": (0.03, 0.1, 0.3, 1.0), "topk": (1, 2, 4, 8)}
N_FEATURES, N_HIDDEN, DICTIONARY, CODES, EPOCHS, BATCH = 40, 10, 80, 20_000, 12, 128
GRID = {"seed": range(10, 13)}
LOAD = None


def recovery(known: torch.Tensor, directions: torch.Tensor) -> float:
    """The mean over the known features of the largest cosine with any of the directions."""
    return (F.normalize(known, dim=1) @ F.normalize(directions, dim=1).T).amax(1).mean().item()


def run(seed: int, device: str = "cpu") -> list[dict[str, float | str]]:
    """Train a toy model for each sparsity and autoencoders of each strength on its codes; a row an autoencoder."""
    source = sp.SparseSource(SPARSITIES, N_FEATURES)
    toys = sp.ToyModel(N_FEATURES, N_HIDDEN, len(SPARSITIES), seed=100 * seed).to(device)
    sp.train_toy(toys, source, torch.ones(N_FEATURES), sp.ToyConfig(steps=2000), seed)
    generator, rows = torch.Generator().manual_seed(seed), []
    features = source(CODES, generator)
    for sparsity, w, x in zip(SPARSITIES, toys.w.detach().cpu(), features, strict=True):
        known, codes = w.T[w.norm(dim=0) > 0.5], x[(x > 0).any(1)] @ w.T  # an input without features has no code
        at_random = [recovery(known, torch.randn(DICTIONARY, N_HIDDEN, generator=generator)) for _ in range(100)]
        some_codes = recovery(known, codes[torch.randperm(len(codes), generator=generator)[:DICTIONARY]])
        point = {"sparsity": sparsity, "known": len(known)}
        rows += [{"kind": "random", "strength": 0, **point, "live": DICTIONARY, "recovery": r} for r in at_random]
        rows.append({"kind": "codes", "strength": 0, **point, "live": DICTIONARY, "recovery": some_codes})
        for kind, strength in ((each, strength) for each in STRENGTHS for strength in STRENGTHS[each]):
            model = sae.SparseAutoencoder(
                N_HIDDEN, DICTIONARY, kind, seed, **({"k": strength} if kind == "topk" else {})
            )
            l1 = 0.0 if kind == "topk" else strength / BATCH  # SAEConfig's l1 weighs a sum over the batch
            config = sae.SAEConfig(epochs=EPOCHS, batch_size=BATCH, lr=3e-3, l1=l1, lr_step=1, lr_decay=0.8)
            (counts,) = sae.train_sae(model.to(device), codes.to(device), config, (EPOCHS,))["counts"]
            directions = model.w_dec.detach().cpu()[torch.tensor(counts) > 0]
            found = recovery(known, directions) if len(directions) else 0.0
            rows.append({"kind": kind, "strength": strength, **point, "live": len(directions), "recovery": found})
    return rows
