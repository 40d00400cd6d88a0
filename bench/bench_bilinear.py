"""A tenth of an epoch of the bilinear MLP, beside the plain idiom, the original's way and its own matrix products.

The plain idiom is the authors' model with tensors in memory, autograd and a fused AdamW; the original's way feeds the
same model through a DataLoader and steps by an unfused AdamW. The ways take turns in one run, so that a busy machine
slows all of them alike. Exits with 1 where ours takes more than 1.9 times its products or 1.1 times the plain idiom;
the ratio to the original's way depends on torchvision and is printed only.
"""

import statistics
import sys
import time
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from paper_utils import bilinear, data, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

IMAGES, ROUNDS, TIMES_PRODUCTS, TIMES_PLAIN = 6_000, 9, 1.9, 1.1
# Operands of a step's products: weights, activations and gradients of a batch of 100.
PIXELS, W_E, W_U, LOGITS = (torch.randn(*shape) for shape in ((100, 784), (300, 784), (10, 300), (100, 10)))
H, W, G = torch.randn(3, 100, 300), torch.randn(4, 300, 300), torch.randn(5, 100, 300)


class OriginalModel(nn.Module):
    """The model as the authors' repository has it: linear modules, and noise after each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_in, self.linear_out = nn.Linear(784, 300, bias=False), nn.Linear(300, 10, bias=False)
        self.layers = nn.ModuleList(nn.Linear(300, 300, bias=False) for _ in range(4))

    def forward(self, x):
        # The sparse noise is off, but the authors draw and apply its mask all the same.
        x = torch.where(torch.rand_like(x) < 0.0, 1 - x, x)
        x = self.linear_in(x + 0.33 * torch.randn_like(x))
        for left, right in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = left(x) * right(x)
            x = x + 0.33 * x.std() * torch.randn_like(x)
        return self.linear_out(x)


def products() -> None:
    """The matrix products of forward and backward; the pixels need no gradient."""
    for _ in range(IMAGES // 100):
        kept = [PIXELS @ W_E.T, *(H[i // 2] @ W[i].T for i in range(4)), H[2] @ W_U.T]
        kept += [LOGITS.T @ H[2], LOGITS @ W_U, G[4].T @ PIXELS]
        for i in range(4):
            kept += [G[i].T @ H[i // 2], G[i] @ W[i]]


def main() -> int:
    torch.set_num_threads(2)
    # Numbers at random take as long as images, and need no data set.
    x, y = torch.rand(IMAGES, 784), torch.randint(10, (IMAGES,))
    # The accuracy after an epoch is no step of training: the test set is one image, since there must be one.
    images = data.Images(x, y, x[:1], y[:1], source="random", files={})
    with training.seeded(0):
        ours, plain, original = BilinearMLP(BilinearConfig(), 0), OriginalModel(), OriginalModel()
    recipe = {"lr": 1e-3, "weight_decay": 0.5}
    fused = torch.optim.AdamW(plain.parameters(), fused=True, **recipe)
    unfused = torch.optim.AdamW(original.parameters(), fused=False, foreach=False, **recipe)
    # torchvision's own class, with the images in its memory: every sample goes through PIL and ToTensor.
    vision = data.torchvision()
    samples = object.__new__(vision.datasets.MNIST)
    samples.data, samples.targets = (images.train_x.reshape(-1, 28, 28) * 255).round().byte(), images.train_y
    samples.transform, samples.target_transform = vision.transforms.ToTensor(), None
    loader = torch.utils.data.DataLoader(samples, batch_size=100, shuffle=True)

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable) -> None:
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x.reshape(-1, 784)), y).backward()
            optimizer.step()

    def in_memory() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return ((images.train_x[rows], images.train_y[rows]) for rows in torch.randperm(IMAGES).split(100))

    ways = {
        "ours": lambda: bilinear.train(ours, images, BilinearRecipe(warmup=0, decay=1, constant=0), seed=0),
        "the plain idiom": lambda: steps(plain, fused, in_memory()),
        "the original's way": lambda: steps(original, unfused, loader),
        "its matrix products": products,
    }
    times = {name: [] for name in ways}
    for round_ in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_:  # the first round warms up
                times[name].append(time.perf_counter() - started)
    print(f"bilinear MLP, {IMAGES:,} images a turn, 2 threads, medians of {ROUNDS} turns, as seconds for 60,000 images")
    bars = {"the plain idiom": TIMES_PLAIN, "its matrix products": TIMES_PRODUCTS}
    missed = False
    for name, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["ours"], taken, strict=True))
        bar = f" (bar: at most {bars[name]})" if name in bars else ""
        missed |= name in bars and ratio > bars[name]
        print(f"  {name}: {statistics.median(taken) / IMAGES * 6e4:.2f} s; ours takes {ratio:.2f} times that{bar}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
