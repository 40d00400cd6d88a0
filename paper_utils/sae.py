"""An MNIST classifier, sparse autoencoders on its activations, and what their features say about the label."""

import copy
import math
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from paper_utils import training
from paper_utils.data import Images

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
KINDS = ("published", "corrected", "topk")


@dataclass(frozen=True)
class ClassifierConfig:
    """Recipe of the classifier: plain SGD for five epochs, under-trained on purpose, as in the original notebook."""

    epochs: int = 5
    lr: float = 1e-3
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0 or self.batch_size < 1:
            raise ValueError(f"ClassifierConfig: epochs, lr and batch_size must be above 0, got {self}")


@dataclass(frozen=True)
class SAEConfig:
    """Recipe of the autoencoder.

    `l1` weighs the activations summed over features *and* batch, as in the original notebook: on a full batch this is
    `l1 * batch_size` times the usual mean over the batch.
    """

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


class Classifier(nn.Module):
    """The multilayer perceptron 784 - 128 - 128 - 10 whose second layer h, before its ReLU, the autoencoders read.

    h = W_2 relu(W_1 (x - 0.1307) / 0.3081 + b_1) + b_2,  logits = W_3 relu(h) + b_3,  pixels x in 0..1
    """

    def __init__(self, d_hidden: int = 128, seed: int = 0) -> None:
        super().__init__()
        with training.seeded(seed):
            self.fc1 = nn.Linear(784, d_hidden)
            self.fc2 = nn.Linear(d_hidden, d_hidden)
            self.fc3 = nn.Linear(d_hidden, 10)

    def activations(self, x: Float[Tensor, "batch 784"]) -> Float[Tensor, "batch hidden"]:
        """The second layer's output before its ReLU."""
        return self.fc2(F.relu(self.fc1((x - PIXEL_MEAN) / PIXEL_STD)))

    def head(self, activations: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch 10"]:
        """Logits from (true or reconstructed) activations."""
        return self.fc3(F.relu(activations))

    def forward(self, x: Float[Tensor, "batch 784"]) -> Float[Tensor, "batch 10"]:
        """Logits from pixels."""
        return self.head(self.activations(x))


def train_classifier(model: Classifier, images: Images, config: ClassifierConfig, seed: int) -> training.History:
    """Train the classifier in place; returns `training.fit`'s history ("step_loss" is the curve)."""
    images = images.to(training.device_of(model))
    return training.fit(
        lambda x, y: F.cross_entropy(model(x), y),
        [images.train_x, images.train_y],
        torch.optim.SGD(model.parameters(), lr=config.lr),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        label="classifier",
    )


@torch.no_grad()
def activations_of(
    classifier: Classifier, images: Images, seed: int
) -> tuple[Float[Tensor, "n hidden"], Int[Tensor, " n"]]:
    """The activations of all training images in one shuffled order, and that order: which image each row is of."""
    x = images.train_x.to(training.device_of(classifier))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    # By parts: the normalised pixels of 60,000 images at once would take another 190 MB.
    return torch.cat([classifier.activations(part) for part in x.split(5000)])[order], order


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder with one of three recipes.

    f = relu(W_enc (x - b_dec) + b_enc),  x_hat = W_dec^T f + b_dec

    - "published": the original notebook's. Each side has a second bias (bias_enc, bias_dec: the linear layers' own).
      The decoder is scaled once to unit norm along the features, which is not a feature's direction.
    - "corrected": one bias per side; each feature's decoder direction (a row of w_dec) has unit norm, always.
    - "topk": as corrected, but only the k largest f of a sample are kept, there is no L1, and the encoder starts
      as the decoder (Gao et al. 2024, arXiv 2406.04093; without their auxiliary loss).

    To train with another loss, override `loss` in a subclass. Where a loss has a gradient for features that do not
    fire, let `sub_dictionary` return self: each step then computes on the whole dictionary.
    Raises: ValueError for an unknown kind, or a k outside 1..n_features.
    """

    def __init__(
        self, d_input: int = 128, n_features: int = 1024, kind: str = "published", seed: int = 0, k: int = 30
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"SparseAutoencoder: kind must be one of {KINDS}, got {kind!r}")
        if kind == "topk" and not 1 <= k <= n_features:
            raise ValueError(f"SparseAutoencoder: k must be in 1..{n_features}, got {k}")
        self.kind, self.k, self.norm_axis = kind, k, 0 if kind == "published" else 1
        with training.seeded(seed):
            encoder, decoder = nn.Linear(d_input, n_features), nn.Linear(n_features, d_input)
        w_dec = decoder.weight.detach().T.contiguous()
        self.w_dec = nn.Parameter(w_dec / w_dec.norm(dim=self.norm_axis, keepdim=True))
        # Gao et al. start the encoder at the decoder's transpose: with independent ones, most features die at once.
        self.w_enc = nn.Parameter((self.w_dec if kind == "topk" else encoder.weight).detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(n_features))
        self.b_dec = nn.Parameter(torch.zeros(d_input))
        both = kind == "published"
        self.bias_enc = nn.Parameter(encoder.bias.detach().clone()) if both else 0.0
        self.bias_dec = nn.Parameter(decoder.bias.detach().clone()) if both else 0.0

    def encode(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        """Feature activations f >= 0."""
        f = F.relu(F.linear(x - self.b_dec, self.w_enc, self.b_enc + self.bias_enc))
        if self.kind == "topk" and f.shape[-1] > self.k:
            f = f * (f >= f.detach().topk(self.k, dim=-1, sorted=False).values.amin(-1, keepdim=True))
        return f

    def decode(self, f: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch input"]:
        """Reconstruction x_hat."""
        return f @ self.w_dec + (self.b_dec + self.bias_dec)

    def loss(self, x: Float[Tensor, "batch input"], config: SAEConfig) -> dict[str, Float[Tensor, ""]]:
        """The terms whose sum is minimised: |x - x_hat|^2, mean over the batch, and the weighted L1.

        `train_sae` calls it on the `sub_dictionary` of the features that some point of x fires.
        """
        f = self.encode(x)
        reconstruction = (x - self.decode(f)).square().sum(-1).mean()
        scale = {"published": 1.0, "corrected": config.batch_size / len(x), "topk": 0.0}[self.kind]
        return {"reconstruction": reconstruction, "l1": config.l1 * scale * f.sum()}

    def sub_dictionary(self, features: Int[Tensor, " some"]) -> "SparseAutoencoder":
        """This autoencoder with these features only. Gradients of what it computes reach this one's parameters."""
        part = copy.copy(self)
        part._parameters = {}
        for name, parameter in self.named_parameters():
            per_input = name in ("b_dec", "bias_dec")
            setattr(part, name, parameter if per_input else parameter.index_select(0, features))
        return part

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Remove from the gradient of w_dec what is parallel to w_dec, along the axis of its normalisation.

        For the published kind that axis runs over the features: the projection moves a feature that does not fire.
        """
        w, grad = self.w_dec, self.w_dec.grad
        along = (grad * w).sum(self.norm_axis, keepdim=True) / w.square().sum(self.norm_axis, keepdim=True)
        grad.addcmul_(along, w, value=-1)

    @torch.no_grad()
    def renormalise(self) -> None:
        """Bring each feature's direction back to unit norm; the original notebook's line for this has no effect."""
        if self.kind != "published":
            self.w_dec.div_(torch.linalg.vector_norm(self.w_dec, dim=1, keepdim=True))


def train(
    model: SparseAutoencoder,
    images: Images,
    config: SAEConfig,
    classifier: Classifier,
    seed: int,
    live_at: tuple[int, ...] = (),
) -> training.History:
    """`train_sae` on the classifier's activations of the training images, in the order that `seed` shuffles them to."""
    activations, _ = activations_of(classifier, images, seed)
    return train_sae(model, activations.to(training.device_of(model)), config, live_at)


