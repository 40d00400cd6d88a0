"""Trainings done once: what an equal call is, processes of this machine, failures, and a Dask cluster on 127.0.0.1.

The functions that are trained stand at module level, as workers find them by name. What ran is noted as a file
<seed>-<process>-<time> in the folder that the environment variable NOTES names.
"""

import dataclasses
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import throwaway
import torch
from torch import nn

from paper_utils import bilinear, data, runs, training
from paper_utils.files import ROOT
from sweeps import Sweep

sweep_command = importlib.import_module("sweeps.__main__")
PACKAGE = ROOT / "paper_utils"


@dataclass(frozen=True)
class Recipe:
    lr: float = 1e-3
    epochs: int = 2


def note(seed: int) -> None:
    (Path(os.environ["NOTES"]) / f"{seed}-{os.getpid()}-{time.monotonic_ns()}").touch()


def noted() -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in Path(os.environ["NOTES"]).glob("*-*"))


def processes() -> set[int]:
    return {int(path.name.split("-")[1]) for path in Path(os.environ["NOTES"]).glob("*-*")}


def squared(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x).square().mean()


def train(model: nn.Module, images: data.Images, recipe: Recipe, seed: int, loss=squared) -> training.History:
    """Any model, any loss."""
    note(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr)
    history = training.fit(
        lambda x: loss(model, x), [images.train_x], optimizer, epochs=recipe.epochs, batch_size=8, seed=seed
    )
    return history | {"threads": [torch.get_num_threads()]}


def linear(seed: int) -> nn.Linear:
    with training.seeded(seed):
        return nn.Linear(784, 2)


def one(seed: int) -> nn.Linear:
    with training.seeded(seed):
        return nn.Linear(1, 1, bias=False)


def square(model: nn.Module, seed: int) -> training.History:
    """Make the weight seed^2, as the file "do" says: every run is slow, or that of seed 2 fails, dies or interrupts."""
    note(seed)
    do = Path(os.environ["NOTES"]) / "do"
    order = do.read_text() if do.exists() else ""
    time.sleep(0.5 if order == "slow" else 0.02)
    if seed == 2 and order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 2 and order in ("fail", "interrupt"):
        raise FloatingPointError("the loss is nan") if order == "fail" else KeyboardInterrupt
    model.weight.data.fill_(seed**2)
    return {"seed": [seed]}


def endless(model: nn.Module, seed: int) -> training.History:
    note(seed)
    time.sleep(600)


def images(source: str = "mnist", n: int = 24) -> data.Images:
    generator = torch.Generator().manual_seed(7)
    x, y = torch.rand(n, 784, generator=generator), torch.arange(n) % 10
    return data.Images(x, y, x[:8], y[:8], source=source, files={"MNIST/raw/x": "0" * 32})


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.delenv("SCHEDULER", raising=False)
    for module in (runs, sweep_command):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(runs, "USED", {})
    monkeypatch.setenv("PAPER_PROCESSES", "1")  # to start some takes seconds, on a busy machine half a minute
    return tmp_path


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPER_PROCESSES", "2")


def weights(root: Path) -> list[Path]:
    return sorted((root / "build" / "weights").glob("*"))


# ---- What an equal call is


def test_a_call_is_told_by_model_recipe_loss_and_data_and_nothing_else():
    def path(model=None, recipe=Recipe(), seed=0, loss=squared, of=None) -> Path:
        return runs._Call(train, model or linear(0), (recipe, seed, loss)).path(runs.identity(of or images()))

    deeper = nn.Sequential(linear(0), nn.Linear(2, 1))
    named = linear(0)
    named.kind = "other"
    others = [path(linear(1)), path(deeper), path(named), path(recipe=Recipe(lr=0.2)), path(seed=1)]
    others += [path(loss=lambda model, x: model(x).abs().mean()), path(of=images(n=16)), path(of=images("uci-digits"))]
    assert path() == path() and len({path(), *others}) == 1 + len(others)

    with pytest.raises(TypeError, match="no content to tell it by"):
        runs.identity(object())


