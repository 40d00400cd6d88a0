"""How far a training is, for the person who waits. A module of its own, since it decides no weight: `runs` skips it."""

import os
import time
from collections.abc import Callable

from tqdm import tqdm


def progress(total: int, label: str) -> Callable[..., None]:
    """Return a function report(step, **metrics) that shows how far a training is.

    Under the runner it goes to the terminal that started the run; called by a person, to a tqdm bar on stderr.
    Nothing of it stays in a notebook's outputs when the runner executes it.
    """
    path = os.environ.get("PAPER_PROGRESS")
    bar = None if path else tqdm(total=total, desc=label, leave=False)
    last = -1.0

    def report(step: int, **metrics: float) -> None:
        nonlocal last
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        if bar is not None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(step - bar.n)
            if step >= total:
                bar.close()
        elif step >= total or time.monotonic() - last > 0.5:
            last = time.monotonic()
            with open(path, "a") as file:
                file.write(f"{label} {step}/{total}  {text}\n")

    return report
