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

from checkpoints.dihedral_D53 import train as released
from paper_utils import groups, training
from paper_utils.files import ROOT
from paper_utils.groups import CyclicGroup, DihedralGroup, GroupMLP, GroupTraining

GROUPS = st.sampled_from([CyclicGroup, DihedralGroup])
REFERENCE = Path(os.environ.get("PAPER_DATA", "data")).resolve().parent / "reference" / "dihedral"
RELEASED = ROOT / "checkpoints" / "dihedral_D53"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(GROUPS, st.integers(3, 12))
@settings(deadline=None, max_examples=20)
def test_group_axioms(kind, n):
    group = kind(n)
    table, elements = group.table, torch.arange(group.order)
    assert torch.equal(table[0], elements) and torch.equal(table[:, 0], elements)  # element 0 is the identity
    assert torch.equal(table.sort(dim=1).values, elements.expand(group.order, -1))  # closed, and cancels
    assert ((table == 0).sum(1) == 1).all() and torch.equal(table == 0, (table == 0).T)  # two-sided inverses
    assert torch.equal(table[table], table[:, table])  # (x y) z = x (y z)
    assert torch.equal(table, table.T) == (kind is CyclicGroup)  # D_n does not commute
    assert len(set(group.names)) == group.order
    assert torch.equal(group.parity[table], group.parity[:, None] ^ group.parity)  # a homomorphism
    assert repr(group) == f"{kind.__name__}({n})"  # the key of a kept training: the same in every process


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
    rows = ["012345", "120453", "201534", "354021", "435102", "543210"]
    assert DihedralGroup(3).table.tolist() == [[int(product) for product in row] for row in rows]


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
def test_fourier_2d_keeps_energy(kind, n, seed):
    x = noise(kind(n).order, kind(n).order, 3, seed=seed)
    coefficients = groups.fourier_2d(x, n)
    assert coefficients.shape == (4 if kind is DihedralGroup else 1, n, n, 3)
    torch.testing.assert_close(coefficients.pow(2).sum((0, 1, 2)), x.pow(2).sum((0, 1)))  # Parseval


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
    last = wave(53, 26)[:, None, None].expand(53, 53, 1)
    assert groups.neuron_frequencies(last, 53)[0].item() == 26
    assert groups.neuron_frequencies(last, 53, highest=25)[1].item() < 1e-12  # the original notebook's range misses it
    n = 7
    hidden = (3 * wave(n, 2)[:, None] + 1 * wave(n, 3)[None, :])[:, :, None]  # energies 9 to 1, no constant
    found, fraction = groups.neuron_frequencies(hidden, n)
    assert found.item() == 2 and fraction.item() == pytest.approx(0.9)
    _, centred = groups.neuron_frequencies(hidden + 5, n, centred=True)
    assert centred.item() == pytest.approx(0.9)  # the constant counts for nothing
    assert groups.neuron_frequencies(hidden + 5, n)[1].item() == pytest.approx((25 + 4.5) / (25 + 5))


