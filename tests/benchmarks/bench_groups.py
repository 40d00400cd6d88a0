"""One full-batch epoch of D_53: ours against the seed's way, alternating in one run; exits 1 below 5 times.

The seed's way: gather both embeddings of every training pair, put them side by side, multiply by the 512-wide W,
autograd, unfused AdamW. Ours: one product per element and half of W, the gradient by hand in strips, fused AdamW.
"""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

from paper_utils import groups

BAR, ROUNDS = 5.0, 25


def main() -> int:
    # One thread: with several, a busy neighbour on the machine decides how long each waits for the others.
    torch.set_num_threads(1)
    group, recipe = groups.DihedralGroup(53), groups.GroupTraining()
    train = groups.train_pairs(group.order, recipe.fraction, recipe.seed)
    decay = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}

    model = groups.GroupMLP(group.order)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True, **decay)
    gradient = groups.table_gradient(model, group.table, train)

    def ours() -> None:
        gradient()
        optimizer.step()

    plain = groups.GroupMLP(group.order)
    plain_optimizer = torch.optim.AdamW(plain.parameters(), fused=False, foreach=False, **decay)
    pairs, labels = train.nonzero(), group.table[train]

    def seed() -> None:
        plain_optimizer.zero_grad()
        F.cross_entropy(plain(pairs), labels).backward()
        plain_optimizer.step()

    def autograd() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model().flatten(0, 1), torch.where(train, group.table, -100).flatten()).backward()

    hidden, logits, w_u = torch.randn(11236, 128), torch.randn(11236, 106), torch.randn(128, 106)

    def floor() -> None:  # the three products that nobody can leave out: logits, and both gradients of them
        _ = hidden @ w_u, logits @ w_u.T, hidden.T @ logits

    ways = (ours, seed, floor, autograd)
    times = {way.__name__: [] for way in ways}
    for round_ in range(ROUNDS + 3):
        for way in ways:
            began = time.perf_counter()
            way()
            if round_ >= 3:
                times[way.__name__].append(time.perf_counter() - began)
    ratio = statistics.median(s / o for s, o in zip(times["seed"], times["ours"], strict=True))
    for name, values in times.items():
        print(f"groups: {name:9} {1e3 * statistics.median(values):7.1f} ms an epoch")
    print(f"groups: the seed's way takes {ratio:.1f} times ours (bar {BAR})")
    return int(ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