def train_sae(
    model: SparseAutoencoder, activations: Float[Tensor, "n input"], config: SAEConfig, live_at: tuple[int, ...] = ()
) -> training.History:
    """Train an autoencoder in place with Adam, over the batches in stored order.

    A feature that no point of a batch fires has no part in f or x_hat, and its gradient is 0. Each step therefore finds
    the features that fire, and computes loss and gradient on the `sub_dictionary` of these.

    Returns: per epoch, the terms of the loss, "reconstruction" and "l1" (summed over the batches, as the original
        notebook states them), "loss" (their sum, mean over the batches), "l0" (features per sample), "fired" (features
        that fired at least once in training), "lr"; and "live", the features that some point fires after each epoch of
        `live_at`.
    Raises: ValueError for activations of another width, or none; FloatingPointError, which names the epoch, where the
        loss is no longer finite.
    """
    n, width = len(activations), model.w_enc.shape[1]
    if activations.shape[1] != width or n == 0:
        raise ValueError(f"train_sae: needs activations [n, {width}] with n above 0, got {list(activations.shape)}")
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    batches, counts, live = math.ceil(n / config.batch_size), torch.zeros_like(model.b_enc), []

    def loss(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fires = model.encode(x).sign().sum(0)
        counts.add_(fires)
        terms = model.sub_dictionary(fires.nonzero()[:, 0]).loss(x, config)
        # `fit` records means over the batches; the original notebook prints sums.
        return sum(terms.values()), {name: batches * term for name, term in terms.items()}

    def each_epoch(epoch: int) -> dict[str, float]:
        if epoch in live_at:
            live.append(firing_counts(model, activations).count_nonzero().item())
        metrics = {"l0": counts.sum().item() / n, "fired": float(counts.count_nonzero())}
        counts.zero_()
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
        label=f"sae {model.kind}",
    )
    del history["step_loss"]  # 187,600 numbers that nobody reads
    return history | {"live": live}


