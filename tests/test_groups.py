"""Groups, Fourier basis and the group MLP: laws, cases solved by hand, and weights that nobody here trained."""

import json
import math
import os
from dataclasses import replace
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
from paper_utils.groups import CyclicGroup, DihedralGroup, GroupMLP, GroupTraining, SymmetricGroup
from sweeps import dihedral_fourier

GROUPS = st.sampled_from([CyclicGroup, DihedralGroup])
FEW = [CyclicGroup(7), CyclicGroup(8), DihedralGroup(5), DihedralGroup(6), SymmetricGroup()]
REFERENCE = Path(os.environ.get("PAPER_DATA", "data")).resolve().parent / "reference" / "dihedral"
RELEASED = ROOT / "checkpoints" / "dihedral_D53"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def axioms(group: groups.Group) -> None:
    table, elements = group.table, torch.arange(group.order)
    assert torch.equal(table[0], elements) and torch.equal(table[:, 0], elements)  # element 0 is the identity
    assert torch.equal(table.sort(dim=1).values, elements.expand(group.order, -1))  # closed, and cancels
    assert (table[elements, group.inverse] == 0).all() and (table[group.inverse, elements] == 0).all()
    assert torch.equal(table[table], table[:, table])  # (x y) z = x (y z)
    assert torch.equal(table, table.T) == isinstance(group, CyclicGroup)  # the others do not commute
    assert len(set(group.names)) == group.order
    assert torch.equal(group.parity[table], group.parity[:, None] ^ group.parity)  # a homomorphism
    assert repr(group) == f"{type(group).__name__}({group.n})"  # the key of a kept training: the same in every process


@given(GROUPS, st.integers(3, 12))
@settings(deadline=None, max_examples=20)
def test_group_axioms(kind, n):
    axioms(kind(n))


def test_permutations_of_four_by_hand():
    group = SymmetricGroup()
    axioms(group)
    swap, turn = group.names.index("1023"), group.names.index("1230")  # (0 1) and 0 -> 1 -> 2 -> 3 -> 0
    both = group.table[swap, turn].item()
    assert group.names[both] == "0231"  # first turn, then swap: 0 -> 1 -> 0, 1 -> 2, 2 -> 3, 3 -> 0 -> 1
    assert [group.parity[x].item() for x in (swap, turn, both)] == [1, 1, 0]
    fixed = (torch.tensor([[int(d) for d in name] for name in group.names]) == torch.arange(4)).sum(1)
    standard = group.irreps()["standard"].diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(standard, fixed.double() - 1)  # its character: fixed points less one


@pytest.mark.parametrize("group", FEW, ids=repr)
def test_irreps_are_homomorphisms_and_their_characters_orthogonal(group):
    irreps = group.irreps()
    for matrices in irreps.values():
        d = matrices.shape[1]
        torch.testing.assert_close(torch.einsum("xij,yjk->xyik", matrices, matrices), matrices[group.table])
        torch.testing.assert_close(matrices @ matrices.mT, torch.eye(d).double().expand_as(matrices))
    characters = torch.stack([matrices.diagonal(dim1=1, dim2=2).sum(1) for matrices in irreps.values()])
    norms = characters.square().sum(1) / group.order
    torch.testing.assert_close(characters @ characters.T / group.order, norms.diag())
    # 1 where it stays irreducible over the complex numbers; a rotation of the plane falls into two there.
    assert norms.round().tolist() == [
        2.0 if isinstance(group, CyclicGroup) and m.shape[1] == 2 else 1.0 for m in irreps.values()
    ]
    dimensions = torch.tensor([m.shape[1] for m in irreps.values()])
    assert (dimensions**2 / norms).sum().round() == group.order and next(iter(irreps)) == "trivial"
    basis, index = group.basis()
    torch.testing.assert_close(basis @ basis.T, torch.eye(group.order).double())
    torch.testing.assert_close(index.bincount().double(), dimensions**2 / norms)


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


