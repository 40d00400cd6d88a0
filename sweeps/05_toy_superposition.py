"""The two models of notebook 5 from other seeds: what belongs to the method, what to one run?

The classifier takes 3 of its 10 epochs, which give features of the same kind, and the autoencoder its full 20.
Gathered is the share of the importance within 15 degrees of the best two rays: for the measured directions, and for
the encoder's columns less random angles.
"""

import statistics

import torch

from paper_utils import data
from paper_utils import superposition as sp

GRID = {"seed": range(10, 15)}  # none of the notebook's own
LOAD = data.load_mnist


def run(images: data.Images, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train from one seed; return what is named in the module's docstring."""
    net, plane = sp.FeatureNet(seed=seed).to(device), sp.PlaneAutoencoder(seed=seed).to(device)
    sp.train_feature_net(net, images, sp.FeatureConfig(epochs=3), seed)
    history = sp.train_plane(plane, images, sp.PlaneConfig(), seed, net)
    net, plane = net.cpu(), plane.cpu()
    importance = sp.scaled_importance(torch.tensor(history["rise"][-1]))
    encoder, decoder, bias = plane.encoder.weight.detach().T, plane.decoder.weight.detach(), plane.decoder.bias.detach()
    generator = torch.Generator().manual_seed(seed)
    random = [torch.randn(len(importance), 2, generator=generator) for _ in range(2_000)]
    measured, columns, *chance = (
        sp.gathered_share(directions, importance, 2)
        for directions in (torch.tensor(history["direction"][-1]), encoder, *random)
    )
    with torch.no_grad():
        mean_only = net.features(images.train_x).var(0, correction=0).mean().item()

    def correlation(values: torch.Tensor) -> float:
        return torch.corrcoef(torch.stack([importance, values]))[0, 1].item()

    unit = sp.unit_vectors(encoder)
    matrix = decoder @ encoder.T
    kept = matrix >= matrix.quantile(0.99)
    first = importance.argsort(descending=True)[:10]
    return {
        "explained": 1 - history["mse"][-1] / mean_only,
        "last_batch": history["step_loss"][-1],
        "gathered_two": measured,
        "columns_above_random": columns - statistics.fmean(chance),
        "bias_correlation": correlation(bias),
        "norm_correlation": correlation(encoder.norm(dim=1)),
        "encoder_squared_cosine": (((unit @ unit.T).square().sum() - 49) / (49 * 48)).item(),
        "top_in_first_ten": (kept[:, first].sum() / kept.sum()).item(),
        "top_on_diagonal": (kept.diagonal().sum() / kept.sum()).item(),
    }
