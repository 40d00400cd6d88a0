import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from paper_utils import data, runs, sae
from paper_utils.files import ROOT
from reproduce import notebook as nb
from sweeps import mnist_sae as sweep

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


def images_of(x: torch.Tensor, y: torch.Tensor) -> data.Images:
    return data.Images(x, y, x[:10], y[:10], source="test", files={})


def jolted(kind, seed=0, make=sae.SparseAutoencoder) -> sae.SparseAutoencoder:
    """An autoencoder away from its initial point, where no bias is 0 and no norm is special."""
    model = make(6, 9, kind=kind, seed=seed, k=3)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise))
        model.renormalise()
    return model


def test_published_encodes_and_decodes_by_hand_with_both_biases_of_each_side():
    biases = {"b_enc": [0.5, 0.0], "bias_enc": [0.5, 2.0], "b_dec": [1.0, 0.0], "bias_dec": [0.0, 10.0]}
    model = tiny(w_enc=[[1.0, 2.0], [-1.0, 0.0]], w_dec=[[1.0, 0.0], [3.0, -1.0]], **biases)
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


def test_batchtopk_keeps_the_largest_of_the_batch_and_after_training_what_is_above_the_threshold():
    model = tiny("batchtopk", w_enc=[[1.0, 0.0], [0.0, 1.0]])
    batch = torch.tensor([[2.0, 3.0], [0.5, 1.0]])  # k = 1: two of the four
    assert model.encode(batch).tolist() == [[2.0, 3.0], [0.0, 0.0]]
    model.threshold.fill_(0.75)
    assert model.encode(batch).tolist() == [[2.0, 3.0], [0.0, 1.0]]


def test_training_sets_the_threshold_to_the_mean_of_the_smallest_that_a_batch_keeps():
    model = sae.SparseAutoencoder(6, 9, kind="batchtopk", seed=0, k=2)
    sae.train_sae(model, points(), SMALL)
    found = model.threshold.item()
    model.threshold.fill_(-1.0)
    smallest = [model.rectified(x).flatten().sort(descending=True).values[2 * len(x) - 1] for x in points().split(16)]
    assert found == pytest.approx(sum(smallest).item() / len(smallest), rel=1e-5)


def test_the_auxiliary_loss_by_hand():
    """Two features, the second dead: it must rebuild the error of the first."""
    model = tiny("topk", w_enc=[[1.0, 0.0], [0.0, 1.0]], w_dec=[[1.0, 0.0], [0.0, 1.0]])
    x = torch.tensor([[3.0, 1.0], [5.0, 2.0]])
    model.silent.copy_(torch.tensor([0.0, sae.DEAD_AFTER]))
    # f = (3, 0), (5, 0); error = (0, 1), (0, 2); the dead one gives exactly these: nothing is missed.
    assert model.loss(x, SMALL)["auxiliary"] == 0
    with torch.no_grad():
        model.w_dec[1] = torch.tensor([1.0, 0.0])
    # Now it gives (1, 0), (2, 0): missed 1 + 1 + 4 + 4 over |error - mean|^2 = 2 * 0.25.
    assert model.loss(x, SMALL)["auxiliary"].item() == pytest.approx(sae.AUXILIARY * 10 / 0.5)
    model.silent.fill_(0)
    assert model.loss(x, SMALL)["auxiliary"] == 0


