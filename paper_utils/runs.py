"""Trainings done once: each is kept by recipe, data and code, and what is missing is trained side by side.

Here that means processes of this machine, one a core; with the environment variable SCHEDULER=tcp://host:port it means
the workers of a Dask cluster. Each training has one thread in either case: steps as small as ours gain nothing from a
second one, and the result does not depend on how many cores a machine has.
"""

import ast
import functools
import hashlib
import inspect
import json
import os
import platform
import re
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType

import cloudpickle
import numpy as np
import torch
from loky import ProcessPoolExecutor
from torch import Tensor, nn

from paper_utils import numerics, training
from paper_utils.files import ROOT, digest, normalised
from paper_utils.progress import progress

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
    call is (model, *rest) with an untrained model, the longest first; a dict at its end holds keyword arguments.
    Weights and history are kept under build/weights/ as safetensors, never a pickle; the history travels in the file's
    metadata as JSON.

    Raises: whatever a training raised, after the others have ended and are kept, with notes that name the calls;
        RuntimeError where a worker died, or has another version of the code or of torch; ConnectionError where no
        scheduler, or no worker of it, answers.
    """
    return [(model, history) for model, history, _ in trained(train, calls, data)]


def trained(
    train: Callable[..., training.History], calls: Iterable[tuple], data: object = None
) -> list[tuple[nn.Module, training.History, dict[str, str]]]:
    """Do what `cached` does, and return with each model and history what trained it: versions and numerics."""
    prepared = []
    for model, *rest in calls:
        named = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        prepared.append(_Call(train, model, tuple(rest), named))
    if len({id(call.model) for call in prepared}) < len(prepared):
        raise ValueError("cached: one model stands in two calls, but each call trains its own: build one for each")
    found = _results(prepared, data)
    for call, (state, _) in zip(prepared, found, strict=True):
        call.model.load_state_dict(state)
    said = [{name: json.loads(told[name]) for name in ("result", "machine")} for _, told in found]
    return [(call.model, told["result"], told["machine"]) for call, told in zip(prepared, said, strict=True)]


def side_by_side(function: Callable, calls: Sequence[tuple], data: object = None) -> list:
    """Return function(*call) of each call, in processes of one thread each, one a core; nothing is kept.

    Where there is data, it comes first: function(data, *call). Raises what the first failing call raised.
    """
    prepared = [_Call(function, None, tuple(call)) for call in calls]
    if (n := min(numerics.processes(), len(prepared))) < 2:
        return [call.result(data) for call in prepared]
    with _processes(data, "", n) as submit:
        return [future.result() for future in [submit(call) for call in prepared]]


@dataclass(frozen=True, eq=False)
class _Call:
    function: Callable
    model: nn.Module | None  # None: a measure, whose result is returned and not kept
    rest: tuple = ()
    named: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        told = self.named or [each for each in self.rest if isinstance(each, (int, float, str)) or is_dataclass(each)]
        return f"{self.function.__name__}, {told}"

    def path(self, data: str) -> Path:
        """Return where its result is kept; `data` is the identity of the data."""
        told = [identity([self.model, self.rest, self.named]), data, identity(self.function)]
        told += [torch.__version__, numerics.mode()]
        key = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
        name = f"{self.function.__module__.rpartition('.')[2]}-{self.function.__name__}"
        return ROOT / "build" / "weights" / f"{name}-{key}.safetensors"

    def result(self, data: object) -> object:
        """Call the function on one thread, and return what it returns."""
        given = [each for each in (self.model, data) if each is not None]
        # Two calls in one process (a Dask worker with several threads) would draw from one global generator.
        with _ALONE, training.threads(1):
            return self.function(*given, *self.rest, **self.named)

    def __call__(self, data: object) -> object:
        """Train, and return the weights with the texts that are kept beside them; of a measure, return its result."""
        result = self.result(data)
        if self.model is None:
            return result
        machine = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
        machine |= {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "system": platform.system()}
        machine |= {"numerics": numerics.mode()}
        state = {k: v.detach().cpu() for k, v in self.model.state_dict().items()}
        return state, {"result": json.dumps(result), "machine": json.dumps(machine), "call": str(self)}


_ALONE = threading.Lock()


# ---- What an equal call is


def identity(value: object, seen: set[int] | None = None) -> str:
    """Serialise an argument for the key: two values share a text only if a training cannot tell them apart.

    Arrays count by type, shape and content; tensors also by device and by whether they are trained; models and other
    objects of our own classes by class and attributes. What paper_utils defines counts by the normalised source of its
    module and of those that this one imports; another function or class of ours, by its bytecode and by the values
    that it names, its docstrings left out; what is installed, by its name.

    Raises:
        TypeError: an object of an installed package, which has no content to tell it by.
    """
    seen = set() if seen is None else seen

    def of(value: object) -> str:
        return identity(value, seen)

    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        return f"{value.dtype} on {value.device}, trained: {value.requires_grad}, {value.shape}: {of(content)}"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}"
    if isinstance(value, (dict, MappingProxyType)):
        return str({of(k): of(v) for k, v in value.items()})
    if isinstance(value, (list, tuple, range)):
        return str([of(v) for v in value])
    if isinstance(value, (set, frozenset)):
        return str(sorted(of(v) for v in value))
    if isinstance(value, functools.partial):
        return of(["partial", value.func, value.args, value.keywords])
    if inspect.ismethod(value):
        return of([value.__self__, value.__func__])
    if isinstance(value, (staticmethod, classmethod)):
        return of(value.__func__)
    if isinstance(value, property):
        return of([value.fget, value.fset])
    if inspect.isroutine(value) or isinstance(value, (type, ModuleType)):
        return _code(value, seen)
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return repr(value.relative_to(ROOT))  # wherever this checkout lies
    if value is None or isinstance(value, (int, float, complex, str, bytes, Path, np.generic, torch.dtype)):
        return repr(value)
    if isinstance(value, nn.Module) or (_ours(type(value).__module__) and hasattr(value, "__dict__")):
        return of([type(value), vars(value)])
    raise TypeError(f"runs: {value!r} has no content to tell it by: pass numbers, dataclasses, tensors or modules")


def _code(thing: Callable | ModuleType, seen: set[int]) -> str:
    """Tell code as `identity` says; what was met before in this call, by its name."""
    thing = inspect.unwrap(thing) if inspect.isroutine(thing) else thing
    module = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    name = f"{module}.{getattr(thing, '__qualname__', '')}"
    if module.partition(".")[0] == "paper_utils":
        return name + _sources(module)
    if not _ours(module) or id(thing) in seen:
        return name
    seen.add(id(thing))
    if isinstance(thing, ModuleType):
        # Which of its functions are called does not show: all of it counts, and all of ours that it imports.
        imported = [v for v in vars(thing).values() if getattr(v, "__module__", "") != module and callable(v)]
        values = [*imported, *(v for v in vars(thing).values() if isinstance(v, ModuleType))]
        name += normalised(Path(thing.__file__).read_text(encoding="utf-8"))
    elif isinstance(thing, type):
        named = {k: v for k, v in vars(thing).items() if k not in ("__doc__", "__module__", "__firstlineno__")}
        values = [*thing.__bases__, *named, *named.values()]
    else:
        scope, names = thing.__globals__, _names(thing.__code__)
        values = [_bytecode(thing.__code__), thing.__defaults__, thing.__kwdefaults__]
        values += [cell.cell_contents for cell in thing.__closure__ or ()]
        # Looked up anew each time: a notebook may give a global name another value between two calls.
        values += [scope[each] for each in names if each in scope]
        values += [_sources(text) for text in _texts(thing.__code__)]  # what a subprocess runs is named by a text
    told = []
    for each in values:
        with suppress(TypeError):  # an object of an installed class among the names: nothing tells it
            told.append(identity(each, seen))
    return f"{name} {told}"


def _ours(module: str) -> bool:
    """Tell whether a module is neither Python's nor an installed package's, whose versions the lock fixes."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    # Debian's Python and Colab's say dist-packages.
    installed = re.search("/(site|dist)-packages/", file) or file.startswith(sysconfig.get_path("stdlib"))
    return module == "__main__" or bool(file and not installed)