def test_power_is_what_reaches_the_logits():
    n = 5
    hidden = torch.stack([7 + 0 * wave(n, 1)[:, None].expand(n, n), wave(n, 2)[:, None].expand(n, n)], dim=-1)
    w_u = torch.tensor([[1.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    power = groups.neuron_power(hidden, w_u, n)
    torch.testing.assert_close(power, torch.tensor([0.0, 4 * n * n / 2], dtype=torch.float64))
    share = groups.frequency_power(torch.tensor([0, 2]), power, n)
    torch.testing.assert_close(share, torch.tensor([0.0, 1.0], dtype=torch.float64))


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
    table = DihedralGroup(3).table
    right = F.one_hot(table, 6).double()
    wrong = F.one_hot((table + 3) % 6, 6).double()  # the same rotation, with the wrong parity
    shares = [groups.forbidden_share(logits, 3) for logits in (right, wrong, 3 * right + wrong)]
    assert shares == pytest.approx([0, 1, 0.1])


def test_table_loss_by_hand():
    table = CyclicGroup(4).table
    assert groups.table_loss(torch.zeros(4, 4, 4), table)[0] == pytest.approx(math.log(4))
    sure = 50.0 * F.one_hot(table, 4)
    sure[0, 0] = sure[0, 0].roll(1)
    loss, accuracy = groups.table_loss(sure, table)
    assert loss == pytest.approx(50 / 16) and accuracy == 15 / 16
    assert groups.table_loss(sure, table, torch.arange(16).view(4, 4) > 0)[1] == 1


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
    for name, fan_in in {"W_E_a": 256, "W_E_b": 256, "W": 512, "W_U": 128}.items():
        a, b, c = (model.get_parameter(name) for model in (first, again, other))
        assert torch.equal(a, b) and not torch.equal(a, c)
        assert a.std().item() == pytest.approx(fan_in**-0.5, rel=0.03)


def test_one_step_is_adamw_on_the_training_pairs():
    group, config = DihedralGroup(4), GroupTraining(fraction=0.5, learning_rate=0.1, weight_decay=0.3, epochs=1)
    model, expected = (GroupMLP(group.order, 4, 5, seed=0).double() for _ in range(2))
    chosen = groups.train_pairs(group.order, 0.5, config.seed)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=0.1, weight_decay=0.3)
    F.cross_entropy(expected(chosen.nonzero()), group.table[chosen]).backward()
    optimizer.step()
    groups.train(model, group, config)
    torch.testing.assert_close(model.state_dict(), expected.state_dict())


SMALL = GroupTraining(learning_rate=1e-2, weight_decay=0.5, epochs=150, log_every=50, seed=0)


def small(group: groups.Group) -> GroupMLP:
    return GroupMLP(group.order, 16, 32, seed=0)


@pytest.mark.parametrize("group", [CyclicGroup(7), DihedralGroup(5)], ids=["C_7", "D_5"])
def test_small_groups_are_learnt(group):
    model, again = small(group), small(group)
    history = groups.train(model, group, SMALL)
    assert history["epoch"][0] == 0 and history["epoch"][-1] == SMALL.epochs
    assert history["train_loss"][0] > 1 and history["train_loss"][-1] < 0.1
    assert history["train_accuracy"][-1] == 1
    assert ("forbidden_share" in history) == isinstance(group, DihedralGroup)
    assert groups.train(again, group, SMALL) == history and torch.equal(model.W, again.W)


def test_curves_are_those_of_the_public_functions():
    group, model, train = DihedralGroup(5), GroupMLP(10, 6, 7, seed=2), groups.train_pairs(10, 0.6, 0)
    model.requires_grad_(False)
    numbers, (logits, cache) = groups.measure(model, group, train), model.run_with_cache()
    frequency, fraction = groups.neuron_frequencies(cache["hidden"], 5)
    _, centred = groups.neuron_frequencies(cache["hidden"], 5, centred=True)
    power = groups.neuron_power(cache["hidden"], model.W_U, 5)
    share = groups.frequency_power(frequency, power, 5)
    live = [k for k in (1, 2) if share[k - 1] >= 0.01]
    ablated = groups.ablate_forbidden_parity(logits, live, 5)
    for pairs, where in {"train_": train, "test_": ~train, "": None}.items():
        found = numbers[f"{pairs}loss"], numbers[f"{pairs}accuracy"]
        assert found == groups.table_loss(logits, group.table, where)
    assert numbers["mean_fraction"] == pytest.approx(fraction.mean().item())
    assert numbers["weighted_fraction"] == pytest.approx(((centred * power).sum() / power.sum()).item())
    assert numbers["power_by_frequency"] == pytest.approx(share.tolist(), abs=1e-4)
    assert numbers["live_frequencies"] == len(live)
    assert numbers["ablated_loss"] == groups.table_loss(ablated, group.table)[0]


def test_resumed_run_repeats_the_uninterrupted_one(tmp_path, monkeypatch):
    group, path, store = DihedralGroup(4), tmp_path / "state.safetensors", training.save_run
    whole, resumed = small(group), small(group)
    history = groups.train(whole, group, SMALL)

    def interrupt(*arguments):
        store(*arguments)
        if arguments[4] == 100:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "save_run", interrupt)
        groups.train(small(group), group, SMALL, resume=path, save_every=50)
    with pytest.raises(ValueError, match="same recipe"):
        groups.train(small(DihedralGroup(5)), DihedralGroup(5), SMALL, resume=path)
    assert groups.train(resumed, group, SMALL, resume=path, save_every=50) == history and not path.exists()
    assert all(torch.equal(parameter, resumed.get_parameter(name)) for name, parameter in whole.named_parameters())


def test_a_loss_that_is_not_finite_ends_the_training():
    model = small(CyclicGroup(5))
    with torch.no_grad():
        model.W[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="epoch 0"):
        groups.train(model, CyclicGroup(5), SMALL)


def test_the_papers_recipe_and_the_released_one():
    assert GroupTraining() == GroupTraining(0.9, 1e-3, 2.0, 100_000, 200, 1)
    assert GroupTraining(epochs=30_000) == released.RECIPE
    train = groups.train_pairs(106, 0.9, 1)
    assert train.sum() == 10112 and torch.equal(train, groups.train_pairs(106, 0.9, 1))
    assert not torch.equal(train, groups.train_pairs(106, 0.9, 2))


def test_command_writes_weights_and_card(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "ROOT", tmp_path)
    options = {"n": 3, "epochs": 2, "weight-decay": 1, "seed": 0, "output": tmp_path / "out"}
    released.main([f"--{name}={value}" for name, value in options.items()])
    assert GroupMLP.from_pretrained(tmp_path / "out" / "model.safetensors", order=6).W.shape == (512, 128)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert {"epochs": 2, "weight_decay": 1, "d_embed": 256}.items() <= card["recipe"].items()
    assert 0 < card["final"]["loss"] < 3 and card["curves"]["epoch"] == [0, 2]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"model.safetensors", "card.json"}
    with pytest.raises(ValueError, match="DEVICE"):
        released.main(["--device", "abacus"])