def dictionary_learning_loss(model, x, dead):
    """Loss of dictionary_learning's top-k trainer (github.com/saprmarks/dictionary_learning, trainers/top_k.py).

    Written from its formulas, with scatter and where in place of masks, on the same weights.
    """
    post = torch.relu((x - model.b_dec) @ model.w_enc.T + model.b_enc)
    top = post.topk(model.k)
    f = torch.zeros_like(post).scatter(1, top.indices, top.values)
    e = x - (f @ model.w_dec + model.b_dec)
    k_aux = min(x.shape[1] // 2, int(dead.sum()))
    latents = torch.where(dead, post, -torch.inf).topk(k_aux)
    e_hat = torch.zeros_like(post).scatter(1, latents.indices, latents.values) @ model.w_dec  # without the bias
    e = e.detach()
    aux = (e - e_hat).pow(2).sum(-1).mean() / (e - e.mean(0)).pow(2).sum(-1).mean()
    return (x - (f @ model.w_dec + model.b_dec)).pow(2).sum(-1).mean() + aux / 32


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n_dead=st.integers(1, 6))
def test_topk_has_loss_and_gradient_of_a_public_implementation(seed, n_dead):
    model, x = jolted("topk", seed), points(20, seed=seed)
    dead = torch.arange(9) < n_dead
    model.silent.copy_(dead * sae.DEAD_AFTER)
    ours, theirs = sum(model.loss(x, SMALL).values()), dictionary_learning_loss(model, x, dead)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    gradients = (torch.autograd.grad(loss, model.parameters()) for loss in (ours, theirs))
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_only_a_dead_feature_that_is_not_kept_gets_a_gradient_from_the_auxiliary_loss():
    model = tiny("topk", w_enc=[[1.0, 0.0], [0.0, 1.0]], w_dec=[[1.0, 0.0], [0.6, 0.8]])
    for silent in (0.0, sae.DEAD_AFTER):
        model.silent[1] = silent
        loss = sum(model.loss(torch.tensor([[3.0, 1.0], [5.0, 2.0]]), SMALL).values())
        gradient = torch.autograd.grad(loss, model.w_enc)[0][1]
        assert (gradient.abs().max() > 1e-3) == (silent > 0)


def test_loss_by_hand():
    model = tiny(w_enc=[[1.0, 0.0], [0.0, 1.0]])  # decodes to 0
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    terms = model.loss(x, sae.SAEConfig(l1=0.5))
    assert terms["reconstruction"].item() == (1 + 4 + 9 + 1) / 2  # mean over the batch
    assert terms["l1"].item() == 0.5 * (1 + 2 + 3)  # sum over the batch


def test_corrected_l1_is_the_published_one_on_a_full_batch_and_a_mean_on_a_short_one():
    x, config = points(4, 2), sae.SAEConfig(batch_size=4, l1=0.1)
    published, corrected = (tiny(kind, w_enc=[[1.0, 0.5], [0.2, 1.0]]) for kind in ("published", "corrected"))
    one, doubled = ([m.loss(part, config)["l1"].item() for m in (published, corrected)] for part in (x, x.repeat(2, 1)))
    assert one[0] == pytest.approx(one[1])
    assert doubled == pytest.approx([2 * one[0], one[1]])


def test_the_default_recipes_are_the_original_notebooks():
    assert sae.SAEConfig() == sae.SAEConfig(epochs=200, batch_size=64, lr=1e-3, l1=3e-3, lr_step=10, lr_decay=0.99)
    assert (sae.PIXEL_MEAN, sae.PIXEL_STD) == (0.1307, 0.3081)
    assert sae.SparseAutoencoder().w_enc.shape == (1024, 128)


class AnotherLoss(sae.SparseAutoencoder):
    """Another loss of the same autoencoder: activations pay by the length of their direction, and squared."""

    def loss(self, x, config):
        f = self.encode(x)
        reconstruction = (x - self.decode(f)).abs().mean()
        return {"reconstruction": reconstruction, "weighted": 0.1 * (f * self.w_dec.norm(dim=1)).square().mean(0).sum()}


