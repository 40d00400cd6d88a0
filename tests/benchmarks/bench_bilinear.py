"""One epoch of the bilinear MLP: ours, the seed's way, and the time its own matrix products need here.

Run by `make bench`; exits with 1 where a bar is missed. The three take turns within one run, so that a busy
machine slows all of them alike; the medians are compared.
"""

import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from paper_utils import bilinear, data, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

IMAGES, ROUNDS = 6_000, 9  # a tenth of an epoch, in turns: the costs per step are the same
FASTER, TIMES_GEMM = 4.0, 2.0


class SeedsLayer(nn.Module):
    """A bilinear layer as the seed's repository has it: two linear modules, then noise."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)

    def forward(self, x):
        return self.linear1(x) * self.linear2(x)


class SeedsModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear_in, self.linear_out = nn.Linear(784, 300, bias=False), nn.Linear(300, 10, bias=False)
        self.layers = nn.ModuleList(SeedsLayer(300) for _ in range(2))

    def forward(self, x):
        if self.training:
            # The sparse noise is off, but its mask is drawn and applied all the same.
            mask = torch.rand_like(x) < 0.0
            x = torch.where(mask, 1 - x, x)
            x = x + 0.33 * torch.randn_like(x)
        x = self.linear_in(x)
        for layer in self.layers:
            x = layer(x)
            if self.training:
                x = x + 0.33 * x.std() * torch.randn_like(x)
        return self.linear_out(x)


def main() -> int:
    images = data.load_mnist()
    x, y = images.train_x[:IMAGES].contiguous(), images.train_y[:IMAGES]
    x, y = (t.repeat(-(-IMAGES // len(x)), *[1] * (t.dim() - 1))[:IMAGES] for t in (x, y))

    # An epoch ends with the accuracy on the test set, a sixth of the images of training.
    test_x, test_y = images.test_x[: IMAGES // 6], images.test_y[: IMAGES // 6]

    ours = BilinearMLP(BilinearConfig(), 0)
    one_epoch = BilinearRecipe(warmup=1, decay=0, constant=0)

    def our_epoch() -> None:
        bilinear.train(ours, x, y, one_epoch, seed=0, test=(test_x, test_y))

    vision = data.torchvision()

    # torchvision's own class, with the images in its memory: every sample goes through PIL and ToTensor.
    def loader(pixels, labels, shuffle):
        samples = object.__new__(vision.datasets.MNIST)
        samples.data, samples.targets = (pixels.reshape(-1, 28, 28) * 255).round().byte(), labels
        samples.transform, samples.target_transform = vision.transforms.ToTensor(), None
        return torch.utils.data.DataLoader(samples, batch_size=100, shuffle=shuffle)

    train_loader, test_loader = loader(x, y, True), loader(test_x, test_y, False)
    with training.seeded(0):
        seeds = SeedsModel()
    optimizer = torch.optim.AdamW(seeds.parameters(), lr=1e-3, weight_decay=0.5, foreach=False, fused=False)

    def seeds_epoch() -> None:
        seeds.train()
        for batch, labels in train_loader:
            loss = F.cross_entropy(seeds(batch.reshape(-1, 784)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        seeds.eval()
        with torch.no_grad():
            hits = sum((seeds(b.reshape(-1, 784)).argmax(1) == c).sum().item() for b, c in test_loader)
        assert 0 <= hits <= len(test_y)

    def random(*shapes):
        return [torch.randn(*shape) for shape in shapes]

    # Separate operands, as in the step: six weights, and what each layer passes on and gets back.
    pixels, w_e, w_u, logits, *h = random((100, 784), (300, 784), (10, 300), (100, 10), *[(100, 300)] * 3)
    w, g = random(*[(300, 300)] * 4), random(*[(100, 300)] * 5)

    def gemms() -> None:
        """The products of forward and backward; the gradient with respect to the pixels is not needed."""
        for _ in range(IMAGES // 100):
            kept = [pixels @ w_e.T, *(h[i // 2] @ w[i].T for i in range(4)), h[2] @ w_u.T]
            kept += [logits.T @ h[2], logits @ w_u]
            for i in reversed(range(4)):
                kept += [g[i].T @ h[i // 2], g[i] @ w[i]]
            kept.append(g[4].T @ pixels)

    times = {"ours": [], "seed": [], "gemm": []}
    for round_ in range(ROUNDS + 1):
        for name, run in (("ours", our_epoch), ("seed", seeds_epoch), ("gemm", gemms)):
            started = time.perf_counter()
            run()
            if round_:  # the first round warms up
                times[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in times.items()}
    faster = statistics.median(theirs / ours for theirs, ours in zip(times["seed"], times["ours"], strict=True))
    over = statistics.median(ours / gemm for ours, gemm in zip(times["ours"], times["gemm"], strict=True))
    flops = 2 * 100 * (2 * 784 * 300 + 12 * 300 * 300 + 3 * 3000) * IMAGES / 100
    print(f"bilinear MLP, {IMAGES:,} images a turn, {torch.get_num_threads()} threads, medians of {ROUNDS} turns each")
    print(f"  ours {median['ours'] / IMAGES * 6e4:.2f} s an epoch of 60,000")
    print(
        f"  the seed's way {median['seed'] / IMAGES * 6e4:.2f} s: {faster:.1f} times as long (bar: at least {FASTER})"
    )
    print(f"  its matrix products {median['gemm'] / IMAGES * 6e4:.2f} s, {flops / median['gemm'] / 1e9:.0f} GFLOP/s:")
    print(f"  ours takes {over:.2f} times that (bar: at most {TIMES_GEMM})")
    return 0 if faster >= FASTER and over <= TIMES_GEMM else 1


if __name__ == "__main__":
    sys.exit(main())