@torch.no_grad()
def firing_counts(sae: SparseAutoencoder, x: Float[Tensor, "n input"]) -> Int[Tensor, " feature"]:
    """On how many points each feature is above 0."""
    # By chunks: the features of 60,000 points are 250 MB, those of 500 stay in the cache.
    return torch.stack([sae.encode(points).sign().sum(0).long() for points in x.split(500)]).sum(0)


@torch.no_grad()
def label_counts(
    sae: SparseAutoencoder, x: Float[Tensor, "n input"], y: Int[Tensor, " n"], n_classes: int = 10
) -> Int[Tensor, "feature class"]:
    """How many points of each class each feature fires on: counts = [f > 0]^T onehot(y), one matrix product.

    Raises: ValueError for labels of another number than points, or outside 0..n_classes - 1.
    """
    if len(x) != len(y) or len(y) == 0 or not 0 <= int(y.min()) <= int(y.max()) < n_classes:
        got = f"{len(y)} labels {sorted(set(y.tolist()))[:20]} for {len(x)} points"
        raise ValueError(f"label_counts: needs points, with one label in 0..{n_classes - 1} each, got {got}")
    counts = torch.zeros(len(sae.b_enc), n_classes, device=x.device)
    for points, labels in zip(x.split(500), y.split(500), strict=True):
        # In float32: it is what the fast product takes, and it holds whole numbers exactly up to 16,777,216.
        counts.addmm_(sae.encode(points).sign().T, F.one_hot(labels, n_classes).float())
    return counts.long()


def mutual_information(
    counts: Int[Tensor, "feature class"], class_sizes: Int[Tensor, " class"]
) -> Float[Tensor, " feature"]:
    """Mutual information between "the feature fires" and the label, in bits, exactly from the counts.

    I(F; Y) = sum over f in {fires, silent} and classes y of p(f, y) log2 p(f, y) / (p(f) p(y))
    Raises: ValueError where a feature fires on more points of a class than there are.

    Example: a feature that fires exactly on class 0 of two equal classes tells the label, one bit.
        >>> mutual_information(torch.tensor([[5, 0]]), torch.tensor([5, 5]))
        tensor([1.], dtype=torch.float64)
    """
    if (counts > class_sizes).any() or (counts < 0).any():
        raise ValueError("mutual_information: counts must lie between 0 and class_sizes")
    # p(f, y), [feature, fires/silent, class]
    joint = torch.stack([counts, class_sizes - counts], 1).double() / class_sizes.sum()
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    # xlogy(0, .) = 0 is the limit that the definition takes for empty cells.
    bits = (torch.xlogy(joint, joint) - torch.xlogy(joint, independent)).sum((1, 2)) / math.log(2)
    return bits.clamp(min=0)


@torch.no_grad()
def evaluate(
    sae: SparseAutoencoder, classifier: Classifier, x: Float[Tensor, "n input"], y: Int[Tensor, " n"]
) -> dict[str, float]:
    """How sparse, how faithful and how useful the reconstruction of activations x is.

    Returns: "l0" (features per point), "mse" (per coordinate), "variance_explained" (1 - sum |x - x_hat|^2 /
        sum |x - mean x|^2), "accuracy" and "cross_entropy" (nats) of the classifier reading x_hat, and "loss_recovered"
        (CE_0 - CE_hat) / (CE_0 - CE), where CE_0 has zeros in place of x (Bricken et al. 2023): 1 is as good as x.
    """
    f = sae.encode(x)
    x_hat = sae.decode(f)
    original, zeros, loss = (F.cross_entropy(classifier.head(h), y).item() for h in (x, torch.zeros_like(x), x_hat))
    return {
        "l0": f.sign().sum(1).mean().item(),
        "mse": (x - x_hat).square().mean().item(),
        "variance_explained": 1 - ((x - x_hat).square().sum() / (x - x.mean(0)).square().sum()).item(),
        "accuracy": (classifier.head(x_hat).argmax(1) == y).float().mean().item(),
        "cross_entropy": loss,
        "loss_recovered": (zeros - loss) / (zeros - original),
    }


@torch.no_grad()
def to_pixels(
    classifier: Classifier, directions: Float[Tensor, "k hidden"], open_share: Float[Tensor, "k hidden"]
) -> Float[Tensor, "k 784"]:
    """Directions of the second layer carried back to pixels: the mean gradient of d . h with respect to the image.

    d . h = d . W_2 relu(W_1 x + b_1) has the gradient W_1^T (open * W_2^T d), where open is 1 for the first layer's
    units that are above 0. `open_share` is its mean over the points of interest: the share on which each unit is open.
    """
    w_1, w_2 = classifier.fc1.weight / PIXEL_STD, classifier.fc2.weight
    back = einsum(directions, w_2, "k hidden2, hidden2 hidden1 -> k hidden1") * open_share
    return einsum(back, w_1, "k hidden1, hidden1 pixel -> k pixel")
