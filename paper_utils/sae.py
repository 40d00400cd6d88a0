"""An MNIST classifier, sparse autoencoders on its activations, and what their features say about the label."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint

from paper_utils import training
from paper_utils.data import Images

try:
    from transformer_lens import HookedRootModule
except ImportError:  # TransformerLens 3, the newest that fits the transformers on Colab
    from transformer_lens.hook_points import HookedRootModule

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
DEAD_AFTER = 1000  # steps in a row on which a feature does not fire, until the auxiliary loss takes it for dead
AUXILIARY = 1 / 32  # weight of that loss (Gao et al. 2024)


@dataclass(frozen=True)
class SAEConfig:
    """The recipe of a training; `l1` weighs a sum over the batch: `l1 * batch_size` is the usual weight, of a mean."""

    epochs: int = 200
    batch_size: int = 64
    lr: float = 1e-3
    l1: float = 3e-3
    lr_step: int = 10
    lr_decay: float = 0.99

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.lr_step) < 1 or self.lr <= 0:
            raise ValueError(f"SAEConfig: epochs, batch_size, lr_step and lr must be above 0, got {self}")
        if self.l1 < 0 or not 0 < self.lr_decay <= 1:
            raise ValueError(f"SAEConfig: needs l1 >= 0 and 0 < lr_decay <= 1, got {self}")


class Classifier(HookedRootModule):
    """The multilayer perceptron 784 - 128 - 128 - 10 whose second layer h, before its ReLU, the autoencoders read.

    h = W_2 relu(W_1 (x - 0.1307) / 0.3081 + b_1) + b_2,  logits = W_3 relu(h) + b_3,  pixels x in 0..1

    Hook point: "h". `run_with_hooks(x, fwd_hooks=[("h", edit)])` goes on with what edit(h, hook) returns in its place.
    """

    def __init__(self, d_hidden: int = 128, seed: int = 0) -> None:
        super().__init__()
        with training.seeded(seed):
            self.fc1 = nn.Linear(784, d_hidden)
            self.fc2 = nn.Linear(d_hidden, d_hidden)
            self.fc3 = nn.Linear(d_hidden, 10)
        self.h = HookPoint()
        self.setup()

    def activations(self, x: Float[Tensor, "batch 784"]) -> Float[Tensor, "batch hidden"]:
        """Return the second layer's output before its ReLU."""
        return self.fc2(F.relu(self.fc1((x - PIXEL_MEAN) / PIXEL_STD)))

    def forward(self, x: Float[Tensor, "batch 784"]) -> Float[Tensor, "batch 10"]:
        """Return logits from pixels."""
        return self.fc3(F.relu(self.h(self.activations(x))))


def train_classifier(
    model: Classifier, images: Images, seed: int, epochs: int = 5, lr: float = 1e-3
) -> training.History:
    """Train in place by the original notebook's recipe, which stops early; return `training.fit`'s history."""
    images = images.to(training.device_of(model))
    return training.fit(
        lambda x, y: F.cross_entropy(model(x), y),
        [images.train_x, images.train_y],
        torch.optim.SGD(model.parameters(), lr=lr),
        epochs=epochs,
        batch_size=64,
        seed=seed,
        label="classifier",
    )


@torch.no_grad()
def activations_of(classifier: Classifier, images: Images, seed: int) -> tuple[Tensor, Tensor]:
    """Return the activations [n hidden] of all training images in a shuffled order, and that order [n]."""
    x = images.train_x.to(training.device_of(classifier))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    return torch.cat([classifier.activations(part) for part in x.split(5000)])[order], order


def _largest(f: Float[Tensor, "*batch feature"], n: int) -> Float[Tensor, "*batch feature"]:
    """Keep the n largest of each row, and put 0 in place of the others."""
    return f if f.shape[-1] <= n else f * (f >= f.detach().topk(n, sorted=False).values.amin(-1, keepdim=True))


def _all(model, f):
    return f


def _largest_of_point(model, f):
    return _largest(f, model.k)


def _largest_of_batch(model, f):
    n = model.k * len(f)
    return f * (f > model.threshold) if model.threshold >= 0 else _largest(f.flatten(), n).view_as(f)


def _sum(config, f, model, rectified, error):
    return {"l1": config.l1 * f.sum()}


def _mean(config, f, model, rectified, error):
    return {"l1": config.l1 * config.batch_size * f.sum() / len(f)}


