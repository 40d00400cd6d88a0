import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from paper_utils import training
from paper_utils.progress import progress


def linear(seed: int) -> nn.Linear:
    with training.seeded(seed):
        return nn.Linear(3, 2)


X = torch.arange(30.0).reshape(10, 3) / 30


def fit(model: nn.Module, loss, tensors, **options) -> training.History:
    usual = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "epochs": 2, "batch_size": 2, "seed": 0}
    return training.fit(loss, tensors, **(usual | options))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_seed_fixes_the_weights_and_another_gives_others(seed):
    assert torch.equal(linear(seed).weight, linear(seed).weight)
    assert not torch.equal(linear(seed).weight, linear(seed + 1).weight)


def test_seeding_neither_reads_nor_moves_the_global_generator():
    drawn = []
    for draws in (0, 100):
        torch.manual_seed(5)
        with training.seeded(0):
            torch.rand(draws)
        drawn.append((torch.rand(3), linear(0).weight))
        torch.rand(1 + draws)
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])


def test_fit_does_the_steps_of_the_written_loop():
    """Two batches of stored order, by hand."""
    model, other, losses = linear(0), linear(0), []
    history = fit(model, lambda a: (model(a) - 1).square().mean(), (X,), epochs=1, batch_size=5, shuffle=False)
    for batch in (X[:5], X[5:]):
        loss = (other(batch) - 1).square().mean()
        gradients = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(other.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
        losses.append(loss.item())
    assert torch.allclose(model.weight, other.weight, atol=1e-7)
    assert history["step_loss"] == pytest.approx(losses)
    assert history["loss"] == pytest.approx([sum(losses) / 2])


def test_each_epoch_sees_every_item_once_in_the_order_of_its_seed():
    def seen(seed: int) -> list[float]:
        items, model = [], linear(0)
        fit(model, lambda a: items.extend(a[:, 0].tolist()) or model(a).sum(), (X,), seed=seed, batch_size=3)
        return items

    first = seen(3)
    assert sorted(first[:10]) == sorted(first[10:]) == X[:, 0].tolist() and first[:10] != first[10:]
    assert first == seen(3) != seen(4)


def test_gradients_can_be_changed_before_a_step_and_weights_after_it():
    model = linear(0)
    steps = {"before_step": lambda: model.weight.grad.zero_(), "after_step": lambda: model.bias.data.fill_(7.0)}
    before = model.weight.detach().clone()
    fit(model, lambda a: model(a).sum(), (torch.ones(4, 3),), **steps)
    assert torch.equal(model.weight, before) and model.bias.tolist() == [7.0, 7.0]


def test_history_holds_terms_metrics_and_the_rate_used():
    model = linear(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    halve = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    options = {"optimizer": optimizer, "scheduler": halve, "each_epoch": lambda epoch: {"epoch": float(epoch)}}
    items = {"items": torch.tensor(2.0)}
    history = fit(model, lambda a: (model(a).square().mean(), items), (torch.ones(4, 3),), epochs=3, **options)
    assert history["lr"] == [1.0, 0.5, 0.25]
    assert history["items"] == [2.0, 2.0, 2.0] and history["epoch"] == [1.0, 2.0, 3.0]
    assert len(history["step_loss"]) == 6


@pytest.mark.parametrize("lengths, batch", [((3, 4), 2), ((0, 0), 2), ((3, 3), 0)])
def test_fit_refuses_what_it_cannot_batch_and_stops_where_the_loss_is_no_number(lengths, batch):
    with pytest.raises(ValueError, match="common length"):
        fit(linear(0), lambda *a: a[0].sum(), [torch.zeros(n, 3) for n in lengths], batch_size=batch)
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1"):
        fit(model := linear(0), lambda a: model(a).sum() * float("nan"), (torch.ones(2, 3),))


def test_progress_goes_to_the_file_the_runner_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PAPER_PROGRESS", str(tmp_path / "log"))
    report = progress(2, "SAE")
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


def test_a_decorated_function_runs_on_one_thread_and_the_others_come_back():
    seen = training.one_thread(lambda: torch.get_num_threads())
    with training.threads(2):
        assert seen() == 1 and torch.get_num_threads() == 2


def test_ctrl_c_ends_a_long_training_with_a_word(capsys):
    with pytest.raises(SystemExit) as ended, training.exit_on_interrupt():
        raise KeyboardInterrupt
    assert ended.value.code == 130 and "goes on from its last checkpoint" in capsys.readouterr().err


def test_weights_come_back_bit_for_bit_or_their_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    state = {"w": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "b": torch.zeros(3)}
    training.save_weights(path, state, {"recipe": "x"})
    loaded, metadata = training.load_weights(path)
    assert all(torch.equal(state[k], loaded[k]) for k in state) and metadata == {"recipe": "x"}
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"w\.safetensors is damaged"):
        training.load_weights(path)
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors"):
        training.load_weights(tmp_path / "other.safetensors")