@pytest.mark.parametrize("group", FEW, ids=repr)
def test_keeping_irreps_is_a_projection(group):
    known, x = list(group.irreps()), noise(group.order, group.order, 2)
    chosen = known[1::2]
    kept = groups.keep_irreps(x, chosen, group)
    torch.testing.assert_close(groups.keep_irreps(kept, chosen, group), kept)
    torch.testing.assert_close((kept * (x - kept)).sum(), torch.zeros((), dtype=torch.float64), atol=1e-10, rtol=0)
    torch.testing.assert_close(groups.keep_irreps(x, [], group), x.mean((0, 1)).expand_as(x))
    alone = x[:, :1].expand_as(x)  # what depends on the first element only is kept whole where all irreps are
    torch.testing.assert_close(groups.keep_irreps(alone, known[1:], group), alone)


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
    assert groups.neuron_frequencies(hidden + 5, n)[1].item() == pytest.approx((25 + 4.5) / (25 + 5))


@pytest.mark.parametrize("group", FEW, ids=repr)
def test_irrep_of_a_hand_made_neuron(group):
    for name, matrices in list(group.irreps().items())[1:]:
        one = matrices[:, 0, 0]
        neurons = [one[:, None].expand(-1, group.order), one[:, None] * one, one + 5 * one[:, None] + 2]
        found, fraction = groups.neuron_irreps(torch.stack(neurons, -1), group)
        assert found == [name] * 3
        torch.testing.assert_close(fraction, torch.ones(3).double())


def test_a_detector_of_parity_is_a_sign_neuron_and_a_constant_is_dead():
    group, n = DihedralGroup(5), 5
    both_rotate = ((group.parity[:, None] + group.parity) == 0).double()
    two = 3 * wave(n, 2)[:, None].expand(n, n).tile(2, 2) + wave(n, 1).expand(n, n).tile(2, 2)  # variances 9 to 1
    hidden = torch.stack([both_rotate, torch.full_like(both_rotate, 7.0), two], -1)
    found, fraction = groups.neuron_irreps(hidden, group)
    assert found == ["sign", "dead", "2"]
    torch.testing.assert_close(fraction, torch.tensor([1.0, 0.0, 0.9]).double())
    assert groups.neuron_frequencies(hidden, n)[1][0].item() == pytest.approx(
        1
    )  # the original's count takes it for a wave


