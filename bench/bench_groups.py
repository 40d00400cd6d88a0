"""One full-batch epoch of D_53, beside the original's way and the matrix products that an epoch cannot do without.

The original's way gathers both embeddings of every training pair, puts them side by side, multiplies by the 512-wide
W and steps by an unfused AdamW; ours makes one product for each element and half of W. The ways take turns in one run,
so that a busy machine slows all of them alike. Exits with 1 where the original's way takes less than 3.5 times as long
as ours, or ours more than 1.4 times as long as its products.
"""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

from paper_utils import groups

FASTER, TIMES_PRODUCTS, ROUNDS, EPOCHS = 3.5, 1.4, 9, 10


def main() -> int:
    # One thread: with several, a busy neighbour on the machine decides how long each waits for the others.
    torch.set_num_threads(1)
    group, recipe = groups.DihedralGroup(53), groups.GroupTraining(epochs=EPOCHS)
    model, plain = groups.GroupMLP(group.order), groups.GroupMLP(group.order)
    shown = dict.fromkeys(groups.measure(model, group, group.table > 0), 0.0)

    def ours() -> None:  # the curves are measured every 200 epochs: no part of an epoch's time
        groups.train(model, group, recipe, each_log=lambda *_: shown)

    decay = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimizer = torch.optim.AdamW(plain.parameters(), fused=False, foreach=False, **decay)
    train = groups.train_pairs(group.order, recipe.fraction, recipe.seed)
    pairs, labels = train.nonzero(), group.table[train]

    def original() -> None:
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            F.cross_entropy(plain(pairs), labels).backward()
            optimizer.step()

    hidden, logits, w_u = torch.randn(11236, 128), torch.randn(11236, 106), torch.randn(128, 106)
    embedding, half, before = torch.randn(106, 256), torch.randn(256, 128), torch.randn(106, 128)

    def products() -> None:
        for _ in range(EPOCHS):
            _ = hidden @ w_u, logits @ w_u.T, hidden.T @ logits
            for _ in range(2):  # x and y
                _ = embedding @ half, before @ half.T, embedding.T @ before

    ways = (ours, original, products)
    times = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            began = time.perf_counter()
            way()
            times[way].append((time.perf_counter() - began) / EPOCHS)
    for way, values in times.items():
        print(f"groups: {way.__name__:9} {1e3 * statistics.median(values):7.1f} ms an epoch")
    faster = statistics.median(o / m for m, o in zip(times[ours], times[original], strict=True))
    over = statistics.median(m / p for m, p in zip(times[ours], times[products], strict=True))
    print(f"groups: the original's way takes {faster:.1f} times ours (bar {FASTER})")
    print(f"groups: ours takes {over:.2f} times its own matrix products (bar {TIMES_PRODUCTS})")
    return int(faster < FASTER or over > TIMES_PRODUCTS)


if __name__ == "__main__":
    sys.exit(main())
