"""A training and the token spectra beside two busy processes: how many times as long as alone.

Two processes count without an end while each piece of work is done again, with as many threads as torch takes where a
notebook is opened by hand; the training has one, as in `runs`. On two cores a piece on one thread takes about twice as
long, one whose threads wait for each other up to a hundred times. Exits with 1 where a ratio is above 3.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import torch

from paper_utils import bilinear, data, training, transformer

BAR, IMAGES, TOKENS = 3.0, 6_000, 1_024


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    # Numbers at random take as long as images, and need no data set.
    x, y = torch.rand(IMAGES, 784), torch.randint(10, (IMAGES,))
    images = data.Images(x, y, x[:1], y[:1], source="random", files={})
    mlp, language = (
        bilinear.BilinearMLP(bilinear.BilinearConfig(), 0),
        transformer.BilinearTransformer.from_pretrained(transformer.RELEASED),
    )
    recipe = bilinear.BilinearRecipe(warmup=0, decay=2, constant=0)
    works = {
        "a training of the bilinear MLP": lambda: training.one_thread(bilinear.train)(mlp, images, recipe, seed=0),
        f"the spectra of {TOKENS:,} tokens": lambda: transformer.token_spectra(language, torch.arange(TOKENS)),
    }
    alone = {}
    for name, work in works.items():
        work()  # the first time warms up
        alone[name] = seconds(work)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        beside = {name: seconds(work) for name, work in works.items()}
    finally:
        for process in busy:
            process.kill()
    for name, taken in beside.items():
        ratio = taken / alone[name]
        print(f"busy: {name} {alone[name]:.1f} s alone, {taken:.1f} s beside two: {ratio:.1f} times (bar {BAR})")
    return int(any(taken / alone[name] > BAR for name, taken in beside.items()))


if __name__ == "__main__":
    sys.exit(main())
