"""Bilinear MLPs: the model and its training, the interaction tensor of a layer, and its eigendecomposition.

Pearce, Dooms, Rigg 2024, "Weight-based Decomposition: A Case for Bilinear MLPs", arXiv 2406.03947; Pearce, Dooms,
Rigg, Oramas, Sharkey 2024, "Bilinear MLPs enable weight-based mechanistic interpretability", arXiv 2410.08417.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from paper_utils import training
from paper_utils.data import Images


@dataclass(frozen=True)
class BilinearConfig:
    """Sizes and noise of a `BilinearMLP`; the defaults are the paper's."""

    d_input: int = 784
    d_hidden: int = 300
    n_classes: int = 10
    n_layers: int = 2
    input_noise: float = 0.33  # standard deviation added to each pixel, in training only
    layer_noise: float = 0.33  # the same after each bilinear layer, in units of the batch's standard deviation
    flip_noise: float = 0.0  # share of pixels p turned into 1 - p in training: an option, off in the paper

    def __post_init__(self) -> None:
        sizes = (self.d_input, self.d_hidden, self.n_classes, self.n_layers)
        if min(sizes) < 1 or min(self.input_noise, self.layer_noise) < 0 or not 0 <= self.flip_noise <= 1:
            raise ValueError(f"BilinearConfig: sizes must be at least 1, noise at least 0, flip_noise in 0..1: {self}")


@dataclass(frozen=True)
class BilinearRecipe:
    """How a `BilinearMLP` is trained; the defaults are the paper's 64 epochs."""

    warmup: int = 2  # epochs in which the learning rate rises linearly from 1 % of lr
    decay: int = 12  # epochs in which it is multiplied by `factor` every `decay_every` epochs
    constant: int = 50  # epochs at the rate reached then
    lr: float = 1e-3
    factor: float = 0.5
    decay_every: int = 2
    weight_decay: float = 0.5  # unusually strong; it keeps few eigenvalues away from 0
    batch_size: int = 100

    @property
    def epochs(self) -> int:
        return self.warmup + self.decay + self.constant


