"""Why features die: the original recipe with one thing changed at a time, over its first eleven epochs.

The original notebook prints its losses after epochs 1, 6 and 11, and most deaths fall between the last two. Changed are
what the original does to the decoder (it removes the gradient's part along the features' axis and never renormalises:
a 2 x 2 ablation), the strength of the L1 term, and the data: whitened activations have the same total variance, spread
over all 128 dimensions alike. Everything varies with the seed: classifier, order of the images, autoencoder. A row is
one training after one epoch; a feature is live where at least one of the 60,000 training images fires it.
"""

import torch

from paper_utils import data, sae

ARMS = {  # what is changed: the axis of the projection, unit norm, the L1 strength, whitened activations
    "original recipe": (0, False, 3e-3, False),
    "no projection": (None, False, 3e-3, False),
    "unit norm": (0, True, 3e-3, False),
    "unit norm, no projection": (None, True, 3e-3, False),
    "L1 x 1/3": (0, False, 1e-3, False),
    "L1 x 1/10": (0, False, 3e-4, False),
    "no L1": (0, False, 0.0, False),
    "whitened": (0, False, 3e-3, True),
}
GRID = {"seed": range(10, 13), "arm": list(ARMS)}  # none of the notebook's own seeds
LOAD = data.load_mnist
MARKS = (1, 3, 6, 8, 11)


def whitened(x: torch.Tensor) -> torch.Tensor:
    """The same points with equal variance along each principal component, and the same total variance."""
    u = torch.linalg.svd(x - x.mean(0), full_matrices=False).U
    return u * ((x - x.mean(0)).square().sum() / u.square().sum()).sqrt()


def run(images: data.Images, seed: int, arm: str, device: str = "cpu") -> list[dict[str, float]]:
    """Train a classifier and an autoencoder on its activations; measures after each of MARKS."""
    norm_axis, unit_norm, l1, white = ARMS[arm]
    classifier, model = sae.Classifier(seed=seed).to(device), sae.SparseAutoencoder(seed=seed).to(device)
    model.norm_axis, model.unit_norm = norm_axis, unit_norm
    sae.train_classifier(classifier, images, seed)
    activations, _ = sae.activations_of(classifier, images, seed)
    if white:
        activations = whitened(activations)
    history = sae.train_sae(model, activations, sae.SAEConfig(epochs=MARKS[-1], l1=l1), MARKS)
    norms = model.w_dec.detach().norm(dim=1)[torch.tensor(history["counts"][-1]) > 0]
    rows = []
    for epoch, counts in zip(MARKS, history["counts"], strict=True):
        counts = torch.tensor(counts)
        row = {name: history[name][epoch - 1] for name in ("reconstruction", "l1", "l0", "fired")}
        row |= {"live": (counts > 0).sum().item(), "above_1_percent": (counts > 600).sum().item()}
        rows.append({"epoch": epoch} | row | {"final_norm": norms.mean().item() if len(norms) else 0.0})
    return rows