MODULE = '''
import functools, subprocess, sys
import other_of_this_test
from other_of_this_test import Parent
STEP = 3
TABLE = {"a": [1]}
itself = sys.modules[__name__]
added = functools.partial(pow, 2)
def helper(x, power=2):
    """What it does."""
    return x**power + STEP + TABLE["a"][0] + added(x)
def through_a_module(x):
    return 5 * x
class Child(Parent):
    pass
def work(x):
    subprocess.run([sys.executable, "-m", "paper_utils.bilinear"])
    return helper(x) + itself.through_a_module(x) + Child().f(x) + other_of_this_test.g(x)  # why
'''
OTHER = """
class Parent:
    def f(self, x):
        return x + 1
def g(x):
    return x + 2
"""


@pytest.fixture
def key_of_work(tmp_path, monkeypatch) -> Callable[[str, str], str]:
    """The identity of `work` once a text was put in place of another in either module."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def key(old: str = "", new: str = "") -> str:
        assert old in MODULE + OTHER
        for name, source in (("other_of_this_test", OTHER), ("module_of_this_test", MODULE)):
            (tmp_path / f"{name}.py").write_text(source.replace(old, new) if old else source)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return runs.identity(importlib.import_module("module_of_this_test").work)

    return key


def test_comments_and_docstrings_of_our_own_functions_do_not_count(key_of_work):
    before = key_of_work()
    for old, new in (("  # why", ""), ("What it does.", "What else it does."), ('    """What it does."""\n', "")):
        assert key_of_work(old, new) == before, old


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ STEP", "- STEP"),
        ("STEP = 3", "STEP = 4"),
        ("[1]", "[2]"),
        ("5 * x", "6 * x"),
        ("power=2", "power=3"),
        ("partial(pow, 2)", "partial(pow, 3)"),
        ("x + 1", "x + 9"),  # of a parent class
        ("x + 2", "x + 9"),  # of another module
        ("paper_utils.bilinear", "paper_utils.sae"),
    ],
)
def test_what_our_own_functions_compute_counts_however_it_is_reached(key_of_work, old, new):
    assert key_of_work(old, new) != key_of_work()


EDITS = {  # a file of the package, and what is put in place of what
    "a loss": ("bilinear.py", "F.cross_entropy(", "2 * F.cross_entropy("),
    "an optimiser": ("bilinear.py", "AdamW(", "Adam("),
    "a default": ("bilinear.py", "weight_decay: float = 0.5", "weight_decay: float = 0.4"),
    "the loop of another module": ("training.py", "optimizer.step()", "optimizer.step(), optimizer.step()"),
}
SILENT = {
    "a docstring": ("training.py", "Minimise `loss`", "Minimize the `loss`"),
    "a comment": ("training.py", "# .item() here", "# reading it here"),
    "a text of an error": ("training.py", "fit: needs tensors of one", "fit: takes tensors of one"),
    "a display's variable": ("progress.py", "last = -1.0", "last = -2.0"),
    "another subject": ("groups.py", "\n\n\n", "\n\n\nNEW = 1\n\n\n"),
}


@pytest.mark.parametrize(("edit", "seen"), [*((e, True) for e in EDITS), *((e, False) for e in SILENT)])
def test_which_edits_of_the_package_a_training_sees(tmp_path, monkeypatch, edit, seen):
    name, old, new = (EDITS | SILENT)[edit]
    shutil.copytree(PACKAGE, tmp_path / "paper_utils", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "paper_utils" / "runs.py"))
    monkeypatch.setattr(runs, "_sources", runs._sources.__wrapped__)  # which keeps what it read

    def key() -> str:
        return runs.identity([bilinear.train, bilinear.BilinearRecipe()])

    before, path = key(), tmp_path / "paper_utils" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert (key() != before) == seen


def test_a_script_that_a_subprocess_runs_counts_with_what_it_imports(tmp_path, monkeypatch):
    def by_module() -> list[str]:
        return [sys.executable, "-m", "checkpoints.own.train"]

    def by_file() -> list[str]:
        return [sys.executable, "checkpoints/own/train.py"]

    (tmp_path / "paper_utils").mkdir()
    (tmp_path / "checkpoints" / "own").mkdir(parents=True)
    script, module = tmp_path / "checkpoints" / "own" / "train.py", tmp_path / "paper_utils" / "own.py"
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "paper_utils" / "runs.py"))
    monkeypatch.setattr(runs, "_sources", runs._sources.__wrapped__)
    keys = []
    for betas, step in (("(0.9, 0.95)", 1), ("(0.9, 0.99)", 1), ("(0.9, 0.99)", 2)):
        script.write_text(f"from paper_utils.own import step\nBETAS = {betas}\n")
        module.write_text(f"step = {step}\n")
        keys.append((runs.identity(by_module), runs.identity(by_file)))
    assert len(set(keys)) == 3 and len({key for key, _ in keys}) == len({key for _, key in keys}) == 3


# ---- Training and keeping


def test_a_lambda_counts_by_itself_and_not_by_the_line_that_it_stands_in():
    codes = [runs.identity(each) for each in (lambda x: x + 1, lambda x: x + 2, lambda x: squared(x, runs))]
    assert len(set(codes)) == 3 and runs.identity(lambda x: x + 1) == codes[0]


def scaled(x: float) -> float:
    return x * FACTOR


def multiply(k: float) -> Callable:
    return lambda x: k * x


FACTOR = 2
STORIES = data.Stories(["a"], "tinystories", {"f": "x"})
FROZEN = linear(0).requires_grad_(False)
UNLIKE = {
    "functions of a library": (nn.functional.mse_loss, nn.functional.l1_loss),
    "classes of a library": (torch.optim.SGD, torch.optim.Adam),
    "methods in lambdas": (lambda x: x.abs(), lambda x: x.square()),
    "defaults of lambdas": tuple(lambda x, k=k: k * x for k in (0.1, 9.0)),
    "values around lambdas": tuple(map(multiply, (0.1, 9.0))),
    "submodules": (nn.Sequential(nn.Tanh()), nn.Sequential(nn.Sigmoid())),
    "frozen weights": (linear(0), FROZEN),
    "arrays": (np.zeros(5000), np.eye(1, 5000, 2500)[0]),
    "methods of objects": (linear(0).forward, linear(1).forward),
    "labels": (images(), dataclasses.replace(images(), train_y=images().train_y.flip(0))),
    "texts": (STORIES, dataclasses.replace(STORIES, texts=["a", "b"])),
}


@pytest.mark.parametrize("pair", UNLIKE.values(), ids=UNLIKE)
def test_what_a_training_can_tell_apart_has_another_key(pair):
    first, second = map(runs.identity, pair)
    assert first != second and runs.identity(pair[0]) == first


def test_a_global_changed_between_two_calls_and_an_object_without_content(monkeypatch):
    before = runs.identity(scaled)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3)
    assert runs.identity(scaled) != before
    with pytest.raises(TypeError, match="no content to tell it by"):
        runs.identity(object())
    with pytest.raises(ValueError, match="one model stands in two calls"):
        runs.cached(train, [(model := linear(0), Recipe(), 0), (model, Recipe(), 1)], images())


def test_a_path_of_this_checkout_is_the_same_in_every_checkout():
    assert runs.identity(runs.ROOT / "checkpoints") == repr(Path("checkpoints")) != runs.identity(Path("/checkpoints"))


def test_pythons_that_install_to_dist_packages_are_told_from_our_code(tmp_path):
    """Debian's and Colab's do; torch's own source must not be followed there."""
    (tmp_path / "dist-packages").symlink_to(Path(torch.__file__).parents[1])
    path = ":".join([str(ROOT), str(tmp_path / "dist-packages")])
    script = (
        "import torch; from paper_utils import bilinear, runs; print(torch.__file__, runs.identity(bilinear.train))"
    )
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert "dist-packages/torch" in done.stdout and runs.identity(bilinear.train) in done.stdout, done.stderr


