import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from paper_utils import data, sae, training

KINDS = pytest.mark.parametrize("kind", sae.KINDS)
SMALL = sae.SAEConfig(epochs=3, batch_size=16, l1=0.02, lr_step=2)


def tiny(kind="published", **weights) -> sae.SparseAutoencoder:
    """A 2 -> 2 -> 2 autoencoder with given weights and zero for the rest."""
    model = sae.SparseAutoencoder(2, 2, kind=kind, k=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(weights.get(name, 0.0)).expand_as(parameter))
    return model


def points(n=100, d=6, seed=0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def jolted(kind, seed=0) -> sae.SparseAutoencoder:
    """An autoencoder away from its initial point, where no bias is 0 and no norm is special."""
    model = sae.SparseAutoencoder(6, 9, kind=kind, seed=seed, k=3)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))
        if kind != "published":
            model.w_dec.div_(model.w_dec.norm(dim=1, keepdim=True))
    return model


# Encode and decode, by hand


def test_published_encodes_and_decodes_by_hand_with_both_biases_of_each_side():
    model = tiny(
        w_enc=[[1.0, 2.0], [-1.0, 0.0]],
        w_dec=[[1.0, 0.0], [3.0, -1.0]],
        b_enc=[0.5, 0.0],
        bias_enc=[0.5, 2.0],
        b_dec=[1.0, 0.0],
        bias_dec=[0.0, 10.0],
    )
    # x - b_dec = (1, 1): pre = (1 + 2, -1) + (1, 2) = (4, 1)
    f = model.encode(torch.tensor([[2.0, 1.0]]))
    assert f.tolist() == [[4.0, 1.0]]
    # 4 (1, 0) + 1 (3, -1) + (1, 10) = (8, 9)
    assert model.decode(f).tolist() == [[8.0, 9.0]]


def test_corrected_clips_what_is_below_zero():
    model = tiny("corrected", w_enc=[[1.0, 0.0], [0.0, 1.0]], w_dec=[[1.0, 0.0], [0.0, 1.0]], b_dec=[1.0, 1.0])
    f = model.encode(torch.tensor([[3.0, 0.0]]))
    assert f.tolist() == [[2.0, 0.0]]
    assert model.decode(f).tolist() == [[3.0, 1.0]]


def test_topk_keeps_the_largest_only():
    model = tiny("topk", w_enc=[[1.0, 0.0], [0.0, 1.0]])
    assert model.encode(torch.tensor([[2.0, 3.0], [2.0, 1.0]])).tolist() == [[0.0, 3.0], [2.0, 0.0]]


def test_loss_by_hand():
    model = tiny(w_enc=[[1.0, 0.0], [0.0, 1.0]])  # decodes to 0
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    reconstruction, l1 = model.loss(x, sae.SAEConfig(l1=0.5))
    assert reconstruction.item() == (1 + 4 + 9 + 1) / 2  # mean over the batch
    assert l1.item() == 0.5 * (1 + 2 + 3)  # sum over the batch


def test_corrected_l1_is_the_published_one_on_a_full_batch_and_a_mean_on_a_short_one():
    x, config = points(4, 2), sae.SAEConfig(batch_size=4, l1=0.1)
    published, corrected = (tiny(kind, w_enc=[[1.0, 0.5], [0.2, 1.0]]) for kind in ("published", "corrected"))
    assert corrected.loss(x, config)[1].item() == pytest.approx(published.loss(x, config)[1].item())
    doubled = torch.cat([x, x])
    assert corrected.loss(doubled, config)[1].item() == pytest.approx(corrected.loss(x, config)[1].item())
    assert published.loss(doubled, config)[1].item() == pytest.approx(2 * published.loss(x, config)[1].item())


# Training


@KINDS
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 20))
def test_written_gradients_are_those_of_autograd(kind, seed, batch):
    model, x = jolted(kind, seed), points(batch, seed=seed)
    parameters = dict(model.named_parameters())
    reconstruction, l1 = model.loss(x, SMALL)
    expected = torch.autograd.grad(reconstruction + l1, parameters.values())
    expected = dict(zip(parameters, expected, strict=True))
    # Both recipes then take out of the decoder's gradient what is parallel to w_dec, along different axes.
    axis = 0 if kind == "published" else 1
    unit = model.w_dec.detach() / model.w_dec.detach().norm(dim=axis, keepdim=True)
    expected["w_dec"] -= (expected["w_dec"] * unit).sum(axis, keepdim=True) * unit

    fires = (model.encode(x) > 0).sum(0)
    step, counts = sae._Gradients(model, SMALL), torch.zeros(9)
    step.write(points(5, seed=seed + 1), torch.zeros(9))  # what an earlier batch left behind must not matter
    terms = step.write(x, counts)
    assert torch.allclose(torch.stack(terms), torch.stack([reconstruction, l1]), rtol=1e-5, atol=1e-6)
    assert counts.tolist() == fires.tolist()
    for name, gradient in expected.items():
        assert torch.allclose(step.grad[name], gradient, rtol=1e-4, atol=1e-5), name