class BilinearMLP(nn.Module):
    """A deep bilinear network without biases, residuals or norms.

    h_0 = w_e x;  h_i = (w_l[i] h_(i-1)) * (w_r[i] h_(i-1));  logits = w_u h_n.

    w_e [hidden input], w_l[i] and w_r[i] [hidden hidden] and w_u [classes hidden] are drawn from `seed` in this order,
    each as torch initialises a linear layer. The authors' code draws w_u second: one seed gives other weights there.
    """

    def __init__(self, config: BilinearConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        c = config

        def weight(d_out: int, d_in: int) -> nn.Parameter:
            return nn.Parameter(nn.Linear(d_in, d_out, bias=False).weight.detach())

        with training.seeded(seed):
            self.w_e = weight(c.d_hidden, c.d_input)
            self.w_l = nn.ParameterList(weight(c.d_hidden, c.d_hidden) for _ in range(c.n_layers))
            self.w_r = nn.ParameterList(weight(c.d_hidden, c.d_hidden) for _ in range(c.n_layers))
            self.w_u = weight(c.n_classes, c.d_hidden)

    def hidden(self, x: Float[Tensor, "batch input"]) -> list[Float[Tensor, "batch hidden"]]:
        """Return the activations h_0, ..., h_n; with noise in training mode only."""
        c = self.config
        if self.training and c.input_noise:
            x = torch.add(x, torch.randn_like(x), alpha=c.input_noise)
        if self.training and c.flip_noise:
            x = torch.where(torch.rand_like(x) < c.flip_noise, 1 - x, x)
        activations = [F.linear(x, self.w_e)]
        for w_l, w_r in zip(self.w_l, self.w_r, strict=True):
            h = F.linear(activations[-1], w_l) * F.linear(activations[-1], w_r)
            if self.training and c.layer_noise:
                h = torch.addcmul(h, torch.randn_like(h), h.std(), value=c.layer_noise)
            activations.append(h)
        return activations

    def forward(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch classes"]:
        return F.linear(self.hidden(x)[-1], self.w_u)

    @torch.no_grad()
    def accuracy(self, x: Float[Tensor, "n input"], y: Int[Tensor, " n"]) -> float:
        """Return the share of images whose largest logit is their label, without noise."""
        was_training = self.training
        self.eval()
        hits = sum((self(a).argmax(-1) == b).sum().item() for a, b in zip(x.split(5000), y.split(5000), strict=True))
        self.train(was_training)
        return hits / len(y)


def learning_rate(epoch: int, recipe: BilinearRecipe) -> float:
    """Return the factor on `recipe.lr` in an epoch counted from 0: it rises, is halved in steps, and stays."""
    if epoch < recipe.warmup:
        return 0.01 + 0.99 * epoch / recipe.warmup
    return recipe.factor ** (min(epoch - recipe.warmup, recipe.decay) // recipe.decay_every)


def cross_entropy(model: BilinearMLP, x: Float[Tensor, "batch input"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the mean cross entropy of a batch in nats, which `train` minimises unless it is given another loss."""
    return F.cross_entropy(model(x), y)


def train(
    model: BilinearMLP,
    images: Images,
    recipe: BilinearRecipe,
    seed: int,
    loss: Callable[[BilinearMLP, Tensor, Tensor], Tensor] = cross_entropy,
    label: str = "bilinear MLP",
) -> training.History:
    """Train in place, on the model's device, by AdamW; `seed` decides the order of the images and the noise.

    `loss` is called as loss(model, x, y) with a batch of images and labels and returns the scalar to minimise; `label`
    names the training where its progress is shown. Returns the history of `training.fit`, with "test_accuracy".
    """
    images = images.to(training.device_of(model))
    # Fused: one kernel updates all weights; the arithmetic is AdamW's.
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    model.train()
    return training.fit(
        lambda x, y: loss(model, x, y),
        (images.train_x, images.train_y),
        optimizer,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: learning_rate(epoch, recipe)),
        each_epoch=lambda _: {"test_accuracy": model.accuracy(images.test_x, images.test_y)},
        label=label,
    )


def interaction_tensor(
    w_out: Float[Tensor, "out hidden"], w_l: Float[Tensor, "hidden in"], w_r: Float[Tensor, "hidden in"]
) -> Float[Tensor, "out in in"]:
    """Return the symmetric matrix B of each output direction: w_out ((w_l x) * (w_r x)) = x^T B x.

    B[o] = sum_h w_out[o, h] (w_l[h] w_r[h]^T + w_r[h] w_l[h]^T) / 2, eq. 3 of arXiv 2406.03947.

    >>> interaction_tensor(torch.ones(1, 1), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).tolist()
    [[[0.0, 0.5], [0.5, 0.0]]]
    """
    b = einsum(w_out, w_l, w_r, "out hidden, hidden in1, hidden in2 -> out in1 in2")
    return (b + rearrange(b, "out in1 in2 -> out in2 in1")) / 2


@training.one_thread
def eigendecompose(q: Float[Tensor, "... n n"]) -> tuple[Float[Tensor, "... n"], Float[Tensor, "... n n"]]:
    """Decompose symmetric matrices, q = V diag(values) V^T, into ascending values and orthonormal columns of V.

    Raises: ValueError where q is not symmetric, because eigh would silently read its lower half only.
    """
    asymmetry = (q - q.mT).abs().max()
    if asymmetry > 1e-5 * q.abs().max():
        raise ValueError(
            f"eigendecompose: needs symmetric matrices, got asymmetry {asymmetry:.3g}: take (q + q.mT) / 2"
        )
    return torch.linalg.eigh(q)


@training.one_thread
def pixel_eigendecompose(
    q: Float[Tensor, "... hidden hidden"], w_e: Float[Tensor, "hidden pixel"]
) -> tuple[Float[Tensor, "... hidden"], Float[Tensor, "... pixel hidden"]]:
    """Decompose a form of w_e x in pixel space: w_e^T q w_e = V diag(values) V^T with V^T V = 1.

    The form has the rank of w_e at most, so with w_e^T = Q R only R q R^T [hidden hidden] is decomposed; V = Q U. The
    eigenvectors of q itself, carried to pixels by w_e^T, are not orthogonal there.
    """
    basis, r = torch.linalg.qr(w_e.mT)
    values, vectors = torch.linalg.eigh(r @ q @ r.mT)
    return values, basis @ vectors


def truncated_logits(
    h: Float[Tensor, "batch d"], values: Float[Tensor, "out n"], vectors: Float[Tensor, "out d n"], k: int
) -> Float[Tensor, "batch out"]:
    """Add up each output's k eigenvectors of largest |eigenvalue|: sum_i values[o, i] (vectors[o, :, i] . h)^2.

    Raises: ValueError for a k outside 1..n.
    """
    if not 1 <= k <= values.shape[1]:
        raise ValueError(f"truncated_logits: k must be in 1..{values.shape[1]}, got {k}")
    top = values.abs().topk(k, dim=1).indices
    kept = torch.take_along_dim(vectors, top[:, None], dim=2)
    projections = einsum(h, kept, "batch d, out d k -> batch out k")
    return einsum(projections.square(), values.gather(1, top), "batch out k, out k -> batch out")


def fix_signs(vectors: Float[Tensor, "... n k"], parts: Float[Tensor, "... m k"]) -> Float[Tensor, "... n k"]:
    """Choose each eigenvector's sign so that its parts have more power above 0 than below.

    v and -v (columns) are the same eigenvector. The parts change sign with it: the eigenvalues of its form in the layer
    below, or the pixels of v itself; the sum of parts_i |parts_i| becomes positive. No image is needed, and the sign
    that the eigensolver happened to return makes no difference.

    >>> fix_signs(torch.tensor([[1.0], [-2.0]]), torch.tensor([[1.0], [-2.0]])).tolist()
    [[-1.0], [2.0]]
    """
    return vectors * torch.where((parts * parts.abs()).sum(-2, keepdim=True) < 0, -1.0, 1.0)


def pixel_features(
    model: BilinearMLP, v: Float[Tensor, "k hidden"], orthonormal_in: str = "pixels"
) -> tuple[Float[Tensor, "k hidden"], Float[Tensor, "k hidden"], Float[Tensor, "k input hidden"]]:
    """See directions v of layer 1's output from the pixels: v . h_1(x) = sum_j mu[j] (p[:, j] . x)^2.

    Returns v with its sign (its strongest mu are positive), mu in ascending order, and the pixel vectors p with theirs
    (more power in red than in blue): `fix_signs`. The p are orthonormal images, or, with orthonormal_in="hidden" as
    in the original notebook, w_e^T u_j for u_j that are orthonormal in hidden space.

    Raises: ValueError for another space.
    """
    if orthonormal_in not in ("pixels", "hidden"):
        raise ValueError(f"pixel_features: orthonormal_in must be 'pixels' or 'hidden', got {orthonormal_in!r}")
    mu, p = pixel_eigendecompose(interaction_tensor(v, model.w_l[0], model.w_r[0]), model.w_e)
    negative = (mu * mu.abs()).sum(-1) < 0
    v = torch.where(negative[:, None], -v, v)
    if orthonormal_in == "pixels":
        # The form of -v is the negative: the same vectors, in the other order.
        mu = torch.where(negative[:, None], -mu.flip(-1), mu)
        p = torch.where(negative[:, None, None], p.flip(-1), p)
    else:
        mu, u = eigendecompose(interaction_tensor(v, model.w_l[0], model.w_r[0]))
        p = model.w_e.mT @ u
    return v, mu, fix_signs(p, p)


@torch.no_grad()
def class_features(model: BilinearMLP, n: int = 1, against: bool = False) -> Float[Tensor, "class n input"]:
    """Read off the n strongest patterns of unit norm for (or against) each class of a two-layer model.

    Only weights are used: the class's n most positive (against: most negative) layer-2 eigenvectors, strongest first,
    each seen from the pixels by its most positive pixel vector.

    Raises: ValueError for a model of another depth.
    """
    if len(model.w_l) != 2:
        raise ValueError(f"class_features: needs a model of 2 layers, this one has {len(model.w_l)}")
    _, vectors = eigendecompose(interaction_tensor(model.w_u, model.w_l[1], model.w_r[1]))
    chosen = vectors[:, :, :n] if against else vectors[:, :, -n:].flip(2)
    _, _, p = pixel_features(model, rearrange(chosen, "c hidden n -> (c n) hidden"))
    return rearrange(p[:, :, -1], "(c n) input -> c n input", c=len(model.w_u))


def weight_mask(model: BilinearMLP, target: int, against: bool = False) -> Float[Tensor, " input"]:
    """Return a pixel pattern of unit norm that raises (against: lowers) the logit of class `target` where it is added.

    It is the first of the class's `class_features`, made from the weights of a two-layer model alone.

    Raises: ValueError for a class that the model does not have, or a model of another depth.
    """
    if not 0 <= target < len(model.w_u):
        raise ValueError(f"weight_mask: target must be a class in 0..{len(model.w_u) - 1}, got {target}")
    return class_features(model, 1, against)[target, 0]


def class_means(images: Images) -> Float[Tensor, "class input"]:
    """Return the mean training image of each class that occurs, in their order."""
    return torch.stack([images.train_x[images.train_y == c].mean(0) for c in images.train_y.unique()])


@torch.no_grad()
def masks(model: BilinearMLP, images: Images, generator: torch.Generator) -> dict[str, Float[Tensor, "class input"]]:
    """Return a two-layer model's masks of unit norm, one for each class, and what they are compared with.

    "mask": each class's `weight_mask`; "negative": the same with the other sign; "against": the mask against the class;
    "random_direction": the most positive pixel vector of hidden directions that `generator` draws; "mean_digit": the
    class's mean image.
    """
    strongest = class_features(model)[:, 0]
    directions = torch.randn(len(model.w_u), len(model.w_e), generator=generator)
    return {
        "mask": strongest,
        "negative": -strongest,
        "against": class_features(model, against=True)[:, 0],
        "random_direction": pixel_features(model, directions)[2][:, :, -1],
        "mean_digit": F.normalize(class_means(images), dim=1),
    }


@torch.no_grad()
def called(
    model: BilinearMLP, x: Float[Tensor, "n input"], patterns: Float[Tensor, "k input"], norm: float = 6.0
) -> Int[Tensor, "k n"]:
    """Add each pattern, of unit norm, at `norm` to all images, and return the class that the model then calls them."""
    return torch.stack([model(x + norm * pattern).argmax(1) for pattern in patterns])


def pushed(answers: Int[Tensor, "class n"], y: Int[Tensor, " n"]) -> Float[Tensor, " class"]:
    """Return, for each class c, the share of the other classes' images that the mask c makes the model call c.

    `answers` is from `called` with a mask for each class, y the labels.

    >>> pushed(torch.tensor([[0, 0, 1], [1, 1, 1]]), torch.tensor([0, 1, 1])).tolist()
    [0.5, 1.0]
    """
    return torch.stack([(a[y != c] == c).double().mean() for c, a in enumerate(answers)])


def kept(answers: Int[Tensor, "class n"], y: Int[Tensor, " n"]) -> Float[Tensor, " class"]:
    """Return, for each class c, the share of its own images that the model still calls c under the mask c.

    >>> kept(torch.tensor([[0, 0, 1], [1, 0, 1]]), torch.tensor([0, 1, 1])).tolist()
    [1.0, 0.5]
    """
    return torch.stack([(a[y == c] == c).double().mean() for c, a in enumerate(answers)])


@training.one_thread
def similarities(
    a: Float[Tensor, "class n pixel"], b: Float[Tensor, "class n pixel"]
) -> dict[str, Float[Tensor, "class class"]]:
    """Compare two models' patterns (`class_features`), each class of the one with each class of the other.

    "similarity": |cos| of both strongest patterns; "matched": the largest |cos| of a's strongest with one of b's n;
    "subspace": the share that the spans of both n have in common, |A^T B|^2 / n with orthonormal columns A and B.
    """
    cosines = torch.einsum("c i p, d j p -> c d i j", a, b).abs()
    bases = [torch.linalg.qr(patterns.mT)[0] for patterns in (a, b)]
    shared = torch.einsum("c p i, d p j -> c d i j", *bases).square().sum((2, 3)) / a.shape[1]
    return {"similarity": cosines[:, :, 0, 0], "matched": cosines[:, :, 0].amax(2), "subspace": shared}
