import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from paper_utils import training


def linear(seed: int) -> nn.Linear:
    with training.seeded(seed):
        return nn.Linear(3, 2)


def fitted(seed: int, **options) -> tuple[nn.Linear, training.History]:
    model = linear(0)
    x = torch.arange(30.0).reshape(10, 3) / 30
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"epochs": 2, "batch_size": 4, "seed": seed} | options
    return model, training.fit(lambda a: (model(a) - 1).square().mean(), (x,), optimizer, **settings)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_seed_fixes_the_weights_and_another_gives_others(seed):
    assert torch.equal(linear(seed).weight, linear(seed).weight)
    assert not torch.equal(linear(seed).weight, linear(seed + 1).weight)


def test_seeding_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with training.seeded(0):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def test_seed_0_is_a_seed_of_its_own():
    torch.manual_seed(1)
    a = linear(0).weight
    torch.manual_seed(2)
    assert torch.equal(a, linear(0).weight) and a.abs().sum() > 0


def test_fit_does_the_steps_of_the_written_loop():
    """Two batches of stored order, by hand."""
    model, history = fitted(0, epochs=1, batch_size=5, shuffle=False)
    other = linear(0)
    x = torch.arange(30.0).reshape(10, 3) / 30
    losses = []
    for batch in (x[:5], x[5:]):
        loss = (other(batch) - 1).square().mean()
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(other.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
        losses.append(loss.item())
    assert torch.allclose(model.weight, other.weight, atol=1e-7)
    assert history["step_loss"] == pytest.approx(losses)
    assert history["loss"] == pytest.approx([sum(losses) / 2])


def test_fit_repeats_for_a_seed_and_shuffles_differently_for_another():
    assert torch.equal(fitted(3)[0].weight, fitted(3)[0].weight)
    assert not torch.equal(fitted(3)[0].weight, fitted(4)[0].weight)


def test_each_epoch_sees_every_item_once():
    seen = []
    model = linear(0)

    def loss(a):
        seen.extend(a[:, 0].tolist())
        return model(a).sum()

    x = torch.arange(21.0).reshape(7, 3)
    training.fit(loss, (x,), torch.optim.SGD(model.parameters(), lr=0.0), epochs=2, batch_size=3, seed=0)
    assert sorted(seen[:7]) == sorted(seen[7:]) == x[:, 0].tolist()
    assert seen[:7] != seen[7:]


def test_history_holds_terms_metrics_and_the_rate_used():
    model = linear(0)
    x = torch.ones(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    halve = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    history = training.fit(
        lambda a: (model(a).square().mean(), {"items": torch.tensor(float(len(a)))}),
        (x,),
        optimizer,
        epochs=3,
        batch_size=2,
        seed=0,
        scheduler=halve,
        each_epoch=lambda epoch: {"epoch": float(epoch)},
    )
    assert history["lr"] == [1.0, 0.5, 0.25]
    assert history["items"] == [2.0, 2.0, 2.0] and history["epoch"] == [1.0, 2.0, 3.0]
    assert len(history["step_loss"]) == 6


@pytest.mark.parametrize("lengths, batch", [((3, 4), 2), ((0, 0), 2), ((3, 3), 0)])
def test_fit_refuses_what_it_cannot_batch(lengths, batch):
    tensors = [torch.zeros(n, 3) for n in lengths]
    optimizer = torch.optim.SGD(linear(0).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="common length"):
        training.fit(lambda *a: a[0].sum(), tensors, optimizer, epochs=1, batch_size=batch, seed=0)


def test_a_loss_that_is_no_number_stops_the_training():
    model = linear(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        training.fit(
            lambda a: model(a).sum() * float("nan"), (torch.ones(2, 3),), optimizer, epochs=2, batch_size=2, seed=0
        )


def test_progress_goes_to_the_file_the_runner_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PAPER_PROGRESS", str(tmp_path / "log"))
    report = training.progress(2, "SAE")
    report(2, loss=0.25)
    assert (tmp_path / "log").read_text() == "SAE 2/2  loss 0.25\n"
    assert capsys.readouterr() == ("", "")


def test_a_device_that_is_not_here_is_refused_naming_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    training.check_device("cpu")
    with pytest.raises(ValueError, match=r"'cuda', but torch .* finds only cpu here"):
        training.check_device("cuda")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    for name in ("cpu", "cuda", "cuda:1"):
        training.check_device(name)
    with pytest.raises(ValueError, match=r"'cuda:2', but torch .* finds only cpu, cuda, cuda:0, cuda:1 here"):
        training.check_device("cuda:2")


def test_ctrl_c_ends_a_long_training_with_a_word(capsys):
    with pytest.raises(SystemExit) as ended, training.going_on_later():
        raise KeyboardInterrupt
    assert ended.value.code == 130 and "goes on from its last checkpoint" in capsys.readouterr().err


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ROOT", tmp_path)
    return tmp_path / "build" / "weights"


def constant(value: float, calls: list[float], recipe="a", files=None, code=()) -> training.Run:
    def train():
        calls.append(value)
        return {"w": torch.full((2,), value)}, {"loss": [value]}

    return training.Run("toy", recipe, files or {}, code, train)


def test_weights_are_cached_by_recipe_data_and_code(build):
    calls = []
    recipes = [("a", {}, []), ("b", {}, []), ("a", {"data": "1"}, []), ("a", {}, [training])]
    for number, (recipe, files, code) in enumerate(recipes):
        for _ in range(2):
            ((state, history),) = training.cached(constant(float(number), calls, recipe, files, code))
            assert state["w"].tolist() == [number, number] and history == {"loss": [number]}
    assert calls == [0.0, 1.0, 2.0, 3.0]
    assert len(list(build.iterdir())) == 4


def test_what_was_trained_and_what_was_kept_is_on_record(build):
    run = constant(0.0, [])
    for said in ("trained", "trained", "kept"):
        # The third as if by another process: what this one trained it goes on calling so.
        if said == "kept":
            training.USED.clear()
        training.cached(run)
        assert training.USED[run.path.name] == said


def noisy(seed: int, x: torch.Tensor) -> training.Run:
    def train(rows):
        model, history = fitted(seed)
        with training.seeded(seed):
            total = (torch.randn(len(rows)) * rows).sum()
        where = {"threads": [float(torch.get_num_threads())], "process": [float(os.getpid())]}
        return {"w": model.weight, "total": total[None]}, history | where

    return training.Run(f"noisy-{seed}", seed, {}, (), train, (x,))


def test_several_are_trained_each_in_a_process_and_as_one_by_one(build):
    x = torch.arange(1e6)  # 4 MB: above what joblib would send through a pipe
    with training.threads(2):
        together = training.cached(*(noisy(seed, x) for seed in (3, 1, 2)))
        assert torch.get_num_threads() == 2
    assert os.environ.get("PAPER_PROGRESS") is None
    for path in build.iterdir():
        path.unlink()
    one_by_one = training.cached(*(noisy(seed, x) for seed in (3, 1, 2)))
    for (state, history), (again, past) in zip(together, one_by_one, strict=True):
        assert torch.equal(state["w"], again["w"]) and torch.equal(state["total"], again["total"])
        assert history["loss"] == past["loss"] and history["threads"] == past["threads"] == [1]
        assert history["process"] != past["process"] == [os.getpid()]


def test_of_several_only_those_missing_are_trained_and_twins_once(build):
    calls = []
    training.cached(constant(1.0, calls, "one"))
    runs = [constant(float(n), calls, recipe) for n, recipe in ((1, "one"), (2, "two"), (2, "two"))]
    with training.threads(2):  # one is left to train: no process is started for it, and `calls` is this one's
        states = [state["w"][0].item() for state, _ in training.cached(*runs)]
    assert states == [1, 2, 2] and calls == [1, 2]


def test_where_one_of_several_fails_the_error_comes_through_and_the_others_are_kept(build):
    good = noisy(0, torch.ones(2))
    kept = good.path

    def bad(_):
        deadline = time.monotonic() + 120
        while not kept.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        raise FloatingPointError("toy: the loss is nan in epoch 1: lower the learning rate")

    with training.threads(2), pytest.raises(FloatingPointError, match="lower the learning rate"):
        training.cached(good, *(training.Run(f"bad-{n}", n, {}, (), bad, (torch.ones(2),)) for n in (1, 2)))
    assert [path.name for path in build.iterdir()] == [kept.name]


ENDLESS = """
import os, pathlib, sys, time
from paper_utils import training

def train():
    pathlib.Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

training.ROOT = pathlib.Path(sys.argv[1])
with training.threads(2):
    training.cached(*(training.Run("endless", n, {}, (), train) for n in range(2)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")
def test_where_the_process_that_asked_is_killed_the_trainings_end_too(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ENDLESS.replace("sys.argv[1]", repr(str(tmp_path)))])
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    for _ in range(600):
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers):
            return
        time.sleep(0.1)
    pytest.fail(f"still training: {workers}")


def test_weights_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "w.safetensors"
    with training.seeded(0):
        state = {"w": torch.randn(3, 4), "b": torch.randn(3)}
    training.save_weights(path, state, {"recipe": "x"})
    loaded, metadata = training.load_weights(path)
    assert all(torch.equal(state[k], loaded[k]) for k in state) and metadata == {"recipe": "x"}


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    training.save_weights(path, {"w": torch.zeros(100)}, {})
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged"):
        training.load_weights(path)
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors"):
        training.load_weights(tmp_path / "other.safetensors")