@KINDS
def test_training_is_adam_on_the_written_loss(kind):
    """Three epochs against autograd, torch's Adam class and StepLR; the last batch of each is a short one."""
    x = points(100)
    ours, theirs = (sae.SparseAutoencoder(6, 9, kind=kind, seed=1, k=3) for _ in range(2))
    history = sae.train_sae(ours, x, SMALL)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=SMALL.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, SMALL.lr_step, SMALL.lr_decay)
    axis, sums = 0 if kind == "published" else 1, []
    for _ in range(SMALL.epochs):
        sums.append(torch.zeros(2))
        for batch in x.split(SMALL.batch_size):
            terms = theirs.loss(batch, SMALL)
            sums[-1] += torch.stack(terms).detach()
            optimizer.zero_grad()
            sum(terms).backward()
            with torch.no_grad():
                unit = theirs.w_dec / theirs.w_dec.norm(dim=axis, keepdim=True)
                theirs.w_dec.grad -= (theirs.w_dec.grad * unit).sum(axis, keepdim=True) * unit
            optimizer.step()
            if kind != "published":
                with torch.no_grad():
                    theirs.w_dec.div_(theirs.w_dec.norm(dim=1, keepdim=True))
        scheduler.step()
    for name, parameter in theirs.named_parameters():
        assert torch.allclose(dict(ours.named_parameters())[name], parameter, atol=1e-4), name
    assert torch.allclose(torch.tensor([history["reconstruction"], history["l1"]]).T, torch.stack(sums), rtol=1e-4)
    assert history["lr"] == pytest.approx([1e-3, 1e-3, 0.99e-3])


@pytest.mark.parametrize("kind", ["corrected", "topk"])
def test_unit_norm_directions_before_and_after_training(kind):
    model = sae.SparseAutoencoder(6, 9, kind=kind, seed=0, k=3)
    assert torch.allclose(model.w_dec.norm(dim=1), torch.ones(9))
    before = model.w_dec.detach().clone()
    sae.train_sae(model, points(), SMALL)
    assert torch.allclose(model.w_dec.norm(dim=1), torch.ones(9), atol=1e-6)
    assert (model.w_dec - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["corrected", "topk"])
def test_projected_gradient_is_orthogonal_to_each_direction(kind):
    model = jolted(kind)
    step = sae._Gradients(model, SMALL)
    step.write(points(), torch.zeros(9))
    assert (step.grad["w_dec"] * model.w_dec).sum(1).abs().max() < 1e-5
    assert step.grad["w_dec"].abs().max() > 1e-3


def test_published_normalises_across_features_once_and_lets_go():
    model = sae.SparseAutoencoder(6, 9, kind="published", seed=0)
    assert torch.allclose(model.w_dec.norm(dim=0), torch.ones(6))
    sae.train_sae(model, points(), replace(SMALL, epochs=30))
    assert (model.w_dec.norm(dim=0) - 1).abs().max() > 1e-3


@KINDS
def test_training_learns_and_keeps_no_more_than_k(kind):
    model, x = sae.SparseAutoencoder(6, 32, kind=kind, seed=0, k=3), points(400)
    history = sae.train_sae(model, x, sae.SAEConfig(epochs=15, batch_size=16, lr=5e-3, l1=1e-3))
    assert history["reconstruction"][-1] < 0.5 * history["reconstruction"][0]
    assert {len(values) for values in history.values()} == {15}
    if kind == "topk":
        assert history["l0"][-1] <= 3
        assert set(history["l1"]) == {0.0}


@KINDS
def test_same_seed_same_weights_other_seed_others(kind):
    def weights(seed):
        model = sae.SparseAutoencoder(6, 9, kind=kind, seed=seed, k=3)
        start = model.w_enc.detach().clone()
        sae.train_sae(model, points(), SMALL)
        return start, model.w_enc.detach()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(first, other, strict=True))


def test_each_epoch_sees_the_weights_of_that_epoch():
    seen = []
    model = sae.SparseAutoencoder(6, 9, seed=0)
    sae.train_sae(model, points(), SMALL, each_epoch=lambda epoch: seen.append((epoch, model.w_enc.detach().clone())))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert torch.equal(seen[-1][1], model.w_enc)
    assert not torch.equal(seen[0][1], seen[1][1])