def test_models_are_trained_in_place_and_come_back_bit_for_bit(root):
    model = linear(0)
    untrained = model.weight.detach().clone()
    ((trained, history),) = runs.cached(train, [(model, Recipe(), 0)], images())
    assert trained is model and not torch.equal(model.weight, untrained) and len(history["loss"]) == 2
    ((again, same),) = runs.cached(train, [(linear(0), Recipe(), 0)], images())
    assert torch.equal(again.weight, model.weight) and same == history and noted() == [0]
    assert list(runs.USED.values()) == ["trained"]
    runs.USED.clear()
    (path,) = weights(root)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged .* remove it to train anew"):
        runs.cached(train, [(linear(0), Recipe(), 0)], images())
    assert list(runs.USED.values()) == ["kept"]


def test_side_by_side_gives_what_one_by_one_gives_with_a_users_own_model_and_loss_too(root, two, monkeypatch):
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    def absolute(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return model(x).abs().mean()

    def calls() -> list[tuple]:
        with training.seeded(0):
            own = (Doubled(784, 3), Recipe(epochs=3), 2, absolute)
        return [*((linear(seed), Recipe(), seed) for seed in (3, 1, 1)), own]

    with training.threads(2):
        together = runs.cached(train, calls(), images())
        assert torch.get_num_threads() == 2 and os.environ.get("PAPER_PROGRESS") is None
    assert noted() == [1, 2, 3] and os.getpid() not in processes() and len(processes()) == 2
    for path in weights(root):
        path.unlink()
    monkeypatch.setenv("PAPER_PROCESSES", "1")
    for (one, history), (other, past) in zip(together, runs.cached(train, calls(), images()), strict=True):
        assert torch.equal(one.weight, other.weight) and history == past and history["threads"] == [1]
        assert history["loss"][-1] < history["loss"][0]


def add(images: data.Images, seed: int) -> float:
    note(seed)
    return images.train_x[0, 0].item() + seed


def test_measures_are_taken_side_by_side_and_not_kept(root, two):
    for taken in (1, 2):
        with training.threads(2):
            assert runs.side_by_side(add, [(1,), (2,)], images()) == [add(images(), 1), add(images(), 2)]
        assert len(noted()) == 4 * taken and not weights(root)
    assert runs.side_by_side(abs, [(-1,)]) == [1]


# ---- Failures


def squares(n: int) -> list[float]:
    return [model.weight.item() for model, _ in runs.cached(square, [(one(seed), seed) for seed in range(n)])]


@pytest.mark.parametrize(
    ("do", "message"), [("fail", "the loss is nan"), ("die", "worker process managed by the executor")]
)
def test_a_failing_call_or_process_is_named_and_the_same_call_goes_on(root, two, monkeypatch, do, message):
    (root / "notes" / "do").write_text(do)
    with training.threads(2), pytest.raises(Exception, match=message) as failed:
        squares(4)
    assert any("square, [2]" in text for text in failed.value.__notes__)
    (root / "notes" / "do").unlink()
    monkeypatch.setenv("PAPER_PROCESSES", "1")
    assert squares(4) == [0, 1, 4, 9]
    if do == "fail":
        assert noted() == [0, 1, 2, 2, 3], "only what failed runs again"


ENDLESS = """
import signal, test_runs as t
signal.signal(signal.SIGINT, signal.default_int_handler)
with t.training.threads(2):
    t.runs.cached(t.endless, [(t.one(0), 0), (t.one(1), 1)])
"""
# Seconds at most for anything below: it takes one or two, but importing torch on a busy machine half a minute.
LONG = 300


def until(condition: Callable[[], object], what: str) -> object:
    deadline = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {LONG} s for {what}"
        time.sleep(0.02)
    return value


@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_where_the_process_that_asked_ends_the_trainings_end_too(tmp_path, two, end):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-c", ENDLESS]
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.DEVNULL)
    until(lambda: len(noted()) == 2 or process.poll() is not None, "two trainings")
    assert process.poll() is None
    workers = processes()
    process.send_signal(end)
    process.wait(LONG)

    living = (psutil.Process(pid) for pid in workers if psutil.pid_exists(pid))
    assert not psutil.wait_procs(living, timeout=LONG)[1]


