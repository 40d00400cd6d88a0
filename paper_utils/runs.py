"""Trainings done once: each is kept by recipe, data and code, and what is missing is trained side by side.

Here that means processes of this machine, as many as torch has threads; with the environment variable
SCHEDULER=tcp://host:port it means the workers of a Dask cluster. Each training has one thread in either case: steps as
small as ours gain nothing from a second one, and the result does not depend on how many cores a machine has.
"""

import ast
import functools
import hashlib
import inspect
import json
import math
import os
import platform
import re
import signal
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import ModuleType

import cloudpickle
import numpy as np
import torch
from loky import ProcessPoolExecutor
from torch import Tensor, nn

from paper_utils import training
from paper_utils.files import ROOT, digest

Row = Mapping[str, float | str]  # the measures of one model
USED: dict[str, str] = {}  # files of build/weights/ that this process asked for: "trained" by it, or "kept" before
PATIENCE = 5  # seconds for a scheduler, and then for its first worker, to answer


def cached(
    train: Callable[..., training.History], calls: Iterable[tuple], data: object = None
) -> list[tuple[nn.Module, training.History]]:
    """Train each call's model in place, or bring it to the weights that an equal call gave before.

    Args:
        train: train(model, data, *rest) -> history trains the model in place; train(model, *rest) where there is no
            data. It runs in another process, to which its arguments are copied; a function of a notebook works too.
        calls: (model, *rest) each, with an untrained model. Put the longest first.
        data: what all calls read, `data.Images` for example.

    Returns:
        Model and history of each call. Both are kept under build/weights/ as safetensors, never a pickle; the history
        travels in the file's metadata as JSON.

    Raises:
        Whatever a training raised, after the others have ended and are kept; notes name the calls that failed.
        RuntimeError: a worker died, or it has another version of the code or of torch.
        ConnectionError: no scheduler, or no worker of it, answers.

    Example:
        >>> calls = [(BilinearMLP(config, seed), recipe, seed) for seed in (0, 1, 2)]
        >>> (model, history), *others = cached(bilinear.train, calls, images)
    """
    calls = [_Call(train, model, tuple(rest)) for model, *rest in calls]
    found = _results(calls, data)
    for call, (state, _) in zip(calls, found, strict=True):
        call.model.load_state_dict(state)
    return [(call.model, json.loads(said["result"])) for call, (_, said) in zip(calls, found, strict=True)]


def measured(
    run: Callable[..., Row | list[Row]], points: Iterable[Mapping[str, object]], data: object = None
) -> list[tuple[Row | list[Row], dict[str, str]]]:
    """Call run(data, **point), or run(**point) where there is no data, for each point that was not measured before.

    Args and errors as for `cached`.

    Returns:
        Of each point what run returned, a row or a list of rows (one for each model of a batch, say), and the machine
        that measured it (versions, processor).

    Raises:
        ValueError: a measure that is neither a finite number nor a text; shows it.
    """
    found = _results([_Call(run, point=dict(point)) for point in points], data)
    return [(json.loads(said["result"]), json.loads(said["machine"])) for _, said in found]


