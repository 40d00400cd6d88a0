"""Superposition: the original notebook's two MNIST models, and the toy model of Elhage et al. (2022), arXiv:2209.10652.

Axes: instance, batch, feature (n), hidden (m). The weights of a feature are a column: w[..., hidden, feature].
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from paper_utils import training
from paper_utils.data import Images
from paper_utils.progress import progress

Source = Callable[[int, torch.Generator], Tensor]  # (batch size, generator) -> x [instance batch feature]
GEOMETRIES = {  # the angles from each feature to the next around the circle, in degrees
    "pair": (90, 270),
    "digon": (180, 180),
    "triangle": (120, 120, 120),
    "digon + 1": (90, 90, 180),
    "digons": (90, 90, 90, 90),
    "pentagon": (72, 72, 72, 72, 72),
}
_CHUNK = 64  # rows a pass: 64 x 49 copies of 49 floats, 0.6 MB, which stay in the cache


@dataclass(frozen=True)
class FeatureConfig:
    """The classifier whose 49 hidden values are the features; every value is the original notebook's."""

    n_pixels: int = 784
    n_features: int = 49
    n_classes: int = 10
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-3


@dataclass(frozen=True)
class PlaneConfig:
    """The autoencoder that presses the features through a plane; every value is the original notebook's."""

    n_features: int = 49
    n_hidden: int = 2
    epochs: int = 20
    batch_size: int = 64
    lr: float = 1e-4

    def __post_init__(self):
        _check_sizes("PlaneConfig", self.n_features, self.n_hidden)


@dataclass(frozen=True)
class ToyConfig:
    """The toy model's schedule: 15 % of the samples of Elhage et al., who take 10,000 steps of 1024 at lr 1e-3."""

    steps: int = 3000
    batch_size: int = 512
    lr: float = 3e-3

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(f"ToyConfig: steps {self.steps}, batch_size {self.batch_size}: both must be 1 or more")


def _check_sizes(where: str, n_features: int, n_hidden: int) -> None:
    if not 1 <= n_hidden <= n_features:
        raise ValueError(f"{where}: n_hidden {n_hidden}, n_features {n_features}: needs 1 <= n_hidden <= n_features")


def _check_rows(where: str, x: Tensor) -> None:
    if x.numel() == 0:
        raise ValueError(f"{where}: an empty batch, shape {tuple(x.shape)}: at least one row is needed")


class FeatureNet(nn.Module):
    """Classify digits through one rectified layer: features h = ReLU(tanh(W x + b)) in [0, 1), logits V h + c."""

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
    """Squeeze n features through m values: z = tanh(W_enc h + b_enc), h' = ReLU(tanh(W_dec z + b_dec))."""

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


def scaled_importance(rise: Float[Tensor, " feature"]) -> Float[Tensor, " feature"]:
    """Bring rises of the error to the range 0..1: (rise - min) / (max - min), or 1 for each where all are equal.

    The original notebook divides by their sum before, which does not change the result.
    """
    _check_rows("scaled_importance", rise)
    low, high = rise.min(), rise.max()
    return (rise - low) / (high - low) if high > low else torch.ones_like(rise)


@torch.no_grad()
def feature_importance(model: PlaneAutoencoder, features: Float[Tensor, "batch feature"]) -> Float[Tensor, " feature"]:
    """Measure how much the squared reconstruction error rises when a feature is set to 0 in the input.

    rise_i = mean((model(h without i) - h)^2) - mean((model(h) - h)^2), exactly 0 for a feature that is never on; for
    any model that rebuilds its input. Raises: ValueError on an empty batch.
    """
    _check_rows("feature_importance", features)
    rise = torch.zeros(features.shape[1], dtype=torch.float64)  # float64: 60,000 small differences of either sign
    others = 1 - torch.eye(features.shape[1], device=features.device)
    for h in features.split(_CHUNK):
        whole = h[:, None]  # [batch 1 feature], beside copies [batch removed feature]
        change = (model(whole * others) - whole).square().sum(2) - (model(whole) - whole).square().sum(2)
        rise += (change * (h != 0)).sum(0).cpu()
    return (rise / features.numel()).float().to(features.device)