@pytest.mark.parametrize("make", [sae.SparseAutoencoder, AnotherLoss])
@KINDS
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 20))
def test_gradients_of_the_sub_dictionary_that_fires_are_those_of_the_whole(make, kind, seed, batch):
    model, x = jolted(kind, seed, make), points(batch, seed=seed)
    model.silent[:3] = sae.DEAD_AFTER
    fires = (model.encode(x) > 0).any(0) | ((model.silent > 0) & sae.KINDS[kind].by_k)
    terms = model.loss(x, SMALL)
    expected = torch.autograd.grad(sum(terms.values()), model.parameters())
    part = model.sub_dictionary(fires.nonzero()[:, 0])
    assert part.encode(x).shape == (batch, fires.sum()) and len(part.silent) == fires.sum()
    assert torch.allclose(part.decode(part.encode(x)), model.decode(model.encode(x)), rtol=1e-4, atol=1e-5)
    found = part.loss(x, SMALL)
    assert all(torch.allclose(found[name], term, rtol=1e-5, atol=1e-6) for name, term in terms.items())
    for gradient, whole in zip(torch.autograd.grad(sum(found.values()), model.parameters()), expected, strict=True):
        assert torch.allclose(gradient, whole, rtol=1e-4, atol=1e-5)


def test_a_sub_dictionary_leaves_the_whole_as_it_was():
    model = jolted("published")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    part = model.sub_dictionary(torch.tensor([4, 2]))
    assert torch.equal(part.w_dec, model.w_dec[[4, 2]]) and torch.equal(part.bias_enc, model.bias_enc[[4, 2]])
    assert part.b_dec is model.b_dec
    torch.testing.assert_close(dict(model.named_parameters()), before, rtol=0, atol=0)


@pytest.mark.parametrize("make", [sae.SparseAutoencoder, AnotherLoss])
@KINDS
def test_training_is_adam_on_the_loss_of_the_whole_dictionary(make, kind):
    """Three epochs against autograd, torch's Adam class and StepLR; the last batch of each is a short one."""
    x = points(100)
    ours, theirs = (make(6, 9, kind=kind, seed=1, k=3) for _ in range(2))
    history = sae.train_sae(ours, x, SMALL)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=SMALL.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, SMALL.lr_step, SMALL.lr_decay)
    axis, sums, l0 = 0 if kind == "published" else 1, [], []
    for _ in range(SMALL.epochs):
        sums.append(torch.zeros(2))
        l0.append(0.0)
        for batch in x.split(SMALL.batch_size):
            terms = theirs.loss(batch, SMALL)
            sums[-1] += torch.stack(list(terms.values())).detach()
            l0[-1] += (theirs.encode(batch) > 0).sum().item() / 100
            optimizer.zero_grad()
            sum(terms.values()).backward()
            with torch.no_grad():
                unit = theirs.w_dec / theirs.w_dec.norm(dim=axis, keepdim=True)
                theirs.w_dec.grad -= (theirs.w_dec.grad * unit).sum(axis, keepdim=True) * unit
            optimizer.step()
            if kind != "published":
                with torch.no_grad():
                    theirs.w_dec.div_(theirs.w_dec.norm(dim=1, keepdim=True))
        scheduler.step()
    for name, parameter in theirs.named_parameters():
        assert torch.allclose(ours.get_parameter(name), parameter, atol=1e-4), name
    assert torch.allclose(torch.tensor([history[name] for name in terms]).T, torch.stack(sums), rtol=1e-4)
    assert history["lr"] == pytest.approx([1e-3, 1e-3, 0.99e-3])
    assert history["l0"] == pytest.approx(l0)


@KINDS
def test_norms_of_the_decoder_before_and_after_training(kind):
    """Published: 1 across features, once. The others: 1 along each feature's direction, always."""
    model, axis = sae.SparseAutoencoder(6, 9, kind=kind, seed=0, k=3), 0 if kind == "published" else 1
    before = model.w_dec.detach().clone()
    sae.train_sae(model, points(), replace(SMALL, epochs=30))
    drift = [(w.norm(dim=axis) - 1).abs().max() for w in (before, model.w_dec)]
    assert drift[0] < 1e-6 and (drift[1] > 1e-3) == (kind == "published") and (drift[1] < 1e-6) == (axis == 1)
    assert (model.w_dec - before).abs().max() > 1e-3


