import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from paper_utils import bilinear, training
from paper_utils.bilinear import BilinearConfig, BilinearMLP, BilinearRecipe

SMALL = BilinearConfig(d_input=6, d_hidden=5, n_classes=3)
seeds = st.integers(0, 2**31)


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(seed: int, out=3, hidden=5, d_in=4, dtype=torch.float64):
    return (
        random(seed, out, hidden, dtype=dtype),
        random(seed + 1, hidden, d_in, dtype=dtype),
        random(seed + 2, hidden, d_in, dtype=dtype),
    )


# ---- the interaction tensor and its eigenvectors


def test_interaction_tensor_by_hand():
    """One hidden unit (x1 + 2 x2)(3 x1 - x2) = 3 x1^2 + 5 x1 x2 - 2 x2^2, read out with weights 1 and -2."""
    w_out = torch.tensor([[1.0], [-2.0]])
    b = bilinear.interaction_tensor(w_out, torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    assert b[0].tolist() == [[3.0, 2.5], [2.5, -2.0]]
    assert b[1].tolist() == [[-6.0, -5.0], [-5.0, 4.0]]


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_the_form_is_the_layer(seed):
    w_out, w_l, w_r = layer(seed)
    x = random(seed + 3, 7, 4)
    b = bilinear.interaction_tensor(w_out, w_l, w_r)
    form = torch.einsum("ni, oij, nj -> no", x, b, x)
    assert torch.allclose(form, ((x @ w_l.T) * (x @ w_r.T)) @ w_out.T, rtol=1e-10, atol=1e-10)
    assert torch.equal(b, b.mT)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_eigenvectors_give_the_logits_of_every_class(dtype, tolerance):
    w_out, w_l, w_r = layer(0, out=10, hidden=300, d_in=300, dtype=dtype)
    x = random(9, 50, 300, dtype=dtype)
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(w_out, w_l, w_r))
    logits = ((x @ w_l.T) * (x @ w_r.T)) @ w_out.T
    found = bilinear.truncated_logits(x, values, vectors, k=300)
    for c in range(10):
        assert (found[:, c] - logits[:, c]).abs().max() <= tolerance * logits[:, c].abs().max()
    assert torch.allclose(
        vectors.mT @ vectors, torch.eye(300, dtype=dtype).expand(10, -1, -1), atol=1e-3 * tolerance**0.5 + tolerance
    )