@KINDS
def test_trained_weights_load_back_bit_for_bit(kind, tmp_path):
    model = sae.SparseAutoencoder(6, 9, kind=kind, seed=0, k=3)
    history = sae.train_sae(model, points(), SMALL)
    training.save_weights(tmp_path / "sae.safetensors", model.state_dict(), {"history": json.dumps(history)})
    state, metadata = training.load_weights(tmp_path / "sae.safetensors")
    loaded = sae.SparseAutoencoder(6, 9, kind=kind, seed=7, k=3)
    loaded.load_state_dict(state)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())
    assert torch.equal(loaded.encode(points()), model.encode(points()))
    assert json.loads(metadata["history"]) == history


def test_classifier_learns_and_its_head_reads_its_activations():
    x = torch.rand(200, 784, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    x[:, :100] = y[:, None].float()
    model = sae.Classifier(d_hidden=16, seed=0)
    before = model.fc2.weight.detach().clone()
    history = sae.train_classifier(model, x, y, sae.ClassifierConfig(epochs=20, lr=0.05))
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    assert torch.equal(model.head(model.activations(x)), model(x))
    assert not torch.equal(before, model.fc2.weight)
    assert torch.equal(sae.Classifier(seed=3).fc1.weight, sae.Classifier(seed=3).fc1.weight)
    assert not torch.equal(sae.Classifier(seed=3).fc1.weight, sae.Classifier(seed=4).fc1.weight)


# What the features say


def test_counts_against_a_double_loop_on_50_points():
    model, x = jolted("published"), points(50)
    y = torch.randint(0, 10, (50,), generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(9, 10, dtype=torch.long)
    f = model.encode(x)
    for i in range(50):
        for j in range(9):
            if f[i, j] > 0:
                expected[j, y[i]] += 1
    assert torch.equal(sae.label_counts(model, x, y), expected)
    assert torch.equal(sae.firing_counts(model, x), expected.sum(1))
    assert 0 < expected.sum() < 450


def test_counts_over_several_chunks():
    model, x = jolted("corrected"), points(4500)
    fires = model.encode(x) > 0
    assert torch.equal(sae.firing_counts(model, x), fires.sum(0))
    y = torch.arange(4500) % 10
    assert torch.equal(sae.label_counts(model, x, y)[:, 3], fires[y == 3].sum(0))


@pytest.mark.parametrize(
    ("counts", "sizes", "bits"),
    [
        ([4, 0], [4, 4], 1.0),  # fires exactly on one of two equal classes
        ([2, 2], [4, 4], 0.0),  # independent
        ([0, 0], [4, 4], 0.0),  # dead
        ([4, 4], [4, 4], 0.0),  # always on
        ([1, 0, 0, 0], [1, 1, 1, 1], 0.8112781244591328),  # H(1/4)
    ],
)
def test_mutual_information_by_hand(counts, sizes, bits):
    found = sae.mutual_information(torch.tensor([counts]), torch.tensor(sizes))
    assert found.item() == pytest.approx(bits, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=60))
def test_mutual_information_is_that_of_scikit_learn_and_no_more_than_either_entropy(pairs):
    fires, y = torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs])
    sizes = torch.bincount(y, minlength=5)
    counts = torch.bincount(y[fires], minlength=5)
    bits = sae.mutual_information(counts[None], sizes).item()
    nats = mutual_info_score(y.numpy(), fires.numpy())
    assert bits == pytest.approx(nats / math.log(2), abs=1e-6)
    share = torch.stack([fires.double().mean(), 1 - fires.double().mean()])
    assert 0 <= bits <= -torch.xlogy(share, share).sum() / math.log(2) + 1e-9


def test_evaluate_of_a_perfect_and_of_an_empty_autoencoder():
    classifier = sae.Classifier(d_hidden=2, seed=0)
    x = points(40, 2)
    y = classifier.head(x).argmax(1)
    # x + 9 is above 0 everywhere, and decoding takes the 9 off again.
    perfect = tiny("corrected", w_enc=[[1.0, 0.0], [0.0, 1.0]], w_dec=[[1.0, 0.0], [0.0, 1.0]], b_dec=[-9.0, -9.0])
    found = sae.evaluate(perfect, classifier, x, y)
    assert found["mse"] < 1e-10
    assert found["variance_explained"] == pytest.approx(1)
    assert found["loss_recovered"] == pytest.approx(1)
    assert (found["accuracy"], found["l0"], found["live"], found["dead"]) == (1, 2, 2, 0)
    empty = sae.evaluate(tiny("corrected"), classifier, x, y)
    assert (empty["loss_recovered"], empty["l0"], empty["dead"]) == (0, 0, 2)
    assert empty["mse"] == pytest.approx(x.square().mean().item())


