"""Repeating over seeds: the statistics, the cache, failures, and a real Dask cluster that loses a worker midway."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from paper_utils import bilinear, data, groups, publishing, sae, seeds, training
from paper_utils import superposition as sp
from paper_utils.files import ROOT
from paper_utils.seeds import EXPERIMENTS, Experiment

# ---- Stand-in experiments: at module level, since workers find them by name. What ran is noted as <seed>-<process>.


def note(seed: int) -> None:
    (Path(os.environ["NOTES"]) / f"{seed}-{os.getpid()}-{time.monotonic_ns()}").touch()


def noted() -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in Path(os.environ["NOTES"]).glob("*-*"))


def drawn(seed: int, _: None) -> seeds.Measures:
    """One draw of torch's global generator, and the seed.

    Not part of the recipe.
    """
    note(seed)
    with training.seeded(seed):
        time.sleep(0.05)
        return {"draw": torch.rand(()).item(), "seed": float(seed)}


def slow(seed: int, _: None) -> seeds.Measures:
    """Half a second a run."""
    note(seed)
    time.sleep(0.5)
    return {"square": float(seed**2)}


def frail(seed: int, _: None) -> seeds.Measures:
    """Seed 2 does what the file "do" says."""
    note(seed)
    do = Path(os.environ["NOTES"]) / "do"
    if seed == 2 and do.exists():
        if do.read_text() == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"fail": FloatingPointError("the loss is nan"), "interrupt": KeyboardInterrupt()}[do.read_text()]
    return {"square": float(seed**2)}


def missing(seed: int, _: None) -> seeds.Measures:
    """Returns another measure than it declares."""
    return {"other": math.nan}


def images(source: str = "mnist", n: int = 200) -> data.Images:
    generator = torch.Generator().manual_seed(7)
    x, y = torch.rand(n, 784, generator=generator), torch.arange(n) % 10
    x[torch.arange(n), 70 * y] += 3
    return data.Images(x, y, x, y, source=source, files={"pixels": "00"})


def uci() -> data.Images:
    return images("uci-digits")


DRAWN = Experiment("91_drawn", drawn, {"draw": "a draw", "seed": "its seed"}, ())
SLOW = Experiment("92_slow", slow, {"square": "square"}, ())
FRAIL = Experiment("93_frail", frail, {"square": "square"}, ())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything is written below tmp_path, on one process of this machine."""
    for module in (seeds, publishing):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    monkeypatch.delenv("SCHEDULER", raising=False)
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    yield tmp_path
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def written(root: Path, place: str = "figures") -> dict:
    return json.loads((root / place / "seeds.json").read_text())


# ---- Statistics and what is written


def test_statistics_by_hand():
    """Deviations of 1..5 from 3 are -2 .. 2: their squares sum to 10, and 10 / 4 = 2.5."""
    found = seeds.statistics_of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found["values"] == [1, 2, 3, 4, 5]
    assert (found["mean"], found["min"], found["max"], found["n"]) == (3, 1, 5, 5)
    assert found["sd"] == pytest.approx(math.sqrt(2.5)) and found["se"] == pytest.approx(math.sqrt(0.5))


def test_five_seeds_go_to_figures_with_statistics_provenance_and_a_figure(root):
    assert seeds.main(["N=5"], [DRAWN]) == 0
    entry = written(root)["91_drawn"]
    assert entry["recipe"] == "One draw of torch's global generator, and the seed."
    assert entry["seeds"] == [0, 1, 2, 3, 4] and entry["measures"].keys() == {"draw", "seed"}
    assert entry["measures"]["seed"] == seeds.statistics_of([0.0, 1.0, 2.0, 3.0, 4.0])
    provenance = entry["provenance"]
    assert provenance["source"] == "exact" and provenance["files"] == {} and provenance["threads"] == 1
    assert provenance["versions"]["torch"] == version("torch") and {"commit", "dirty"} <= provenance.keys()
    assert "seed 2 ± 1.6" in provenance["figure"]["alt"]
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (root / "figures" / "seeds").iterdir()}
    assert files == provenance["figure"]["files"] and set(files) == {"91_drawn.png", "91_drawn.svg"}


