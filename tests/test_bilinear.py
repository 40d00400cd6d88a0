import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from paper_utils import bilinear, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe
from paper_utils.data import Images
from paper_utils.files import ROOT
from reproduce import notebook
from sweeps import mnist_bilinear as sweep

SMALL = BilinearConfig(d_input=6, d_hidden=5, n_classes=3)
seeds = st.integers(0, 2**31)


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(seed: int, out=3, hidden=5, d_in=4):
    return [random(seed + i, *shape) for i, shape in enumerate([(out, hidden), *[(hidden, d_in)] * 2])]


def test_interaction_tensor_by_hand():
    """One hidden unit (x1 + 2 x2)(3 x1 - x2) = 3 x1^2 + 5 x1 x2 - 2 x2^2, read out with weights 1 and -2."""
    w_out = torch.tensor([[1.0], [-2.0]])
    b = bilinear.interaction_tensor(w_out, torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    assert b[0].tolist() == [[3.0, 2.5], [2.5, -2.0]]
    assert b[1].tolist() == [[-6.0, -5.0], [-5.0, 4.0]]


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_the_form_and_all_its_eigenvectors_are_the_layer(seed):
    w_out, w_l, w_r = layer(seed)
    x = random(seed + 3, 7, 4)
    b, logits = bilinear.interaction_tensor(w_out, w_l, w_r), ((x @ w_l.T) * (x @ w_r.T)) @ w_out.T
    assert torch.allclose(torch.einsum("ni, oij, nj -> no", x, b, x), logits, rtol=1e-10, atol=1e-10)
    assert torch.equal(b, b.mT)
    values, vectors = bilinear.eigendecompose(b)
    assert torch.allclose(bilinear.truncated_logits(x, values, vectors, k=4), logits, rtol=1e-9, atol=1e-9)
    assert torch.allclose(vectors.mT @ vectors, torch.eye(4, dtype=b.dtype).expand(3, -1, -1), atol=1e-10)


def test_eigendecompose_by_hand():
    values, vectors = bilinear.eigendecompose(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert values.tolist() == pytest.approx([-1, 1])
    assert vectors[:, 1].abs().tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert torch.sign(vectors[0, 1]) == torch.sign(vectors[1, 1])


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_truncation_keeps_the_largest_eigenvalues(seed):
    """At an eigenvector the truncated form is the eigenvalue where it is kept, and 0 where it is not."""
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(*layer(seed, out=1)))
    order = values[0].abs().argsort(descending=True)
    for k in range(1, 5):
        expected = torch.where(torch.arange(4) < k, values[0, order], 0.0)
        found = bilinear.truncated_logits(vectors[0].T[order], values, vectors, k)
        assert torch.allclose(found[:, 0], expected, atol=1e-9)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_pixel_space_eigenvectors(seed):
    """Orthonormal in pixels, and the same form there as the hidden one carried by w_e."""
    q = random(seed, 3, 5, 5)
    q = q + q.mT
    w_e = random(seed + 1, 5, 9)
    values, vectors = bilinear.pixel_eigendecompose(q, w_e)
    assert vectors.shape == (3, 9, 5)
    assert torch.allclose(vectors.mT @ vectors, torch.eye(5, dtype=torch.float64).expand(3, -1, -1), atol=1e-10)
    assert torch.allclose((vectors * values[:, None]) @ vectors.mT, w_e.T @ q @ w_e, atol=1e-9)


def test_forward_by_hand():
    """Two inputs, one hidden unit, one layer: h_1 = (2 (x1 + x2)) * (-1 (x1 + x2)), and three times that."""
    model = BilinearMLP(BilinearConfig(d_input=2, d_hidden=1, n_classes=1, n_layers=1), seed=0).eval()
    with torch.no_grad():
        for parameter, value in ((model.w_e, 1.0), (model.w_l[0], 2.0), (model.w_r[0], -1.0), (model.w_u, 3.0)):
            parameter.fill_(value)
    x = torch.tensor([[1.0, 2.0]])
    assert [h.item() for h in model.hidden(x)] == [3.0, -18.0] and model(x).item() == -54.0


def test_the_papers_recipe():
    """As the original notebook sets it: 64 epochs of batches of 100, noise 0.33, weight decay 0.5."""
    assert BilinearConfig() == BilinearConfig(784, 300, 10, 2, input_noise=0.33, layer_noise=0.33, flip_noise=0.0)
    assert BilinearRecipe() == BilinearRecipe(2, 12, 50, lr=1e-3, factor=0.5, decay_every=2, weight_decay=0.5)
    assert BilinearRecipe().epochs == 64 and BilinearRecipe().batch_size == 100


def test_a_seed_fixes_every_weight_in_torchs_default_range():
    a, b, c = (BilinearMLP(BilinearConfig(), seed) for seed in (0, 0, 1))
    assert {name: tuple(w.shape) for name, w in a.named_parameters()} == {
        "w_e": (300, 784), "w_u": (10, 300), **{f"w_{side}.{i}": (300, 300) for side in "lr" for i in (0, 1)}
    }  # fmt: skip
    for x, y, z in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(x, y) and not torch.equal(x, z)
        assert 0.99 * x.shape[1] ** -0.5 < x.abs().max() <= x.shape[1] ** -0.5


def test_the_noise_has_the_stated_strength_in_training_only():
    """Layer noise alone, read out by an identity: the difference to the clean output has 0.33 times its deviation."""
    model = BilinearMLP(BilinearConfig(d_input=5, d_hidden=5, n_classes=5, n_layers=1, input_noise=0.0), 0)
    with torch.no_grad():
        model.w_u.copy_(torch.eye(5))
    x = random(1, 20000, 5, dtype=torch.float32)
    clean = model.eval()(x)
    assert torch.equal(model(x), clean)
    with training.seeded(0):
        noise = model.train()(x) - clean
    assert noise.std().item() == pytest.approx(0.33 * clean.std().item(), rel=0.02)
    assert noise.mean().abs().item() < 0.01 * clean.std().item()


def test_flip_noise_turns_the_stated_share_of_pixels():
    config = BilinearConfig(1, 1, 1, 1, input_noise=0.0, layer_noise=0.0, flip_noise=0.25)
    with training.seeded(0):
        flipped = (BilinearMLP(config, 0)(torch.zeros(20000, 1)) != 0).float().mean().item()
    assert flipped == pytest.approx(0.25, abs=0.01)


def test_the_schedule_is_the_papers():
    """Two epochs up from 1 %, twelve in which it is halved every second one, and 1/64 for the rest."""
    factors = [bilinear.learning_rate(epoch, BilinearRecipe()) for epoch in range(64)]
    assert factors[:2] == pytest.approx([0.01, 0.505])
    assert factors[2:14] == [2.0**-k for k in range(6) for _ in range(2)] and set(factors[14:]) == {2.0**-6}


def separable() -> Images:
    """The label is the sign of the product of two of six noisy pixels; all other pixels are empty."""
    x = F.pad(random(3, 300, 6, dtype=torch.float32), (0, 778))
    y = (x[:, 0] * x[:, 1] > 0).long()
    return Images(x, y, x, y, source="made", files={})


NO_NOISE = {"n_classes": 2, "input_noise": 0.0, "layer_noise": 0.0}


def test_training_learns_a_product():
    images = separable()
    model = BilinearMLP(BilinearConfig(d_hidden=16, n_layers=1, **NO_NOISE | {"layer_noise": 0.1}), seed=0)
    before = model.accuracy(images.test_x, images.test_y)
    recipe = BilinearRecipe(decay=4, constant=20, lr=1e-2, weight_decay=0.0, batch_size=50)
    history = bilinear.train(model, images, recipe, 0)
    assert before < 0.7 and history["test_accuracy"][-1] > 0.95
    assert len(history["lr"]) == 26


def test_training_repeats_for_a_seed():
    runs = []
    for seed in (0, 0, 1):
        model = BilinearMLP(BilinearConfig(d_hidden=5), 0)
        bilinear.train(model, separable(), BilinearRecipe(decay=0, constant=1), seed)
        runs.append(model.w_l[1].detach())
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_another_loss_trains_a_third_layer():
    """All it takes is an argument and a number: mean squared error, one batch an epoch."""

    def squared(model, x, y):
        return (model(x) - F.one_hot(y, 2)).square().mean()

    images = separable()
    model = BilinearMLP(BilinearConfig(d_hidden=16, n_layers=3, **NO_NOISE), seed=0)
    with torch.no_grad():
        for w in model.parameters():
            w *= 3  # a form of degree 8 is nearly 0 everywhere else
    first, before = squared(model, images.train_x, images.train_y).item(), [w.clone() for w in model.parameters()]
    recipe = BilinearRecipe(decay=0, constant=30, lr=1e-2, weight_decay=0.0, batch_size=300)
    history = bilinear.train(model, images, recipe, 0, loss=squared)
    assert history["loss"][0] == pytest.approx(first, rel=1e-5) and history["loss"][-1] < 0.9 * first
    assert len(before) == 8 and not any(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_a_loss_without_a_gradient_leaves_the_decay():
    """AdamW then only shrinks the weights, by 1 - rate * decay in each of six steps."""
    recipe = BilinearRecipe(decay=4, constant=0, lr=0.1, weight_decay=0.5, batch_size=300)
    model = BilinearMLP(BilinearConfig(d_hidden=5), seed=0)
    before = model.w_e.detach().clone()
    bilinear.train(model, separable(), recipe, 0, loss=lambda model, x, y: 0 * model(x).sum())
    rates = [0.001, 0.0505, 0.1, 0.1, 0.05, 0.05]
    assert torch.allclose(model.w_e, before * math.prod(1 - 0.5 * rate for rate in rates), rtol=1e-5)


def test_accuracy_by_hand_keeps_the_mode():
    model, x = BilinearMLP(SMALL, 0), random(0, 12, 6, dtype=torch.float32)
    best = model.eval()(x).argmax(1)
    wrong = torch.where(torch.arange(12) < 3, (best + 1) % 3, best)
    model.train()
    assert model.accuracy(x, best) == 1.0 and model.accuracy(x, wrong) == 0.75
    assert model.training


def test_the_mask_is_made_from_the_weights_alone():
    """With one hidden unit everything is known: the only pixel direction is w_e."""
    model = BilinearMLP(BilinearConfig(d_input=2, d_hidden=1, n_classes=2), seed=0)
    with torch.no_grad():
        model.w_e.copy_(torch.tensor([[-3.0, -4.0]]))
    assert bilinear.weight_mask(model, 1).tolist() == pytest.approx([0.6, 0.8])


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_signs_do_not_depend_on_the_eigensolvers(seed):
    """v and -v give the same features, whose power is on the positive side; and fixing signs twice changes nothing."""
    v, p = random(seed, 4, 6), random(seed + 1, 3, 9, 6)
    fixed = bilinear.fix_signs(v, v)
    assert torch.equal(bilinear.fix_signs(-v, -v), fixed) and torch.equal(bilinear.fix_signs(fixed, fixed), fixed)
    assert torch.equal(fixed.abs(), v.abs()) and ((fixed * fixed.abs()).sum(0) >= 0).all()
    assert torch.equal(bilinear.fix_signs(-p, -p), bilinear.fix_signs(p, p))


def test_masks_do_not_depend_on_lapacks_signs(monkeypatch):
    """An eigensolver that returns every vector with the other sign gives the same masks."""
    model = BilinearMLP(BilinearConfig(d_input=20, d_hidden=12, n_classes=4), seed=2)
    before = [bilinear.class_features(model, 3, against) for against in (False, True)]
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda q: (eigh(q)[0], -eigh(q)[1]))
    for patterns, against in zip(before, (False, True), strict=True):
        assert torch.allclose(bilinear.class_features(model, 3, against), patterns, atol=1e-5)


@pytest.mark.slow  # trains for seconds
def test_masks_push_images_to_their_digit_or_away_from_it(mnist):
    """The share of other digits' images that are called the target."""
    images, x, y = mnist.first(10_000), mnist.test_x[::5], mnist.test_y[::5]
    model = BilinearMLP(BilinearConfig(), seed=0)
    bilinear.train(model, images, BilinearRecipe(warmup=1, decay=2, constant=0), seed=0)
    own = bilinear.masks(model.eval().requires_grad_(False), images, torch.Generator().manual_seed(0))
    shares = {kind: bilinear.pushed(bilinear.called(model, x, each), y) for kind, each in own.items()}
    assert (shares["mask"] >= 0.15).sum() >= 9 and shares["mask"].mean() >= 0.4
    assert shares["against"].max() <= 0.01 and shares["random_direction"].mean() < 0.2
    assert bilinear.kept(bilinear.called(model, x, own["against"]), y).mean() < 0.5


@pytest.mark.parametrize("space", ["pixels", "hidden"])
def test_pixel_features_are_the_direction(space):
    """v . h_1(x) is the sum of mu_j (p_j . x)^2, with the sign by which the mu have their power above 0."""
    model, x = BilinearMLP(SMALL, 0).double().eval(), random(0, 7, 6)
    with torch.no_grad():
        v, mu, p = bilinear.pixel_features(model, random(1, 4, 5), space)
        by_parts = (torch.einsum("n i, k i j -> n k j", x, p).square() * mu).sum(2)
        assert torch.allclose(by_parts, model.hidden(x)[1] @ v.T, atol=1e-10)
        in_pixels = bilinear.pixel_features(model, v)[1]
        assert ((in_pixels * in_pixels.abs()).sum(1) > 0).all()
        again, _, _ = bilinear.pixel_features(model, -v, space)
    assert torch.allclose(again, v)
    assert ((p * p.abs()).sum(1) >= 0).all()


FORM = torch.tensor([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bilinear.eigendecompose(FORM.triu()), "symmetric"),
        (lambda: bilinear.truncated_logits(FORM, *bilinear.eigendecompose(FORM[None]), k=0), r"1\.\.2"),
        (lambda: bilinear.truncated_logits(FORM, *bilinear.eigendecompose(FORM[None]), k=3), r"1\.\.2"),
        (lambda: bilinear.weight_mask(BilinearMLP(SMALL, 0), 3), r"0\.\.2"),
        (lambda: bilinear.weight_mask(BilinearMLP(BilinearConfig(n_layers=1), 0), 0), "2 layers, this one has 1"),
        (lambda: bilinear.class_features(BilinearMLP(BilinearConfig(n_layers=3), 0)), "2 layers, this one has 3"),
        (lambda: bilinear.pixel_features(BilinearMLP(SMALL, 0), torch.ones(1, 5), "space"), "'pixels' or 'hidden'"),
        (lambda: BilinearConfig(d_hidden=0), "BilinearConfig"),
        (lambda: BilinearConfig(input_noise=-1.0), "BilinearConfig"),
        (lambda: BilinearConfig(flip_noise=2.0), "BilinearConfig"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("digit", [10, -1, 2.5])
def test_the_notebook_refuses_what_is_no_digit_before_anything_is_trained(digit, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "notebooks")  # where a notebook runs
    path = next(path for path in notebook.notebooks() if path.stem == "01_mnist_bilinear")
    sources = [cell.source for cell in notebook.code_cells(notebook.read(path))]
    (setup,) = [source for source in sources if "DIGIT not in" in source]
    assert "runs.cached" not in "".join(sources[: sources.index(setup) + 1])
    with pytest.raises(ValueError, match=rf"DIGIT is {digit}: must be a whole number in 0\.\.9"):
        exec(setup, {"DIGIT": digit, "DEVICE": "cpu", "MODE": "full"})


def made() -> Images:
    """Ten classes told apart by which ten columns of pixels carry ink."""
    y = torch.arange(1000) % 10
    x = F.one_hot(y, 10).repeat_interleave(78, dim=1).float() * random(0, 1000, 780, dtype=torch.float32).abs()
    return Images(F.pad(x, (0, 4)), y, F.pad(x, (0, 4)), y, source="made", files={})


def test_the_masks_are_the_classes_and_their_baselines():
    """Each of unit norm and for its own class; the directions come from the generator."""
    images = made()
    model = BilinearMLP(BilinearConfig(d_hidden=20), 0)
    one, again, other = (bilinear.masks(model, images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for kind, patterns in one.items():
        assert patterns.shape == (10, 784) and torch.allclose(patterns.norm(dim=1), torch.ones(10), atol=1e-5)
        assert torch.equal(patterns, again[kind])
        assert torch.equal(patterns, other[kind]) == (kind != "random_direction")
    assert torch.allclose(one["mask"][3], bilinear.weight_mask(model, 3), atol=1e-5)
    assert torch.allclose(one["against"][3], bilinear.weight_mask(model, 3, against=True), atol=1e-5)
    assert one["mean_digit"][3].argmax() // 78 == 3 and torch.equal(one["negative"], -one["mask"])


def test_what_masks_do_by_hand():
    """A model whose logits are the squares of two pixels: a mask of 6 on one of them names every image after it."""
    model = BilinearMLP(BilinearConfig(d_input=2, d_hidden=2, n_classes=2, n_layers=1), seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.eye(2))
    x, y, none = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1]), torch.zeros(2, 2)
    assert bilinear.called(model, x, torch.eye(2)).tolist() == [[0] * 4, [1] * 4]
    assert bilinear.called(model, x, torch.eye(2), norm=0.5).tolist() == bilinear.called(model, x, none).tolist()
    for patterns, pushed, kept in ((torch.eye(2), 1, 1), (torch.eye(2).flip(0), 0, 0), (none, 0, 1)):
        answers = bilinear.called(model, x, patterns)
        assert bilinear.pushed(answers, y).tolist() == [pushed] * 2 and bilinear.kept(answers, y).tolist() == [kept] * 2


def test_similarities_by_hand():
    """Of a model with itself, patterns orthonormal: 1 for equal classes, 0 for different ones."""
    own = torch.eye(40).reshape(10, 4, 40)
    for table in bilinear.similarities(own, own).values():
        assert torch.allclose(table, torch.eye(10), atol=1e-6)
    # Two patterns that changed places: no longer alike at the same place, but with a partner, and in one span.
    alike = bilinear.similarities(own, own[:, [1, 0, 2, 3]])
    assert alike["similarity"].max() == 0
    assert all(torch.allclose(alike[kind], torch.eye(10), atol=1e-6) for kind in ("matched", "subspace"))


def test_the_sweep_measures_a_pair_of_models():
    """What is learnt in full is truncated without loss."""
    images, point = made(), {"noise": 0.33, "weight_decay": 0.5, "seed": 0}
    models = sweep.NOISE.build(**point)
    history = sweep.NOISE.train(models, images, **point)
    assert [len(losses) for losses in history["loss"]] == [12, 12]
    one, two = sweep.NOISE.measure(models.eval().requires_grad_(False), history, images, **point)
    assert (one["run"], two["run"]) == (0, sweep.PARTNER) and one["similarity"] == two["similarity"]
    for row in (one, two):
        assert row["test_accuracy"] == row["accuracy_10"] == 1.0 and row["mask_rate"] > 0.4 > 0.01 > row["against_rate"]
        assert row["similarity"] > row["similarity_other_digits"] and 1 <= row["rank"] <= 300


def test_the_sweeps_of_01_train_what_their_points_say():
    """Noise, decay, width and kind of model reach the training; both models of a pair have seeds of their own."""
    noise = sweep.NOISE.build(noise=0.1, weight_decay=0.0, seed=3)
    assert [(m.config.input_noise, m.config.layer_noise) for m in noise] == [(0.1, 0.1)] * 2
    assert torch.equal(noise[1].w_e, BilinearMLP(BilinearConfig(), 3 + sweep.PARTNER).w_e)
    assert [m.config.d_hidden for m in sweep.WIDTH.build(d_hidden=30, seed=0)] == [30, 30]
    count = {
        name: sum(w.numel() for w in sweep.MODELS.build(model=name, seed=0).parameters())
        for name in ("one bilinear layer", "two ReLU layers")
    }
    assert list(count.values()) == [418_200, 597_552]