def _revive(config, f, model, rectified, error):
    dead, error = model.silent >= DEAD_AFTER, error.detach()
    rebuilt = _largest(rectified[:, dead], max(1, error.shape[1] // 2)) @ model.w_dec[dead]
    missed, spread = (error - rebuilt).square().sum(), (error - error.mean(0)).square().sum()
    return {"auxiliary": AUXILIARY * missed / spread if dead.any() and spread > 0 else 0 * missed}


@dataclass(frozen=True)
class Kind:
    """What tells one kind of autoencoder from another; a new one is given to `SparseAutoencoder` as it is."""

    activation: Callable  # (model, rectified) -> f, what is kept of relu(W_enc (x - b_dec) + b_enc)
    penalty: Callable  # (config, f, model, rectified, error) -> terms beside the squared error
    original: bool = False  # the original notebook's biases and norms
    by_k: bool = False  # as many features as k says: the encoder starts as the decoder, the dead are revived
    name: str = "of its own kind"  # what messages call it


KINDS = {
    "published": Kind(_all, _sum, original=True, name="published"),
    "corrected": Kind(_all, _mean, name="corrected"),
    "topk": Kind(_largest_of_point, _revive, by_k=True, name="topk"),
    "batchtopk": Kind(_largest_of_batch, _revive, by_k=True, name="batchtopk"),
}


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder: f = activation(relu(W_enc (x - b_dec) + b_enc)), x_hat = W_dec^T f + b_dec.

    loss = mean over the batch of |x - x_hat|^2 + penalty; activation and penalty are those of its `Kind`. In `KINDS`:

    - "published": the original notebook's. Penalty: `l1` times the sum of f over the batch. Each side has a second bias
      (bias_enc, bias_dec). The decoder is scaled once to unit norm along the features, not along their directions.
    - "corrected": one bias a side, the L1 a mean over the batch; each feature's direction (a row of w_dec) has norm 1.
    - "topk": as corrected, but a point keeps its k largest f. Penalty: of the features that DEAD_AFTER steps did not
      fire, the d_input / 2 largest of a point rebuild what the others miss, AUXILIARY |error - rebuilt|^2 /
      |error - mean error|^2 (Gao et al. 2024, arXiv 2406.04093).
    - "batchtopk": a batch of N points keeps its k N largest. `train_sae` ends with setting `threshold`, the mean of the
      smallest that a batch keeps; from then on f > threshold is kept (Bussmann et al. 2024, arXiv 2412.06410).

    `norm_axis` is what `project_gradient` goes along (None: nowhere), `unit_norm` whether `renormalise` acts. Another
    loss: override `loss`; where features that do not fire have a gradient in it, let `sub_dictionary` return self.
    Raises: ValueError for an unknown kind, or a k outside 1..n_features.
    """

    def __init__(
        self, d_input: int = 128, n_features: int = 1024, kind: Kind | str = "published", seed: int = 0, k: int = 30
    ) -> None:
        super().__init__()
        # The kind itself, not its name: a process that trains this model has the KINDS of the package only.
        of = KINDS.get(kind) if isinstance(kind, str) else kind
        if not isinstance(of, Kind):
            raise ValueError(f"SparseAutoencoder: kind must be one of {', '.join(KINDS)}, or a Kind, got {kind!r}")
        if of.by_k and not 1 <= k <= n_features:
            raise ValueError(f"SparseAutoencoder: k must be in 1..{n_features}, the number of features, got {k}")
        self.kind, self.k, self.norm_axis, self.unit_norm = of, k, 0 if of.original else 1, not of.original
        with training.seeded(seed):
            encoder, decoder = nn.Linear(d_input, n_features), nn.Linear(n_features, d_input)
        w_dec = decoder.weight.detach().T.contiguous()
        self.w_dec = nn.Parameter(w_dec / w_dec.norm(dim=self.norm_axis, keepdim=True))
        # Gao et al. start the encoder at the decoder's transpose: with independent ones, most features die at once.
        self.w_enc = nn.Parameter((self.w_dec if of.by_k else encoder.weight).detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(n_features))
        self.b_dec = nn.Parameter(torch.zeros(d_input))
        self.bias_enc = nn.Parameter(encoder.bias.detach().clone()) if of.original else 0.0
        self.bias_dec = nn.Parameter(decoder.bias.detach().clone()) if of.original else 0.0
        self.register_buffer("threshold", torch.tensor(-1.0))
        self.register_buffer("silent", torch.zeros(n_features), persistent=False)  # steps since a feature fired

    def rectified(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        """Return relu(W_enc (x - b_dec) + b_enc), of which a kind may keep a part only."""
        return F.relu(F.linear(x - self.b_dec, self.w_enc, self.b_enc + self.bias_enc))

    def encode(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        """Return the features' activations f >= 0."""
        return self.kind.activation(self, self.rectified(x))

    def decode(self, f: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch input"]:
        """Return the reconstruction x_hat."""
        return f @ self.w_dec + (self.b_dec + self.bias_dec)

    def forward(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch input"]:
        """Return the reconstruction of x."""
        return self.decode(self.encode(x))

    def loss(self, x: Float[Tensor, "batch input"], config: SAEConfig) -> dict[str, Float[Tensor, ""]]:
        """Return the terms whose sum is minimised; `train_sae` calls it on a `sub_dictionary`."""
        kind, rectified = self.kind, self.rectified(x)
        f = kind.activation(self, rectified)
        error = x - self.decode(f)
        return {"reconstruction": error.square().sum(-1).mean(), **kind.penalty(config, f, self, rectified, error)}

    def sub_dictionary(self, features: Int[Tensor, " some"]) -> "SparseAutoencoder":
        """Return this autoencoder with some features only; gradients of its results reach this one's parameters."""
        part = copy.copy(self)
        part._parameters, part._buffers = {}, {**self._buffers, "silent": self.silent[features]}
        for name, parameter in self.named_parameters():
            setattr(part, name, parameter if name in ("b_dec", "bias_dec") else parameter.index_select(0, features))
        return part

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Remove from w_dec's gradient what is parallel along `norm_axis`; if that is 0, features at rest move, too."""
        if self.norm_axis is not None:
            w, grad, axis = self.w_dec, self.w_dec.grad, self.norm_axis
            grad.addcmul_((grad * w).sum(axis, keepdim=True) / w.square().sum(axis, keepdim=True), w, value=-1)

    @torch.no_grad()
    def renormalise(self) -> None:
        """Bring each feature's direction back to unit norm; the original notebook's line for this has no effect."""
        if self.unit_norm:
            self.w_dec.div_(torch.linalg.vector_norm(self.w_dec, dim=1, keepdim=True))


@contextmanager
def _denormals_as_0() -> Iterator[None]:
    # Adam's averages of a dead feature's gradient shrink to below 1e-38 and stay there, where a processor takes a
    # hundred times as long for each: an epoch with 60 live features took 2.7 times as long.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_denormals_as_0()
def train_sae(
    model: SparseAutoencoder, activations: Float[Tensor, "n input"], config: SAEConfig, counts_at: tuple[int, ...] = ()
) -> training.History:
    """Train an autoencoder in place with Adam, over the batches in stored order.

    A feature that no point of a batch fires has the gradient 0: each step computes loss and gradient on the
    `sub_dictionary` of the features that fire (and of the dead, where the penalty revives them).
    Returns: per epoch, the terms of the loss (summed over the batches, as the original notebook states them), "loss"
        (mean over the batches), "l0" (features per sample), "fired" (features that fired at least once in training),
        "lr"; and "counts", the `firing_counts` after each epoch of `counts_at`.
    Raises: ValueError for activations of another width, or none; FloatingPointError for a loss that is not finite.
    """
    n, width = len(activations), model.w_enc.shape[1]
    if activations.shape[1] != width or n == 0:
        raise ValueError(f"train_sae: needs activations [n, {width}] with n above 0, got {list(activations.shape)}")
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    batches, fired, counts = math.ceil(n / config.batch_size), torch.zeros_like(model.b_enc), []
    model.threshold.fill_(-1.0)

    def loss(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fires = model.encode(x).sign().sum(0)
            fired.add_(fires)
            model.silent.add_(1).masked_fill_(fires > 0, 0)
        used = (fires > 0) | (model.silent >= DEAD_AFTER) if model.kind.by_k else fires
        terms = model.sub_dictionary(used.nonzero()[:, 0]).loss(x, config)
        return sum(terms.values()), {name: batches * term for name, term in terms.items()}

    @torch.no_grad()
    def each_epoch(epoch: int) -> dict[str, float]:
        if epoch in counts_at:
            counts.append(firing_counts(model, activations).tolist())
        metrics = {"l0": fired.sum().item() / n, "fired": float(fired.count_nonzero())}
        fired.zero_()
        return metrics

    history = training.fit(
        loss,
        [activations],
        optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=0,  # of no effect: nothing is shuffled or drawn
        shuffle=False,
        scheduler=torch.optim.lr_scheduler.StepLR(optimizer, config.lr_step, config.lr_decay),
        before_step=model.project_gradient,
        after_step=model.renormalise,
        each_epoch=each_epoch,
        label=f"sae {model.kind.name}",
    )
    if model.kind.activation is _largest_of_batch:
        kept = [f.detach()[f > 0].min() for f in map(model.encode, activations.split(config.batch_size)) if f.any()]
        model.threshold.fill_(torch.stack(kept).mean() if kept else 0.0)
    history.pop("step_loss")  # 187,600 numbers that nobody reads
    return history | {"counts": counts}


@torch.no_grad()
def firing_counts(sae: SparseAutoencoder, x: Float[Tensor, "n input"]) -> Int[Tensor, " feature"]:
    """Count the points on which each feature is above 0."""
    return label_counts(sae, x, torch.zeros(len(x), dtype=torch.long, device=x.device), 1)[:, 0]


@torch.no_grad()
def label_counts(
    sae: SparseAutoencoder, x: Float[Tensor, "n input"], y: Int[Tensor, " n"], n_classes: int = 10
) -> Int[Tensor, "feature class"]:
    """Count the points of each class on which each feature fires: counts = [f > 0]^T onehot(y), one matrix product.

    Raises: ValueError for labels of another number than points, or outside 0..n_classes - 1.
    """
    if len(x) != len(y) or len(y) == 0 or not 0 <= int(y.min()) <= int(y.max()) < n_classes:
        got = f"{len(y)} labels {sorted(set(y.tolist()))[:20]} for {len(x)} points"
        raise ValueError(f"label_counts: needs points, with one label in 0..{n_classes - 1} each, got {got}")
    counts = torch.zeros(len(sae.b_enc), n_classes, device=x.device)
    # By chunks, which stay in the cache. In float32, which holds whole numbers exactly up to 16,777,216.
    for points, labels in zip(x.split(500), y.split(500), strict=True):
        counts.addmm_(sae.encode(points).sign().T, F.one_hot(labels, n_classes).float())
    return counts.long()


def tabulate(
    fires: Bool[Tensor, "n feature"], y: Int[Tensor, " n"], n_classes: int = 10
) -> Int[Tensor, "feature class"]:
    """Count on how many points of each class each column is true: counts = fires^T onehot(y), as `label_counts` does.

    >>> tabulate(torch.tensor([[True], [True], [False]]), torch.tensor([0, 1, 1]), 2)
    tensor([[1, 1]])
    """
    return (fires.float().T @ F.one_hot(y, n_classes).float()).long()


def mutual_information(
    counts: Int[Tensor, "feature class"], class_sizes: Int[Tensor, " class"]
) -> Float[Tensor, " feature"]:
    """Compute the mutual information of "the feature fires" and the label, in bits, exactly from the counts.

    I(F; Y) = sum over f in {fires, silent} and classes y of p(f, y) log2 p(f, y) / (p(f) p(y))
    Raises: ValueError where a feature fires on more points of a class than there are.

    Example: a feature that fires exactly on class 0 of two equal classes tells the label, one bit.
        >>> mutual_information(torch.tensor([[5, 0]]), torch.tensor([5, 5]))
        tensor([1.], dtype=torch.float64)
    """
    if (counts > class_sizes).any() or (counts < 0).any():
        raise ValueError("mutual_information: counts must lie between 0 and class_sizes")
    joint = (
        torch.stack([counts, class_sizes - counts], 1).double() / class_sizes.sum()
    )  # [feature, fires/silent, class]
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    # xlogy(0, .) = 0 is the limit that the definition takes for empty cells.
    bits = (torch.xlogy(joint, joint) - torch.xlogy(joint, independent)).sum((1, 2)) / math.log(2)
    return bits.clamp(min=0)


def most_opposite(directions: Float[Tensor, "*batch n hidden"]) -> Float[Tensor, "*batch n"]:
    """Return the most negative cosine of each direction with another: -1 where it has an antipodal partner."""
    unit = F.normalize(directions, dim=-1)
    return (unit @ unit.mT).amin(-1)


def best_cosines(known: Float[Tensor, "known hidden"], found: Float[Tensor, "n hidden"]) -> Float[Tensor, " known"]:
    """Return the largest cosine of each known direction with one of a dictionary's; 0 where this is empty."""
    cosines = F.normalize(known, dim=1) @ F.normalize(found, dim=1).T
    return cosines.amax(1) if len(found) else torch.zeros(len(known))


@torch.no_grad()
def evaluate(
    edit: Callable[[Tensor], Tensor], classifier: Classifier, x: Float[Tensor, "n 784"], y: Int[Tensor, " n"]
) -> dict[str, float]:
    """Measure how faithful and how useful edit(h) is in place of the classifier's h; edit may be an autoencoder.

    Returns: "variance_explained" (1 - sum |h - h_hat|^2 / sum |h - mean h|^2); of the classifier that goes on with
        h_hat, "accuracy", "loss_added" (CE_hat - CE, in nats) and "loss_recovered" (CE_0 - CE_hat) / (CE_0 - CE), where
        CE_0 has zeros in place of h (Bricken et al. 2023).
    """
    h_hat = edit(h := classifier.activations(x))
    given = [classifier.run_with_hooks(x, fwd_hooks=[("h", lambda _, hook, new=new: new)]) for new in (h, 0 * h, h_hat)]
    original, zeros, loss = (F.cross_entropy(logits, y).item() for logits in given)
    return {
        "variance_explained": 1 - ((h - h_hat).square().sum() / (h - h.mean(0)).square().sum()).item(),
        "accuracy": (given[-1].argmax(1) == y).float().mean().item(),
        "loss_added": loss - original,
        "loss_recovered": (zeros - loss) / (zeros - original),
    }
