"""Superposition: the seed's two MNIST models, and the toy model of Elhage et al. (2022), arXiv:2209.10652.

Axes: instance, batch, feature (n), hidden (m). Weights of a feature are a column: w[..., hidden, feature].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from . import training

Source = Callable[[int, torch.Generator], Tensor]  # (batch size, generator) -> x [instance batch feature]
GEOMETRIES = {
    "pair": (1.0, 1.0),
    "triangle": (2 / 3, 2 / 3, 2 / 3),
    "digon + 1": (0.5, 0.5, 1.0),
    "digons": (0.5, 0.5, 0.5, 0.5),
    "pentagon": (0.4, 0.4, 0.4, 0.4, 0.4),
}
_CHUNK = 512  # rows per pass in feature_importance: 512 x 49 pairs x 49 floats is 5 MB, which stays in cache


@dataclass(frozen=True)
class FeatureConfig:
    """The classifier whose 49 hidden values are the features; every value is the seed's."""

    n_pixels: int = 784
    n_features: int = 49
    n_classes: int = 10
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-3


@dataclass(frozen=True)
class PlaneConfig:
    """The autoencoder that forces the features into a plane; every value is the seed's."""

    n_features: int = 49
    n_hidden: int = 2
    epochs: int = 20
    batch_size: int = 64
    lr: float = 1e-4

    def __post_init__(self):
        _check_sizes("PlaneConfig", self.n_features, self.n_hidden)


@dataclass(frozen=True)
class ToyConfig:
    """Schedule of the toy model: a fifteenth of Elhage's samples, which are 10,000 steps of 1024 at lr 1e-3."""

    steps: int = 3000
    batch_size: int = 512
    lr: float = 3e-3

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"ToyConfig: steps {self.steps} and batch_size {self.batch_size}: both must be 1 or more, "
                "an empty batch has no loss"
            )


def _check_sizes(where: str, n_features: int, n_hidden: int) -> None:
    if not 1 <= n_hidden <= n_features:
        raise ValueError(
            f"{where}: n_hidden {n_hidden} with n_features {n_features}: superposition asks for "
            "1 <= n_hidden <= n_features"
        )


def _check_rows(where: str, x: Tensor) -> None:
    if x.numel() == 0:
        raise ValueError(f"{where}: an empty batch, shape {tuple(x.shape)}: at least one row is needed")


class FeatureNet(nn.Module):
    """Classify digits through one rectified layer, whose values are the features.

    h = ReLU(tanh(W x + b)) in [0, 1), logits = V h + c.
    """

    def __init__(self, config: FeatureConfig = FeatureConfig(), seed: int = 0):
        super().__init__()
        with training.seeded(seed):
            self.hidden = nn.Linear(config.n_pixels, config.n_features)
            self.output = nn.Linear(config.n_features, config.n_classes)

    def features(self, x: Float[Tensor, "batch pixel"]) -> Float[Tensor, "batch feature"]:
        """Return the hidden values, 0 where a feature is absent."""
        return self.hidden(x).tanh().relu()

    def forward(self, x: Float[Tensor, "batch pixel"]) -> Float[Tensor, "batch class"]:
        return self.output(self.features(x))