@torch.no_grad()
def feature_directions(
    model: PlaneAutoencoder, features: Float[Tensor, "batch feature"]
) -> Float[Tensor, "feature hidden"]:
    """Measure where the code points when only feature i is left on: mean over the data of encode(h_i alone).

    A feature that is off gives encode(0): all directions share that offset. Raises: ValueError on an empty batch.
    """
    _check_rows("feature_directions", features)
    return sum(model.encode(torch.diag_embed(h)).sum(0) for h in features.split(_CHUNK)) / len(features)


def unit_vectors(v: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
    """Scale each vector to length 1; a vector of length 0 has no direction and stays 0."""
    length = v.norm(dim=-1, keepdim=True)
    return v / torch.where(length > 0, length, 1.0)


def gathered_share(
    directions: Float[Tensor, "feature 2"], weight: Float[Tensor, " feature"], n_bundles: int, width: float = 15.0
) -> float:
    """Find the largest share of the weight within `width` degrees of `n_bundles` rays from the origin.

    The rays are tried at the features' own angles, in all combinations, so that random angles score well above 0 too:
    compare with such a draw. Raises: ValueError when a weight is negative or all are 0.
    """
    if weight.min() < 0 or weight.sum() <= 0:
        raise ValueError("gathered_share: weights must be 0 or more, with a sum above 0")
    angle = torch.atan2(directions[:, 1], directions[:, 0])
    gap = (torch.remainder(angle[:, None] - angle + torch.pi, 2 * torch.pi) - torch.pi).abs()
    some = directions.norm(dim=1) > 0
    near = (gap <= width * torch.pi / 180) & some[:, None] & some
    rays = torch.tensor(list(combinations(range(len(angle)), n_bundles)))
    covered = near[rays].any(1).to(weight.dtype) @ weight
    return float(covered.max() / weight.sum())


@torch.no_grad()
def weight_measures(model: PlaneAutoencoder, importance: Float[Tensor, " feature"]) -> dict[str, float]:
    """Measure what a trained autoencoder's weights say of its features.

    bias_correlation, norm_correlation: of the decoder's bias and of the encoder columns' length with the importance.
    encoder_squared_cosine: mean over pairs of different encoder columns; of n directions in a plane at least
    (n/2 - 1) / (n - 1), the Welch bound. top_on_diagonal, top_in_first_ten: of the largest 1 % of W_dec W_enc, the
    shares on its diagonal and in the columns of the ten most important features.
    """
    encoder, decoder = model.encoder.weight.T, model.decoder.weight  # both [feature hidden]
    unit, n = unit_vectors(encoder), len(importance)
    matrix = decoder @ encoder.T
    kept = matrix >= matrix.quantile(0.99)
    values = torch.stack([importance, model.decoder.bias, encoder.norm(dim=1)])
    bias, norm = torch.corrcoef(values.double())[0, 1:]
    measures = {
        "bias_correlation": bias,
        "norm_correlation": norm,
        "encoder_squared_cosine": ((unit @ unit.T).square().sum() - n) / (n * (n - 1)),
        "top_in_first_ten": kept[:, importance.argsort(descending=True)[:10]].sum() / kept.sum(),
        "top_on_diagonal": kept.diagonal().sum() / kept.sum(),
    }
    return {name: value.item() for name, value in measures.items()}


def _fit(model: nn.Module, loss, tensors, config: FeatureConfig | PlaneConfig, seed: int, each_epoch):
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    schedule = {"epochs": config.epochs, "batch_size": config.batch_size, "seed": seed}
    return training.fit(loss, tensors, optimizer, **schedule, each_epoch=each_epoch, label=type(model).__name__)


def train_feature_net(model: FeatureNet, images: Images, config: FeatureConfig, seed: int) -> training.History:
    """Train by cross entropy with Adam; training.fit's history gets "accuracy", of the test images after each epoch."""
    images = images.to(training.device_of(model))

    @torch.no_grad()
    def accuracy(epoch: int) -> dict[str, float]:
        return {"accuracy": (model(images.test_x).argmax(1) == images.test_y).float().mean().item()}

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    return _fit(model, loss, (images.train_x, images.train_y), config, seed, accuracy)


def train_plane(
    model: PlaneAutoencoder, images: Images, config: PlaneConfig, seed: int, net: FeatureNet
) -> training.History:
    """Train the autoencoder by mean squared error with Adam on the features that the frozen `net` gives the images.

    The history has, after each epoch and over all training images, the error "mse", "rise" [epoch feature] as
    feature_importance measures it, and "direction" [epoch feature hidden] as feature_directions does.
    """
    rise, direction = [], []
    with torch.no_grad():
        features = net.features(images.to(training.device_of(model)).train_x)

    @torch.no_grad()
    def measure(epoch: int) -> dict[str, float]:
        rise.append(feature_importance(model, features).tolist())
        direction.append(feature_directions(model, features).tolist())
        return {"mse": loss(features).item()}

    def loss(h: Tensor) -> Tensor:
        return nn.functional.mse_loss(model(h), h)

    return {**_fit(model, loss, (features,), config, seed, measure), "rise": rise, "direction": direction}


class ToyModel(nn.Module):
    """Elhage's ReLU output model, as many independent instances as wanted in one batched model.

    x' = ReLU(W^T W x + b) with w [instance hidden feature], b [instance feature]. Instance i is drawn from seed + i, so
    that it is the same alone and in company. Raises: ValueError when n_hidden exceeds n_features.
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
        x = x.expand(len(self.w), -1, -1).mT  # feature-major, as SparseSource draws: half the time of batch-major
        return torch.baddbmm(self.b[:, :, None], self.w.mT @ self.w, x).relu().mT


def thin(
    u: Float[Tensor, "batch feature"], sparsity: Float[Tensor, " instance"]
) -> Float[Tensor, "instance batch feature"]:
    """Turn uniform numbers u into sparse features: 0 with probability S, else uniform in 0..1.

    x = max(u - S, 0) / (1 - S): one draw serves every S. Raises: ValueError on an empty batch or an S outside [0, 1).
    """
    _check_rows("thin", u)
    if not bool(((sparsity >= 0) & (sparsity < 1)).all()):
        raise ValueError(f"thin: sparsity {sparsity.tolist()}: every value must lie in [0, 1)")
    s = sparsity[:, None, None]
    return (u - s).clamp_(min=0).div_(1 - s)


@dataclass(frozen=True)
class SparseSource:
    """Fresh features for train_toy: one draw, thinned to each instance's sparsity, the same alone and in company."""

    sparsity: tuple[float, ...]
    n_features: int

    def __call__(self, batch: int, generator: torch.Generator) -> Float[Tensor, "instance batch feature"]:
        u = torch.rand(self.n_features, batch, generator=generator, device=generator.device)
        return thin(u.T, u.new_tensor(self.sparsity))


@dataclass(frozen=True, eq=False)
class RowSource:
    """Rows of measured features for train_toy, drawn with the same row numbers in each instance."""

    rows: Float[Tensor, "instance row feature"]

    def __post_init__(self):
        _check_rows("RowSource", self.rows)

    def __call__(self, batch: int, generator: torch.Generator) -> Float[Tensor, "instance batch feature"]:
        return self.rows[:, torch.randint(self.rows.shape[1], (batch,), generator=generator, device=generator.device)]


def toy_loss(
    model: ToyModel, x: Float[Tensor, "instance batch feature"], importance: Float[Tensor, "*instance feature"]
) -> Float[Tensor, " instance"]:
    """Return the importance-weighted error of each instance, mean over batch and features of I_i (x_i - x'_i)^2."""
    return ((model(x) - x).square().mT * importance[..., None]).mean((1, 2))


def train_toy(
    model: ToyModel, source: Source, importance: Float[Tensor, "*instance feature"], config: ToyConfig, seed: int
) -> training.History:
    """Train all instances at once by Adam on the sum of their losses: no instance feels the others.

    Each step draws x [instance batch feature] anew, because at a sparsity of 0.999 a fixed set would never hold most
    pairs of features. The history has "loss" [instance], mean over the last tenth of the steps.
    Raises: ValueError when source and model disagree on instances or features.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    generator = torch.Generator(model.w.device).manual_seed(seed)
    importance = importance.to(model.w.device)
    report = progress(config.steps, "toy")
    first, total = int(0.9 * config.steps), torch.zeros_like(model.b[:, 0])
    for step in range(1, config.steps + 1):
        x = source(config.batch_size, generator)
        if (len(x), x.shape[2]) != model.b.shape:
            raise ValueError(f"train_toy: data [instance feature] {(len(x), x.shape[2])}, model {tuple(model.b.shape)}")
        loss = toy_loss(model, x, importance)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        # Summed in place: a small tensor kept from each step would pin the memory between them, gigabytes in the end.
        total += loss.detach() * (step > first)
        report(step)
    return {"loss": (total / (config.steps - first)).tolist()}


def interference(w: Float[Tensor, "*instance hidden feature"], unit: bool = True) -> Float[Tensor, "*instance feature"]:
    """Sum what the other features leave along each feature: sum over j != i of (w_i . w_j)^2.

    unit=True takes w_i at length 1 (Elhage's "superposition" of a feature), unit=False leaves it.
    """
    left = unit_vectors(w.mT) if unit else w.mT
    products = (left @ w).square()
    return products.sum(-1) - products.diagonal(dim1=-2, dim2=-1)


def dimensionality(w: Float[Tensor, "*instance hidden feature"]) -> Float[Tensor, "*instance feature"]:
    """Measure the fraction of a dimension each feature has: D_i = |w_i|^2 / sum_j (unit w_i . w_j)^2.

    1 alone, 2/3 in a triangle, 1/2 in a digon, 2/5 in a pentagon, 0 when not represented at all.
    """
    square = w.square().sum(-2)
    total = interference(w) + square
    return square / torch.where(total > 0, total, 1.0)


def features_per_dimension(w: Float[Tensor, "*instance hidden feature"]) -> Float[Tensor, "*instance"]:
    """Count features, as squared lengths, per hidden dimension: |W|_F^2 / m (Elhage plots its inverse D*)."""
    return w.square().sum((-2, -1)) / w.shape[-2]


def angle_errors(w: Float[Tensor, "2 feature"]) -> dict[str, float]:
    """Measure how far the features longer than 0.5 are from each figure of GEOMETRIES of as many features, in degrees.

    The error is the largest over the angles between neighbours, for the turn of the figure that fits best.
    """
    longer = w[:, w.norm(dim=0) > 0.5]
    angles = torch.rad2deg(torch.atan2(longer[1], longer[0])).sort().values
    between = torch.cat([angles.diff(), 360 + angles[:1] - angles[-1:]])
    errors = {}
    for name, ideal in GEOMETRIES.items():
        if len(ideal) == len(between):
            turns = torch.tensor([ideal[i:] + ideal[:i] for i in range(len(ideal))])
            errors[name] = (turns - between).abs().amax(1).min().item()
    return errors


def geometry(w: Float[Tensor, "2 feature"], tolerance: float = 15.0) -> str:
    """Name the figure of GEOMETRIES that the features longer than 0.5 form to `tolerance` degrees, or "other"."""
    errors = angle_errors(w)
    name = min(errors, key=errors.get, default="other")
    return name if errors.get(name, 360.0) <= tolerance else "other"
