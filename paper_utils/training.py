"""Training: the generators' seeds, the one fit loop, and weights on disk."""

import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from paper_utils.files import replacing
from paper_utils.progress import progress

History = dict[str, list]  # of numbers, or of nested lists of them


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under torch's global generators seeded with `seed`; they are as before afterwards.

    For building models: torch's default initialisation draws from the global generator.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def device_of(model: torch.nn.Module) -> torch.device:
    """The device that a model's parameters lie on."""
    return next(model.parameters()).device


def check_device(name: str) -> None:
    """A ValueError for a DEVICE that torch does not find here, which names those that it finds."""
    here = ["cpu"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        here += [kind, *(f"{kind}:{i}" for i in range(torch.accelerator.device_count()))]
    if name not in here:
        raise ValueError(f"DEVICE is {name!r}, but torch {torch.__version__} finds only {', '.join(here)} here")


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
    after_step: Callable[[], None] | None = None,
    each_epoch: Callable[[int], Mapping[str, float]] | None = None,
    label: str = "training",
) -> History:
    """Minimise `loss` over mini-batches of `tensors`, which share their first axis.

    Args:
        loss: called with one batch of each tensor; returns the scalar to minimise, or that and further terms to record.
        seed: of the shuffling, and of whatever noise `loss` draws from torch's global generator.
        shuffle: False takes the batches in stored order.
        scheduler: stepped once after each epoch.
        before_step, after_step: called before and after the optimiser's step, to change gradients and weights.
        each_epoch: called with the number of epochs done; returns metrics to record.

    Returns: per epoch "lr" (as used), "loss" and each term (mean over its batches), each metric; per step "step_loss".
    Raises: ValueError for tensors of different length, no data, or a batch size below 1; FloatingPointError, which
        names the epoch, where the loss is no longer finite.
    """
    lengths = {len(t) for t in tensors}
    if len(lengths) != 1 or lengths == {0} or batch_size < 1:
        got = f"lengths {[len(t) for t in tensors]} and batch size {batch_size}"
        raise ValueError(f"fit: needs tensors of one common length above 0 and a batch size of at least 1, got {got}")
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
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                if before_step is not None:
                    before_step()
                optimizer.step()
                if after_step is not None:
                    after_step()
                # .item() here would wait for a GPU at every step: read once per epoch instead.
                losses.append(value.detach())
                for name, term in extra.items():
                    terms.setdefault(name, []).append(term.detach())
            if scheduler is not None:
                scheduler.step()
            history["step_loss"] += torch.stack(losses).tolist()
            means = {name: torch.stack(values).mean().item() for name, values in {"loss": losses, **terms}.items()}
            if not math.isfinite(value := means["loss"]):
                raise FloatingPointError(f"{label}: the loss is {value} in epoch {epoch}: lower the learning rate")
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


def one_thread(function: Callable) -> Callable:
    """Decorate a function so that torch takes one thread in it.

    For decompositions of many small matrices: with several threads each waits for the others, beside other programs
    for up to a hundred times as long.
    """

    @functools.wraps(function)
    def alone(*args: object, **kwargs: object) -> object:
        with threads(1):
            return function(*args, **kwargs)

    return alone


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Turn Ctrl-C into one message and exit status 130, in commands that `save_run` on the way."""
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from its last checkpoint", file=sys.stderr)
        sys.exit(130)


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
    """Put a run back where `save_run` left it; steps done and history. ValueError: damaged, or of another recipe."""
    state, metadata = load_weights(path)
    if metadata.get("recipe") != recipe:
        other = f"{path} holds a run of {metadata.get('recipe')}, this is {recipe}"
        raise ValueError(f"load_run: {other}: resume with the same recipe or remove the file")
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    names = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        loaded = optimizer.state_dict()
        for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            prefix = names[parameter] + "/"
            loaded["state"][index] = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        optimizer.load_state_dict(loaded)  # which brings each value to its parameter's device
    return int(metadata["step"]), json.loads(metadata["history"])


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata as safetensors: beside the target first, then renamed, so never half a file."""
    with replacing(path) as beside:
        save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, beside, dict(metadata))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; FileNotFoundError or, where it is damaged, ValueError names it."""
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}): remove it to train anew") from error