@dataclass(frozen=True, eq=False)
class _Call:
    function: Callable
    model: nn.Module | None = None
    rest: tuple = ()
    point: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        told = self.point or [each for each in self.rest if isinstance(each, (int, float, str)) or is_dataclass(each)]
        return f"{self.function.__name__}, {told}"

    def path(self, data: object) -> Path:
        arguments = [self.model, *self.rest, *self.point.values()]
        classes = [type(a) for a in arguments if _ours(type(a))]
        told = [identity([self.model, self.rest, self.point, data]), code(self.function, *classes)]
        key = hashlib.sha256(repr([*told, torch.__version__]).encode()).hexdigest()[:16]
        name = f"{self.function.__module__.rpartition('.')[2]}-{self.function.__name__}"
        return ROOT / "build" / "weights" / f"{name}-{key}.safetensors"

    def __call__(self, data: object) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Train or measure on one thread; the trained weights, and the texts that are kept beside them."""
        given = [each for each in (self.model, data) if each is not None]
        # Two calls in one process (a Dask worker with several threads) would draw from one global generator.
        with _ALONE, training.threads(1):
            result = self.function(*given, *self.rest, **self.point)
        for row in () if self.model is not None else result if isinstance(result, list) else [result]:
            if not all(isinstance(v, str) or (isinstance(v, (int, float)) and math.isfinite(v)) for v in row.values()):
                raise ValueError(f"{self}: a measure must be a finite number or a text, got {row}")
        machine = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
        machine |= {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "system": platform.system()}
        state = {} if self.model is None else {k: v.detach().cpu() for k, v in self.model.state_dict().items()}
        return state, {"result": json.dumps(result), "machine": json.dumps(machine), "call": str(self)}


_ALONE = threading.Lock()


# ---- What an equal call is


def identity(value: object) -> str:
    """A text that two arguments share if and only if a training cannot tell them apart.

    Models count by their weights and public attributes, tensors by their content, functions by their source, a data
    set by where it is from, its files' hashes and its shapes.

    Raises:
        TypeError: an object that only its address in memory tells from others.
    """
    if isinstance(value, nn.Module):
        public = [{k: identity(v) for k, v in vars(m).items() if k[0] != "_"} for m in value.modules()]
        return f"{type(value).__qualname__}({public}, {identity(dict(value.state_dict()))})"
    if isinstance(value, Tensor):
        content = hashlib.sha256(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()).hexdigest()
        return f"{value.dtype}{tuple(value.shape)}{content} on {value.device}"
    if hasattr(value, "files") and hasattr(value, "source"):
        shapes = [getattr(v, "shape", None) for v in vars(value).values()]
        return repr((value.source, sorted(value.files.items()), shapes))
    if _is_value(value):
        return f"{type(value).__qualname__}({[(f.name, identity(getattr(value, f.name))) for f in fields(value)]})"
    if isinstance(value, Mapping):
        return str({identity(k): identity(v) for k, v in value.items()})
    if isinstance(value, (list, tuple, range)):
        return str([identity(v) for v in value])
    if inspect.isfunction(value) or isinstance(value, type):
        return code(value)
    if " at 0x" in repr(value):
        raise TypeError(f"runs: {value!r} has no content to tell it by: pass numbers, dataclasses, tensors or modules")
    return repr(value)


def _is_value(thing: object) -> bool:
    return is_dataclass(thing) and not isinstance(thing, type)


def _ours(thing: Callable) -> bool:
    """Whether a function or class is neither Python's nor an installed package's, whose versions the lock fixes."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None) or ""
    installed = "site-packages" in file or file.startswith(sysconfig.get_path("stdlib"))
    return thing.__module__ == "__main__" or bool(file and not installed)


def code(*things: Callable) -> str:
    """The hash of the source of functions and classes and of all that they name outside of installed packages.

    Comments and docstrings do not count. What is reached through an argument only (a method of an unknown object) is
    not followed: `cached` adds the classes of its arguments.
    """
    found: dict[str, str] = {}
    todo = [inspect.unwrap(thing) for thing in things]
    while todo:
        thing = todo.pop()
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name not in found and _ours(thing):
            found[name], named = _source(thing)
            todo += [inspect.unwrap(each) for each in named if inspect.isroutine(each) or isinstance(each, type)]
            constants = [v for v in named if isinstance(v, (int, float, str, tuple, list, dict)) or _is_value(v)]
            found |= {f"{name}: {identity(constant)}": "" for constant in constants}
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


