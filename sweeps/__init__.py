"""Trainings too many for one notebook: a file for each subject, with one or several `Sweep`s in it.

What a sweep and a notebook both compute stands in paper_utils. Sweeps train in free numerics, where nothing else is
asked for: their findings hold over runs and do not lean on bits, and each table's provenance says how it was made.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

os.environ.setdefault("PAPER_NUMERICS", "free")  # before paper_utils is imported anywhere here


@dataclass(frozen=True)
class Sweep:
    """A training repeated over a grid, as figures/sweeps/<name>.csv holds it.

    Each point of the grid is a dict with one value for each name. build(**point) returns the untrained models as one
    nn.Module (an nn.ModuleList of several), train(models, data, **point) trains them in place and returns the history,
    and measure(models, history, data, **point) returns a row of measures, or a list of rows, from the models on the
    CPU. `data` is left out of both calls where `load` is None. Trained weights are kept (`runs.cached`), measures are
    taken again each time.
    """

    name: str  # begins with the name of the notebook that reads it
    why: str  # the question, what is repeated, and what the columns are
    version: int  # raised by hand when a change of code changes the weights: tests/test_golden.py says when
    grid: Mapping[str, Sequence]
    build: Callable
    train: Callable
    measure: Callable
    load: Callable | None = None