def test_the_figure_shows_every_run_and_names_its_error_bar():
    measures = {"draw": seeds.statistics_of([1.0, 2.0, 4.0]), "seed": seeds.statistics_of([0.0, 0.0, 0.0])}
    fig = seeds.draw(DRAWN, [0, 1, 2], measures)
    assert "mean ± 1 s.d. over 3 seeds" in fig.get_suptitle() and "dots are single runs" in fig.get_suptitle()
    first = fig.axes[0]
    assert first.get_title() == "a draw" and list(first.lines[0].get_ydata()) == [1, 2, 4]
    (bar,) = first.containers
    low, high = bar.lines[2][0].get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(7 / 3) and (high - low) / 2 == pytest.approx(math.sqrt(7 / 3))
    plt.close(fig)


def test_an_experiment_by_itself_leaves_the_others_entries(root):
    assert seeds.main([], [DRAWN, FRAIL]) == 0
    before = written(root)
    assert seeds.main(["NB=93"], [DRAWN, FRAIL]) == 0
    assert written(root).keys() == {"91_drawn", "93_frail"} and written(root)["91_drawn"] == before["91_drawn"]


def test_another_number_of_seeds_never_overwrites_the_papers(root):
    assert seeds.main(["N=3"], [DRAWN]) == 0
    assert written(root, "build/variants")["91_drawn"]["seeds"] == [0, 1, 2]
    assert not (root / "figures").exists()


def test_stand_in_data_never_overwrites_the_real_datas(root):
    assert seeds.main(["N=5"], [replace(DRAWN, load=uci)]) == 0
    assert written(root, "build/stand-in")["91_drawn"]["provenance"]["source"] == "uci-digits"
    assert "stand-in data" in (root / "build" / "stand-in" / "seeds" / "91_drawn.svg").read_text()
    assert not (root / "figures").exists()


# ---- Seeds


def test_a_seed_fixes_the_values_and_another_gives_others(root):
    assert DRAWN.run(3, 1) == DRAWN.run(3, 1)
    assert DRAWN.run(3, 1)["draw"] != DRAWN.run(4, 1)["draw"]


def test_runs_in_threads_of_one_process_do_not_share_a_stream(root):
    """As on a Dask worker with several threads: torch's generator is the process's."""
    alone = [DRAWN.run(seed, 1) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: DRAWN.run(seed, 1), range(4))) == alone


def test_a_run_leaves_threads_and_progress_as_they_were(root, monkeypatch):
    monkeypatch.delenv("PAPER_PROGRESS", raising=False)
    before = torch.get_num_threads()
    DRAWN.run(0, before + 1)
    assert torch.get_num_threads() == before and "PAPER_PROGRESS" not in os.environ


def shortened(monkeypatch: pytest.MonkeyPatch, module: object, name: str, **changes: int) -> None:
    """Make module.name train by its config with some values changed."""
    original: Callable = getattr(module, name)

    def short(*args, **kwargs):
        args = [replace(a, **changes) if hasattr(a, next(iter(changes))) else a for a in args]
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, short)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_the_real_experiments_follow_their_seed(experiment, monkeypatch):
    """On 200 made-up images and a few steps: the paper's code all through, in seconds."""
    shortened(monkeypatch, groups, "train_group", epochs=20, log_every=20)
    shortened(monkeypatch, sp, "train_toy", steps=20)
    shortened(monkeypatch, sae, "train_sae", epochs=2)
    shortened(monkeypatch, bilinear, "train", warmup=1, decay=2, constant=0)
    small = replace(experiment, load=images if experiment.load else None)
    first, again, other = small.run(0, 1), small.run(0, 1), small.run(1, 1)
    assert first == again and first != other and first.keys() == experiment.labels.keys()


def test_measures_other_than_declared_are_refused():
    with pytest.raises(ValueError, match=r"94_missing: needs finite numbers for \['square'\], got .*other"):
        Experiment("94_missing", missing, {"square": "square"}, ()).run(0, 1)
    with pytest.raises(ValueError, match="needs finite numbers"):
        Experiment("94_missing", missing, {"other": "other"}, ()).run(0, 1)


# ---- Failing and going on