@functools.cache  # so that a file edited during a long run does not change what is thought to run
def _source(thing: Callable) -> tuple[str, list[object]]:
    """The source of a function or class without comments and docstrings, and the values of the names in it."""
    scope = dict(vars(sys.modules[thing.__module__]))
    if inspect.isfunction(thing):
        scope |= inspect.getclosurevars(thing).nonlocals
    if thing.__name__ == "<lambda>":  # whose source is the whole line that it stands in
        compiled = thing.__code__
        return f"{compiled.co_code.hex()} {compiled.co_consts}", [scope.get(name) for name in compiled.co_names]
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    named = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
        if isinstance(node, ast.Name):
            named.append(scope.get(node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = scope.get(node.value.id)
            named.append(getattr(owner, node.attr, None) if isinstance(owner, ModuleType) else None)
    return ast.unparse(tree), named


# ---- Doing what is missing


def _results(calls: Sequence[_Call], data: object) -> list[tuple[dict[str, Tensor], dict[str, str]]]:
    """Weights and metadata of each call, from build/weights/ or by doing it; each is kept as soon as it is done."""
    paths = [call.path(data) for call in calls]
    missing = {path: call for path, call in zip(paths, calls, strict=True) if not path.exists()}
    for path in paths:
        USED.setdefault(path.name, "trained" if path in missing else "kept")
    errors: list[Exception] = []

    def keep(path: Path, outcome: Callable[[], tuple[dict[str, Tensor], dict[str, str]]]) -> None:
        try:
            training.save_weights(path, *outcome())
        except Exception as error:
            error.add_note(f"runs: {missing[path]}: {error!r}")
            errors.append(error)

    scheduler, n = os.environ.get("SCHEDULER", ""), min(torch.get_num_threads(), len(missing))
    if missing and (scheduler or n > 1):
        report = training.progress(len(missing), "trainings done")
        with (_cluster if scheduler else _processes)(data, scheduler, n) as submit:
            waiting = {submit(call): path for path, call in missing.items()}
            for done, future in enumerate(as_completed(waiting), 1):
                keep(waiting[future], future.result)
                report(done)
    else:
        for path, call in missing.items():
            keep(path, functools.partial(call, data))
    if errors:
        notes = dict.fromkeys(note for error in errors for note in error.__notes__)
        errors[0].__notes__ = [*notes, "runs: what ended well is kept, the same command goes on with the rest"]
        raise errors[0]
    return [training.load_weights(path) for path in paths]


@contextmanager
def _processes(data: object, _: str, n: int) -> Iterator[Callable[[_Call], Future]]:
    """Processes of this machine. They end with the block, however it ends, and with this process, however that ends."""
    # As bytes: torch would send a tensor through /dev/shm, which is 64 MB in many containers.
    pool = ProcessPoolExecutor(n, initializer=_prepare, initargs=(os.getpid(), cloudpickle.dumps(data)))
    try:
        yield lambda call: pool.submit(_work, cloudpickle.dumps(call))
    except BaseException:
        pool.shutdown(kill_workers=True)
        raise
    pool.shutdown()


_DATA: object = None  # in a process of `_processes`: the data set of its calls


def _prepare(parent: int, data: bytes) -> None:
    global _DATA
    _DATA = cloudpickle.loads(data)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: the parent tells of it, this process only ends
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    # A kernel that is killed, as Ctrl-C does, cannot tell its processes to stop: they would train on for minutes.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(call: bytes, data: bytes | None = None, expected: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
    """What a worker does with a call; `data` and `expected` are given where it is a cluster's."""
    if expected and expected != _version():
        raise RuntimeError(
            f"this worker has {_version()}, the machine that asked has {expected}: they must be the same"
        )
    # Progress of several processes would only overwrite each other's line.
    os.environ.setdefault("PAPER_PROGRESS", os.devnull)
    return cloudpickle.loads(call)(_DATA if data is None else cloudpickle.loads(data))


@functools.cache  # of the code as it was loaded, however long this process runs
def _version() -> str:
    here = Path(__file__).parent.parent
    package = "".join(
        digest(path) or "" for name in ("paper_utils", "sweeps") for path in sorted(here.glob(f"{name}/*.py"))
    )
    return f"code {hashlib.sha256(package.encode()).hexdigest()[:12]} and torch {torch.__version__}"


@contextmanager
def _cluster(data: object, scheduler: str, _: int) -> Iterator[Callable[[_Call], Future]]:
    """The workers of a Dask scheduler, which starts the calls of a worker that dies again on another.

    Raises:
        ModuleNotFoundError: Dask is not installed; says how to install it.
        ConnectionError: the scheduler, or its first worker, does not answer within `PATIENCE` seconds.
    """
    check_scheduler(scheduler)
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"SCHEDULER={scheduler} needs Dask, and {error.name} is not installed: pip install '.[cluster]'"
        ) from error
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except OSError as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {scheduler} within {PATIENCE} s: start one there (`dask scheduler`)"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ConnectionError(
                f"the scheduler at {scheduler} has no worker: start some (`dask worker {scheduler} --nthreads 1`)"
            ) from error
        packed = cloudpickle.dumps(data)
        # What is scattered is lost with the last worker that holds it; small things travel with their call.
        shared = packed if data is None else client.scatter(packed, broadcast=True)
        with client.get_executor(pure=False) as pool:
            yield lambda call: pool.submit(_work, cloudpickle.dumps(call), shared, _version())


def check_scheduler(address: str) -> None:
    """Refuse a SCHEDULER that is no address: a ValueError says what one looks like."""
    if not re.fullmatch(r"(tcp|tls)://[^/:\s]+:\d+", address):
        raise ValueError(f"SCHEDULER={address}: must be tcp://host:port, as in SCHEDULER=tcp://127.0.0.1:8786")
