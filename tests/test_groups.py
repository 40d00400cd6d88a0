"""Groups, Fourier basis and the group MLP: laws, cases solved by hand, and weights that nobody here trained."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from paper_utils import groups, training
from paper_utils.files import ROOT
from paper_utils.groups import CyclicGroup, DihedralGroup, GroupMLP, GroupTraining

GROUPS = st.sampled_from([CyclicGroup, DihedralGroup])
REFERENCE = Path(os.environ.get("PAPER_DATA", "data")).resolve().parent / "reference" / "dihedral"
RELEASED = ROOT / "checkpoints" / "dihedral_D53.safetensors"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- groups ---


@given(GROUPS, st.integers(3, 12))
@settings(deadline=None, max_examples=20)
def test_group_axioms(kind, n):
    group = kind(n)
    table, elements = group.table, torch.arange(group.order)
    assert torch.equal(table[0], elements) and torch.equal(table[:, 0], elements)  # element 0 is the identity
    assert torch.equal(table.sort(dim=1).values, elements.expand(group.order, -1))  # closed, and cancels
    assert ((table == 0).sum(1) == 1).all() and torch.equal(table == 0, (table == 0).T)  # two-sided inverses
    assert torch.equal(table[table], table[:, table])  # (x y) z = x (y z)
    assert len(set(group.names)) == group.order


@given(st.integers(3, 12))
@settings(deadline=None, max_examples=10)
def test_dihedral_products_are_those_of_the_matrices(n):
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(n, 2, 2)
    matrices = torch.cat([rotation, rotation @ torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))])
    products = torch.einsum("xij,yjk->xyik", matrices, matrices)
    torch.testing.assert_close(products, matrices[DihedralGroup(n).table])


def test_table_of_d3_by_hand():
    # Elements 1, r, r2, s, rs, r2s with r3 = s2 = 1 and s r = r2 s.
    assert DihedralGroup(3).table.tolist() == [
        [0, 1, 2, 3, 4, 5],
        [1, 2, 0, 4, 5, 3],
        [2, 0, 1, 5, 3, 4],
        [3, 5, 4, 0, 2, 1],
        [4, 3, 5, 1, 0, 2],
        [5, 4, 3, 2, 1, 0],
    ]


def test_cyclic_commutes_and_dihedral_does_not():
    assert torch.equal(CyclicGroup(5).table, CyclicGroup(5).table.T)
    assert not torch.equal(DihedralGroup(5).table, DihedralGroup(5).table.T)


# --- Fourier ---


@given(st.integers(3, 60))
@settings(deadline=None, max_examples=25)
def test_basis_is_orthonormal_and_named(n):
    basis = groups.fourier_basis(n)
    torch.testing.assert_close(basis @ basis.T, torch.eye(n, dtype=torch.float64), atol=1e-13, rtol=0)
    assert len(groups.fourier_names(n)) == n


def test_basis_by_hand():
    half, root = 0.5, math.sqrt(0.5)
    expected = [[half] * 4, [root, 0, -root, 0], [0, root, 0, -root], [half, -half, half, -half]]
    torch.testing.assert_close(groups.fourier_basis(4), torch.tensor(expected, dtype=torch.float64))
    assert groups.fourier_names(5) == ["Const", "cos 1", "sin 1", "cos 2", "sin 2"]


@given(GROUPS, st.integers(3, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_fourier_2d_keeps_energy_and_inverts(kind, n, seed):
    x = noise(kind(n).order, kind(n).order, 3, seed=seed)
    coefficients = groups.fourier_2d(x, n)
    assert coefficients.shape == (4 if kind is DihedralGroup else 1, n, n, 3)
    torch.testing.assert_close(coefficients.pow(2).sum((0, 1, 2)), x.pow(2).sum((0, 1)))  # Parseval
    torch.testing.assert_close(groups.inverse_fourier_2d(coefficients), x)


@pytest.mark.parametrize("region", range(4))
def test_fourier_2d_separates_regions_and_axes(region):
    n, basis = 5, groups.fourier_basis(5)
    x = torch.zeros(2, n, 2, n, 1, dtype=torch.float64)
    x[region // 2, :, region % 2, :, 0] = basis[1][:, None] * basis[4][None, :]  # cos 1 of x times sin 2 of y
    expected = torch.zeros(4, n, n, 1, dtype=torch.float64)
    expected[region, 1, 4] = 1
    torch.testing.assert_close(groups.fourier_2d(x.view(2 * n, 2 * n, 1), n), expected)


@given(st.integers(4, 9), st.data())
@settings(deadline=None, max_examples=20)
def test_keeping_frequencies_is_a_projection(n, data):
    chosen = data.draw(st.lists(st.integers(1, n // 2), unique=True))
    x = noise(2 * n, 2 * n, 2)
    kept = groups.keep_frequencies(x, chosen, n)
    torch.testing.assert_close(groups.keep_frequencies(kept, chosen, n), kept)
    torch.testing.assert_close((kept * (x - kept)).sum(), torch.zeros((), dtype=torch.float64), atol=1e-10, rtol=0)
    assert kept.pow(2).sum() < x.pow(2).sum()  # products of unlike frequencies are never kept
    means = groups.keep_frequencies(x, [], n)
    torch.testing.assert_close(means[0, n], x[:n, n:].mean((0, 1)))  # with none, each region's mean


# --- neurons ---


def wave(n: int, frequency: int, phase: float = 0.3) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(n, dtype=torch.float64) / n + phase)


@pytest.mark.parametrize(("n", "frequency"), [(53, 7), (53, 26), (8, 3), (8, 4), (3, 1)])
def test_frequency_of_a_hand_made_neuron(n, frequency):
    one = 2 + wave(n, frequency)[:, None] + wave(n, frequency, 1.0)[None, :] * wave(n, frequency)[:, None]
    hidden = torch.stack([one.tile(2, 2), torch.zeros(2 * n, 2 * n, dtype=torch.float64)], dim=-1)
    found, fraction = groups.neuron_frequencies(hidden, n)
    assert found.tolist() == [frequency, 0]  # a dead neuron belongs to no cluster
    torch.testing.assert_close(fraction, torch.tensor([1.0, 0.0], dtype=torch.float64))


def test_fraction_counts_what_the_best_frequency_leaves_over():
    n = 7
    hidden = (3 * wave(n, 2)[:, None] + 1 * wave(n, 3)[None, :])[:, :, None]  # energies 9 to 1, no constant
    found, fraction = groups.neuron_frequencies(hidden, n)
    assert found.item() == 2 and fraction.item() == pytest.approx(0.9)
    _, centred = groups.neuron_frequencies(hidden + 5, n, centred=True)
    assert centred.item() == pytest.approx(0.9)  # the constant counts for nothing
    assert groups.neuron_frequencies(hidden + 5, n)[1].item() == pytest.approx((25 + 4.5) / (25 + 5))


def test_range_of_the_seed_misses_the_last_frequency():
    hidden = wave(53, 26)[:, None, None].expand(53, 53, 1)
    assert groups.neuron_frequencies(hidden, 53)[0].item() == 26
    _, fraction = groups.neuron_frequencies(hidden, 53, highest=25)
    assert fraction.item() < 1e-12


def test_power_is_what_reaches_the_logits():
    n = 5
    hidden = torch.stack([7 + 0 * wave(n, 1)[:, None].expand(n, n), wave(n, 2)[:, None].expand(n, n)], dim=-1)
    w_u = torch.tensor([[1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    power = groups.neuron_power(hidden, w_u, n)
    torch.testing.assert_close(power, torch.tensor([0.0, 4 * n * n / 2], dtype=torch.float64))
    share = groups.frequency_power(torch.tensor([0, 2]), power, n)
    torch.testing.assert_close(share, torch.tensor([0.0, 1.0], dtype=torch.float64))


# --- parity ---


@given(st.integers(3, 7), st.data())
@settings(deadline=None, max_examples=20)
def test_ablation_projects_and_leaves_allowed_logits(n, data):
    chosen = data.draw(st.lists(st.integers(1, n // 2), unique=True, min_size=1))
    logits, table = noise(2 * n, 2 * n, 2 * n), DihedralGroup(n).table
    once = groups.ablate_forbidden_parity(logits, chosen, n)
    torch.testing.assert_close(groups.ablate_forbidden_parity(once, chosen, n), once)
    allowed = (table // n)[:, :, None] == torch.arange(2 * n) // n
    assert torch.equal(once[allowed], logits[allowed])
    forbidden, before = once[~allowed].view(-1, n), logits[~allowed].view(-1, n)
    coefficients = forbidden @ groups.fourier_basis(n).T
    for row, name in enumerate(groups.fourier_names(n)):
        gone = name != "Const" and int(name.split()[1]) in chosen
        expected = torch.zeros_like(before[:, 0]) if gone else before @ groups.fourier_basis(n)[row]
        torch.testing.assert_close(coefficients[:, row], expected)


def test_forbidden_share_by_hand():
    n = 3
    table = DihedralGroup(n).table
    right = F.one_hot(table, 2 * n).double()
    wrong = F.one_hot((table + n) % (2 * n), 2 * n).double()  # the same rotation, with the wrong parity
    assert groups.forbidden_share(right, n) == 0
    assert groups.forbidden_share(wrong, n) == 1
    assert groups.forbidden_share(3 * right + wrong, n) == pytest.approx(0.1)


def test_table_loss_by_hand():
    table = CyclicGroup(4).table
    assert groups.table_loss(torch.zeros(4, 4, 4), table)[0] == pytest.approx(math.log(4))
    sure = 50.0 * F.one_hot(table, 4)
    sure[0, 0] = sure[0, 0].roll(1)
    loss, accuracy = groups.table_loss(sure, table)
    assert loss == pytest.approx(50 / 16) and accuracy == 15 / 16
    where = torch.ones(4, 4, dtype=torch.bool)
    where[0, 0] = False
    assert groups.table_loss(sure, table, where)[1] == 1


# --- model and training ---


def test_all_pairs_are_the_pairs_one_by_one():
    model, pairs = GroupMLP(6, 5, 4, seed=0), torch.cartesian_prod(torch.arange(6), torch.arange(6))
    logits, cache = model.run_with_cache()
    single, single_cache = model.run_with_cache(pairs)
    torch.testing.assert_close(logits.view(36, 6), single)
    torch.testing.assert_close(cache["hidden"].view(36, 4), single_cache["hidden"])
    assert list(cache) == list(single_cache) == ["x_embed", "y_embed", "embed_stack", "hidden", "out"]
    assert single_cache["embed_stack"].shape == (36, 10) and cache["embed_stack"].shape == (6, 10)


def test_seed_decides_the_weights_and_nothing_else():
    state = torch.get_rng_state()
    first, again, other = GroupMLP(106, seed=0), GroupMLP(106, seed=0), GroupMLP(106, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for name in ("W_E_a", "W_E_b", "W", "W_U"):
        a, b, c = (model.get_parameter(name) for model in (first, again, other))
        assert torch.equal(a, b) and not torch.equal(a, c)
    spread = {"W_E_a": 256, "W_E_b": 256, "W": 512, "W_U": 128}
    for name, fan_in in spread.items():
        assert first.get_parameter(name).std().item() == pytest.approx(fan_in**-0.5, rel=0.03)


@given(st.integers(3, 6), st.integers(1, 13), st.integers(0, 9))
@settings(deadline=None, max_examples=15)
def test_gradient_by_hand_is_autograds(n, rows, seed):
    table, model = DihedralGroup(n).table, GroupMLP(2 * n, 4, 5, seed=seed).double()
    train = groups.train_pairs(2 * n, 0.7, seed)
    F.cross_entropy(model()[train], table[train]).backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    gradient = groups.table_gradient(model, table, train, rows)
    for _ in range(2):  # a second call starts from nothing
        gradient()
    torch.testing.assert_close([parameter.grad for parameter in model.parameters()], expected)


def test_train_pairs():
    train = groups.train_pairs(106, 0.9, 1)
    assert train.sum() == 10112 and torch.equal(train, groups.train_pairs(106, 0.9, 1))
    assert not torch.equal(train, groups.train_pairs(106, 0.9, 2))


SMALL = GroupTraining(d_embed=16, d_hidden=32, learning_rate=1e-2, weight_decay=0.5, epochs=150, log_every=50, seed=0)


@pytest.mark.parametrize("group", [CyclicGroup(7), DihedralGroup(5)], ids=["C_7", "D_5"])
def test_small_groups_are_learnt(group):
    model, history = groups.train_group(group, SMALL)
    assert history["epoch"][0] == 0 and history["epoch"][-1] == SMALL.epochs
    assert history["train_loss"][0] > 1 and history["train_loss"][-1] < 0.1
    assert history["train_accuracy"][-1] == 1
    assert ("forbidden_share" in history) == isinstance(group, DihedralGroup)
    assert sum(history["power_by_frequency"][-1]) == pytest.approx(1, abs=1e-3)
    again, _ = groups.train_group(group, SMALL)
    assert torch.equal(model.W, again.W) and not torch.equal(model.W, GroupMLP(group.order, 16, 32, seed=0).W)


def test_resumed_run_repeats_the_uninterrupted_one(tmp_path, monkeypatch):
    group, path, store = DihedralGroup(4), tmp_path / "state.safetensors", training.save_run
    whole, history = groups.train_group(group, SMALL)

    def interrupt(*arguments):
        store(*arguments)
        if arguments[4] == 100:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        groups.train_group(group, SMALL, resume=path, save_every=50)
    monkeypatch.setattr(training, "save_run", store)
    with pytest.raises(ValueError, match="same recipe"):
        groups.train_group(DihedralGroup(5), SMALL, resume=path)
    resumed, resumed_history = groups.train_group(group, SMALL, resume=path, save_every=50)
    assert resumed_history == history and not path.exists()
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name))


def test_command_writes_weights_and_card(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "ROOT", tmp_path)
    groups.main(["--n", "3", "--epochs", "2", "--seed", "0", "--output", str(tmp_path / "out")])
    assert GroupMLP.from_pretrained(tmp_path / "out.safetensors", order=6).W.shape == (512, 128)
    card = json.loads((tmp_path / "out.json").read_text())
    assert card["recipe"]["epochs"] == 2 and card["recipe"]["weight_decay"] == 2 and card["curves"]["epoch"] == [0, 2]
    assert 0 < card["final"]["loss"] < 3
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"out.safetensors", "out.json"}
    assert not list(tmp_path.rglob("*resume*"))


# --- bad input ---


@pytest.mark.parametrize("function", [CyclicGroup, DihedralGroup, groups.fourier_basis, groups.fourier_names])
def test_n_below_three(function):
    with pytest.raises(ValueError, match="at least 3"):
        function(2)


@pytest.mark.parametrize("frequency", [0, 27, -1])
def test_frequencies_out_of_range(frequency):
    with pytest.raises(ValueError, match=r"1\.\.26"):
        groups.frequency_mask([frequency], 53)
    with pytest.raises(ValueError, match=r"1\.\.26"):
        groups.ablate_forbidden_parity(torch.zeros(106, 106, 106), [frequency], 53)
    with pytest.raises(ValueError, match=r"1\.\.26"):
        groups.neuron_frequencies(torch.zeros(53, 53, 1), 53, highest=frequency)


def test_axes_of_another_order():
    with pytest.raises(ValueError, match=r"5 .*10 .* got 8"):
        groups.fourier_2d(torch.zeros(8, 8, 1), 5)
    with pytest.raises(ValueError, match="order 10"):
        groups.ablate_forbidden_parity(torch.zeros(5, 5, 5), [1], 5)


def test_weights_that_do_not_fit(tmp_path):
    good = {name: tensor.clone() for name, tensor in GroupMLP(10, 4, 3).state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(good, path)
    assert torch.equal(GroupMLP.from_pretrained(path, order=10).W, good["W"])
    with pytest.raises(ValueError, match="order 10, expected order 106"):
        GroupMLP.from_pretrained(path, order=106)
    save_file(good | {"W_U": torch.zeros(3, 12)}, path)
    with pytest.raises(ValueError, match=r"W_U has shape \(3, 12\).*\(3, 10\)"):
        GroupMLP.from_pretrained(path)
    save_file({"W": good["W"]}, path)
    with pytest.raises(ValueError, match="exactly"):
        GroupMLP.from_pretrained(path)
    with pytest.raises(FileNotFoundError):
        GroupMLP.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("bad", [{"fraction": 1.0}, {"epochs": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
def test_recipes_that_make_no_sense(bad):
    with pytest.raises(ValueError, match="GroupTraining"):
        GroupTraining(**bad)
    with pytest.raises(ValueError, match="GroupMLP"):
        GroupMLP(0)


# --- the released weights, and published ones ---


def analysed(path: Path, highest: int | None = None):
    model = GroupMLP.from_pretrained(path, order=106).double()
    with torch.no_grad():
        logits, cache = model.run_with_cache(names_filter="hidden")
    frequency, _ = groups.neuron_frequencies(cache["hidden"], 53, highest)
    clusters = {k: (frequency == k).sum().item() for k in frequency.unique().tolist()}
    return model, logits, cache["hidden"], clusters


def test_released_checkpoint_meets_every_condition():
    card = json.loads(RELEASED.with_suffix(".json").read_text())
    model = GroupMLP.from_pretrained(RELEASED, order=106).double()
    train = groups.train_pairs(106, card["recipe"]["fraction"], card["recipe"]["seed"])
    final = groups.measure(model, DihedralGroup(53), train)
    assert final["accuracy"] == 1 and final["loss"] < 1e-5
    assert final["live_frequencies"] <= 10 and final["weighted_fraction"] >= 0.94
    assert final["ablated_loss"] < final["loss"]
    for name, value in final.items():
        assert card["final"][name] == pytest.approx(value, rel=1e-6), name
    assert card["curves"]["epoch"][-1] == card["recipe"]["epochs"]
    assert len({len(curve) for curve in card["curves"].values()}) == 1


PUBLISHED = {  # file, last frequency tried: loss, neurons by frequency, loss after the ablation
    ("a", 25):
        ("4.52564e-06", {1: 15, 2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 15, 25: 17}, "3.44963e-06"),
    ("a", 26):
        ("4.52564e-06", {2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 14, 25: 17, 26: 16}, "3.41720e-06"),
    ("b", 25): ("3.53413e-06", {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, "1.28079e-06"),
    ("b", 26): ("3.53413e-06", {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, "1.28079e-06"),
}  # fmt: skip


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published weights (reference/dihedral) are not beside the data")
class TestPublishedWeights:
    @pytest.mark.parametrize(("name", "highest"), PUBLISHED)
    def test_loss_clusters_and_ablation(self, name, highest):
        loss, expected, ablated = PUBLISHED[name, highest]
        _, logits, _, clusters = analysed(REFERENCE / f"{name}.safetensors", highest)
        table = DihedralGroup(53).table
        assert clusters == expected
        found, accuracy = groups.table_loss(logits, table)
        assert f"{found:.5e}" == loss and accuracy == 1
        after, _ = groups.table_loss(groups.ablate_forbidden_parity(logits, list(clusters), 53), table)
        assert f"{after:.5e}" == ablated

    @pytest.mark.parametrize("name", "abce")
    def test_converged_networks(self, name):
        model, logits, hidden, clusters = analysed(REFERENCE / f"{name}.safetensors")
        frequency, fraction = groups.neuron_frequencies(hidden, 53, centred=True)
        power = groups.neuron_power(hidden, model.W_U.detach(), 53)
        assert 5 <= (groups.frequency_power(frequency, power, 53) >= 0.01).sum() <= 7
        table = DihedralGroup(53).table
        after, _ = groups.table_loss(groups.ablate_forbidden_parity(logits, list(clusters), 53), table)
        assert 1.32 <= groups.table_loss(logits, table)[0] / after <= 2.85
        assert 0.955 <= ((fraction * power).sum() / power.sum()).item() <= 0.959

    def test_mean_fraction_of_a_rises_with_frequency_26(self):
        hidden = analysed(REFERENCE / "a.safetensors")[2]
        means = [groups.neuron_frequencies(hidden, 53, highest)[1].mean().item() for highest in (25, 26)]
        assert means == pytest.approx([0.890, 0.965], abs=5e-4)