def test_weights_that_do_not_fit(tmp_path):
    good = {name: tensor.clone() for name, tensor in GroupMLP(10, 4, 3).state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(good, path)
    assert torch.equal(GroupMLP.from_pretrained(path, order=10).W, good["W"])
    bad = [
        (good, 106, "order 10, expected order 106"),
        (good | {"W_U": torch.zeros(3, 12)}, None, r"W_U has shape \(3, 12\).*\(3, 10\)"),
        ({"W": good["W"]}, None, "exactly"),
    ]
    for state, order, message in bad:
        save_file(state, path)
        with pytest.raises(ValueError, match=message):
            GroupMLP.from_pretrained(path, order)
    with pytest.raises(FileNotFoundError):
        GroupMLP.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CyclicGroup(2), "CyclicGroup: n must be at least 3"),
        (lambda: DihedralGroup(2), "DihedralGroup: n must be at least 3"),
        (lambda: groups.fourier_basis(2), "fourier_basis: n must be at least 3"),
        (lambda: groups.fourier_names(2), "fourier_names: n must be at least 3"),
        (lambda: groups.frequency_mask([1, 27], 53), r"1\.\.26, got \[27\]"),
        (lambda: groups.neuron_frequencies(torch.zeros(53, 53, 1), 53, highest=27), r"27 is outside 1\.\.26"),
        (lambda: groups.ablate_forbidden_parity(torch.zeros(20, 20, 20), [6, 5, 0], 10), r"1\.\.5, got \[6, 0\]"),
        (lambda: groups.ablate_forbidden_parity(torch.zeros(5, 5, 5), [1], 5), "order 10"),
        (lambda: groups.fourier_2d(torch.zeros(8, 8, 1), 5), r"5 .*10 .* got 8"),
        (lambda: GroupTraining(fraction=1.0), "GroupTraining: fraction"),
        (lambda: GroupTraining(epochs=0), "GroupTraining: epochs"),
        (lambda: GroupTraining(weight_decay=-1.0), "GroupTraining: the learning rate"),
        (lambda: GroupMLP(0), "GroupMLP: sizes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def analysed(path: Path, highest: int | None = None):
    model = GroupMLP.from_pretrained(path, order=106).double()
    model.requires_grad_(False)
    logits, cache = model.run_with_cache(names_filter="hidden")
    frequency, _ = groups.neuron_frequencies(cache["hidden"], 53, highest)
    clusters = {k: (frequency == k).sum().item() for k in frequency.unique().tolist()}
    return model, logits, cache["hidden"], clusters


def test_released_checkpoint_is_what_its_card_says():
    card = json.loads((RELEASED / "card.json").read_text())
    model = GroupMLP.from_pretrained(RELEASED / "model.safetensors", order=106).double()
    train = groups.train_pairs(106, card["recipe"]["fraction"], card["recipe"]["seed"])
    final = groups.measure(model, DihedralGroup(53), train)
    assert final["accuracy"] == 1 and final["live_frequencies"] == 8 and final["clusters"] == 16
    assert f"{final['loss']:.4e}" == "5.0662e-06"
    for name, value in final.items():
        assert card["final"][name] == pytest.approx(value, rel=1e-6), name
    assert card["curves"]["epoch"][-1] == card["recipe"]["epochs"]
    assert len({len(curve) for curve in card["curves"].values()}) == 1
    assert min(card["curves"]["forbidden_share"]) == pytest.approx(0.4738, abs=1e-4)


def test_released_checkpoint_gives_the_notebooks_numbers():
    group = DihedralGroup(53)
    model, logits, hidden, clusters = analysed(RELEASED / "model.safetensors")
    power, (frequency, fraction) = groups.neuron_power(hidden, model.W_U, 53), groups.neuron_frequencies(hidden, 53)
    share = groups.frequency_power(frequency, power, 53)
    key = [k for k in range(1, 27) if share[k - 1] >= 0.01]
    assert key == [8, 10, 15, 16, 21, 24, 25, 26] and clusters[26] == 12

    def loss_of(changed: torch.Tensor) -> float:
        return groups.table_loss(changed @ model.W_U, group.table)[0]

    def linear(x: torch.Tensor) -> float:
        energy = groups.fourier_2d(x - x.mean((0, 1)), 53).pow(2).sum((0, 3))
        return ((energy[0, 1:].sum() + energy[1:, 0].sum()) / (energy.sum() - energy[0, 0])).item()

    keep, means = groups.keep_frequencies, groups.keep_frequencies(hidden, [], 53)
    without = [loss_of(hidden - keep(hidden, [k], 53) + means) for k in key]
    loss = loss_of(hidden)
    ablated = groups.ablate_forbidden_parity(logits, list(clusters), 53)
    chance = logits.softmax(-1)
    wrong = 1 - chance.gather(2, group.table[:, :, None])[..., 0]
    numbers = {
        "linear, hidden": (linear(hidden), 0.7404),
        "linear, logits": (linear(logits), 0.00695),
        "fraction": (fraction.mean(), 0.9436),
        "fraction, 1 to 25": (groups.neuron_frequencies(hidden, 53, 25)[1].mean(), 0.8845),
        "loss, ablated": (groups.table_loss(ablated, group.table)[0], 3.9945e-6),
        "error on wrong parity": (chance[group.forbidden].sum() / wrong.sum(), 0.2138),
        "loss, key frequencies": (loss_of(keep(hidden, key, 53)), 1.0940e-5),
        "loss, all clusters": (loss_of(keep(hidden, list(clusters), 53)), 5.4257e-6),
        "factor, least harmful removed": (min(without) / loss, 3.4057),
        "loss, most harmful removed": (max(without), 4.4944e-4),
    }
    for name, (found, expected) in numbers.items():
        assert float(found) == pytest.approx(expected, rel=2e-4), name


TABLE = DihedralGroup(53).table
PUBLISHED = {  # file, last frequency tried: loss, neurons by frequency, loss after the ablation, mean fraction
    ("a", 25):
        (4.52564e-06, {1: 15, 2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 15, 25: 17}, 3.44963e-06, 0.890),
    ("a", 26):
        (4.52564e-06, {2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 14, 25: 17, 26: 16}, 3.41720e-06, 0.965),
    ("b", 25): (3.53413e-06, {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, 1.28079e-06, 0.954),
    ("b", 26): (3.53413e-06, {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, 1.28079e-06, 0.954),
}  # fmt: skip


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published weights (reference/dihedral) are not beside the data")
class TestPublishedWeights:
    @pytest.mark.parametrize(("name", "highest"), PUBLISHED)
    def test_loss_clusters_and_ablation(self, name, highest):
        loss, expected, ablated, mean = PUBLISHED[name, highest]
        _, logits, hidden, clusters = analysed(REFERENCE / f"{name}.safetensors", highest)
        found, accuracy = groups.table_loss(logits, TABLE)
        after, _ = groups.table_loss(groups.ablate_forbidden_parity(logits, list(clusters), 53), TABLE)
        assert (clusters, f"{found:.5e}", accuracy, f"{after:.5e}") == (expected, f"{loss:.5e}", 1, f"{ablated:.5e}")
        assert groups.neuron_frequencies(hidden, 53, highest)[1].mean().item() == pytest.approx(mean, abs=5e-4)

    @pytest.mark.parametrize("name", "abce")
    def test_converged_networks(self, name):
        model, logits, hidden, clusters = analysed(REFERENCE / f"{name}.safetensors")
        frequency, fraction = groups.neuron_frequencies(hidden, 53, centred=True)
        power = groups.neuron_power(hidden, model.W_U, 53)
        assert 5 <= (groups.frequency_power(frequency, power, 53) >= 0.01).sum() <= 7
        after, _ = groups.table_loss(groups.ablate_forbidden_parity(logits, list(clusters), 53), TABLE)
        assert 1.32 <= groups.table_loss(logits, TABLE)[0] / after <= 2.85
        assert 0.955 <= ((fraction * power).sum() / power.sum()).item() <= 0.959
