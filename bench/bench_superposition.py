"""Both trainings of the superposition experiment, an epoch each: ours against the original notebook's way, in turns.

The original decodes each image anew (a DataLoader over PIL images), runs the frozen classifier in every batch, collects
the features by repeated vstack and copies them twice for each of the 49 features. A fifth of the images is used: its
vstack grows with the square, so all of them would favour us more. Exits with 1 where both together are less than 6
times as fast, in processor time on one thread, which other programs of a busy machine do not change.
"""

import statistics
import sys
import time
from dataclasses import replace

import torch
from PIL import Image
from torch.nn import functional as F

from paper_utils import data
from paper_utils import superposition as sp

BAR, ROUNDS, IMAGES = 6.0, 3, 12_000


class Samples(torch.utils.data.Dataset):
    """What torchvision's MNIST does for one sample: array to picture to tensor."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor):
        self.pixels, self.y = (x * 255).round().to(torch.uint8).reshape(-1, 28, 28), y
        self.transform = data.torchvision().transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int):
        return self.transform(Image.fromarray(self.pixels[i].numpy())).reshape(784), int(self.y[i])


def step(optimizer, loss) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def original_net(net, optimizer, train, test) -> None:
    for x, y in train:
        step(optimizer, F.cross_entropy(net(x), y))
    with torch.no_grad():
        sum((net(x).argmax(1) == y).sum() for x, y in test)


def original_plane(net, plane, optimizer, train) -> None:
    for x, _ in train:
        with torch.no_grad():
            h = net.features(x)
        step(optimizer, F.mse_loss(plane(h), h))
    with torch.no_grad():
        rows = torch.empty(0, 49)
        for x, _ in train:
            rows = torch.vstack((rows, net.features(x)))
        F.mse_loss(plane(rows), rows)
        for i in range(49):
            without, only = rows.clone(), torch.zeros_like(rows)
            without[:, i] = 0
            F.mse_loss(plane(without), rows)
            only[:, i] = rows[:, i]
            plane(only)  # the original decodes here too and drops the result
            plane.encode(only).mean(0)


def timed(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    torch.set_num_threads(1)
    images = data.load_mnist().first(IMAGES)
    images = replace(images, test_x=images.test_x[: IMAGES // 6], test_y=images.test_y[: IMAGES // 6])
    train = torch.utils.data.DataLoader(Samples(images.train_x, images.train_y), batch_size=64, shuffle=True)
    test = torch.utils.data.DataLoader(Samples(images.test_x, images.test_y), batch_size=64)
    net, plane = sp.FeatureNet(), sp.PlaneAutoencoder()  # one pair for both ways: equal work
    adam_net, adam_plane = torch.optim.Adam(net.parameters(), 1e-3), torch.optim.Adam(plane.parameters(), 1e-4)
    once = replace(sp.FeatureConfig(), epochs=1), replace(sp.PlaneConfig(), epochs=1)
    ways = {
        "classifier": (
            lambda: original_net(net, adam_net, train, test),
            lambda: sp.train_feature_net(net, images, once[0], 0),
        ),
        "autoencoder": (
            lambda: original_plane(net, plane, adam_plane, train),
            lambda: sp.train_plane(plane, images, once[1], 0, net),
        ),
    }
    seconds = {}
    for what, (original, ours) in ways.items():
        ours()  # the first optimizer imports what it needs
        turns = [(timed(original), timed(ours)) for _ in range(ROUNDS)]
        seconds[what] = [statistics.median(way) for way in zip(*turns, strict=True)]
    seconds["both"] = [sum(way) for way in zip(*seconds.values(), strict=True)]
    for what, (original, ours) in seconds.items():
        print(f"{what}: original {original:.2f} s, ours {ours:.2f} s of processor time: {original / ours:.1f} times")
    return int(original / ours < BAR)


if __name__ == "__main__":
    sys.exit(main())