def test_pixel_direction_is_the_gradient_of_the_activation():
    classifier = sae.Classifier(d_hidden=5, seed=0)
    image = torch.rand(1, 784, generator=torch.Generator().manual_seed(0), requires_grad=True)
    direction = points(1, 5)
    (expected,) = torch.autograd.grad((classifier.activations(image) * direction).sum(), image)
    opened = (classifier.fc1((image - sae.PIXEL_MEAN) / sae.PIXEL_STD) > 0).float().detach()
    assert torch.allclose(sae.to_pixels(classifier, direction, opened), expected, atol=1e-6)


# Bad input


def test_a_feature_that_is_not_live_is_refused_with_the_live_ones():
    counts = torch.tensor([0, 5, 0, 2, 7, 1])
    assert sae.live_feature(counts, 4) == 4
    assert sae.live_feature(counts, None) == 4  # the third live one
    assert sae.live_feature(torch.tensor([0, 3]), None) == 1
    for feature in (0, 6, -1):
        with pytest.raises(ValueError, match=rf"live_feature: feature {feature} fires.* live ones are \[1, 3, 4, 5\]"):
            sae.live_feature(counts, feature)
    with pytest.raises(ValueError, match=r"live ones are \[\]"):
        sae.live_feature(torch.zeros(3, dtype=torch.long), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sae.SparseAutoencoder(2, 2, kind="gated"), r"kind must be one of .*'gated'"),
        (lambda: sae.SparseAutoencoder(2, 2, kind="topk", k=3), r"k must be in 1\.\.2, got 3"),
        (lambda: sae.SAEConfig(epochs=0), r"SAEConfig: .*epochs=0"),
        (lambda: sae.SAEConfig(l1=-1.0), r"SAEConfig: .*l1=-1"),
        (lambda: sae.ClassifierConfig(lr=0.0), r"ClassifierConfig: .*lr=0"),
        (lambda: sae.train_sae(sae.SparseAutoencoder(6, 9), points(10, 5)), r"train_sae: needs .*6\].*got \[10, 5\]"),
        (lambda: sae.train_sae(sae.SparseAutoencoder(6, 9), points(0)), r"train_sae: needs .*above 0"),
        (lambda: sae.label_counts(jolted("topk"), points(2), torch.tensor([0, 10])), r"label_counts: .*\[0, 10\]"),
        (lambda: sae.mutual_information(torch.tensor([[3]]), torch.tensor([2])), r"between 0 and class_sizes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_divergence_is_an_error_that_names_the_epoch():
    with pytest.raises(FloatingPointError, match=r"train_sae: .*epoch 1"):
        sae.train_sae(sae.SparseAutoencoder(6, 9), points() * 1e30, SMALL)


# Real data


def test_activations_of_the_untrained_classifier_on_mnist_give_a_live_dictionary():
    images = data.load_mnist()
    if images.source != "mnist":
        pytest.skip("needs the real MNIST (PAPER_DATA or a network)")
    x = sae.Classifier(seed=0).activations(images.train_x[:2000]).detach()
    counts = sae.label_counts(sae.SparseAutoencoder(seed=0), x, images.train_y[:2000])
    bits = sae.mutual_information(counts, torch.bincount(images.train_y[:2000], minlength=10))
    assert 0 < bits.max() < 1
    best = int(bits.argmax())
    fires = sae.SparseAutoencoder(seed=0).encode(x)[:, best] > 0
    nats = mutual_info_score(images.train_y[:2000].numpy(), fires.numpy())
    assert bits[best].item() == pytest.approx(nats / 0.6931471805599453, abs=1e-6)


# The feature browser


def test_browser_steps_show_the_three_panels_of_one_feature():
    figure = sae.browser(["a", "b"], torch.eye(2, 10).numpy(), torch.ones(2, 8, 784).numpy(), points(2, 784).numpy())
    assert [trace.visible for trace in figure.data] == [True] * 3 + [False] * 3
    first, second = (list(step.args[1]) for step in figure.layout.sliders[0].steps)
    assert first == [True] * 3 + [False] * 3
    assert second == [False] * 3 + [True] * 3
    assert figure.data[4].z.shape == (56, 112)
    assert (figure.data[4].z == 255).all()
    assert abs(figure.data[5].z.astype(int)).max() == 127


def test_browser_page_of_a_hundred_features_stays_below_three_megabytes():
    shares, digits = torch.rand(100, 10).numpy(), torch.rand(100, 8, 784).numpy()
    figure = sae.browser([f"feature {i}" for i in range(100)], shares, digits, points(100, 784).numpy())
    assert 1_000_000 < len(figure.to_json()) < 3_000_000