def test_a_failing_seed_is_named_and_only_it_runs_again(root, capsys):
    (root / "notes" / "do").write_text("fail")
    assert seeds.main(["N=4"], [FRAIL]) == 1
    error = capsys.readouterr().err
    assert "93_frail, seed 2: FloatingPointError at test_seeds.py:" in error and "the loss is nan" in error
    assert "nothing written" in error and not list(root.glob("**/seeds.json"))
    assert noted() == [0, 1, 2, 3]
    (root / "notes" / "do").unlink()
    assert seeds.main(["N=4"], [FRAIL]) == 0
    assert noted() == [0, 1, 2, 2, 3]
    assert written(root, "build/variants")["93_frail"]["measures"]["square"]["values"] == [0, 1, 4, 9]


def test_an_interrupted_command_goes_on_where_it_stopped(root, capsys):
    (root / "notes" / "do").write_text("interrupt")
    assert seeds.main(["N=4"], [FRAIL]) == 130
    assert "the same command goes on with the rest" in capsys.readouterr().err and not list(root.glob("**/seeds.json"))
    (root / "notes" / "do").unlink()
    assert seeds.main(["N=4"], [FRAIL]) == 0
    assert noted() == [0, 1, 2, 2, 3]


def test_a_killed_process_of_this_machine_is_reported_with_its_seed(root, monkeypatch, capfd):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    (root / "notes" / "do").write_text("die")
    assert seeds.main(["N=4"], [FRAIL]) == 1
    assert "93_frail, seed 2: not finished: A worker process managed by the executor" in capfd.readouterr().err
    assert not list(root.glob("**/seeds.json"))


def test_processes_of_this_machine_give_the_same_as_one(root, monkeypatch):
    alone = [DRAWN.run(seed, 1)["draw"] for seed in range(4)]
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    assert seeds.main(["N=4"], [DRAWN]) == 0
    assert written(root, "build/variants")["91_drawn"]["measures"]["draw"]["values"] == alone
    assert len(list((root / "notes").glob(f"*-{os.getpid()}-*"))) == 4 and noted() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("changed", [{"measure": slow}, {"code": (sae,)}, {"load": images}])
def test_another_recipe_code_or_data_is_trained_anew(changed):
    assert FRAIL.ingredients(1) == replace(FRAIL).ingredients(1) != replace(FRAIL, **changed).ingredients(1)


def test_a_worker_with_other_data_refuses_before_it_trains(root):
    outcome = seeds.attempt(replace(DRAWN, load=uci), 0, 1, replace(DRAWN, load=images).ingredients(1))
    assert "this worker has other data than the machine that asked" in outcome["error"]
    assert "uci-digits" in outcome["error"] and noted() == []


# ---- Bad input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["N=0"], "N=0: must be a whole number of at least 2"),
        (["N=1"], "a spread needs two runs"),
        (["N=-3"], "N=-3: must be a whole number"),
        (["N=five"], "N=five: must be a whole number"),
        (["N="], "as in N=5"),
        (["NB=07"], "NB=07: no experiment starts with it: there are 91_drawn, 93_frail"),
        (["SEED=3"], "unknown variable SEED: known are N, NB and SCHEDULER"),
        (["SCHEDULER=localhost"], "SCHEDULER=localhost: must be tcp://host:port"),
        (["SCHEDULER=http://127.0.0.1:8786"], "must be tcp://host:port"),
        (["SCHEDULER=tcp://127.0.0.1"], "must be tcp://host:port"),
        (["SCHEDULER=tcp://127.0.0.1:99999"], "must be tcp://host:port"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(root, capsys, words, message):
    assert seeds.main(words, [DRAWN, FRAIL]) == 2
    assert message in capsys.readouterr().err and noted() == []


def test_the_variables_that_are_makes_own_are_ignored():
    assert seeds.parse(["PYTHON=python3.11", "URL=x", "N=7", "NB=9"], ["91_drawn"]) == (7, ["91_drawn"], "")


def test_without_dask_the_error_says_what_to_install(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert seeds.main(["SCHEDULER=tcp://127.0.0.1:8786"], [DRAWN]) == 2
    assert "pip install '.[cluster]'" in capsys.readouterr().err and noted() == []


# ---- A real cluster


def test_a_scheduler_that_is_not_there_is_named_soon(root, capfd):
    pytest.importorskip("distributed", reason="needs the optional extra: pip install '.[cluster]'")
    started = time.monotonic()
    assert seeds.main(["SCHEDULER=tcp://127.0.0.1:9"], [DRAWN]) == 2
    assert time.monotonic() - started < 15
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capfd.readouterr().err and noted() == []


@contextmanager
def running(folder: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """A function that starts `python ...`, its output in <folder>/<name>.log; all it started ends with the block."""
    started: list[subprocess.Popen] = []
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "tests")])}

    def start(name: str, *words: str) -> subprocess.Popen:
        with (folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen([sys.executable, *words], cwd=folder, env=env, stdout=log, stderr=log)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)


