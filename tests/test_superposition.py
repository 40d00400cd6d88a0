"""Superposition: the original notebook's two models, what is measured on them, and Elhage's toy model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper_utils import data, runs
from paper_utils import superposition as sp
from sweeps import toy_superposition as sweeps

SMALL = sp.PlaneConfig(n_features=6, n_hidden=2, epochs=2, batch_size=16)


def sparse_rows(n=300, n_features=6, seed=0):
    u = torch.rand(n, n_features, generator=torch.Generator().manual_seed(seed))
    return sp.thin(u, torch.tensor([0.4]))[0]


def small_images(n=300):
    """Images with ink in their first 6 pixels, labelled by whether the first one is bright."""
    x = torch.cat([sparse_rows(n), torch.zeros(n, 778)], 1)
    y = (x[:, 0] > 0.3).long()
    return data.Images(x, y, x[:50], y[:50], "test", {})


def small_net():
    return sp.FeatureNet(sp.FeatureConfig(n_features=6, n_classes=2), seed=1)


def toy(n_features=5, n_hidden=2, n_instances=3, seed=0, sparsity=(0.0, 0.5, 0.9), steps=40):
    model = sp.ToyModel(n_features, n_hidden, n_instances, seed)
    source = sp.SparseSource(sparsity, n_features)
    history = sp.train_toy(model, source, torch.ones(n_features), sp.ToyConfig(steps, 64, 1e-2), seed=7)
    return model.requires_grad_(False), torch.tensor(history["loss"])


def solved_plane():
    """Two features, one hidden value each: code = tanh(h1), tanh(2 h2 + 1)."""
    model = sp.PlaneAutoencoder(sp.PlaneConfig(n_features=2, n_hidden=2))
    with torch.no_grad():
        model.encoder.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        model.encoder.bias.copy_(torch.tensor([0.0, 1.0]))
        model.decoder.weight.copy_(torch.eye(2))
        model.decoder.bias.zero_()
    return model


def test_same_seed_same_weights_other_seed_others():
    for build in (sp.FeatureNet, sp.PlaneAutoencoder, lambda seed: sp.ToyModel(5, 2, 2, seed)):
        a, b, c = (next(build(seed=seed).parameters()) for seed in (0, 0, 5))
        assert torch.equal(a, b) and not torch.equal(a, c)


def test_features_are_a_rectified_tanh_and_the_plane_is_bounded():
    net = sp.FeatureNet(sp.FeatureConfig(n_pixels=2, n_features=2, n_classes=2))
    with torch.no_grad():
        net.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        net.hidden.bias.zero_()
    expected = torch.tensor([[torch.tanh(torch.tensor(0.5)), 0.0]])
    assert torch.allclose(net.features(torch.tensor([[0.5, 1.0]])), expected)
    assert sp.PlaneAutoencoder(SMALL).encode(100 * sparse_rows()).abs().max() <= 1
    assert sp.PlaneAutoencoder(SMALL)(sparse_rows()).min() >= 0


def test_the_recipes_are_those_of_the_original_notebook_and_of_elhage():
    assert sp.FeatureConfig() == sp.FeatureConfig(784, 49, 10, epochs=10, batch_size=64, lr=1e-3)
    assert sp.PlaneConfig() == sp.PlaneConfig(49, 2, epochs=20, batch_size=64, lr=1e-4)
    assert sp.ToyConfig() == sp.ToyConfig(steps=3000, batch_size=512, lr=3e-3)


def test_train_feature_net_learns_and_reports_the_accuracy_on_the_test_images():
    net, images = small_net(), small_images()
    history = sp.train_feature_net(net, images, sp.FeatureConfig(epochs=20, batch_size=16, lr=1e-2), seed=0)
    accuracy = (net(images.test_x).argmax(1) == images.test_y).float().mean().item()
    assert history["accuracy"][-1] == accuracy > 0.9
    assert len(history["accuracy"]) == 20 and history["loss"][-1] < history["loss"][0]


def test_train_plane_is_a_plain_loop_that_measures_the_plane_after_each_epoch():
    images, net = small_images(), small_net().requires_grad_(False)
    config = sp.PlaneConfig(n_features=6, n_hidden=2, epochs=3, batch_size=len(images.train_x), lr=1e-2)
    ours, plain = sp.PlaneAutoencoder(SMALL, seed=0), sp.PlaneAutoencoder(SMALL, seed=0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    history = sp.train_plane(ours, images, config, 0, net)
    h = net.features(images.train_x)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    for epoch in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(plain(h), h).backward()
        optimizer.step()
        assert history["mse"][epoch] == pytest.approx((plain(h) - h).square().mean().item(), rel=1e-4)
        assert torch.allclose(torch.tensor(history["rise"][epoch]), sp.feature_importance(plain, h), atol=1e-6)
        assert torch.allclose(torch.tensor(history["direction"][epoch]), sp.feature_directions(plain, h), atol=1e-5)
    torch.testing.assert_close(ours.state_dict(), plain.state_dict(), rtol=0, atol=1e-5)
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_importance_and_direction_are_the_loop_over_perturbed_copies():
    model, h = sp.PlaneAutoencoder(SMALL, seed=2).requires_grad_(False), sparse_rows(1100)  # more than one chunk
    h[:, 4] = 0
    found, directions = sp.feature_importance(model, h), sp.feature_directions(model, h)
    for i in range(6):
        without, only = h.clone(), torch.zeros_like(h)
        without[:, i], only[:, i] = 0, h[:, i]
        rise = (model(without) - h).square().mean() - (model(h) - h).square().mean()
        assert torch.isclose(found[i], rise, atol=1e-6)
        assert torch.allclose(directions[i], model.encode(only).mean(0), atol=1e-6)
    assert found.abs().max() > 1e-4
    assert found[4] == 0  # a feature that never fires: no importance, and the direction of the bias
    assert torch.allclose(directions[4], model.encoder.bias.tanh(), atol=1e-6)


class Unsquashed(sp.PlaneAutoencoder):
    """A researcher's variant: a linear code, and outputs that are rectified alone."""

    def encode(self, h):
        return self.encoder(h)

    def decode(self, z):
        return self.decoder(z).relu()