# ---- sweeps


def weight(model: nn.Module, history: training.History, seed: int) -> dict[str, float]:
    return {"square": model.weight.item()}


def sweep(n: int = 3, **others: object) -> Sweep:
    told = {"name": "91_try", "why": "What is repeated,\n  and why.", "version": 1, "grid": {"seed": range(n)}}
    return Sweep(**({**told, "build": one, "train": square, "measure": weight} | others))


def main(words: list[str], *found: Sweep) -> int:
    return sweep_command.main(words, lambda _: list(found))


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_why_and_verify_name_what_changed_and_no_edit_of_a_measure_does(root, capsys):
    def said(verb: str, **others: object) -> tuple[str, int]:
        status = main([verb], sweep(**others))
        return capsys.readouterr().out.strip().removeprefix("91_try: "), status

    assert said("why") == ("would run: it was never run", 0) and said("verify") == ("stale: it was never run", 1)
    assert main([], sweep()) == 0
    capsys.readouterr()
    assert said("why") == ("up to date", 0) and said("verify") == ("", 0)
    unchanged = {"measure": lambda *_, seed: {"another column": 1.0}, "why": "In other words.", "train": endless}
    assert said("why", **unchanged) == ("up to date", 0)
    changed = {"version": 2, "n": 4}
    assert said("why", **changed)[0] == "would run: its grid changed; its version changed"
    assert said("verify", **changed) == ("stale: its grid changed; its version changed", 1)
    table = root / "figures" / "sweeps" / "91_try.csv"
    table.write_text(table.read_text().replace("4.0", "5.0"))
    assert said("verify") == ("stale: its rows are missing or altered", 1)


