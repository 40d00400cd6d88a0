"""Superposition: the seed's two models, what is measured on them, and Elhage's toy model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper_utils import data
from paper_utils import superposition as sp

SMALL = sp.PlaneConfig(n_features=6, n_hidden=2, epochs=2, batch_size=16)


def sparse_rows(n=300, n_features=6, seed=0):
    u = torch.rand(n, n_features, generator=torch.Generator().manual_seed(seed))
    return sp.thin(u, torch.tensor([0.4]))[0]


def toy(n_features=5, n_hidden=2, n_instances=3, seed=0, sparsity=(0.0, 0.5, 0.9), steps=40):
    model = sp.ToyModel(n_features, n_hidden, n_instances, seed)
    source = sp.sparse_source(torch.tensor(sparsity), n_features)
    loss = sp.train_toy(model, source, torch.ones(n_features), sp.ToyConfig(steps, 64, 1e-2), seed=7)
    return model, loss


def solved_plane():
    """Two features, one hidden value each: code = tanh(h1), tanh(2 h2 + 1)."""
    model = sp.PlaneAutoencoder(sp.PlaneConfig(n_features=2, n_hidden=2))
    with torch.no_grad():
        model.encoder.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        model.encoder.bias.copy_(torch.tensor([0.0, 1.0]))
        model.decoder.weight.copy_(torch.eye(2))
        model.decoder.bias.zero_()
    return model


# The two models of the seed


def test_same_seed_same_weights_other_seed_others():
    for build in (
        lambda s: sp.FeatureNet(seed=s).hidden.weight,
        lambda s: sp.PlaneAutoencoder(seed=s).encoder.weight,
    ):
        assert torch.equal(build(0), build(0))
        assert not torch.equal(build(0), build(1))
    a, b, c = (sp.ToyModel(5, 2, 2, seed).w for seed in (0, 0, 5))
    assert torch.equal(a, b) and not torch.equal(a, c) and not torch.equal(a[0], a[1])


def test_features_are_a_rectified_tanh_and_the_plane_is_bounded():
    net = sp.FeatureNet(sp.FeatureConfig(n_pixels=2, n_features=2, n_classes=2))
    with torch.no_grad():
        net.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        net.hidden.bias.zero_()
    expected = torch.tensor([[torch.tanh(torch.tensor(0.5)), 0.0]])
    assert torch.allclose(net.features(torch.tensor([[0.5, 1.0]])), expected)
    assert sp.PlaneAutoencoder(SMALL).encode(100 * sparse_rows()).abs().max() <= 1
    assert sp.PlaneAutoencoder(SMALL)(sparse_rows()).min() >= 0


def test_planes_trained_together_are_the_planes_trained_alone():
    rows = torch.stack([sparse_rows(seed=0), sparse_rows(seed=1)])
    together = [sp.PlaneAutoencoder(SMALL, seed=s) for s in (0, 1)]
    before = together[1].encoder.weight.clone()
    sp.train_planes(together, rows, SMALL, seed=3)
    for i, model in enumerate(together):
        alone = sp.PlaneAutoencoder(SMALL, seed=i)
        sp.train_planes([alone], rows[i : i + 1], SMALL, seed=3)
        for a, b in zip(alone.parameters(), model.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)
    assert (together[1].encoder.weight - before).abs().max() > 1e-4


def test_train_planes_is_a_plain_loop_of_the_seed():
    rows, alone, plain = sparse_rows(), sp.PlaneAutoencoder(SMALL, seed=0), sp.PlaneAutoencoder(SMALL, seed=0)
    config = sp.PlaneConfig(n_features=6, n_hidden=2, epochs=3, batch_size=len(rows), lr=1e-2)
    sp.train_planes([alone], rows[None], config, seed=0)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(plain(rows), rows).backward()
        optimizer.step()
    for a, b in zip(alone.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_the_trainings_report_after_each_epoch_on_the_model_as_it_is():
    seen, model = [], sp.PlaneAutoencoder(SMALL)

    def each_epoch(epoch):
        seen.append(model.encoder.weight.detach().clone())
        return {"norm": seen[-1].norm().item()}

    history = sp.train_planes([model], sparse_rows()[None], SMALL, 0, each_epoch)
    assert history["norm"] == [w.norm().item() for w in seen]
    assert not torch.equal(seen[0], seen[1]) and torch.equal(seen[1], model.encoder.weight)


# Importance and direction of a feature


def test_importance_is_the_seeds_loop_over_perturbed_copies():
    model, h = sp.PlaneAutoencoder(SMALL, seed=2), sparse_rows(1100)  # more than one chunk
    found = sp.feature_importance(model, h)
    with torch.no_grad():
        base = torch.nn.functional.mse_loss(model(h), h)
        for i in range(6):
            without = h.clone()
            without[:, i] = 0
            rise = torch.nn.functional.mse_loss(model(without), h) - base
            assert torch.isclose(found.rise[i], rise, atol=1e-6)
    assert found.rise.abs().max() > 1e-4


def test_directions_are_the_seeds_loop_over_single_features():
    model, h = sp.PlaneAutoencoder(SMALL, seed=2), sparse_rows(1100)
    found = sp.feature_directions(model, h)
    for i in range(6):
        only = torch.zeros_like(h)
        only[:, i] = h[:, i]
        assert torch.allclose(found[i], model.encode(only).mean(0), atol=1e-6)


def test_a_model_of_two_features_solved_by_hand():
    h = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    directions = sp.feature_directions(solved_plane(), h)
    t = lambda a: torch.tanh(torch.tensor(a))  # noqa: E731
    expected = torch.stack([torch.stack([t(1.0) / 2, t(1.0)]), torch.stack([t(0.0), (t(1.0) + t(2.0)) / 2])])
    assert torch.allclose(directions, expected, atol=1e-6)
    # without feature 1, row 1 gives 0 and not tanh(tanh(1)); without feature 2, row 2 gives tanh(tanh(1)), not 0.5
    rise_1 = (1 - (1 - t(t(1.0).item())) ** 2) / 4
    rise_2 = ((t(t(1.0).item()) - 0.5) ** 2 - (t(t(2.0).item()) - 0.5) ** 2) / 4
    found = sp.feature_importance(solved_plane(), h)
    assert torch.allclose(found.rise, torch.stack([rise_1, rise_2]), atol=1e-6)
    assert found.scaled.tolist() == [1.0, 0.0]


def test_a_feature_that_never_fires_has_no_importance_and_the_direction_of_the_bias():
    h = sparse_rows()
    h[:, 4] = 0
    model = sp.PlaneAutoencoder(SMALL)
    assert sp.feature_importance(model, h).rise[4] == 0
    assert torch.allclose(sp.feature_directions(model, h)[4], model.encoder.bias.tanh(), atol=1e-6)


@given(st.lists(st.floats(-0.001953125, 1, width=32), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_shares_sum_to_one_and_scaled_spans_zero_to_one(values):
    rise = torch.tensor(values)
    found = sp.normalise_importance(rise)
    if rise.sum() > 0.1:
        assert abs(found.share.sum().item() - 1) < 1e-4
        order = rise.argsort()
        assert (found.share[order].diff() >= 0).all()
    assert found.scaled.isfinite().all() and found.scaled.max() == 1
    assert found.scaled.min() == (0 if rise.max() > rise.min() else 1)


def test_equal_and_negative_importances_survive():
    equal = sp.normalise_importance(torch.full((4,), 0.3))
    assert equal.share.tolist() == [0.25] * 4 and equal.scaled.tolist() == [1.0] * 4
    assert sp.normalise_importance(torch.zeros(4)).share.tolist() == [0.25] * 4
    negative = sp.normalise_importance(torch.tensor([-3.0, -1.0]))
    assert negative.share.sum() == 1 and negative.scaled.tolist() == [
        0.0,
        1.0,
    ]  # the order is not turned round


def test_unit_vectors_keep_a_vector_of_length_zero():
    assert sp.unit_vectors(torch.tensor([[0.0, 0.0], [0.0, -2.0]])).tolist() == [[0.0, 0.0], [0.0, -1.0]]


def test_gathered_share_counts_what_lies_near_the_best_rays():
    angle = torch.deg2rad(torch.tensor([0.0, 10.0, 90.0, 181.0, 359.0]))
    v = torch.stack([angle.cos(), angle.sin()], 1)
    weight = torch.tensor([1.0, 1.0, 1.0, 3.0, 2.0])
    assert sp.gathered_share(v, weight, 1) == 0.5  # 0, 10 and 359 degrees: 4 of 8
    assert sp.gathered_share(v, weight, 2) == 0.875
    assert sp.gathered_share(v, weight, 3) == 1.0
    assert sp.gathered_share(v, weight, 1, width=5.0) == 0.375
    with pytest.raises(ValueError, match="gathered_share"):
        sp.gathered_share(v, torch.zeros(5), 1)


# Elhage's toy model


def test_thin_has_the_sparsity_and_the_mean_asked_for():
    sparsity = torch.tensor([0.0, 0.5, 0.99])
    x = sp.thin(torch.rand(100_000, 4, generator=torch.Generator().manual_seed(0)), sparsity)
    assert torch.allclose((x == 0).float().mean((1, 2)), sparsity, atol=0.01)
    for instance in x:
        assert abs(instance[instance > 0].mean().item() - 0.5) < 0.02
    assert x.min() >= 0 and x.max() <= 1


def test_the_batched_training_is_the_loop_over_single_instances():
    together, losses = toy()
    for i, s in enumerate((0.0, 0.5, 0.9)):
        alone, loss = toy(n_instances=1, seed=i, sparsity=(s,))
        assert torch.allclose(alone.w[0], together.w[i], atol=1e-5)
        assert torch.allclose(alone.b[0], together.b[i], atol=1e-5)
        assert torch.allclose(loss[0], losses[i], rtol=1e-4)


def test_the_gradient_by_hand_is_autograds():
    importance = torch.tensor([[1.0, 0.5, 0.25, 2.0], [1.0, 1.0, 0.0, 3.0]])
    rows = torch.stack([sparse_rows(64, 4), sparse_rows(64, 4, seed=1)])
    source = lambda batch, generator: rows  # noqa: E731
    by_hand, reference = sp.ToyModel(4, 2, 2, seed=0), sp.ToyModel(4, 2, 2, seed=0)
    loss = sp.train_toy(by_hand, source, importance, sp.ToyConfig(1, 64, 1e-2), seed=0)
    expected = ((reference(rows) - rows).square() * importance[:, None]).mean((1, 2))
    expected.sum().backward()
    assert torch.allclose(loss, expected, atol=1e-6)
    assert torch.allclose(by_hand.w.grad, reference.w.grad, atol=1e-6) and reference.w.grad.abs().max() > 1e-3
    assert torch.allclose(by_hand.b.grad, reference.b.grad, atol=1e-6) and reference.b.grad.abs().max() > 1e-3


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_weights():
    a, late = toy(steps=200)
    b, _ = toy(steps=200)
    _, early = toy(steps=5)
    assert torch.equal(a.w, b.w) and (late < early).all()
    c, _ = toy(steps=200, seed=9)
    assert not torch.equal(a.w, c.w)


def test_a_dense_model_keeps_the_important_features_only():
    model = sp.ToyModel(4, 2, 1, seed=0)
    importance = torch.tensor([10.0, 10.0, 0.1, 0.1])
    sp.train_toy(model, sp.sparse_source(torch.zeros(1), 4), importance, sp.ToyConfig(600, 128, 2e-2), seed=0)
    assert torch.allclose(sp.dimensionality(model.w[0]).detach(), torch.tensor([1.0, 1.0, 0.0, 0.0]), atol=0.05)


def test_row_source_draws_measured_rows():
    rows = torch.stack([sparse_rows(50), sparse_rows(50, seed=1)])
    batch = sp.row_source(rows)(8, torch.Generator().manual_seed(0))
    assert batch.shape == (2, 8, 6)
    for a, b in zip(*batch, strict=True):
        number = [i for i, row in enumerate(rows[0]) if torch.equal(row, a)]
        assert number and torch.equal(rows[1, number[0]], b)


def polygon(n):
    angle = torch.arange(n) * 2 * torch.pi / n
    return torch.stack([angle.cos(), angle.sin()])


@pytest.mark.parametrize(("n", "d", "name"), [(2, 0.5, "other"), (3, 2 / 3, "triangle"), (5, 0.4, "pentagon")])
def test_regular_polygons_share_their_dimensions(n, d, name):
    assert torch.allclose(sp.dimensionality(polygon(n)), torch.full((n,), d), atol=1e-6)
    assert sp.geometry(polygon(n)) == name
    assert sp.features_per_dimension(polygon(n)).item() == pytest.approx(n / 2)


def test_geometry_names_what_can_be_drawn_by_hand():
    plus, pair = torch.cat([torch.eye(2), -torch.eye(2)], 1), torch.eye(2)
    assert sp.geometry(plus) == "digons"
    assert sp.geometry(plus[:, :3]) == "digon + 1"
    assert sp.geometry(pair) == "pair"
    assert sp.geometry(0.4 * pair) == "other"  # too short to count as represented


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(4, 7))
@settings(max_examples=25, deadline=None)
def test_dimensionalities_add_up_to_no_more_than_the_dimensions(seed, m, n):
    w = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    d = sp.dimensionality(w)
    assert (d >= 0).all() and (d <= 1 + 1e-6).all() and d.sum() <= m + 1e-4
    assert torch.allclose(d, sp.dimensionality(3 * w), atol=1e-5)  # of directions, not of lengths


def test_interference_is_the_seeds_loop():
    w = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    for i in range(5):
        others = [j for j in range(5) if j != i]
        expected = (w[:, i] @ w[:, others]).square().sum()
        assert torch.isclose(sp.interference(w, unit=False)[i], expected, rtol=1e-4)
        assert torch.isclose(sp.interference(w)[i], expected / w[:, i].norm() ** 2, rtol=1e-4)
    assert sp.interference(torch.zeros(2, 3)).tolist() == [0.0] * 3
    assert sp.dimensionality(torch.zeros(2, 3)).tolist() == [0.0] * 3


# Bad input


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: sp.ToyModel(2, 5, 1, seed=0), "1 <= n_hidden <= n_features"),
        (lambda: sp.ToyModel(5, 2, 0, seed=0), "at least 1"),
        (lambda: sp.PlaneConfig(n_features=3, n_hidden=4), "1 <= n_hidden <= n_features"),
        (lambda: sp.thin(torch.rand(3, 2), torch.tensor([0.5, 1.0])), r"\[0, 1\)"),
        (lambda: sp.sparse_source(torch.tensor([-0.1]), 5)(4, torch.Generator()), r"\[0, 1\)"),
        (lambda: sp.thin(torch.rand(0, 2), torch.tensor([0.5])), "at least one row"),
        (lambda: sp.row_source(torch.zeros(2, 0, 5)), "at least one row"),
        (lambda: sp.ToyConfig(batch_size=0), "1 or more"),
        (lambda: sp.feature_importance(sp.PlaneAutoencoder(), torch.zeros(0, 49)), "at least one row"),
        (lambda: sp.feature_directions(sp.PlaneAutoencoder(), torch.zeros(0, 49)), "at least one row"),
        (
            lambda: sp.train_planes([sp.PlaneAutoencoder()], torch.zeros(1, 0, 49), sp.PlaneConfig(), 0),
            "at least one row",
        ),
        (
            lambda: sp.train_planes([sp.PlaneAutoencoder()], torch.zeros(2, 4, 49), sp.PlaneConfig(), 0),
            "one set for each",
        ),
        (lambda: toy(sparsity=(0.0, 0.5)), "model"),
    ],
)
def test_bad_input_says_what_would_have_been_right(call, right):
    with pytest.raises(ValueError, match=right):
        call()


# The seed's numbers


def test_the_seeds_accuracy_after_ten_epochs():
    images = data.load_mnist()
    if images.source != "mnist":
        pytest.skip("needs the true MNIST: the seed's accuracy was measured on it")
    net, config = sp.FeatureNet(seed=0), sp.FeatureConfig()
    sp.train_feature_net(net, images.train_x, images.train_y, config, seed=0)
    with torch.no_grad():
        accuracy = (net(images.test_x).argmax(1) == images.test_y).float().mean().item()
        assert net.features(images.test_x).std() > 0.1
    assert 0.960 <= accuracy <= 0.970