@KINDS
def test_projected_gradient_is_orthogonal_to_w_dec_along_the_axis_of_its_norm(kind):
    model = jolted(kind)
    with torch.no_grad():
        model.b_enc[5] = -100.0  # fires on no point
    sum(model.loss(points(), SMALL).values()).backward()
    model.project_gradient()
    assert (model.w_dec.grad * model.w_dec).sum(0 if kind == "published" else 1).abs().max() < 1e-4
    assert model.w_dec.grad.abs().max() > 1e-3
    # Only the published projection moves a feature that does not fire.
    assert (model.w_dec.grad[5].abs().max() > 1e-3) == (kind == "published")


@KINDS
def test_training_learns_and_keeps_no_more_than_k(kind):
    model, x = sae.SparseAutoencoder(6, 32, kind=kind, seed=0, k=3), points(400)
    history = sae.train_sae(model, x, sae.SAEConfig(epochs=15, batch_size=16, lr=5e-3, l1=1e-3))
    assert history["reconstruction"][-1] < 0.5 * history["reconstruction"][0]
    assert {len(values) for name, values in history.items() if name != "counts"} == {15}
    assert history["l0"][-1] <= 3 or not sae.KINDS[kind].by_k


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


def test_features_are_counted_after_the_epochs_asked_for():
    def trained(epochs, counts_at=()):
        model = sae.SparseAutoencoder(6, 40, kind="topk", seed=0, k=2)
        return model, sae.train_sae(model, points(), replace(SMALL, lr=0.1, epochs=epochs), counts_at)

    counts = [(trained(epochs)[0].encode(points()) > 0).sum(0).tolist() for epochs in (1, 3)]
    assert trained(3, (1, 3, 7))[1]["counts"] == counts


def test_activations_come_in_one_shuffled_order_that_is_told():
    classifier, x = sae.Classifier(d_hidden=6, seed=0), torch.rand(30, 784, generator=torch.Generator().manual_seed(0))
    images = images_of(x, torch.arange(30))
    activations, order = sae.activations_of(classifier, images, seed=1)
    assert torch.equal(order.sort().values, torch.arange(30))
    assert torch.allclose(activations, classifier.activations(x[order]), atol=1e-6)
    assert torch.equal(order, sae.activations_of(classifier, images, seed=1)[1])
    assert not torch.equal(order, sae.activations_of(classifier, images, seed=2)[1])