def test_other_data_makes_a_sweep_stale(capsys):
    shown = {"train": lambda model, images, seed: square(model, seed), "measure": brightness}
    assert main([], sweep(load=images, **shown)) == 0
    capsys.readouterr()
    for load in (images, lambda: dataclasses.replace(images(), files={"MNIST/raw/x": "1" * 32})):
        assert main(["why"], sweep(load=load, **shown)) == 0 == main(["verify"], sweep(load=load, **shown))
    assert capsys.readouterr().out.splitlines() == ["91_try: up to date", "91_try: would run: its data changed"]


def brightness(model: nn.Module, history: training.History, images: data.Images, seed: int) -> dict[str, float]:
    assert not model.training and not model.weight.requires_grad and history == {"seed": [seed]}
    return {"brightness": images.train_x.mean().item() + model.weight.item()}


def square_beside_images(model: nn.Module, images: data.Images, seed: int) -> training.History:
    return square(model, seed)


def test_another_number_of_seeds_and_stand_in_data_never_overwrite_the_papers(root):
    assert main(["N=2"], sweep()) == 0
    assert len(rows(root / "build" / "variants" / "sweeps" / "91_try.csv")) == 3
    stand_in = sweep(train=square_beside_images, measure=brightness, load=lambda: images("uci-digits"))
    assert main([], stand_in) == 0
    assert len(rows(root / "build" / "stand-in" / "sweeps" / "91_try.csv")) == 4 and not (root / "figures").exists()


def test_a_row_that_is_measured_anew_needs_no_training(root):
    assert main([], sweep()) == 0
    assert main([], sweep(measure=lambda model, history, seed: {"root": model.weight.sqrt().item()})) == 0
    assert noted() == [0, 1, 2]
    assert rows(root / "figures" / "sweeps" / "91_try.csv") == ["seed,root", "0,0.0", "1,1.0", "2,2.0"]