def by_hand(group: groups.Group, name: str, a: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> GroupMLP:
    """Neurons that add up <u, rho(x) a> + <a, rho(y) v> and write <u, rho(z) v>."""
    rho, d = group.irreps()[name], len(a)
    model = GroupMLP(group.order, d, len(u)).double().requires_grad_(False)
    weights = {"W_E_a": rho @ a, "W_E_b": rho.mT @ a, "W": torch.cat([u.T, v.T])}
    model.load_state_dict(weights | {"W_U": torch.einsum("ki,zij,kj->kz", u, rho, v)})
    return model


@given(st.floats(0, 3.1), st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_one_inner_vector_wastes_half_of_the_waves(angle, k):
    """The derivation of notebook 4: logits are the trace of a a^T rho(g), half of it on answers of the wrong parity."""
    group, a = DihedralGroup(11), torch.tensor([math.cos(angle), math.sin(angle)]).double()
    turn = 2 * math.pi * torch.arange(40) / 40
    u, v = (torch.stack([t.cos(), t.sin()], 1).double() for t in (turn.repeat(40), turn.repeat_interleave(40)))
    model, rho = by_hand(group, str(k), a, u, v), group.irreps()[str(k)]
    vector, share = groups.inner_vectors(model, group)[str(k)]
    assert share == pytest.approx(1) and abs(vector @ a) == pytest.approx(1)
    logits = model() / len(u)
    expected = torch.einsum("xi,zij,yj->xyz", rho @ a, rho, rho.mT @ a) * 4 / (3 * math.pi**2)
    torch.testing.assert_close(logits, expected, atol=5e-4, rtol=0)
    assert groups.forbidden_share(expected, group) == pytest.approx(0.5)


def test_inner_vectors_without_any_order_share_one_over_the_dimension():
    group, u = SymmetricGroup(), noise(500, 3)
    shares = groups.inner_vectors(GroupMLP(24, 64, 2000, seed=0).double(), group)
    assert [share for _, share in shares.values()] == pytest.approx([1, 1, 1 / 2, 1 / 3, 1 / 3], abs=0.05)
    vector, share = groups.inner_vectors(by_hand(group, "standard", u[0], u, u.flip(0)), group)["standard"]
    assert share == pytest.approx(1) and abs(vector @ u[0]) == pytest.approx(u[0].norm().item())


def test_census_by_hand():
    """Two irreps' neurons; without the sign's, the loss is that of a network that never had them."""
    group, one = DihedralGroup(5), torch.ones(1).double()
    signs = torch.tensor([[1.0], [1], [-1], [-1]]).double(), torch.tensor([[1.0], [-1], [1], [-1]]).double()
    turn = 2 * math.pi * torch.arange(10) / 10
    u, v = (torch.stack([t.cos(), t.sin()], 1).double() for t in (turn.repeat(10), turn.repeat_interleave(10)))
    sign, wave_ = by_hand(group, "sign", one, *signs), by_hand(group, "2", torch.tensor([1.0, 0]).double(), u, v)
    both = GroupMLP(10, 3, 104).double().requires_grad_(False)
    weights = {k: torch.cat([sign.get_parameter(k), wave_.get_parameter(k)], 1) for k in ("W_E_a", "W_E_b")}
    weights["W"] = torch.cat([torch.block_diag(sign.W[i : i + 1], wave_.W[2 * i : 2 * i + 2]) for i in (0, 1)])
    both.load_state_dict(weights | {"W_U": torch.cat([sign.W_U, wave_.W_U])})
    found = groups.census(both, group)
    assert {name: part["neurons"] for name, part in found.items()} == {"sign": 4, "2": 100}
    assert sum(part["power"] for part in found.values()) == pytest.approx(1)
    assert found["sign"]["loss_without"] == pytest.approx(groups.table_loss(wave_(), group.table)[0])
    assert found["2"]["loss_without"] == pytest.approx(groups.table_loss(sign(), group.table)[0])
    own = torch.arange(104) < 4
    changed = groups.hooked_loss(both, group, lambda h: groups.hold_at_means(own, h))
    assert changed == pytest.approx(found["sign"]["loss_without"])


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


def test_waves_add_up_to_zero_on_the_outputs_of_each_parity():
    group, logits = DihedralGroup(3), torch.zeros(6, 6, 6).double()
    logits[0, 0] = torch.tensor([3.0, 0, 0, 1, 1, 1])
    found = groups.waves(logits, group)
    assert found[0, 0].tolist() == pytest.approx([2, -1, -1, 0, 0, 0]) and not found[1:].any()
    torch.testing.assert_close(groups.waves(found + 7, group), found)
    one_parity = groups.waves(noise(5, 5, 5), CyclicGroup(5))
    torch.testing.assert_close(one_parity.sum(-1), torch.zeros(5, 5).double())


def test_forbidden_share_by_hand():
    table = DihedralGroup(3).table
    right = F.one_hot(table, 6).double()
    wrong = F.one_hot((table + 3) % 6, 6).double()  # the same rotation, with the wrong parity
    shares = [groups.forbidden_share(logits, DihedralGroup(3)) for logits in (right, wrong, 3 * right + wrong)]
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
    assert (history["forbidden_share"][-1] > 0) == isinstance(group, DihedralGroup)
    assert groups.train(again, group, SMALL) == history and torch.equal(model.W, again.W)


def test_key_irreps_are_those_without_which_the_loss_is_a_tenth_higher():
    found = {name: {"loss_without": loss} for name, loss in (("sign", 3.0), ("1", 2.0), ("2", 2.3))}
    assert groups.key_irreps(found, 2.0) == ["sign", "2"] and groups.key_irreps(found, 3.0) == []
    assert groups.key_irreps({"1": {"loss_without": groups.KEY}}, 1.0) == ["1"]  # the threshold counts


def test_recipe_of_the_small_groups():
    assert GroupTraining(0.9, 1e-2, 1.0, 3000, 3000, 1) == groups.SMALL


@pytest.mark.parametrize(
    ("sweep", "point"),
    [
        (dihedral_fourier.DIHEDRAL, {"n": 5, "seed": 3}),
        (dihedral_fourier.THIRDS, {"n": 6, "seed": 3}),
        (dihedral_fourier.NOT_DIHEDRAL, {"group": "S_4", "seed": 3}),
        (dihedral_fourier.INITIAL, {"weights": 2, "pairs": 1}),
    ],
    ids=["dihedral", "thirds", "others", "initial"],
)
def test_sweeps_train_small_groups_by_their_recipe_and_measure_afterwards(sweep, point, monkeypatch):
    monkeypatch.setattr(groups, "SMALL", replace(groups.SMALL, epochs=40, log_every=40))
    model = sweep.build(**point)
    history = sweep.train(model, **point)
    order, seed = len(model.W_E_a), point.get("pairs", point.get("seed"))
    group = SymmetricGroup() if order == 24 else DihedralGroup(order // 2)
    again = GroupMLP(order, 64, 64, point.get("weights", point.get("seed")))
    assert history == groups.train(again, group, replace(groups.SMALL, seed=seed))
    assert torch.equal(again.W, model.W)
    rows = sweep.measure(model.requires_grad_(False), history, **point)
    for row in rows if isinstance(rows, list) else [rows]:
        assert all(isinstance(value, str) or math.isfinite(value) for value in row.values())
        if "key_irreps" in row:
            assert row["key"] == len(row["key_irreps"].split())
        if "neurons" in row and isinstance(row["neurons"], str):
            assert len(row["neurons"].split()) == 64


def test_grokking_measures_the_weights_of_each_logged_epoch(monkeypatch):
    recipe = replace(dihedral_fourier.GROKKING_RECIPE, epochs=2, log_every=1)
    monkeypatch.setattr(dihedral_fourier, "GROKKING_RECIPE", recipe)
    monkeypatch.setattr(dihedral_fourier, "LOGGED", 3)  # epochs 0 to 2
    models = dihedral_fourier.build_grokking(seed=3)
    history = dihedral_fourier.train_grokking(models, seed=3)
    assert history["epoch"] == [0, 1, 2]
    start = GroupMLP(106, seed=3)
    assert torch.equal(models[1].W, start.W) and torch.equal(models[-1].W, models[0].W)
    assert not torch.equal(models[2].W, models[3].W)
    pairs = groups.train_pairs(106, 0.3, 3)
    monkeypatch.setattr(groups, "key_irreps", lambda found, loss: ["sign", "2"])  # two epochs make none key
    rows = dihedral_fourier.measure_grokking(models.requires_grad_(False), history, seed=3)
    assert [(row["epoch"], row["irrep"]) for row in rows[:4]] == [(0, "sign"), (0, "2"), (1, "sign"), (1, "2")]
    group, model = DihedralGroup(53), models[3].double()
    without = groups.hooked_loss(
        model, group, lambda h: h - groups.keep_irreps(h, ["2"], group) + h.mean((0, 1)), pairs
    )
    kept = groups.hooked_loss(model, group, lambda h: groups.keep_irreps(h, ["sign", "2"], group))
    row = rows[5]
    assert (row["epoch"], row["irrep"]) == (2, "2") and row["excluded_loss"] == pytest.approx(without, rel=1e-4)
    assert row["restricted_loss"] == pytest.approx(kept, rel=1e-4)
    assert row["loss"] == pytest.approx(history["loss"][2], rel=1e-4)


def test_grokking_has_a_network_for_each_epoch_that_the_recipe_logs():
    recipe = dihedral_fourier.GROKKING_RECIPE
    first, later = recipe.log_every // 8, recipe.log_every
    logged = {*range(0, 10 * later, first), *range(10 * later, recipe.epochs + 1, later)}
    assert len(logged) == dihedral_fourier.LOGGED


def test_curves_are_those_of_the_public_functions():
    group, model, train = DihedralGroup(5), GroupMLP(10, 6, 7, seed=2), groups.train_pairs(10, 0.6, 0)
    model.requires_grad_(False)
    numbers, logits = groups.measure(model, group, train), model()
    for pairs, where in {"train_": train, "test_": ~train, "": None}.items():
        found = numbers[f"{pairs}loss"], numbers[f"{pairs}accuracy"]
        assert found == groups.table_loss(logits, group.table, where)
    census, inner = groups.census(model, group), groups.inner_vectors(model, group)
    shares = [census.get(name, {"power": 0.0})["power"] for name in ("sign", "1", "2")]
    assert numbers["power"] == pytest.approx(shares, abs=1e-4) and sum(numbers["power"]) == pytest.approx(1, abs=1e-3)
    assert numbers["inner_share"] == pytest.approx([inner[name][1] for name in ("sign", "1", "2")], abs=1e-4)
    assert numbers["squared_weights"] == pytest.approx(sum(w.square().sum().item() for w in model.parameters()))
    ablated = groups.ablate_forbidden_parity(logits, [1, 2], 5)
    assert numbers["ablated_loss"] == pytest.approx(groups.table_loss(ablated, group.table)[0])


def test_a_training_logs_what_it_is_told_to():
    group, seen = CyclicGroup(5), []

    def log(model, of, pairs):
        seen.append(model.W.detach().clone())
        return {"train_loss": 0.0, "test_loss": 0.0, "test_accuracy": 0.0, "pairs": int(pairs.sum())}

    model = small(group)
    history = groups.train(model, group, SMALL, each_log=log)
    assert history["pairs"] == [22] * len(history["epoch"]) and torch.equal(seen[-1], model.W)


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
    assert GroupTraining(epochs=60_000) == released.RECIPE
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
    assert card["irreps"] == ["sign", "1"] and len(card["final"]["power"]) == 2
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
        (lambda: SymmetricGroup(5), "SymmetricGroup: n must be 4"),
        (lambda: groups.keep_irreps(noise(6, 6, 1), ["1", "4"], DihedralGroup(3)), r"trivial, sign, 1; got \['4'\]"),
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


FOLDERS = [RELEASED, *sorted(RELEASED.glob("seed_*"))]


def load(path: Path) -> GroupMLP:
    return GroupMLP.from_pretrained(path, order=106).double().requires_grad_(False)


def analysed(path: Path, highest: int | None = None):
    model = load(path)
    logits, cache = model.run_with_cache(names_filter="hidden")
    frequency, fraction = groups.neuron_frequencies(cache["hidden"], 53, highest)
    clusters = {k: (frequency == k).sum().item() for k in frequency.unique().tolist()}
    return logits, clusters, fraction.mean().item()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_released_checkpoint_is_what_its_card_says(folder):
    card = json.loads((folder / "card.json").read_text())
    final = groups.measure(
        load(folder / "model.safetensors"), DihedralGroup(53), groups.train_pairs(106, 0.9, card["recipe"]["seed"])
    )
    assert final["accuracy"] == 1 and final["loss"] < 2e-5
    for name, value in final.items():
        assert card["final"][name] == pytest.approx(value, rel=1e-6, abs=1e-4), name
    assert card["curves"]["epoch"][-1] == card["recipe"]["epochs"]
    assert len({len(curve) for curve in card["curves"].values()}) == 1
    assert (folder / "card.json").stat().st_size < 200_000


TABLE = DihedralGroup(53).table
PUBLISHED = {  # file, last frequency tried: loss, neurons by frequency, loss after the ablation, mean fraction
    ("a", 25):
        (4.52564e-06, {1: 15, 2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 15, 25: 17}, 3.44963e-06, 0.890),
    ("a", 26):
        (4.52564e-06, {2: 2, 8: 14, 10: 16, 15: 19, 16: 6, 19: 8, 21: 16, 24: 14, 25: 17, 26: 16}, 3.41720e-06, 0.965),
    ("b", 25): (3.53413e-06, {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, 1.28079e-06, 0.954),
    ("b", 26): (3.53413e-06, {8: 23, 12: 23, 21: 21, 22: 4, 23: 27, 24: 30}, 1.28079e-06, 0.954),
}  # fmt: skip


# What the notebook draws of them: measured here, since the weights are not in this repository.
DRAWN = json.loads((RELEASED / "published.json").read_text())["networks"]


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published weights (reference/dihedral) are not beside the data")
class TestPublishedWeights:
    @pytest.mark.parametrize(("name", "highest"), PUBLISHED)
    def test_loss_clusters_and_ablation(self, name, highest):
        loss, expected, ablated, mean = PUBLISHED[name, highest]
        logits, clusters, fraction = analysed(REFERENCE / f"{name}.safetensors", highest)
        found, accuracy = groups.table_loss(logits, TABLE)
        after, _ = groups.table_loss(groups.ablate_forbidden_parity(logits, list(clusters), 53), TABLE)
        assert (clusters, f"{found:.5e}", accuracy, f"{after:.5e}") == (expected, f"{loss:.5e}", 1, f"{ablated:.5e}")
        assert fraction == pytest.approx(mean, abs=5e-4)

    @pytest.mark.parametrize("name", DRAWN)
    def test_sign_neurons_decide_what_the_ablation_wins(self, name):
        group, model = DihedralGroup(53), load(REFERENCE / f"{name}.safetensors")
        _, cache = model.run_with_cache(names_filter="hidden")
        own = torch.tensor([irrep == "sign" for irrep in groups.neuron_irreps(cache["hidden"], group)[0]])
        assert own.sum() == DRAWN[name]["sign_neurons"]
        held = model.run_with_hooks(fwd_hooks=[("hidden", lambda h, hook: groups.hold_at_means(own, h))])
        for logits, measured in ((model(), "factor"), (held, "factor_without_sign")):
            after = groups.table_loss(groups.ablate_forbidden_parity(logits, range(1, 27), 53), TABLE)[0]
            assert groups.table_loss(logits, TABLE)[0] / after == pytest.approx(DRAWN[name][measured], rel=2e-3)

    @pytest.mark.parametrize("name", DRAWN)
    def test_what_the_theory_explains(self, name):
        """Nearly all of a, b, c and e; not of d, stopped early: frequency 12 has two inner vectors there."""
        group, model, expected = DihedralGroup(53), load(REFERENCE / f"{name}.safetensors"), DRAWN[name]
        found, logits, key = groups.census(model, group), model(), expected["key"].split()
        loss = groups.table_loss(logits, TABLE)[0]
        assert groups.key_irreps(found, loss) == key
        inner, predicted = groups.inner_vectors(model, group), torch.zeros_like(logits)
        for k in key:
            rho, (a, _) = group.irreps()[k], inner[k]
            wave_ = torch.einsum("xi,zij,yj->xyz", rho @ a, rho, rho.mT @ a)
            predicted += (wave_ * logits).sum() / wave_.square().sum() * wave_
        waves, guess = (v - v.unflatten(2, (2, 53)).mean(-1).repeat_interleave(53, -1) for v in (logits, predicted))
        entries = [torch.linalg.qr(group.irreps()[k].flatten(1)).Q.T for k in key if k != "sign"]
        spent = [torch.linalg.svdvals(q @ e).square() for q in entries for e in (model.W_E_a, model.W_E_b)]
        numbers = {
            "inner_share": min(inner[k][1] for k in key),
            "forbidden_share": groups.forbidden_share(logits, group),
        }
        numbers["two_of_four"] = min((s[:2].sum() / s.sum()).item() for s in spent)
        for half, where in (("allowed", ~group.forbidden), ("forbidden", group.forbidden)):
            missed = (waves - guess)[where].square().sum() / waves[where].square().sum()
            numbers[f"{half}_explained"] = 1 - missed.item()
        assert numbers == pytest.approx({what: expected[what] for what in numbers}, abs=1e-3)

    def test_a_network_stopped_early_has_a_frequency_with_two_inner_vectors(self):
        assert groups.inner_vectors(load(REFERENCE / "d.safetensors"), DihedralGroup(53))["12"][1] == pytest.approx(
            0.583, abs=1e-3
        )

    def test_published_a_and_our_seed_1_agree_on_most_neurons(self):
        """Two recipes of one repository, from the same initial weights, it seems; a and b agree as by chance."""
        paths = REFERENCE / "a.safetensors", RELEASED / "model.safetensors", REFERENCE / "b.safetensors"
        hidden = [load(path).run_with_cache(names_filter="hidden")[1]["hidden"] for path in paths]
        a, ours, b = (groups.neuron_irreps(each, DihedralGroup(53))[0] for each in hidden)
        agree = [sum(one == two for one, two in zip(a, other, strict=True)) for other in (ours, b)]
        assert agree[0] > 64 and agree[1] < 20
