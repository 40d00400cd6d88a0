"""The two-layer bilinear MLP of notebook 1 over hidden widths, with the noise and decay of its paper.

Pairs of models and measures as in sweeps/01_mnist_bilinear.py; the width of 300 is among that sweep's rows. The papers
go up to 1,000: `N` and another GRID do that, at eight times the time of 300.
"""

import importlib

from paper_utils import data
from paper_utils.bilinear import BilinearConfig, BilinearRecipe

pair = importlib.import_module("sweeps.01_mnist_bilinear").pair

GRID = {"d_hidden": [30, 100], "seed": range(20, 23)}
LOAD = data.load_mnist


def run(images: data.Images, d_hidden: int, seed: int, device: str = "cpu") -> list[dict]:
    """Train a pair of models of one width; a row for each."""
    return pair(images, BilinearConfig(d_hidden=d_hidden), BilinearRecipe(decay=6, constant=4), seed, device)