@pytest.mark.parametrize("value", [float("nan"), None, torch.ones(1)])
def test_a_measure_that_is_no_number_is_named(root, capsys, value):
    assert main([], sweep(measure=lambda model, history, seed: {"square": value})) == 2
    assert "91_try, {'seed': 0}: a measure must be a finite number or a text, got {'square'" in capsys.readouterr().err
    assert not (root / "figures").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["N=1"], "N=1: must be a whole number of at least 2"),
        (["N=x"], "N=x: must be a whole number"),
        (["NB=77"], "NB=77: no sweep starts with it: there are "),
        (["SEED=3"], "unknown variable SEED: known are N, NB, DEVICE and SCHEDULER"),
        (["DEVICE=abacus"], "DEVICE is 'abacus', but torch"),
        (["SCHEDULER=localhost"], "SCHEDULER=localhost: must be tcp://host:port"),
    ],
)
def test_bad_words_are_named_before_anything_is_trained(capsys, words, message):
    assert sweep_command.main(words) == 2
    assert message in capsys.readouterr().err and noted() == []


@pytest.mark.parametrize(
    ("do", "status", "words"),
    [("fail", 1, ["the loss is nan", "'seed': 2"]), ("interrupt", 130, ["goes on with the rest"])],
)
def test_a_sweep_that_breaks_off_writes_nothing_goes_on_and_writes_tidy_rows(root, capsys, do, status, words):
    (root / "notes" / "do").write_text(do)
    assert main([], sweep(n=4)) == status
    err = capsys.readouterr().err
    assert all(word in err for word in words) and not (root / "figures").exists()
    (root / "notes" / "do").unlink()
    assert main([], sweep(n=4)) == 0 and noted() == [0, 1, 2, 2, 3]
    written = root / "figures" / "sweeps"
    assert rows(written / "91_try.csv") == ["seed,square", "0,0.0", "1,1.0", "2,4.0", "3,9.0"]
    about = json.loads((written / "91_try.json").read_text())
    assert about["why"] == "What is repeated, and why." and about["grid"] == {"seed": [0, 1, 2, 3]}
    assert about["runs"] == 4 and about["versions"]["torch"] == [torch.__version__]


def two_models(model: nn.Module, history: training.History, seed: int) -> list[dict[str, float | str]]:
    return [{"model": name, "loss": seed + 0.5} for name in ("first", "second")]


def test_a_run_of_several_models_writes_a_row_for_each(root):
    assert main([], sweep(2, measure=two_models)) == 0
    table = rows(root / "figures" / "sweeps" / "91_try.csv")
    assert table == ["seed,model,loss", "0,first,0.5", "0,second,0.5", "1,first,1.5", "1,second,1.5"]


def test_every_sweep_is_named_after_a_notebook_and_can_be_built():
    found = sweep_command.sweeps()
    assert len({each.name for each in found}) == len(found) > 0
    for each in found:
        assert any(each.name.startswith(notebook.stem) for notebook in (ROOT / "notebooks").glob("*.py"))
        assert isinstance(each.build(**sweep_command.points(each.grid)[0]), nn.Module)


# ---- A cluster


def test_a_cluster_that_cannot_be_reached_is_named_soon(monkeypatch):
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:9")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "distributed", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[cluster\]'"):
            squares(1)
    pytest.importorskip("distributed", reason="needs the optional extra: pip install '.[cluster]'")
    monkeypatch.setattr(runs, "PATIENCE", 0.5)
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        squares(1)
    assert noted() == []