@functools.cache  # so that a file edited during a long run does not change what is thought to run
def _sources(name: str) -> str:
    """Hash the normalised source of a module, or file, of this checkout and of those of the checkout that it imports.

    Empty for a text that names none. The package itself counts with all its modules.
    """
    root, sources, todo = Path(__file__).parent.parent, {}, [name]
    if name == "paper_utils":
        todo = [f"paper_utils.{path.stem}" for path in root.glob("paper_utils/*.py")]
    while todo:
        name = todo.pop()
        path = root / (name if name.endswith(".py") else f"{name.replace('.', '/')}.py")
        # How far a training is shown decides no weight.
        if name in sources or name == "paper_utils.progress" or not path.is_file():
            continue
        sources[name] = normalised(path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(sources[name])):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                todo += [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                todo += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest() if sources else ""


def _names(code: CodeType) -> list[str]:
    inner = [name for const in code.co_consts if isinstance(const, CodeType) for name in _names(const)]
    return [*dict.fromkeys([*code.co_names, *inner])]


def _texts(code: CodeType) -> list[str]:
    """List the constants of a function that may name a module or a file."""
    found, todo = [], [*code.co_consts]
    while todo:
        each = todo.pop()
        todo += each.co_consts if isinstance(each, CodeType) else each if isinstance(each, tuple) else ()
        found += [each] if isinstance(each, str) and re.fullmatch(r"\w[\w./-]{,99}", each) else []
    return sorted(found)


HAS_DOCSTRING = 0x4000000  # a flag of code objects from Python 3.13 on; before, a function's first constant tells


def _bytecode(code: CodeType) -> str:
    """Spell the instructions and constants of a function, without lines, file and docstring."""
    consts, function = list(code.co_consts), code.co_name[0] != "<"
    documented = isinstance((*consts, None)[0], str) and function
    if code.co_flags & HAS_DOCSTRING if sys.version_info >= (3, 13) else documented:
        consts[0] = None  # what stands there in a function without one
    told = [
        _bytecode(c) if isinstance(c, CodeType) else identity(c) if isinstance(c, frozenset) else repr(c)
        for c in consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {code.co_freevars} {told}"


# ---- Doing what is missing


def _results(calls: Sequence[_Call], data: object) -> list[tuple[dict[str, Tensor], dict[str, str]]]:
    """Return weights and metadata of each call, read from build/weights/ or made; each is kept once it is done."""
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

    scheduler, n = os.environ.get("SCHEDULER", ""), min(numerics.processes(), len(missing))
    if missing and (scheduler or n > 1):
        report = progress(len(missing), "trainings done")
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
    """Start processes of this machine, which end with the block and with this process, however these end."""
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


def _work(call: bytes, data: bytes | None = None, expected: str = "") -> object:
    """Do a call in a worker; `data` and `expected` are given where it is a cluster's."""
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
    """Submit to the workers of a Dask scheduler; when a worker dies, its calls start again on another."""
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