def test_importance_and_direction_are_those_of_the_models_own_code_and_decoder():
    model, h = Unsquashed(SMALL, seed=2).requires_grad_(False), sparse_rows(100)
    rises, directions = sp.feature_importance(model, h), sp.feature_directions(model, h)
    for i in range(6):
        without, only = h.clone(), torch.zeros_like(h)
        without[:, i], only[:, i] = 0, h[:, i]
        expected = (model(without) - h).square().mean() - (model(h) - h).square().mean()
        assert torch.isclose(rises[i], expected, atol=1e-6)
        assert torch.allclose(directions[i], model.encode(only).mean(0), atol=1e-6)


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
    assert torch.allclose(found, torch.stack([rise_1, rise_2]), atol=1e-6)
    assert sp.scaled_importance(found).tolist() == [1.0, 0.0]


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_scaled_importance_spans_zero_to_one_in_the_order_of_the_rises(values):
    rise = torch.tensor(values)
    found = sp.scaled_importance(rise)
    assert found.isfinite().all() and found.max() == 1 and (found[rise.argsort()].diff() >= 0).all()
    assert found.min() == (0 if rise.max() > rise.min() else 1)


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


def test_the_toy_model_and_its_loss_are_their_equations():
    model, x = sp.ToyModel(4, 2, 2, seed=0).requires_grad_(False), sparse_rows(18, 4).view(2, 9, 4)
    model.b.copy_(torch.tensor([[0.1, -0.1, 0.2, 0.0], [0.0, 0.3, 0.0, -0.2]]))
    importance = torch.tensor([[1.0, 0.5, 0.25, 2.0], [1.0, 1.0, 0.0, 3.0]])
    for i in range(2):
        rebuilt = torch.stack([(model.w[i].T @ model.w[i] @ row + model.b[i]).relu() for row in x[i]])
        assert torch.allclose(model(x)[i], rebuilt, atol=1e-6)
        assert torch.allclose(model(x[i : i + 1])[i], rebuilt, atol=1e-6)  # one batch for all instances
        expected = (importance[i] * (x[i] - rebuilt).square()).mean()
        assert torch.isclose(sp.toy_loss(model, x, importance)[i], expected, atol=1e-6)