def test_eigendecompose_by_hand():
    values, vectors = bilinear.eigendecompose(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert values.tolist() == pytest.approx([-1, 1])
    assert vectors[:, 1].abs().tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert torch.sign(vectors[0, 1]) == torch.sign(vectors[1, 1])


def test_an_asymmetric_matrix_is_refused():
    with pytest.raises(ValueError, match="symmetric"):
        bilinear.eigendecompose(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_rank_k_form_converges(seed):
    """In the spectral norm the error of keeping k eigenvectors is the (k+1)-th |eigenvalue|, so it falls to 0."""
    b = bilinear.interaction_tensor(*layer(seed, out=1))
    values, vectors = bilinear.eigendecompose(b)
    errors = []
    for k in range(1, 5):
        basis = torch.eye(4, dtype=torch.float64)
        # A form is known from its values at e_i and e_i + e_j.
        probes = torch.cat([basis, (basis[:, None] + basis).reshape(-1, 4)])
        logits = bilinear.truncated_logits(probes, values, vectors, k)
        single, pairs = logits[:4, 0], logits[4:, 0].reshape(4, 4)
        q = (pairs - single[:, None] - single[None]) / 2
        errors.append(torch.linalg.matrix_norm(b[0] - q, 2).item())
    expected = values[0].abs().sort(descending=True).values.tolist()
    assert errors == pytest.approx([*expected[1:], 0.0], abs=1e-9)


@pytest.mark.parametrize("k", [0, 5])
def test_truncation_outside_the_rank_is_refused(k):
    values, vectors = bilinear.eigendecompose(bilinear.interaction_tensor(*layer(0)))
    with pytest.raises(ValueError, match=r"1\.\.4"):
        bilinear.truncated_logits(random(1, 2, 4), values, vectors, k)


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


# ---- the model and its training


def test_forward_by_hand():
    """Two inputs, one hidden unit, one layer: 3 * (2 (x1 + x2)) * (-1 (x1 + x2))."""
    model = BilinearMLP(BilinearConfig(d_input=2, d_hidden=1, n_classes=1, n_layers=1), seed=0).eval()
    with torch.no_grad():
        for parameter, value in ((model.w_e, 1.0), (model.w_l[0], 2.0), (model.w_r[0], -1.0), (model.w_u, 3.0)):
            parameter.fill_(value)
    assert model(torch.tensor([[1.0, 2.0]])).item() == -54.0


def test_the_papers_sizes():
    model = BilinearMLP(BilinearConfig(), seed=0)
    assert model.w_e.shape == (300, 784) and model.w_u.shape == (10, 300)
    assert [tuple(w.shape) for w in (*model.w_l, *model.w_r)] == [(300, 300)] * 4
    assert sum(p.numel() for p in model.parameters()) == 300 * 784 + 4 * 300 * 300 + 3000


def test_a_seed_fixes_every_weight():
    a, b, c = BilinearMLP(SMALL, 0), BilinearMLP(SMALL, 0), BilinearMLP(SMALL, 1)
    for x, y, z in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(x, y) and not torch.equal(x, z) and x.abs().sum() > 0


def test_weights_have_torchs_default_range():
    model = BilinearMLP(BilinearConfig(), 0)
    assert model.w_e.abs().max() <= 784**-0.5 and model.w_l[0].abs().max() <= 300**-0.5
    assert model.w_e.abs().max() > 0.99 * 784**-0.5


def test_noise_is_for_training_only():
    model = BilinearMLP(SMALL, 0)
    x = random(0, 4, 6, dtype=torch.float32)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_the_noise_has_the_stated_strength():
    """Layer noise alone, read out by an identity: the difference to the clean output has 0.33 times its deviation."""
    config = BilinearConfig(d_input=5, d_hidden=5, n_classes=5, n_layers=1, input_noise=0.0)
    model = BilinearMLP(config, 0)
    with torch.no_grad():
        model.w_u.copy_(torch.eye(5))
    x = random(1, 20000, 5, dtype=torch.float32)
    model.eval()
    clean = model(x)
    model.train()
    with training.seeded(0):
        noise = model(x) - clean
    assert noise.std().item() == pytest.approx(0.33 * clean.std().item(), rel=0.02)
    assert noise.mean().abs().item() < 0.01 * clean.std().item()


def test_flip_noise_turns_the_stated_share_of_pixels():
    config = BilinearConfig(
        d_input=1, d_hidden=1, n_classes=1, n_layers=1, input_noise=0.0, layer_noise=0.0, flip_noise=0.25
    )
    model = BilinearMLP(config, 0)
    with training.seeded(0):
        flipped = (model(torch.zeros(20000, 1)) != 0).float().mean().item()
    assert flipped == pytest.approx(0.25, abs=0.01)


def test_the_schedule_is_the_papers():
    """Closed form against the seed's three torch schedulers in sequence."""
    recipe = BilinearRecipe()
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    lr = torch.optim.lr_scheduler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's SequentialLR calls its own deprecated signature
        pieces = [
            lr.LinearLR(optimizer, start_factor=0.01, end_factor=1, total_iters=2),
            lr.StepLR(optimizer, step_size=2, gamma=0.5),
            lr.ConstantLR(optimizer, factor=0.5**6, total_iters=1000),
        ]
        sequence = lr.SequentialLR(optimizer, pieces, milestones=[2, 15])
        rates = []
        for _ in range(recipe.epochs):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            sequence.step()
    assert recipe.epochs == 64
    assert [recipe.lr * bilinear.learning_rate(e, recipe) for e in range(64)] == pytest.approx(rates, rel=1e-9)


@pytest.mark.parametrize("config", [{}, {"layer_noise": 0.0}, {"flip_noise": 0.3, "n_layers": 3}])
def test_the_written_gradient_is_autograds(config):
    """The same draws of noise: the training step against autograd through forward, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        model = BilinearMLP(BilinearConfig(d_input=6, d_hidden=5, n_classes=3, **config), 0)
    finally:
        torch.set_default_dtype(torch.float32)
    x, y = random(0, 8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    with training.seeded(7):
        expected = torch.nn.functional.cross_entropy(model.train()(x), y)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    step = bilinear._Gradients(model)
    with training.seeded(7):
        found = step(x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    flat = torch.cat([g.reshape(-1) for g in gradients])
    assert torch.allclose(step.theta.grad / flat.abs().max(), flat / flat.abs().max(), rtol=1e-9, atol=1e-9)


def separable() -> tuple[torch.Tensor, torch.Tensor]:
    x = random(3, 300, 6, dtype=torch.float32)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def test_training_learns_a_product():
    x, y = separable()
    model = BilinearMLP(
        BilinearConfig(d_input=6, d_hidden=16, n_classes=2, n_layers=1, input_noise=0.0, layer_noise=0.1), seed=0
    )
    before = model.accuracy(x, y)
    history = bilinear.train(
        model, x, y, BilinearRecipe(decay=4, constant=20, lr=1e-2, weight_decay=0.0, batch_size=50), 0, test=(x, y)
    )
    assert before < 0.7 and history["test_accuracy"][-1] > 0.95
    assert len(history["lr"]) == 26


def test_training_repeats_for_a_seed():
    x, y = separable()
    runs = []
    for seed in (0, 0, 1):
        model = BilinearMLP(SMALL, 0)
        bilinear.train(model, x, y, BilinearRecipe(decay=0, constant=1), seed)
        runs.append(model.w_l[1].detach())
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_accuracy_by_hand_keeps_the_mode():
    model = BilinearMLP(SMALL, 0)
    model.train()
    x = random(0, 12, 6, dtype=torch.float32)
    model.eval()
    best = model(x).argmax(1)
    model.train()
    wrong = best.clone()
    wrong[:3] = (wrong[:3] + 1) % 3
    assert model.accuracy(x, best) == 1.0 and model.accuracy(x, wrong) == 0.75
    assert model.training


# ---- the mask


def test_the_mask_is_made_from_the_weights_alone():
    """With one hidden unit everything is known: the only pixel direction is w_e."""
    model = BilinearMLP(BilinearConfig(d_input=2, d_hidden=1, n_classes=2), seed=0)
    with torch.no_grad():
        model.w_e.copy_(torch.tensor([[-3.0, -4.0]]))
    assert bilinear.weight_mask(model, 1).tolist() == pytest.approx([0.6, 0.8])


def test_the_mask_raises_its_class():
    model = BilinearMLP(BilinearConfig(d_input=20, d_hidden=12, n_classes=4), seed=2).eval()
    for c in range(4):
        mask = bilinear.weight_mask(model, c)
        assert mask.norm().item() == pytest.approx(1, abs=1e-5) and mask.sum() >= 0
    with pytest.raises(ValueError, match=r"0\.\.3"):
        bilinear.weight_mask(model, 4)
    with pytest.raises(ValueError, match="2 layers"):
        bilinear.weight_mask(BilinearMLP(BilinearConfig(n_layers=1), 0), 0)


@pytest.mark.parametrize("bad", [{"d_hidden": 0}, {"input_noise": -1.0}, {"flip_noise": 2.0}])
def test_bad_configs_are_refused(bad):
    with pytest.raises(ValueError, match="BilinearConfig"):
        BilinearConfig(**bad)