def test_classifier_learns_and_goes_on_with_what_a_hook_puts_in_place_of_h():
    x = torch.rand(200, 784, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    x[:, :100] = y[:, None].float()
    model = sae.Classifier(d_hidden=16, seed=0)
    before = model.fc2.weight.detach().clone()
    history = sae.train_classifier(model, images_of(x, y), seed=0, epochs=20, lr=0.05)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    hooks = [("h", lambda h, hook: 2 * model.activations(x))]
    twice = model.fc3(torch.relu(2 * model.activations(x)))
    assert torch.equal(model.run_with_hooks(x, fwd_hooks=hooks), twice) and not torch.equal(model(x), twice)
    assert torch.equal(model.run_with_cache(x)[1]["h"], model.activations(x))
    assert not torch.equal(before, model.fc2.weight)
    assert torch.equal(sae.Classifier(seed=3).fc1.weight, sae.Classifier(seed=3).fc1.weight)
    assert not torch.equal(sae.Classifier(seed=3).fc1.weight, sae.Classifier(seed=4).fc1.weight)


def test_counts_are_those_of_a_double_loop():
    model, x = jolted("published"), points(50)
    y = torch.randint(0, 10, (50,), generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(9, 10, dtype=torch.long)
    for f, label in zip(model.encode(x), y, strict=True):
        for j in range(9):
            expected[j, label] += int(f[j] > 0)
    assert 0 < expected.sum() < 450
    for n in (1, 90):  # 90 times the points: several chunks
        assert torch.equal(sae.label_counts(model, x.repeat(n, 1), y.repeat(n)), n * expected)
        assert torch.equal(sae.firing_counts(model, x.repeat(n, 1)), n * expected.sum(1))


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
    x = points(40, 784)
    y = classifier(x).argmax(1)
    # h + 99 is above 0 everywhere, and decoding takes the 99 off again.
    perfect = tiny("corrected", w_enc=[[1.0, 0.0], [0.0, 1.0]], w_dec=[[1.0, 0.0], [0.0, 1.0]], b_dec=[-99.0, -99.0])
    found = sae.evaluate(perfect, classifier, x, y)
    assert found["variance_explained"] == pytest.approx(1, abs=1e-6)
    assert found["loss_recovered"] == pytest.approx(1, abs=1e-4)
    assert found["loss_added"] == pytest.approx(0, abs=1e-4) and found["accuracy"] == 1
    empty = sae.evaluate(tiny("corrected"), classifier, x, y)
    assert empty["loss_recovered"] == 0 and empty["loss_added"] > 0
    mean = sae.evaluate(lambda h: h.mean(0).expand_as(h), classifier, x, y)
    assert mean["variance_explained"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sae.SparseAutoencoder(2, 2, kind="gated"),
            r"kind must be one of pub.*, or a Kind, got 'gated'",
        ),
        (lambda: sae.SparseAutoencoder(2, 2, kind="topk", k=3), r"k must be in 1\.\.2, .*got 3"),
        (lambda: sae.SparseAutoencoder(2, 2, kind="batchtopk", k=0), r"k must be in 1\.\.2, .*got 0"),
        (lambda: sae.SAEConfig(epochs=0), r"SAEConfig: .*epochs=0"),
        (lambda: sae.SAEConfig(l1=-1.0), r"SAEConfig: .*l1=-1"),
        (lambda: sae.train_sae(sae.SparseAutoencoder(6, 9), points(10, 5), SMALL), r"train_sae: .*6\].*got \[10, 5\]"),
        (lambda: sae.train_sae(sae.SparseAutoencoder(6, 9), points(0), SMALL), r"train_sae: needs .*above 0"),
        (lambda: sae.label_counts(jolted("topk"), points(2), torch.tensor([0, 10])), r"label_counts: .*\[0, 10\]"),
        (lambda: sae.mutual_information(torch.tensor([[3]]), torch.tensor([2])), r"between 0 and class_sizes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("feature", [2, 3])
def test_a_dead_feature_that_the_notebook_is_given_is_named(feature):
    text = "\n\n".join(cell.source for cell in nb.code_cells(nb.read(ROOT / "notebooks" / "03_mnist_sae.py")))
    start = text.index("feature = FEATURE if")
    lines = text[start : text.index("\n\n", text.index("raise ValueError", start))]
    with pytest.raises(ValueError, match=rf"FEATURE = {feature} fires on no image; those that do: \[1\]"):
        exec(lines, {"FEATURE": feature, "counts": torch.tensor([0, 700, 0]), "n": 60_000})


# As a notebook defines one: cloudpickle carries it to a worker by value, and there it is in nobody's KINDS.
SQUARED = """
def paid(config, f, model, rectified, error):
    return {"squared": 0.1 * f.square().sum(1).mean()}

mine = sae.Kind(lambda model, f: f * (f > 0.1), paid)
"""


def test_a_kind_from_a_notebook_trains_in_worker_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    scope = {"sae": sae, "__name__": "__main__"}
    exec(SQUARED, scope)
    monkeypatch.setitem(sae.KINDS, "mine", scope["mine"])  # registered here, but in no other process
    found = []
    for processes in ("2", "1"):
        monkeypatch.setenv("PAPER_PROCESSES", processes)
        kinds = ("mine", scope["mine"])
        calls = [(sae.SparseAutoencoder(6, 9, kind, seed), points(), SMALL) for seed, kind in enumerate(kinds)]
        found.append(runs.cached(sae.train_sae, calls))
        for path in (tmp_path / "build" / "weights").iterdir():
            path.unlink()
    for (model, history), (alone, _) in zip(*found, strict=True):
        assert set(history) >= {"reconstruction", "squared"} and "l1" not in history
        torch.testing.assert_close(model.state_dict(), alone.state_dict())
    model, x = found[0][0][0], points()
    assert ((model.encode(x) == 0) | (model.encode(x) > 0.1)).all()


def test_numbers_below_1e_38_are_0_in_training_only():
    """Adam's averages of a dead feature would stay there, each a hundred times as slow as others."""
    seen, tiny_number = [], torch.full((1,), 1e-39)

    class Watched(sae.SparseAutoencoder):
        def renormalise(self):
            seen.append((tiny_number * 1).item())

    sae.train_sae(Watched(6, 9), points(), SMALL)
    assert set(seen) == {0.0} and (tiny_number * 1).item() > 0


def test_divergence_is_an_error_that_names_the_epoch():
    with pytest.raises(FloatingPointError, match=r"sae published: .*epoch 1"):
        sae.train_sae(sae.SparseAutoencoder(6, 9), points() * 1e30, SMALL)


# ---- The sweeps


@pytest.fixture
def noise_images() -> data.Images:
    return images_of(torch.rand(200, 784, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 10)


def rows_of(sweep, *loaded, **point) -> list[dict]:
    """What a sweep writes for one point."""
    models = sweep.build(**point)
    history = sweep.train(models, *loaded, **point)
    return sweep.measure(models.eval().requires_grad_(False), json.loads(json.dumps(history)), *loaded, **point)


def test_a_point_of_the_frontiers_is_decided_by_its_seed(monkeypatch, noise_images):
    monkeypatch.setattr(sweep, "STRENGTHS", {"topk": (3,), "principal components": (2, 128)})
    first, again, other = (rows_of(sweep.FRONTIERS, noise_images, seed=seed, kind="topk") for seed in (0, 0, 1))
    assert first == again != other
    assert first[0]["l0"] <= 3 and 0 < first[0]["live"] <= 1024 and 0 <= first[0]["best_bits"] <= 1
    two, everything = rows_of(sweep.FRONTIERS, noise_images, seed=0, kind="principal components")
    assert everything["variance_explained"] == pytest.approx(1, abs=1e-5) and two["variance_explained"] < 1
    assert everything["loss_added"] == pytest.approx(0, abs=1e-5)


def test_longer_trainings_are_those_of_the_frontiers_stretched(monkeypatch, noise_images):
    assert sweep.PARTS["four times as long"][1:] == (4 * sweep.EPOCHS, 4, 0.5)
    # At the frontiers' own length both give the same.
    monkeypatch.setattr(sweep, "PARTS", {"short": ((("topk", 3),), sweep.EPOCHS, 1, 0.5)})
    monkeypatch.setattr(sweep, "LONGER_AT", (1, 4))
    monkeypatch.setattr(sweep, "STRENGTHS", {"topk": (3,), "principal components": (3,)})
    first, last = rows_of(sweep.LONGER, noise_images, seed=0, part="short")
    assert (first["epoch"], last["epoch"]) == (1, 4) and round(last["final_l0"]) == 3
    ((ours,), (components,)) = (rows_of(sweep.FRONTIERS, noise_images, seed=0, kind=kind) for kind in sweep.STRENGTHS)
    assert last["live"] == ours["live"] and last["final_best_bits"] == pytest.approx(ours["best_bits"])
    for name, found in (("", ours), ("components_", components)):
        assert last[f"final_{name}unexplained"] == pytest.approx(1 - found["variance_explained"], rel=1e-4)
        assert last[f"final_{name}loss_added"] == pytest.approx(found["loss_added"], abs=1e-5)


def test_subspaces_are_orthonormal_and_components_explain_most():
    x = points(300, 4) * torch.tensor([1.0, 5.0, 2.0, 3.0])
    kept = {}
    for kind in ("principal components", "neurons", "random directions"):
        basis = sweep.subspace(kind, x, seed=0)
        assert torch.allclose(basis.T @ basis, torch.eye(4), atol=1e-5)
        kept[kind] = ((x - x.mean(0)) @ basis[:, :2]).square().sum().item()
    assert kept["principal components"] >= kept["neurons"] > kept["random directions"]
    assert sweep.subspace("neurons", x, 0)[:, 0].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_an_arm_changes_what_its_name_says(monkeypatch, noise_images):
    monkeypatch.setattr(sweep, "DEATHS_AT", (1, 2))
    arms = ("original recipe", "unit norm", "no L1")
    rows = {arm: rows_of(sweep.DEATHS, noise_images, seed=0, arm=arm) for arm in arms}
    assert [row["epoch"] for row in rows["no L1"]] == [1, 2] and rows["no L1"][1]["l1"] == 0
    assert rows["unit norm"][1]["final_norm"] == pytest.approx(1) != rows["original recipe"][1]["final_norm"]
    white = sweep.whitened(x := points(300, 5) * torch.arange(1, 6))
    total = (x - x.mean(0)).square().sum()
    assert white.square().sum() == pytest.approx(total.item(), rel=1e-4)
    assert torch.allclose(white.T @ white, torch.eye(5) * total / 5, rtol=1e-3, atol=1e-2 * total / 5)


def test_an_autoencoder_on_toy_codes_is_marked_beside_dictionaries_that_learn_nothing(monkeypatch):
    monkeypatch.setattr(sweep, "CODES", 300)
    monkeypatch.setattr(sweep, "SPARSITIES", (0.9,))
    monkeypatch.setattr(sweep, "TOY_KINDS", [("topk", 2)])
    rows = rows_of(sweep.TOYS, seed=0)
    assert [row["kind"] for row in rows] == ["random"] * 100 + ["codes", "topk"]
    assert all(0 < row["recovery"] <= 1 + 1e-6 and 0 < row["live"] <= 80 for row in rows)
    assert len({row["known"] for row in rows}) == 1


def test_the_best_cosine_with_the_features_themselves_is_1_and_with_their_opposites_is_not():
    known = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert sae.best_cosines(known, 3 * known).tolist() == pytest.approx([1, 1])
    assert sae.best_cosines(known, -known).tolist() == pytest.approx([0, 0])
    assert sae.best_cosines(known, torch.tensor([[1.0, 1.0]])).tolist() == pytest.approx([0.5**0.5] * 2)
    assert sae.best_cosines(known, known[:0]).tolist() == [0, 0]


def test_an_antipodal_partner_has_cosine_minus_1_whatever_its_length():
    found = sae.most_opposite(torch.tensor([[1.0, 0.0], [-3.0, 0.0], [0.0, 2.0]]))
    assert found.tolist() == pytest.approx([-1, -1, 0])


def test_a_table_of_what_fires_is_that_of_the_autoencoder_that_fires():
    model, x, y = jolted("published"), points(50), torch.arange(50) % 10
    assert torch.equal(sae.tabulate(model.encode(x) > 0, y), sae.label_counts(model, x, y))


# ---- The drawings


def test_the_page_of_features_shows_one_at_a_time_and_the_cover_three(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    from draw import mnist_sae as drawing

    maps, tops = torch.randn(4, 784), torch.rand(4, 8, 784)
    shares = torch.eye(10)[:4]
    page = drawing.feature_browser(maps, tops, shares, [f"feature {j}, with a long name" for j in range(4)])
    assert [trace.visible for trace in page.data] == [True] * 3 + [False] * 9
    (slider,) = page.layout.sliders
    assert [step.label for step in slider.steps] == [f"feature {j}, with a long name" for j in range(4)]
    assert slider.steps[2].args[0]["visible"] == [False] * 6 + [True] * 3 + [False] * 3
    cover = drawing.cover(maps, tops, shares)
    assert len(cover.axes) == 9 and cover.get_size_inches().tolist() == [1.9, 1.9]