class PlaneAutoencoder(nn.Module):
    """Squeeze n features through m hidden values and rebuild them.

    z = tanh(W_enc h + b_enc), h' = ReLU(tanh(W_dec z + b_dec)).
    """

    def __init__(self, config: PlaneConfig = PlaneConfig(), seed: int = 0):
        super().__init__()
        with training.seeded(seed):
            self.encoder = nn.Linear(config.n_features, config.n_hidden)
            self.decoder = nn.Linear(config.n_hidden, config.n_features)

    def encode(self, h: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch hidden"]:
        """Return the code of the features."""
        return self.encoder(h).tanh()

    def decode(self, z: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch feature"]:
        """Return the features rebuilt from a code."""
        return self.decoder(z).tanh().relu()

    def forward(self, h: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        return self.decode(self.encode(h))


class Importance(NamedTuple):
    """Rise of the error without a feature [feature]; its share, which sums to 1; the same scaled to 0..1."""

    rise: Tensor
    share: Tensor
    scaled: Tensor


def normalise_importance(rise: Float[Tensor, " feature"]) -> Importance:
    """Bring rises of the error to shares (sum 1) and to the range 0..1.

    share = rise / sum(rise), scaled = (rise - min) / (max - min). Where the sum is not positive a quotient would
    turn the order round, so the shares are equal; where all rises are equal, scaled is 1 for each.

    >>> normalise_importance(torch.tensor([1.0, 3.0])).share
    tensor([0.2500, 0.7500])
    """
    _check_rows("normalise_importance", rise)
    total, low, high = rise.sum(), rise.min(), rise.max()
    share = rise / total if total > 0 else torch.full_like(rise, 1 / len(rise))
    scaled = (rise - low) / (high - low) if high > low else torch.ones_like(rise)
    return Importance(rise, share, scaled)


@torch.no_grad()
def feature_importance(model: PlaneAutoencoder, features: Float[Tensor, "batch feature"]) -> Importance:
    """Measure how much the squared reconstruction error rises when a feature is set to 0 in the input.

    rise_i = mean((model(h without i) - h)^2) - mean((model(h) - h)^2), in squared feature units. Before its tanh the
    code is linear, so "without i" is code - h_i W_enc[:, i]; and a row where h_i is 0 already changes nothing. Only the
    pairs (row, feature) with h_i != 0 are decoded again: no copy of the data and no second encoding.

    Args: model; features [batch feature]. Returns: Importance, each [feature].
    Raises: ValueError on an empty batch.
    """
    _check_rows("feature_importance", features)
    w = model.encoder.weight.T.contiguous()  # [feature hidden]
    rise = torch.zeros(features.shape[1], dtype=torch.float64)
    for h in features.split(_CHUNK):
        code = model.encoder(h)
        error = (model.decode(code.tanh()) - h).square_().sum(1)
        row, feature = h.nonzero(as_tuple=True)
        without = code[row] - h[row, feature, None] * w[feature]
        # tanh(a) = 2 sigmoid(2a) - 1: torch's sigmoid takes a quarter of the time of its tanh, which is most of it
        rebuilt = model.decoder(without.tanh_()).mul_(2).sigmoid_().mul_(2).sub_(1).relu_()
        change = rebuilt.sub_(h[row]).square_().sum(1) - error[row]
        rise.index_add_(0, feature, change.double())  # float64: 60,000 small differences of either sign
    return normalise_importance((rise / features.numel()).float())


@torch.no_grad()
def feature_directions(
    model: PlaneAutoencoder, features: Float[Tensor, "batch feature"]
) -> Float[Tensor, "feature hidden"]:
    """Measure where the code points, on average over the data, when only one feature is left on.

    direction_i = mean(tanh(h_i W_enc[:, i] + b_enc)). A feature that is off contributes tanh(b_enc): all directions
    share that offset.

    Raises: ValueError on an empty batch.
    """
    _check_rows("feature_directions", features)
    w, b = model.encoder.weight.T, model.encoder.bias
    total = sum((h[:, :, None] * w).add_(b).tanh_().sum(0) for h in features.split(_CHUNK))
    return total / len(features)


def unit_vectors(v: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
    """Scale each vector to length 1; a vector of length 0 has no direction and stays 0.

    >>> unit_vectors(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    length = v.norm(dim=-1, keepdim=True)
    return v / torch.where(length > 0, length, 1.0)


def _angle_gap(a: Tensor, b: Tensor) -> Tensor:
    return (torch.remainder(a - b + torch.pi, 2 * torch.pi) - torch.pi).abs()


def gathered_share(
    directions: Float[Tensor, "feature 2"],
    weight: Float[Tensor, " feature"],
    n_bundles: int,
    width: float = 15.0,
) -> float:
    """Find the largest share of the weight within `width` degrees of `n_bundles` rays from the origin.

    The rays are tried at the features' own angles, in all combinations; a vector of length 0 is near none. Many
    features with random angles score well above 0 as the rays are chosen best: compare with such a draw.

    Raises: ValueError when a weight is negative or all are 0.

    >>> gathered_share(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), torch.tensor([2.0, 1.0, 1.0]), 1)
    0.5
    """
    if weight.min() < 0 or weight.sum() <= 0:
        raise ValueError("gathered_share: weights must be 0 or more, with a sum above 0")
    angle = torch.atan2(directions[:, 1], directions[:, 0])
    near = _angle_gap(angle[:, None], angle) <= width * torch.pi / 180
    near &= (directions.norm(dim=1) > 0)[:, None] & (directions.norm(dim=1) > 0)
    rays = torch.tensor(list(combinations(range(len(angle)), n_bundles)))
    covered = near[rays].any(1).to(weight.dtype) @ weight
    return float(covered.max() / weight.sum())


def train_feature_net(
    model: FeatureNet,
    x: Float[Tensor, "batch pixel"],
    y: Int[Tensor, " batch"],
    config: FeatureConfig,
    seed: int,
    each_epoch: Callable[[int], dict[str, float]] | None = None,
) -> dict[str, list[float]]:
    """Train the classifier by cross entropy with Adam; return the history of fit."""
    _check_rows("train_feature_net", x)
    return training.fit(
        lambda x, y: nn.functional.cross_entropy(model(x), y),
        (x, y),
        torch.optim.Adam(model.parameters(), lr=config.lr, fused=True),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        each_epoch=each_epoch,
        label="features",
    )


def train_planes(
    models: Sequence[PlaneAutoencoder],
    features: Float[Tensor, "model batch feature"],
    config: PlaneConfig,
    seed: int,
    each_epoch: Callable[[int], dict[str, float]] | None = None,
) -> dict[str, list[float]]:
    """Train autoencoders, each on its own features, by the sum of their mean squared errors; return the history of fit.

    Their weights are one batched tensor with an axis "model", so six take hardly longer than one: at batch 64 the time
    goes into calls, not into arithmetic. Adam treats each weight by itself, so no model feels the others.

    Raises: ValueError on an empty batch or when the counts differ.
    """
    _check_rows("train_planes", features)
    if len(models) != len(features):
        raise ValueError(f"train_planes: {len(models)} models for features of {len(features)}: one set for each")
    stacked = [nn.Parameter(torch.stack(p).detach()) for p in zip(*(m.parameters() for m in models), strict=True)]
    for i, model in enumerate(models):
        for own, together in zip(model.parameters(), stacked, strict=True):
            own.data = together.data[i]  # a view: each_epoch sees the models as they are then
    w_enc, b_enc, w_dec, b_dec = stacked

    def loss(h: Tensor) -> Tensor:
        h = h.transpose(0, 1)
        code = torch.baddbmm(b_enc[:, None], h, w_enc.mT).tanh()
        rebuilt = torch.baddbmm(b_dec[:, None], code, w_dec.mT).tanh().relu()
        return nn.functional.mse_loss(rebuilt, h) * len(models)

    history = training.fit(
        loss,
        (features.transpose(0, 1).contiguous(),),
        torch.optim.Adam(stacked, lr=config.lr, fused=True),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=seed,
        each_epoch=each_epoch,
        label="planes",
    )
    for model in models:
        for own in model.parameters():
            own.data = own.data.clone()
    return history


class ToyModel(nn.Module):
    """Elhage's ReLU output model, as many independent instances as wanted in one batched model.

    x' = ReLU(W^T W x + b) with w [instance hidden feature], b [instance feature]. Instance i is drawn from seed + i, so
    that it is the same alone and in company.

    Raises: ValueError when n_hidden exceeds n_features.

    >>> ToyModel(n_features=5, n_hidden=2, n_instances=3, seed=0).w.shape
    torch.Size([3, 2, 5])
    """

    def __init__(self, n_features: int, n_hidden: int, n_instances: int, seed: int):
        super().__init__()
        _check_sizes("ToyModel", n_features, n_hidden)
        if n_instances < 1:
            raise ValueError(f"ToyModel: n_instances {n_instances}: at least 1 is needed")
        w = torch.empty(n_instances, n_hidden, n_features)
        for i, instance in enumerate(w):
            with training.seeded(seed + i):
                nn.init.xavier_normal_(instance)
        self.w = nn.Parameter(w)
        self.b = nn.Parameter(torch.zeros(n_instances, n_features))

    def forward(self, x: Float[Tensor, "#instance batch feature"]) -> Float[Tensor, "instance batch feature"]:
        code = torch.einsum("ihf,ibf->ibh", self.w, x.expand(len(self.w), -1, -1))
        return torch.einsum("ihf,ibh->ibf", self.w, code).add(self.b[:, None]).relu()


def thin(
    u: Float[Tensor, "batch feature"], sparsity: Float[Tensor, " instance"]
) -> Float[Tensor, "instance batch feature"]:
    """Turn uniform numbers into sparse features: 0 with probability S, else uniform in 0..1.

    x = max(u - S, 0) / (1 - S): one draw gives both the mask and the value, and serves every sparsity.

    Raises: ValueError on an empty batch or a sparsity outside [0, 1).

    >>> thin(torch.tensor([[0.25, 0.75]]), torch.tensor([0.0, 0.5])).tolist()
    [[[0.25, 0.75]], [[0.0, 0.5]]]
    """
    _check_rows("thin", u)
    if not bool(((sparsity >= 0) & (sparsity < 1)).all()):
        raise ValueError(f"thin: sparsity {sparsity.tolist()}: every value must lie in [0, 1)")
    s = sparsity[:, None, None]
    return (u - s).clamp_(min=0).div_(1 - s)


def sparse_source(sparsity: Float[Tensor, " instance"], n_features: int) -> Source:
    """Make a source of fresh synthetic features for train_toy: all instances see one draw, each thinned to its S.

    So instances differ by sparsity and initial weights only, and one trained alone sees the data it sees in company.
    """
    # Drawn as [feature batch]: with the long axis last in memory the elementwise half of a step takes half the time
    return lambda batch, generator: thin(torch.rand(n_features, batch, generator=generator).T, sparsity)


def row_source(rows: Float[Tensor, "instance row feature"]) -> Source:
    """Make a source for train_toy that draws rows of measured features, the same row numbers in each instance."""
    _check_rows("row_source", rows)
    return lambda batch, generator: rows[:, torch.randint(rows.shape[1], (batch,), generator=generator)]


@torch.no_grad()
def train_toy(
    model: ToyModel,
    source: Source,
    importance: Float[Tensor, "*instance feature"],
    config: ToyConfig,
    seed: int,
) -> Float[Tensor, " instance"]:
    """Train all instances at once by Adam: the sum over instances of mean(I_i (x_i - x'_i)^2).

    With G = dL/d(W^T W), the gradient is dL/dW = W (G + G^T): written out, because autograd takes twice the time and
    the batched model is all there is to it.

    Args: source: (batch size, generator) -> x [instance batch feature].
    Returns: the loss of each instance, mean over the last tenth of the steps.
    Raises: ValueError when source and model disagree on instances or features.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    generator = torch.Generator().manual_seed(seed)
    report = training.progress(config.steps, "toy")
    w, b, total = model.w, model.b, 0.0
    # Not training.fit: that shuffles a fixed set, and at S = 0.999 a fixed set holds most pairs of features never
    for step in range(1, config.steps + 1):
        x = source(config.batch_size, generator).mT
        if x.shape[:2] != b.shape:
            raise ValueError(f"train_toy: data [instance feature] {tuple(x.shape[:2])}, model {tuple(b.shape)}")
        rebuilt = torch.baddbmm(b[:, :, None], w.mT @ w, x).relu_()
        weighted = (rebuilt - x).mul_(importance[..., None] / x[0].numel())
        total += (weighted * (rebuilt - x)).sum((1, 2)) * (step > 0.9 * config.steps)
        slope = weighted.mul_(2).mul_(rebuilt > 0)
        g = slope @ x.mT
        w.grad, b.grad = w @ (g + g.mT), slope.sum(2)
        optimizer.step()
        report(step)
    return total / (config.steps - int(0.9 * config.steps))


def interference(w: Float[Tensor, "*instance hidden feature"], unit: bool = True) -> Float[Tensor, "*instance feature"]:
    """Sum what the other features leave along each feature: sum over j != i of (w_i . w_j)^2.

    unit=True takes w_i at length 1 (Elhage's "superposition" of a feature); unit=False is the seed's quantity.

    >>> interference(torch.tensor([[3.0, 1.0], [4.0, 0.0]]))
    tensor([0.3600, 9.0000])
    """
    left = unit_vectors(w.mT) if unit else w.mT
    products = (left @ w).square()
    return products.sum(-1) - products.diagonal(dim1=-2, dim2=-1)


def dimensionality(w: Float[Tensor, "*instance hidden feature"]) -> Float[Tensor, "*instance feature"]:
    """Measure the fraction of a dimension each feature has: D_i = |w_i|^2 / sum_j (unit w_i . w_j)^2.

    1 alone, 2/3 in a triangle, 1/2 in a digon, 2/5 in a pentagon, 0 when not represented at all.

    >>> dimensionality(torch.tensor([[1.0, -1.0, 0.0]]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    square = w.square().sum(-2)
    total = interference(w) + square
    return square / torch.where(total > 0, total, 1.0)


def features_per_dimension(w: Float[Tensor, "*instance hidden feature"]) -> Float[Tensor, "*instance"]:
    """Count features, as squared lengths, per hidden dimension: |W|_F^2 / m (Elhage plots its inverse D*).

    >>> float(features_per_dimension(torch.eye(2)))
    1.0
    """
    return w.square().sum((-2, -1)) / w.shape[-2]


def geometry(w: Float[Tensor, "2 feature"], tolerance: float = 0.1) -> str:
    """Name the figure that the represented features (length above 0.5) form in the plane, by their dimensionalities.

    "pair" (1, 1), "triangle" (2/3 three times), "digon + 1" (1/2, 1/2, 1), "digons" (1/2 four times), "pentagon"
    (2/5 five times), each within `tolerance`; anything else is "other".

    >>> geometry(torch.tensor([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]]))
    'pair'
    """
    found = dimensionality(w)[w.norm(dim=0) > 0.5].sort().values
    for name, ideal in GEOMETRIES.items():
        if len(found) == len(ideal) and bool(((found - torch.tensor(ideal)).abs() <= tolerance).all()):
            return name
    return "other"
