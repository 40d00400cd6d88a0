"""The two models of notebook 5 and its small toy models, from other seeds: what belongs to the method, what to one run?

The classifier takes 3 of its 10 epochs, which give features of the same kind, and the autoencoder its full 20. The toy
models, five features of equal importance in a plane, are 20 at each of three sparsities with the notebook's full
schedule. Gathered is the share of the importance within 15 degrees of the best two rays: for the measured directions,
and for the encoder's columns less random angles.
"""

import statistics

import torch

from paper_utils import data
from paper_utils import superposition as sp

GRID = {"seed": range(10, 15)}  # none of the notebook's own
LOAD = data.load_mnist
FIGURES = {"triangle": 0.3, "digons": 0.7, "pentagon": 0.99}  # each with the sparsity at which it is counted


def run(images: data.Images, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train from one seed; return what is named in the module's docstring."""
    net, plane = sp.FeatureNet(seed=seed).to(device), sp.PlaneAutoencoder(seed=seed).to(device)
    sp.train_feature_net(net, images, sp.FeatureConfig(epochs=3), seed)
    history = sp.train_plane(plane, images, sp.PlaneConfig(), seed, net)
    net, plane = net.cpu(), plane.cpu()
    importance = sp.scaled_importance(torch.tensor(history["rise"][-1]))
    encoder, bias = plane.encoder.weight.detach().T, plane.decoder.bias.detach()
    generator = torch.Generator().manual_seed(seed)
    random = [torch.randn(len(importance), 2, generator=generator) for _ in range(2_000)]
    measured, columns, *chance = (
        sp.gathered_share(directions, importance, 2)
        for directions in (torch.tensor(history["direction"][-1]), encoder, *random)
    )
    with torch.no_grad():
        mean_only = net.features(images.train_x).var(0, correction=0).mean().item()
    sparsity = [s for s in FIGURES.values() for _ in range(20)]
    # Instance i is drawn from the model's seed + i: a step of 60 keeps the models of two seeds apart.
    toys = sp.ToyModel(5, 2, n_instances=60, seed=60 * seed).to(device)
    sp.train_toy(toys, sp.SparseSource(tuple(sparsity), 5), torch.ones(5), sp.ToyConfig(), seed)
    found = [sp.geometry(w) for w in toys.w.detach().cpu()]
    return {
        "explained": 1 - history["mse"][-1] / mean_only,
        "gathered_two": measured,
        "columns_above_random": columns - statistics.fmean(chance),
        "bias_correlation": torch.corrcoef(torch.stack([importance, bias]))[0, 1].item(),
        **{f"{name}_share": found[20 * i : 20 * i + 20].count(name) / 20 for i, name in enumerate(FIGURES)},
    }