@pytest.fixture
def cluster(root: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A scheduler and two worker processes on 127.0.0.1, which SCHEDULER names; they import the checkout's packages."""
    distributed = pytest.importorskip("distributed", reason="needs the optional extra: pip install '.[cluster]'")
    shutil.copytree(ROOT / "sweeps", checkout / "sweeps", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(checkout)
    # How many workers a run may take with it before Dask gives it up: one, in place of three, is tested sooner.
    monkeypatch.setitem(distributed.config["distributed"]["scheduler"], "allowed-failures", 1)
    with distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as running:
        monkeypatch.setenv("SCHEDULER", running.scheduler_address)
        yield running


@pytest.mark.slow
def test_a_cluster_trains_what_this_machine_trains_and_survives_a_lost_worker(root, cluster, monkeypatch, capsys):
    (there, history), _ = runs.cached(train, [(linear(seed), Recipe(), seed) for seed in (0, 1)], images())
    assert noted() == [0, 1] and os.getpid() not in processes()
    with monkeypatch.context() as here:
        here.delenv("SCHEDULER")
        shutil.rmtree(root / "build")
        ((model, same),) = runs.cached(train, [(linear(0), Recipe(), 0)], images())
    assert torch.equal(model.weight, there.weight) and history == same

    for path in (root / "notes").iterdir():
        path.unlink()
    (root / "notes" / "do").write_text("slow")
    with ThreadPoolExecutor(1) as beside:
        command = beside.submit(main, ["N=8"], sweep())
        until(lambda: len(noted()) >= 3, "a second run on some worker")
        last = max((root / "notes").glob("*-*"), key=lambda path: int(path.name.split("-")[2]))
        lost, pid, _ = map(int, last.name.split("-"))
        os.kill(pid, signal.SIGKILL)
        assert command.result(LONG) == 0, capsys.readouterr().err
    assert noted().count(lost) == 2, "the run that died with its worker is started again"
    table = rows(root / "build" / "variants" / "sweeps" / "91_try.csv")
    assert [float(row.split(",")[1]) for row in table[1:]] == [0, 1, 4, 9, 16, 25, 36, 49]

    (root / "notes" / "do").write_text("die")
    shutil.rmtree(root / "build")
    assert main(["N=3"], sweep()) == 1
    said = capsys.readouterr().err
    assert "Attempted to run" in said and "'seed': 2" in said, said


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_what_a_cluster_trains_and_has_queued(root, cluster):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where pytest runs in the background it is ignored
    with ThreadPoolExecutor(1) as beside:
        beside.submit(lambda: until(noted, "a run on some worker") and os.kill(os.getpid(), signal.SIGINT))
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            runs.cached(endless, [(one(seed), seed) for seed in range(6)])
    assert time.monotonic() - started < LONG


@pytest.mark.slow
def test_a_worker_with_other_code_refuses_before_it_trains(root, cluster, monkeypatch):
    ours = runs._version()
    with (root / "paper_utils" / "training.py").open("a") as file:
        file.write("\n# another version\n")
    monkeypatch.setattr(runs, "__file__", str(root / "paper_utils" / "runs.py"))
    other = runs._version.__wrapped__()
    assert other != ours, "each line of the package counts"
    monkeypatch.setattr(runs, "_version", lambda: ours.replace("code ", "code 0"))
    with pytest.raises(RuntimeError, match=rf"this worker has {re.escape(other)}, .* asked has code 0\w+ and torch"):
        squares(1)
    assert noted() == []


TRAINS = """
import os
import torch
from pathlib import Path
from paper_utils import runs, training

def train(model, seed):
    (Path(os.environ["NOTES"]) / f"{seed}-{os.getpid()}-0").touch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.ones(4, 3)
    return training.fit(lambda x: model(x).square().mean(), [x], optimizer, epochs=3, batch_size=2, seed=seed)

class Own(torch.nn.Linear):
    pass

for model, history in runs.cached(train, [(Own(3, 2), seed) for seed in (0, 1)]):
    assert history["loss"][-1] < history["loss"][0]
results.record(kernel=os.getpid())
"""


@pytest.mark.slow
def test_a_notebooks_own_trainings_run_on_the_workers_of_a_cluster(root, cluster):
    throwaway.notebook(root, middle=TRAINS)
    done = throwaway.run(root, "figures", SCHEDULER=cluster.scheduler_address)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((root / "figures" / "01_try" / "record.json").read_text())
    assert noted() == [0, 1] and record["numbers"]["kernel"] not in processes()
    assert list(record["weights"].values()) == ["trained", "trained"]
