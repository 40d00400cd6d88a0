"""Training: seeds, the one fit loop, progress, and weights cached by recipe, data and code."""

import hashlib
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import joblib
import torch
from joblib.externals.loky import get_reusable_executor
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from paper_utils.files import ROOT, replacing

History = dict[str, list[float]]
USED: dict[str, str] = {}  # files in build/weights/ that `cached` gave out: "trained" by this process, or "kept" before


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under torch's global generators seeded with `seed`; they are as before afterwards.

    For building models: torch's default initialisation draws from the global generator.

    Example:
        >>> with seeded(0):
        ...     layer = torch.nn.Linear(2, 2)
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def check_device(name: str) -> None:
    """Refuse a notebook's DEVICE that torch does not find here, before anything is loaded.

    Raises:
        ValueError: names it and those that are here.
    """
    here = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        here += [kind, *(f"{kind}:{i}" for i in range(torch.accelerator.device_count()))]
    if name not in here:
        raise ValueError(f"DEVICE is {name!r}, but torch {torch.__version__} finds only {', '.join(here)} here")


def progress(total: int, label: str) -> Callable[..., None]:
    """A function `report(step, **metrics)` that shows how far a training is.

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


def fit(
    loss: Callable[..., Tensor | tuple[Tensor, Mapping[str, Tensor]]],
    tensors: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    before_step: Callable[[], None] | None = None,
    each_epoch: Callable[[int], Mapping[str, float]] | None = None,
    label: str = "training",
) -> History:
    """Minimise `loss` over mini-batches of `tensors`, which share their first axis.

    Args:
        loss: called with one batch of each tensor; returns the loss to minimise, or that and a mapping of further
            scalar terms to record. A loss that needs no gradient has written the gradients itself.
        seed: of the shuffling, and of whatever noise `loss` draws from torch's global generator.
        shuffle: False takes the batches in stored order.
        scheduler: stepped once after each epoch.
        before_step: called between backward and the optimiser's step, to change gradients.
        each_epoch: called with the number of epochs done; returns metrics to record.

    Returns:
        Per epoch: "lr" (as used), "loss" and each term (mean over the epoch's batches), each metric; per step:
        "step_loss".

    Raises:
        ValueError: tensors of different length, no data, or a batch size below 1.
        FloatingPointError: the loss is no longer finite; names the epoch.
    """
    lengths = {len(t) for t in tensors}
    if len(lengths) != 1 or lengths == {0} or batch_size < 1:
        raise ValueError(
            f"fit: needs tensors of one common length above 0 and a batch size of at least 1, got lengths "
            f"{[len(t) for t in tensors]} and batch size {batch_size}"
        )
    n, device = lengths.pop(), tensors[0].device
    history: History = {"lr": [], "loss": [], "step_loss": []}
    order_rng = torch.Generator().manual_seed(seed)
    report = progress(epochs, label)
    with seeded(seed):
        for epoch in range(1, epochs + 1):
            history["lr"].append(optimizer.param_groups[0]["lr"])
            order = torch.randperm(n, generator=order_rng).to(device) if shuffle else None
            losses, terms = [], {}
            for start in range(0, n, batch_size):
                stop = start + batch_size
                rows = slice(start, stop) if order is None else order[start:stop]
                batch = [t[rows] if order is None else t.index_select(0, rows) for t in tensors]
                out = loss(*batch)
                value, extra = out if isinstance(out, tuple) else (out, {})
                if value.requires_grad:
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                if before_step is not None:
                    before_step()
                optimizer.step()
                # .item() here would wait for a GPU at every step: read once per epoch instead.
                losses.append(value.detach())
                for name, term in extra.items():
                    terms.setdefault(name, []).append(term.detach())
            if scheduler is not None:
                scheduler.step()
            history["step_loss"] += torch.stack(losses).tolist()
            means = {name: torch.stack(values).mean().item() for name, values in {"loss": losses, **terms}.items()}
            if means["loss"] != means["loss"] or means["loss"] in (float("inf"), float("-inf")):
                raise FloatingPointError(
                    f"{label}: the loss is {means['loss']} in epoch {epoch}: lower the learning rate"
                )
            metrics = {**means, **(each_epoch(epoch) if each_epoch else {})}
            for name, metric in metrics.items():
                history.setdefault(name, []).append(metric)
            report(epoch, **metrics)
    return history


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run a block with torch on `n` threads; afterwards it has as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def going_on_later() -> Iterator[None]:
    """For commands that train for long and `save_run` on the way: Ctrl-C ends them with a word, not a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from its last checkpoint", file=sys.stderr)
        sys.exit(130)


@dataclass(frozen=True)
class Run:
    """A training, for `cached`.

    Args:
        name: starts the weights' file name, for people.
        recipe: configs and seeds, told apart by their repr.
        files: the data's hashes (`Images.files`).
        code: modules or functions whose source decides the result: a changed line trains anew.
        train: called with `tensors`; returns the state dict and the history. It may be called in another process, so
            that what it refers to is copied there.
        tensors: what is large; processes share it.
    """

    name: str
    recipe: object
    files: Mapping[str, str]
    code: Sequence[ModuleType | Callable]
    train: Callable[..., tuple[Mapping[str, Tensor], History]]
    tensors: Sequence[Tensor] = ()

    @property
    def path(self) -> Path:
        sources = [inspect.getsource(c) for c in (fit, _train, *self.code)]
        key = repr((self.recipe, sorted(self.files.items()), sources, torch.__version__))
        return ROOT / "build" / "weights" / f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


def cached(*runs: Run) -> list[tuple[dict[str, Tensor], History]]:
    """State dict and history of each run, from build/weights/, or by training where it was not trained before.

    Each training has one thread: steps as small as ours gain nothing from a second, and then its result does not depend
    on how many cores there are. As many as torch has threads here go side by side, each in a process of its own; put
    the longest first. Weights are safetensors, never a pickle; the history travels in the file's metadata.
    """
    paths = [run.path for run in runs]
    missing = {path: run for path, run in zip(paths, runs, strict=True) if not path.exists()}
    for path in paths:
        USED.setdefault(path.name, "kept" if path.exists() else "trained")
    n = min(len(missing), torch.get_num_threads())
    if n > 1:
        # As arrays, each made once: joblib puts an array into a file that all processes map, a tensor it would copy.
        arrays = {id(t): t.detach().cpu().numpy() for run in missing.values() for t in run.tensors}
        calls = (
            joblib.delayed(_train_apart)(path, repr(run.recipe), run.train, [arrays[id(t)] for t in run.tensors])
            for path, run in missing.items()
        )
        report = progress(len(missing), "trainings done")
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n, return_as="generator_unordered", batch_size=1, mmap_mode="c")
            for done, _ in enumerate(parallel(calls), 1):
                report(done)
        get_reusable_executor().shutdown()  # else they wait for more, with all their memory
    else:
        for path, run in missing.items():
            _train(path, repr(run.recipe), run.train, run.tensors)
    loaded = [load_weights(path) for path in paths]
    return [(state, json.loads(metadata["history"])) for state, metadata in loaded]


