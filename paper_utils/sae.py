"""An MNIST classifier, sparse autoencoders on its activations, and what their features say about the label."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from einops import einsum
from jaxtyping import Float, Int
from plotly.subplots import make_subplots
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adam import adam

from paper_utils import training

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
KINDS = ("published", "corrected", "topk")


@dataclass(frozen=True)
class ClassifierConfig:
    """Recipe of the classifier: plain SGD, five epochs. It is under-trained on purpose, as the seed's is."""

    epochs: int = 5
    lr: float = 1e-3
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0 or self.batch_size < 1:
            raise ValueError(f"ClassifierConfig: epochs, lr and batch_size must be above 0, got {self}")


@dataclass(frozen=True)
class SAEConfig:
    """Recipe of the autoencoder. `l1` weighs the activations summed over features *and* batch, as the seed does:
    on a full batch that is `l1 * batch_size` times their mean over the batch, the usual convention.
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
    """The multilayer perceptron 784 - 128 - 128 - 10 whose second layer the autoencoders read.

    h = W_2 relu(W_1 (x - 0.1307) / 0.3081 + b_1) + b_2,  logits = W_3 relu(h) + b_3

    Pixels x are in 0..1; the autoencoders read h, before its ReLU.

    Example:
        >>> Classifier(seed=0).activations(torch.zeros(2, 784)).shape
        torch.Size([2, 128])
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


def train_classifier(
    model: Classifier,
    x: Float[Tensor, "n 784"],
    y: Int[Tensor, " n"],
    config: ClassifierConfig = ClassifierConfig(),
    seed: int = 0,
) -> training.History:
    """Train the classifier in place; returns `training.fit`'s history ("step_loss" is the curve)."""
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    return training.fit(
        lambda images, labels: F.cross_entropy(model(images), labels),
        [x, y],
        optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        label="classifier",
    )


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder with one of three recipes.

    f = relu(W_enc (x - b_dec) + b_enc),  x_hat = W_dec^T f + b_dec

    - "published": the seed's. Each side has a second bias (bias_enc, bias_dec: the linear layers' own). The decoder
      is scaled once to unit norm along the features, which is not a feature's direction.
    - "corrected": one bias per side; each feature's decoder direction (a row of w_dec) has unit norm, always.
    - "topk": as corrected, but only the k largest f of a sample are kept, there is no L1, and the encoder starts
      as the decoder (Gao et al. 2024, arXiv 2406.04093; without their auxiliary loss).

    Args:
        d_input: width of the activations.
        n_features: size of the dictionary.
        kind: "published", "corrected" or "topk".
        k: features kept per sample; only for "topk".
        seed: of the initial weights.

    Raises:
        ValueError: an unknown kind, or a k outside 1..n_features.

    Example:
        >>> SparseAutoencoder(128, 1024, kind="topk", k=30, seed=0).encode(torch.ones(1, 128)).count_nonzero() <= 30
        tensor(True)
    """

    def __init__(
        self, d_input: int = 128, n_features: int = 1024, kind: str = "published", seed: int = 0, k: int = 30
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"SparseAutoencoder: kind must be one of {KINDS}, got {kind!r}")
        if kind == "topk" and not 1 <= k <= n_features:
            raise ValueError(f"SparseAutoencoder: k must be in 1..{n_features}, got {k}")
        self.kind, self.k = kind, k
        with training.seeded(seed):
            encoder, decoder = nn.Linear(d_input, n_features), nn.Linear(n_features, d_input)
        w_dec = decoder.weight.detach().T.contiguous()
        self.w_dec = nn.Parameter(w_dec / w_dec.norm(dim=0 if kind == "published" else 1, keepdim=True))
        # Gao et al. start the encoder at the decoder's transpose: with independent ones, most features die at once.
        self.w_enc = nn.Parameter((self.w_dec if kind == "topk" else encoder.weight).detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(n_features))
        self.b_dec = nn.Parameter(torch.zeros(d_input))
        if kind == "published":
            self.bias_enc = nn.Parameter(encoder.bias.detach().clone())
            self.bias_dec = nn.Parameter(decoder.bias.detach().clone())

    def encode(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        """Feature activations f >= 0."""
        bias = self.b_enc + self.bias_enc if self.kind == "published" else self.b_enc
        f = F.relu(F.linear(x - self.b_dec, self.w_enc, bias))
        return _keep_largest(f, self.k) if self.kind == "topk" else f

    def decode(self, f: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch input"]:
        """Reconstruction x_hat."""
        bias = self.b_dec + self.bias_dec if self.kind == "published" else self.b_dec
        return f @ self.w_dec + bias

    def loss(self, x: Float[Tensor, "batch input"], config: SAEConfig) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Both terms of the loss as written: |x - x_hat|^2, mean over the batch, and the weighted L1.

        What `train_sae` follows by hand-written gradients; the tests hold both together.
        """
        f = self.encode(x)
        reconstruction = (x - self.decode(f)).pow(2).sum(-1).mean()
        scale = {"published": 1.0, "corrected": config.batch_size / len(x), "topk": 0.0}[self.kind]
        return reconstruction, config.l1 * scale * f.abs().sum()