def test_the_reported_loss_is_the_mean_over_the_last_tenth_of_the_steps():
    rows = torch.stack([sparse_rows(64, 4), sparse_rows(64, 4, seed=1)])
    seen = []

    def source(batch, generator):
        seen.append(sp.toy_loss(model, rows, torch.ones(4)).detach())  # before the step
        return rows

    model = sp.ToyModel(4, 2, 2, seed=0)
    history = sp.train_toy(model, source, torch.ones(4), sp.ToyConfig(20, 64, 1e-2), seed=0)
    assert torch.allclose(torch.tensor(history["loss"]), (seen[18] + seen[19]) / 2)


def test_a_dense_model_keeps_the_important_features_only():
    model = sp.ToyModel(4, 2, 1, seed=0)
    importance = torch.tensor([10.0, 10.0, 0.1, 0.1])
    sp.train_toy(model, sp.SparseSource((0.0,), 4), importance, sp.ToyConfig(600, 128, 2e-2), seed=0)
    assert torch.allclose(sp.dimensionality(model.w[0]).detach(), torch.tensor([1.0, 1.0, 0.0, 0.0]), atol=0.05)


def test_row_source_draws_measured_rows():
    rows = torch.stack([sparse_rows(50), sparse_rows(50, seed=1)])
    batch = sp.RowSource(rows)(8, torch.Generator().manual_seed(0))
    assert batch.shape == (2, 8, 6)
    for a, b in zip(*batch, strict=True):
        number = [i for i, row in enumerate(rows[0]) if torch.equal(row, a)]
        assert number and torch.equal(rows[1, number[0]], b)


@pytest.mark.parametrize("kind", ["independent", "correlated", "anti-correlated"])
def test_a_pair_comes_together_never_together_or_as_it_happens(kind):
    pairs = sweeps.PairSource(kind, 3, 0.4)
    first, second = (pairs(20_000, torch.Generator().manual_seed(0))[0].view(-1, 3, 2) > 0).unbind(-1)
    both, rate = (first & second).float().mean().item(), 0.2 if kind == "anti-correlated" else 0.4
    expected = {"independent": 0.16, "correlated": 0.4, "anti-correlated": 0}[kind]
    assert both == pytest.approx(expected, abs=0.01) and first.float().mean().item() == pytest.approx(rate, abs=0.01)
    assert (first[:, 0] & first[:, 1]).float().mean().item() == pytest.approx(rate**2, abs=0.01), (
        "pairs are independent"
    )


@pytest.mark.parametrize(("importance", "kept"), [(0.1, "ignored"), (10.0, "own")])
def test_a_frequent_feature_gets_the_dimension_if_it_is_the_more_important(importance, kept):
    toys = sweeps.two_features(1.0)
    history = sweeps.train_two(toys, 1.0, sp.ToyConfig(200, 128, 2e-2))
    rows = sweeps.measure_two(toys.requires_grad_(False), history, 1.0)
    seconds = [row["second"] for row in rows if row["importance"] == importance]
    assert len(seconds) == 10 and seconds.count(kept) >= 9
    assert {row["opposite"] for row in rows} == {0, 1}


def test_where_features_are_frequent_no_model_is_trained_for_long():
    long = {"decay": 1.0, "sparsity": 0.3, "steps": 60_000}
    nothing = sweeps.five_features(**long)
    assert sweeps.measure_five(nothing, sweeps.train_five(nothing, **long), **long) == []
    assert sweeps.asked(0.9, 60_000) and sweeps.asked(0.3, 20_000)


