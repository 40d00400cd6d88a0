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
import linecache
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import CodeType, ModuleType

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

        >>> calls = [(BilinearMLP(config, seed), recipe, seed) for seed in (0, 1, 2)]
        >>> (model, history), *others = cached(bilinear.train, calls, images)

    train(model, data, *rest), or train(model, *rest) where there is no data, trains the model in place and returns its
    history. It may run in another process, to which its arguments are copied; a function of a notebook works too. Each
    call is (model, *rest) with an untrained model, the longest first. Weights and history are kept under build/weights/
    as safetensors, never a pickle; the history travels in the file's metadata as JSON.

    Raises: whatever a training raised, after the others have ended and are kept, with notes that name the calls;
        RuntimeError where a worker died, or has another version of the code or of torch; ConnectionError where no
        scheduler, or no worker of it, answers.
    """
    calls = [_Call(train, model, tuple(rest)) for model, *rest in calls]
    if len({id(call.model) for call in calls}) < len(calls):
        raise ValueError("cached: one model stands in two calls, but each call trains its own: build one for each")
    found = _results(calls, data)
    for call, (state, _) in zip(calls, found, strict=True):
        call.model.load_state_dict(state)
    return [(call.model, json.loads(said["result"])) for call, (_, said) in zip(calls, found, strict=True)]


def measured(
    run: Callable[..., Row | list[Row]], points: Iterable[Mapping[str, object]], data: object = None
) -> list[tuple[Row | list[Row], dict[str, str]]]:
    """Call run(data, **point), or run(**point) where there is no data, for each point that was not measured before.

    Returns of each point what run returned, a row or a list of rows (one for each model of a batch, say), and the
    machine that measured it (versions, processor). Raises what `cached` does, and ValueError for a measure that is
    neither a finite number nor a text.
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

    def path(self, data: str) -> Path:
        """Where its result is kept; `data` is the identity of the data."""
        told = [identity([self.model, self.rest, self.point]), data, code(self.function), torch.__version__]
        key = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
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
    """A text that two arguments share only if a training cannot tell them apart.

    Arrays count by type, shape and content, functions and classes by their source (`code`), models and other objects
    of our own classes by class and attributes. Tensors also by device and by whether they are trained.

    Raises:
        TypeError: an object of an installed package, which has no content to tell it by.
    """
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        return f"{value.dtype} on {value.device}, trained: {value.requires_grad}, {value.shape}: {identity(content)}"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}"
    if isinstance(value, dict):
        return str({identity(k): identity(v) for k, v in value.items()})
    if isinstance(value, (list, tuple, range)):
        return str([identity(v) for v in value])
    if isinstance(value, (set, frozenset)):
        return str(sorted(identity(v) for v in value))
    if inspect.ismethod(value):
        return identity([value.__self__, value.__func__])
    if inspect.isroutine(value) or isinstance(value, type):
        return code(value)
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return repr(value.relative_to(ROOT))  # wherever this checkout lies
    if value is None or isinstance(value, (int, float, complex, str, bytes, Path, np.generic, torch.dtype)):
        return repr(value)
    if isinstance(value, nn.Module) or (_ours(type(value).__module__) and hasattr(value, "__dict__")):
        return identity([type(value), vars(value)])
    raise TypeError(f"runs: {value!r} has no content to tell it by: pass numbers, dataclasses, tensors or modules")