def _train(path: Path, recipe: str, train: Callable, tensors: Sequence[Tensor]) -> None:
    with threads(1):
        state, history = train(*tensors)
    save_weights(path, state, {"history": json.dumps(history), "recipe": recipe})


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _train_apart(path: Path, recipe: str, train: Callable, arrays: Sequence) -> None:
    # A kernel that is killed, as Ctrl-C does, cannot tell its processes to stop: they would train on for minutes.
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Where no runner reads it, progress of several processes would only overwrite each other's line.
    os.environ.setdefault("PAPER_PROGRESS", os.devnull)
    _train(path, recipe, train, [torch.from_numpy(array) for array in arrays])


def save_run(
    path: Path,
    recipe: str,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    history: Mapping,
) -> None:
    """Write what a run needs to go on: weights, the optimisers' state (as `parameter/key`), steps done, history."""
    state = dict(model.state_dict())
    for name, parameter in model.named_parameters():
        for optimizer in optimizers:
            state |= {f"{name}/{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    save_weights(path, state, {"recipe": recipe, "step": str(step), "history": json.dumps(history)})


def load_run(
    path: Path, recipe: str, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[int, dict[str, list]]:
    """Put a run back where `save_run` left it; returns the steps done and the history.

    Raises:
        ValueError: the file is damaged, or of another recipe.
    """
    state, metadata = load_weights(path)
    if metadata.get("recipe") != recipe:
        raise ValueError(
            f"load_run: {path} holds a run of {metadata.get('recipe')}, this is {recipe}: resume with the same recipe "
            "or remove the file"
        )
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            prefix = names[parameter] + "/"
            optimizer.state[parameter] = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return int(metadata["step"]), json.loads(metadata["history"])


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata as safetensors: beside the target first, then renamed, so never half a file."""
    with replacing(path) as beside:
        save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, beside, dict(metadata))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or no safetensors file; names it.
    """
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): remove it to train anew") from error