LONG = (
    300  # seconds at most for anything below: it takes one or two, but importing torch on a busy machine half a minute
)


def until(condition: Callable[[], object], what: str) -> object:
    deadline = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {LONG} s for {what}"
        time.sleep(0.02)
    return value


NO_PAGE = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
MAIN = "import sys, test_seeds as t; sys.exit(t.seeds.main(sys.argv[2:], [getattr(t, sys.argv[1])]))"


def test_a_cluster_that_loses_a_worker_midway_completes_the_run(checkout, monkeypatch):
    pytest.importorskip("distributed", reason="needs the optional extra: pip install '.[cluster]'")
    notes, card = checkout / "notes", checkout / "scheduler.json"
    notes.mkdir()
    monkeypatch.setenv("NOTES", str(notes))
    # How many workers a run may take with it before Dask gives it up: one, in place of three, is tested sooner.
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    with running(checkout) as start:
        # Port 0: the scheduler takes a free one and writes it into the file.
        options = ["--port", "0", "--scheduler-file", str(card), *NO_PAGE]
        start("scheduler", "-m", "distributed.cli.dask_scheduler", *options)
        address = json.loads(until(lambda: card.exists() and card.read_text(), "the scheduler"))["address"]
        options = [address, "--nthreads", "1", "--local-directory", str(checkout / "dask"), *NO_PAGE]
        # Without a nanny the process is the worker; that of the other one starts it again where it dies.
        mortal = start("mortal", "-m", "distributed.cli.dask_worker", "--no-nanny", *options)
        start("nursed", "-m", "distributed.cli.dask_worker", *options)
        for name in ("mortal", "nursed"):
            until(lambda log=checkout / f"{name}.log": "Registered to" in log.read_text(), f"worker {name}")
        main = start("main", "-c", MAIN, "SLOW", "N=8", f"SCHEDULER={address}")

        # Its first run is over, its second under way.
        until(lambda: len(list(notes.glob(f"*-{mortal.pid}-*"))) >= 2, "runs on the mortal worker")
        mortal.kill()
        assert main.wait(LONG) == 0, (checkout / "main.log").read_text()
        lost = max(notes.glob(f"*-{mortal.pid}-*"), key=lambda path: int(path.name.split("-")[2])).name.split("-")[0]
        assert noted().count(int(lost)) == 2, "the run that died with its worker is started again"
        entry = written(checkout, "build/variants")["92_slow"]
        assert entry["measures"]["square"]["values"] == [0, 1, 4, 9, 16, 25, 36, 49]

        (notes / "do").write_text("die")
        before = set(notes.iterdir())
        main = start("main", "-c", MAIN, "FRAIL", "N=3", f"SCHEDULER={address}")
        assert main.wait(LONG) == 1
        assert "93_frail, seed 2: not finished: KilledWorker: Attempted to run" in (checkout / "main.log").read_text()
        assert "93_frail" not in written(checkout, "build/variants")
        assert str(main.pid) not in {path.name.split("-")[1] for path in set(notes.iterdir()) - before}


# ---- The committed runs


def test_the_committed_seeds_are_the_papers():
    found = json.loads((ROOT / "figures" / "seeds.json").read_text())
    assert found.keys() == {e.name for e in EXPERIMENTS}
    listed = {}
    for experiment in EXPERIMENTS:
        entry = found[experiment.name]
        assert entry["seeds"] == list(range(seeds.PAPER_N)) and entry["recipe"] == experiment.recipe
        assert entry["measures"].keys() == experiment.labels.keys()
        assert all(seeds.statistics_of(m["values"]) == m for m in entry["measures"].values())
        assert entry["provenance"]["source"] == ("mnist" if experiment.load else "exact")
        listed |= entry["provenance"]["figure"]["files"]
    folder = ROOT / "figures" / "seeds"
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()} == listed