def _keep_largest(f: Tensor, k: int) -> Tensor:
    smallest = f.topk(k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    return f * (f >= smallest)


@torch.no_grad()
def train_sae(
    sae: SparseAutoencoder,
    activations: Float[Tensor, "n input"],
    config: SAEConfig = SAEConfig(),
    each_epoch: Callable[[int], None] | None = None,
) -> training.History:
    """Train an autoencoder in place with Adam, over the batches in stored order.

    Not `training.fit`: a step here is five small matrix products, and autograd with a general optimiser takes
    several times as long as they do. The gradients are written out instead (`_Gradients`), and four of the products
    run over those features only that some point of the batch fires: the others' gradients are exactly 0.

    Args:
        each_epoch: called with the number of epochs done.

    Returns:
        Per epoch: "reconstruction" and "l1" (summed over the batches, as the seed states them), "l0" (features per
        sample), "fired" (features that fired at least once), "lr".

    Raises:
        ValueError: activations of another width, or none.
        FloatingPointError: the loss is no longer finite; names the epoch.

    Example:
        >>> sae = SparseAutoencoder(4, 8, seed=0)
        >>> train_sae(sae, torch.ones(64, 4), SAEConfig(epochs=2))["lr"]
        [0.001, 0.001]
    """
    if activations.shape[1] != sae.w_enc.shape[1] or len(activations) == 0:
        raise ValueError(
            f"train_sae: needs activations [n, {sae.w_enc.shape[1]}] with n above 0, got {list(activations.shape)}"
        )
    step = _Gradients(sae, config)
    # One flat array and Adam's functional form: the optimiser's bookkeeping would cost as much as its arithmetic.
    moments, steps_done = [torch.zeros_like(step.theta) for _ in range(2)], torch.zeros((), device=step.theta.device)
    history: training.History = {"reconstruction": [], "l1": [], "l0": [], "fired": [], "lr": []}
    report = training.progress(config.epochs, f"sae {sae.kind}")
    for epoch in range(1, config.epochs + 1):
        lr = config.lr * config.lr_decay ** ((epoch - 1) // config.lr_step)
        terms, counts = [], torch.zeros_like(sae.b_enc)
        for x in activations.split(config.batch_size):
            terms += step.write(x, counts)
            adam(
                *([step.theta], [step.flat_grad], moments[:1], moments[1:], [], [steps_done]),
                **{"lr": lr, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
                **{"amsgrad": False, "maximize": False, "fused": True},
            )
            if sae.kind != "published":
                # The seed's line for this has no effect: it assigns to an attribute that nothing reads.
                sae.w_dec.div_(torch.linalg.vector_norm(sae.w_dec, dim=1, keepdim=True))
        reconstruction, l1 = torch.stack(terms).view(-1, 2).sum(0).tolist()
        if not abs(reconstruction) < float("inf"):
            raise FloatingPointError(f"train_sae: the loss is not finite in epoch {epoch}: lower the learning rate")
        l0, fired = counts.sum().item() / len(activations), float(counts.count_nonzero())
        metrics = {"reconstruction": reconstruction, "l1": l1, "l0": l0, "fired": fired, "lr": lr}
        for name, value in metrics.items():
            history[name].append(value)
        if each_epoch is not None:
            each_epoch(epoch)
        report(epoch, **metrics)
    return history


class _Gradients:
    """The gradient of an autoencoder's loss, written out, for weights that share one flat array `theta`."""

    def __init__(self, sae: SparseAutoencoder, config: SAEConfig) -> None:
        self.sae, self.l1, self.batch_size = sae, config.l1, config.batch_size
        parameters = dict(sae.named_parameters())
        self.theta = nn.utils.parameters_to_vector(parameters.values()).detach()
        # From here on the autoencoder's own parameters are views of theta: nothing has to be copied back.
        nn.utils.vector_to_parameters(self.theta, parameters.values())
        self.weight = {name: p.detach() for name, p in parameters.items()}
        self.flat_grad = torch.zeros_like(self.theta)
        parts = self.flat_grad.split([p.numel() for p in parameters.values()])
        self.grad = {name: part.view_as(p) for (name, p), part in zip(parameters.items(), parts, strict=True)}

    def write(self, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Write the gradient of the loss on one batch; returns its two terms, and adds to the firing counts.

        With g = d loss / d x_hat = 2 (x_hat - x) / batch and m = 1 where f > 0, else 0:

        dW_dec = f^T g,  dpre = m (g W_dec^T + l1),  dW_enc = dpre^T (x - b_dec),  db_enc = sum dpre,
        and b_dec, which enters at both ends, gets sum g - (sum dpre) W_enc.
        """
        w, d, published = self.weight, self.grad, self.sae.kind == "published"
        centred = x - w["b_dec"]
        f = torch.addmm(w["b_enc"] + w["bias_enc"] if published else w["b_enc"], centred, w["w_enc"].T).relu_()
        if self.sae.kind == "topk":
            f = _keep_largest(f, self.sae.k)
        active = f.sum(0).nonzero()[:, 0]
        f, w_dec = f.index_select(1, active), w["w_dec"].index_select(0, active)
        fires = f.sign()
        counts.index_add_(0, active, fires.sum(0))
        decoded = f @ w_dec
        error = decoded.add(w["bias_dec"]).sub_(centred) if published else decoded - centred
        g = error * (2 / len(x))
        d_pre, d_dec = g @ w_dec.T, f.T @ g
        if published:
            # The seed removes from dW_dec what is parallel to W_dec along the features, per row of its [128, 1024].
            # The inner product needs no pass over the weights: sum_f dW_dec W_dec = sum_batch g (f W_dec). Features
            # that do not fire have no gradient of their own, but the projection gives them one.
            along = (g * decoded).sum(0) / torch.mul(w["w_dec"], w["w_dec"], out=d["w_dec"]).sum(0)
            torch.mul(w["w_dec"], -along, out=d["w_dec"]).index_add_(0, active, d_dec)
        else:
            d_dec.addcmul_(w_dec, (f * d_pre).sum(0)[:, None], value=-1)
            d["w_dec"].zero_().index_copy_(0, active, d_dec)
        l1 = self.l1 * {"published": 1.0, "corrected": self.batch_size / len(x), "topk": 0.0}[self.sae.kind]
        d_pre.add_(l1).mul_(fires)
        d["w_enc"].zero_().index_copy_(0, active, d_pre.T @ centred)
        d["b_enc"].zero_().index_copy_(0, active, d_pre.sum(0))
        d_out = g.sum(0)
        torch.sub(d_out, d["b_enc"] @ w["w_enc"], out=d["b_dec"])
        if published:
            # Two biases at one place get the same gradient: their sum moves twice as fast as one would.
            d["bias_enc"].copy_(d["b_enc"])
            d["bias_dec"].copy_(d_out)
        return error.square_().sum() / len(x), l1 * f.sum()


# What decides trained weights, for `training.cached`: the rest of this module may change without training anew.
TRAINED_BY = (Classifier, train_classifier, SparseAutoencoder, _keep_largest, train_sae, _Gradients)


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

    Raises:
        ValueError: labels of another number than points, or outside 0..n_classes - 1.
    """
    if len(x) != len(y) or len(y) == 0 or not 0 <= int(y.min()) <= int(y.max()) < n_classes:
        raise ValueError(
            f"label_counts: needs one label in 0..{n_classes - 1} per point and at least one point, got {len(y)} "
            f"labels {sorted(set(y.tolist()))[:20]} for {len(x)} points"
        )
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

    Args:
        counts: from `label_counts`.
        class_sizes: points of each class.

    Raises:
        ValueError: a feature fires on more points of a class than there are.

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


def live_feature(counts: Int[Tensor, " feature"], feature: int | None) -> int:
    """The feature to look at: `feature` itself if it is live, the third live one (the seed's choice) for None.

    Raises:
        ValueError: the feature never fires or does not exist; names the live ones.
    """
    live = counts.nonzero()[:, 0].tolist()
    if feature is None and live:
        return live[min(2, len(live) - 1)]
    if feature not in live:
        raise ValueError(f"live_feature: feature {feature} fires on no point; the {len(live)} live ones are {live}")
    return feature


@torch.no_grad()
def evaluate(
    sae: SparseAutoencoder, classifier: Classifier, x: Float[Tensor, "n input"], y: Int[Tensor, " n"]
) -> dict[str, float]:
    """How sparse, how faithful and how useful the reconstruction of activations x is.

    Returns:
        "l0" (features per point), "mse" (per coordinate), "variance_explained"
        (1 - sum |x - x_hat|^2 / sum |x - mean x|^2), "live" and "dead" features, "accuracy" and "cross_entropy" (nats)
        of the classifier reading x_hat, and "loss_recovered" (CE_0 - CE_hat) / (CE_0 - CE), where CE_0 has zeros in
        place of x (Bricken et al. 2023): 1 is as good as x, 0 no better than zeros.
    """
    f = sae.encode(x)
    x_hat = sae.decode(f)
    original, zeros, loss = (F.cross_entropy(classifier.head(h), y).item() for h in (x, torch.zeros_like(x), x_hat))
    live = (f > 0).any(0).sum().item()
    return {
        "l0": f.sign().sum(1).mean().item(),
        "mse": (x - x_hat).square().mean().item(),
        "variance_explained": 1 - ((x - x_hat).square().sum() / (x - x.mean(0)).square().sum()).item(),
        "live": live,
        "dead": len(sae.b_enc) - live,
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
    units that are above 0. Averaged over points, open becomes the share of points on which each unit is open.

    Args:
        directions: rows of w_dec.
        open_share: per direction, that share over the points of interest, 0..1.
    """
    w_1, w_2 = classifier.fc1.weight / PIXEL_STD, classifier.fc2.weight
    back = einsum(directions, w_2, "k hidden2, hidden2 hidden1 -> k hidden1") * open_share
    return einsum(back, w_1, "k hidden1, hidden1 pixel -> k pixel")


def browser(
    names: Sequence[str],
    label_shares: np.ndarray,
    digits: np.ndarray,
    directions: np.ndarray,
) -> go.Figure:
    """An interactive figure with a slider over features: label distribution, top digits, direction in pixels.

    Args:
        names: one line per feature, shown at the slider.
        label_shares: [feature, class], each row the distribution of labels where the feature fires.
        digits: [feature, image, 784], pixels in 0..1, the images that fire it most.
        directions: [feature, 784], signed.
    """
    titles = ("labels where it fires", "images that fire it most", "direction in pixels")
    fig = make_subplots(1, 3, subplot_titles=titles, column_widths=[0.28, 0.44, 0.28], horizontal_spacing=0.05)
    # Pictures go into the page as single bytes: a hundred features stay below 2 MB.
    tiles = np.round(digits * 255).astype(np.uint8).reshape(len(names), -1, 4, 28, 28).transpose(0, 1, 3, 2, 4)
    scale = np.abs(directions).max(1, keepdims=True).clip(min=1e-12)
    maps = np.round(directions / scale * 127).astype(np.int8).reshape(-1, 28, 28)
    grey, signed = {"colorscale": "gray_r", "zmin": 0, "zmax": 255}, {"colorscale": "RdBu_r", "zmin": -127, "zmax": 127}
    for i, shares in enumerate(label_shares):
        shown = {"visible": i == 0, "showscale": False, "hoverinfo": "skip"}
        bars = {"marker_color": "#0072B2", "hovertemplate": "label %{x}: %{y:.1%}<extra></extra>"}
        fig.add_bar(x=list(range(len(shares))), y=shares, **bars, visible=i == 0, row=1, col=1)
        fig.add_heatmap(z=tiles[i].reshape(-1, 4 * 28), **grey, **shown, row=1, col=2)
        fig.add_heatmap(z=maps[i], **signed, **shown, row=1, col=3)
    steps = []
    for i, name in enumerate(names):
        visible = [j // 3 == i for j in range(3 * len(names))]
        steps.append({"method": "restyle", "args": ["visible", visible], "label": name})
    # The names stand above the slider, one at a time; as its tick labels they would be cut and overlap.
    value = {"prefix": "", "font": {"size": 14, "color": "#222"}}
    slider = {"steps": steps, "currentvalue": value, "font": {"color": "rgba(0,0,0,0)"}, "pad": {"t": 50}}
    slider |= {"ticklen": 0, "minorticklen": 0}
    fig.update_layout(sliders=[slider], template="plotly_white", showlegend=False, width=1000, height=460)
    fig.update_xaxes(title_text="label", dtick=1, row=1, col=1).update_yaxes(title_text="share", row=1, col=1)
    for col in (2, 3):
        fig.update_xaxes(visible=False, constrain="domain", row=1, col=col)
        fig.update_yaxes(visible=False, autorange="reversed", scaleanchor=f"x{col}", row=1, col=col)
    return fig