def test_weight_measures_by_hand():
    """Four features: columns at 0, 0, 90 and 90 degrees; the bias grows with the importance, the length falls."""
    model = sp.PlaneAutoencoder(sp.PlaneConfig(n_features=4)).requires_grad_(False)
    model.encoder.weight.copy_(torch.tensor([[4.0, 3.0, 0.0, 0.0], [0.0, 0.0, 2.0, 1.0]]))
    model.decoder.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    model.decoder.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    measures = sp.weight_measures(model, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert measures["bias_correlation"] == pytest.approx(1) and measures["norm_correlation"] == pytest.approx(-1)
    assert measures["encoder_squared_cosine"] == pytest.approx(4 / 12)  # of 12 ordered pairs 4 are parallel
    assert measures["top_on_diagonal"] == 0 and measures["top_in_first_ten"] == 1  # W_dec W_enc is largest at (2, 1)


def test_two_opposite_features_cost_what_the_phase_diagram_says():
    """(1 + I) p^2 / 6 for W = (1, -1); I (p/3 - p^2/4) for the first feature alone, the second at its mean."""
    p, importance = 0.3, torch.tensor([1.0, 2.0])
    x = sp.SparseSource((1 - p,), 2)(400_000, torch.Generator().manual_seed(0))
    toy = sp.ToyModel(2, 1, 1, 0).requires_grad_(False)
    for w, b, cost in (
        ((1.0, -1.0), (0.0, 0.0), 3 * p**2 / 6),
        ((1.0, 0.0), (0.0, p / 2), 2 * (p / 3 - p**2 / 4)),
    ):
        toy.w[:], toy.b[:] = torch.tensor(w), torch.tensor(b)
        # toy_loss is a mean over the two features
        assert 2 * sp.toy_loss(toy, x, importance).item() == pytest.approx(cost, rel=0.02)


def test_runs_tells_sources_apart_by_what_they_draw():
    rows = sparse_rows(100).view(2, 50, 6)
    other = rows + 1e-6 * (torch.arange(600).view(2, 50, 6) == 580)
    sources = [sp.SparseSource((0.1,), 5), sp.SparseSource((0.2,), 5), sp.SparseSource((0.1,), 6)]
    sources += [sp.RowSource(rows), sp.RowSource(other)]
    assert len({runs.identity(source) for source in sources}) == 5
    assert runs.identity(sp.RowSource(rows)) == runs.identity(sp.RowSource(rows.clone()))


def polygon(n):
    angle = torch.arange(n) * 2 * torch.pi / n
    return torch.stack([angle.cos(), angle.sin()])


def at(*degrees):
    """Unit vectors at these angles, as columns."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    return torch.stack([angle.cos(), angle.sin()])


@pytest.mark.parametrize(
    ("w", "name", "dimensions"),
    [
        (polygon(2), "digon", [1 / 2] * 2),
        (polygon(3), "triangle", [2 / 3] * 3),
        (polygon(5), "pentagon", [2 / 5] * 5),
        (polygon(4), "digons", [1 / 2] * 4),
        (polygon(4)[:, :3], "digon + 1", [1 / 2, 1, 1 / 2]),
        (polygon(4)[:, :2], "pair", [1, 1]),
        (0.4 * polygon(4)[:, :2], "other", [1, 1]),  # too short to count as represented
        # What dimensionalities alone take for a figure: they see neither signs nor the order around the circle.
        (at(0, 0, 90, 90), "other", [1 / 2] * 4),
        (at(0, 60, 120), "other", [2 / 3] * 3),
        (at(0, 36, 72, 108, 144), "other", [2 / 5] * 5),
        (at(0, 102, 258), "other", [0.92043, 0.53249, 0.53249]),
    ],
)
def test_geometry_names_what_can_be_drawn_by_hand(w, name, dimensions):
    assert sp.dimensionality(w).tolist() == pytest.approx(dimensions, abs=1e-4)
    assert sp.geometry(w) == name
    assert sp.features_per_dimension(w).item() == pytest.approx(w.square().sum().item() / 2)


def test_angle_errors_by_hand():
    assert sp.angle_errors(at(0, 102, 258)) == pytest.approx({"triangle": 36, "digon + 1": 24}, abs=1e-3)
    assert sp.angle_errors(at(10, 10)) == pytest.approx({"pair": 90, "digon": 180}, abs=1e-3)
    assert sp.angle_errors(at(0, 60, 120, 180, 240, 300)) == {} and sp.angle_errors(0 * at(0, 60)) == {}


@given(
    st.sampled_from(sorted(sp.GEOMETRIES)), st.floats(0, 360), st.booleans(), st.floats(0, 7), st.randoms(), st.data()
)
@settings(max_examples=100, deadline=None)
def test_a_figure_turned_mirrored_and_shaken_keeps_its_name(name, turn, mirror, shake, random, data):
    corners = [sum(sp.GEOMETRIES[name][:i]) for i in range(len(sp.GEOMETRIES[name]))]
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(corners), max_size=len(corners)))
    angles = [(-1 if mirror else 1) * (c + s * shake) + turn for c, s in zip(corners, signs, strict=True)]
    random.shuffle(angles)
    w = at(*angles) * torch.tensor([random.uniform(0.6, 2) for _ in angles])
    w = torch.cat([w, 0.3 * at(random.uniform(0, 360))], 1)  # one that is not represented
    assert sp.geometry(w) == name and sp.angle_errors(w)[name] <= 2 * shake + 0.01
    corners[0] += 16  # beyond the tolerance
    assert sp.geometry(at(*corners)) == "other" and sp.geometry(at(*corners), tolerance=17.0) == name


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(4, 7))
@settings(max_examples=25, deadline=None)
def test_dimensionalities_add_up_to_no_more_than_the_dimensions(seed, m, n):
    w = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    d = sp.dimensionality(w)
    assert (d >= 0).all() and (d <= 1 + 1e-6).all() and d.sum() <= m + 1e-4
    assert torch.allclose(d, sp.dimensionality(3 * w), atol=1e-5)  # of directions, not of lengths


def test_interference_is_the_loop_over_the_other_features():
    w = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    for i in range(5):
        others = [j for j in range(5) if j != i]
        expected = (w[:, i] @ w[:, others]).square().sum()
        assert torch.isclose(sp.interference(w, unit=False)[i], expected, rtol=1e-4)
        assert torch.isclose(sp.interference(w)[i], expected / w[:, i].norm() ** 2, rtol=1e-4)
    assert sp.unit_vectors(torch.tensor([[0.0, 0.0], [0.0, -2.0]])).tolist() == [[0.0, 0.0], [0.0, -1.0]]
    assert sp.interference(torch.zeros(2, 3)).tolist() == [0.0] * 3
    assert sp.dimensionality(torch.zeros(2, 3)).tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: sp.ToyModel(2, 5, 1, seed=0), "1 <= n_hidden <= n_features"),
        (lambda: sp.ToyModel(5, 2, 0, seed=0), "at least 1"),
        (lambda: sp.PlaneConfig(n_features=3, n_hidden=4), "1 <= n_hidden <= n_features"),
        (lambda: sp.thin(torch.rand(3, 2), torch.tensor([0.5, 1.0])), r"\[0, 1\)"),
        (lambda: sp.SparseSource((-0.1,), 5)(4, torch.Generator()), r"\[0, 1\)"),
        (lambda: sp.thin(torch.rand(0, 2), torch.tensor([0.5])), "at least one row"),
        (lambda: sp.RowSource(torch.zeros(2, 0, 5)), "at least one row"),
        (lambda: sp.ToyConfig(batch_size=0), "1 or more"),
        (lambda: sp.feature_importance(sp.PlaneAutoencoder(), torch.zeros(0, 49)), "at least one row"),
        (lambda: sp.feature_directions(sp.PlaneAutoencoder(), torch.zeros(0, 49)), "at least one row"),
        (lambda: toy(sparsity=(0.0, 0.5)), "model"),
    ],
)
def test_bad_input_says_what_would_have_been_right(call, right):
    with pytest.raises(ValueError, match=right):
        call()


@pytest.mark.slow  # ten epochs of all images
def test_the_accuracy_after_ten_epochs_is_that_of_the_original_notebook(mnist):
    net = sp.FeatureNet(seed=0)
    accuracy = sp.train_feature_net(net, mnist, sp.FeatureConfig(), seed=0)["accuracy"][-1]
    assert net.features(mnist.test_x).std() > 0.1
    assert 0.960 <= accuracy <= 0.970