def _ours(module: str) -> bool:
    """Whether a module is neither Python's nor an installed package's, whose versions the lock fixes."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    # Debian's Python and Colab's say dist-packages.
    installed = re.search("/(site|dist)-packages/", file) or file.startswith(sysconfig.get_path("stdlib"))
    return module == "__main__" or bool(file and not installed)


def code(*things: Callable) -> str:
    """The hash of the source of functions and classes and of all that they name; of installed packages, of the name.

    Comments and docstrings do not count. What is reached through an argument only (a method of an unknown object) is
    not followed: `identity` adds the classes of arguments. A global object of an installed class does not count.
    """
    seen, told, todo = set(), [], list(things)
    while todo:
        if (thing := inspect.unwrap(todo.pop())) in seen:
            continue
        seen.add(thing)
        source, names = _source(thing) if _ours(thing.__module__) else ("", ())
        told.append(f"{thing.__module__}.{thing.__qualname__} {source}")
        # Looked up anew each time: a notebook may give a global name another value between two calls.
        scope, values = dict(vars(sys.modules[thing.__module__])) if source else {}, []
        if inspect.isfunction(thing) and source:
            scope = {k: v for k, v in scope.items() if k not in thing.__code__.co_varnames}
            scope |= inspect.getclosurevars(thing).nonlocals
            values = [thing.__defaults__, thing.__kwdefaults__]
        for first, *rest in (name.split(".") for name in names):
            value = scope.get(first)
            for name in rest:
                ours = isinstance(value, ModuleType) and _ours(value.__name__)
                value = getattr(value, name, None) if ours else None
            values.append(value)
        for value in values:
            if inspect.isroutine(value) or isinstance(value, type):
                todo.append(value)
            elif not isinstance(value, ModuleType):
                with suppress(TypeError):
                    told.append(identity(value))
    return hashlib.sha256(repr(sorted(told)).encode()).hexdigest()


@functools.cache  # so that a file edited during a long run does not change what is thought to run
def _source(thing: Callable) -> tuple[str, list[str]]:
    """The source of a function or class without comments and docstrings, and the (dotted) names in it."""
    if thing.__name__ == "<lambda>":  # whose source is the whole line that it stands in
        names = [*thing.__code__.co_names, *thing.__code__.co_freevars]
        return _compiled(thing.__code__), [*names, *(f"{a}.{b}" for a in names for b in names)]
    tree = _tree(thing)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    named = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute)))
    return ast.unparse(tree), [name for name in named if re.fullmatch(r"[\w.]+", name)]


def _tree(thing: Callable) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except OSError:
        # A class of a notebook, of which Python before 3.13 knows no source: it is in the cell of its methods.
        files = [f.__code__.co_filename for f in vars(thing).values() if inspect.isfunction(f)]
        cells = [ast.parse("".join(linecache.getlines(file))) for file in files]
        nodes = (node for cell in cells for node in ast.walk(cell) if isinstance(node, ast.ClassDef))
        return next((node for node in nodes if node.name == thing.__name__), ast.Module([], []))


def _compiled(code: CodeType) -> str:
    consts = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_freevars} {consts}"


# ---- Doing what is missing


def _results(calls: Sequence[_Call], data: object) -> list[tuple[dict[str, Tensor], dict[str, str]]]:
    """Weights and metadata of each call, from build/weights/ or by doing it; each is kept as soon as it is done."""
    told = identity(data)  # once: an image set is 220 MB
    paths = [call.path(told) for call in calls]
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
        raise RuntimeError(f"this worker has {_version()}, the machine that asked has {expected}: they must be equal")
    # Progress of several processes would only overwrite each other's line.
    os.environ["PAPER_PROGRESS"] = os.devnull
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
    """The workers of a Dask scheduler, which starts the calls of a worker that dies again on another."""
    check_scheduler(scheduler)
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        cure = f"{error.name} is not installed: pip install '.[cluster]'"
        raise ModuleNotFoundError(f"SCHEDULER={scheduler} needs Dask, and {cure}") from error
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except OSError as error:
        where = f"at {scheduler} within {PATIENCE} s: start one there (`dask scheduler`)"
        raise ConnectionError(f"no Dask scheduler answers {where}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            cure = f"start some (`dask worker {scheduler} --nthreads 1`)"
            raise ConnectionError(f"the scheduler at {scheduler} has no worker: {cure}") from error
        packed = cloudpickle.dumps(data)
        # What is scattered is lost with the last worker that holds it; small things travel with their call.
        shared = packed if data is None else client.scatter(packed, broadcast=True)
        with client.get_executor(pure=False) as pool:
            try:
                yield lambda call: pool.submit(_work, cloudpickle.dumps(call), shared, _version())
            except BaseException:
                pool.shutdown(wait=False)  # Ctrl-C: what has not ended is cancelled, else the end of the block waits
                raise


def check_scheduler(address: str) -> None:
    """Refuse a SCHEDULER that is no address: a ValueError says what one looks like."""
    if not re.fullmatch(r"(tcp|tls)://[^/:\s]+:\d+", address):
        raise ValueError(f"SCHEDULER={address}: must be tcp://host:port, as in SCHEDULER=tcp://127.0.0.1:8786")
