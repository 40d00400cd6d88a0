"""What stands beside the two-layer bilinear MLP of notebook 1: one bilinear layer, and a usual MLP with ReLU.

The same recipe of 12 epochs, with the same noise, decay and batches. The ReLU MLP has two hidden layers of 472 units:
597,552 weights beside the two-layer model's 598,200. Its layers get the same noise.
"""

import torch
from torch.nn import functional as F

from paper_utils import bilinear, data
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

GRID = {"model": ["one bilinear layer", "two ReLU layers"], "seed": range(30, 33)}
LOAD = data.load_mnist


class ReluMLP(BilinearMLP):
    """logits = w_u relu(w_l[0] relu(w_e x)), with the noise of a `BilinearMLP`."""

    def __init__(self, config: BilinearConfig, seed: int) -> None:
        super().__init__(config, seed)
        del self.w_r

    def hidden(self, x: torch.Tensor) -> list[torch.Tensor]:
        noise = self.config.input_noise if self.training else 0.0
        activations = [x + noise * torch.randn_like(x)]
        for w in (self.w_e, *self.w_l):
            h = F.linear(activations[-1], w).relu()
            noise = self.config.layer_noise * h.std() if self.training else 0.0
            activations.append(h + noise * torch.randn_like(h))
        return activations


def run(images: data.Images, model: str, seed: int, device: str = "cpu") -> dict[str, float]:
    """Train one; its number of weights and test accuracy."""
    if model == "one bilinear layer":
        net = BilinearMLP(BilinearConfig(n_layers=1), seed)
    else:
        net = ReluMLP(BilinearConfig(d_hidden=472, n_layers=1), seed)
    history = bilinear.train(net.to(device), images, BilinearRecipe(decay=6, constant=4), seed)
    return {"weights": sum(w.numel() for w in net.parameters()), "test_accuracy": history["test_accuracy"][-1]}
