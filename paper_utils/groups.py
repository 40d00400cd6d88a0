"""Cyclic and dihedral groups, their real Fourier basis, and the MLP that learns to compose (notebook 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from paper_utils import training

try:
    from transformer_lens import HookedRootModule
except ImportError:  # TransformerLens 3, the newest that fits the transformers on Colab
    from transformer_lens.hook_points import HookedRootModule


class Group:
    """A finite group with elements 0 .. order-1, of which 0 is the identity; see `CyclicGroup` and `DihedralGroup`.

    table[x, y] is the product x y. parity is 1 for reflections and 0 for rotations, and adds up mod 2 in a product.
    """

    def __init__(self, n: int, table: Int[Tensor, "order order"], parity: Int[Tensor, " order"], names: list[str]):
        self.n, self.order, self.table, self.parity, self.names = n, len(table), table, parity, names

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    @property
    def forbidden(self) -> Bool[Tensor, "order order order"]:
        """Marks each [x, y, z] where z cannot be x y because its parity is another."""
        return self.parity[self.table][:, :, None] != self.parity


class CyclicGroup(Group):
    """The cyclic group C_n, n at least 3: rotations r^0 .. r^(n-1), composed by adding exponents mod n."""

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power = torch.arange(n)
        table = (power[:, None] + power[None, :]) % n
        super().__init__(n, table, torch.zeros_like(power), [f"r^{k}" for k in range(n)])


class DihedralGroup(Group):
    """The dihedral group D_n: rotations r^k (elements 0 .. n-1) and reflections r^k s (elements n .. 2n-1).

    With x = r^a s^p and y = r^b s^q:  x y = r^(a + (-1)^p b) s^(p + q), exponents of r mod n, of s mod 2.
    Raises: ValueError for n below 3.

    >>> DihedralGroup(3).table[3].tolist()  # s r^k = r^-k s, s r^k s = r^-k
    [3, 5, 4, 0, 2, 1]
    """

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power, flip = torch.arange(2 * n) % n, torch.arange(2 * n) // n
        sign = 1 - 2 * flip
        table = (power[:, None] + sign[:, None] * power[None, :]) % n + n * (flip[:, None] ^ flip[None, :])
        super().__init__(n, table, flip, [f"r^{k}" for k in range(n)] + [f"r^{k} s" for k in range(n)])


def fourier_basis(n: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n n"]:
    """The real Fourier basis on Z_n, one orthonormal row per component.

    Rows: 1, then cos(2 pi k j / n) and sin(2 pi k j / n) for k = 1, 2, ..., each scaled to unit norm. Where n is
    even the last frequency n/2 has a cosine only (its sine is zero everywhere).
    Raises: ValueError for n below 3.

    >>> fourier_basis(4).mul(2).round(decimals=2)[3].tolist()  # cos 2
    [1.0, -1.0, 1.0, -1.0]
    """
    _check_n("fourier_basis", n)
    j = torch.arange(n)
    rows = [torch.ones(n, dtype=torch.float64)]
    for k in range(1, n // 2 + 1):
        # Reduce the product mod n before it is multiplied by pi, because large angles cost digits.
        angle = 2 * math.pi * ((k * j) % n).double() / n
        rows += [angle.cos(), angle.sin()]
    basis = torch.stack(rows[:n])
    return (basis / basis.norm(dim=1, keepdim=True)).to(dtype)


def fourier_names(n: int) -> list[str]:
    """Names of the rows of `fourier_basis(n)`: Const, cos 1, sin 1, cos 2, ..."""
    _check_n("fourier_names", n)
    return ["Const", *(f"{wave} {k}" for k in range(1, n // 2 + 1) for wave in ("cos", "sin"))][:n]


def fourier_2d(x: Float[Tensor, "order order k"], n: int) -> Float[Tensor, "region n n k"]:
    """The 2-D Fourier coefficients of k functions on pairs of group elements, one block per region.

    X[region, f, g, k] = sum_ab F[f, a] F[g, b] x[region, a, b, k] with F = fourier_basis(n). The regions of D_n are
    (rot, rot), (rot, ref), (ref, rot), (ref, ref); C_n has one. The transform is orthogonal: sums of squares stay.
    Raises: ValueError for axes that are neither n (C_n) nor 2 n (D_n) long.

    >>> fourier_2d(torch.ones(6, 6, 1), 3)[:, 0, 0, 0].round().tolist()  # a constant: n per region
    [3.0, 3.0, 3.0, 3.0]
    """
    basis = fourier_basis(n, x.dtype).to(x.device)
    if len(x) not in (n, 2 * n):
        raise ValueError(f"fourier_2d: the axes must be {n} (C_{n}) or {2 * n} (D_{n}) long, got {len(x)}")
    blocks = rearrange(x, "(sx a) (sy b) k -> (sx sy) a b k", a=n, b=n)
    return torch.einsum("fa,zagk->zfgk", basis, torch.einsum("gb,zabk->zagk", basis, blocks))


def frequency_mask(frequencies: Sequence[int], n: int) -> Bool[Tensor, "n n"]:
    """Marks the 2-D coefficients of frequencies in 1..n//2: the union of their 3 x 3 blocks Const/cos k/sin k."""
    mask = torch.zeros(n, n, dtype=torch.bool)
    mask[0, 0] = True
    for k in frequencies:
        rows = torch.tensor([0, *_frequency_rows([k], n)])
        mask[rows[:, None], rows] = True
    return mask


def keep_frequencies(
    hidden: Float[Tensor, "order order k"], frequencies: Sequence[int], n: int
) -> Float[Tensor, "order order k"]:
    """Project functions on pairs onto the 3 x 3 blocks of some frequencies, in every region.

    Without any frequency each region's mean remains; `x - keep(x, [k]) + keep(x, [])` removes frequency k alone.
    Raises: ValueError for a frequency outside 1..n//2, or axes that do not fit n.
    """
    basis, mask = fourier_basis(n, hidden.dtype).to(hidden.device), frequency_mask(frequencies, n).to(hidden.device)
    kept = fourier_2d(hidden, n) * mask[:, :, None]
    # The basis is orthonormal: its transpose leads back.
    blocks = torch.einsum("fa,zfbk->zabk", basis, torch.einsum("gb,zfgk->zfbk", basis, kept))
    return rearrange(blocks, "(sx sy) a b k -> (sx a) (sy b) k", sx=len(hidden) // n)


def neuron_frequencies(
    hidden: Float[Tensor, "order order k"], n: int, highest: int | None = None, centred: bool = False
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """Each neuron's best frequency and the fraction of its squared activation that frequency explains.

    fraction(f) = sum of squares of the 3 x 3 block Const/cos f/sin f over all regions / sum of squares of everything.
    A neuron that never fires has frequency 0 and fraction 0. `highest` is the last frequency tried, n//2 unless given
    (the original notebook stopped one short of it). `centred` leaves each region's constant out of both sums: the best
    frequency stays, the fractions are stricter.
    Raises: ValueError for axes that do not fit n, or `highest` outside 1..n//2.

    >>> wave = fourier_basis(5)[3]  # cos 2
    >>> neuron_frequencies((wave[:, None] * wave[None, :])[:, :, None], 5)[0]
    tensor([2])
    """
    highest = n // 2 if highest is None else highest
    if not 1 <= highest <= n // 2:
        raise ValueError(f"neuron_frequencies: highest frequency {highest} is outside 1..{n // 2}")
    return _best_frequencies(_energy(hidden, n, centred), highest)


def neuron_power(hidden: Float[Tensor, "order order k"], w_u: Float[Tensor, "k out"], n: int) -> Float[Tensor, " k"]:
    """How much each neuron moves the logits: squared activation without the regions' constants, times |W_U row|^2."""
    return _energy(hidden, n, centred=True).sum((0, 1)) * w_u.pow(2).sum(1)


def frequency_power(frequency: Int[Tensor, " k"], power: Float[Tensor, " k"], n: int) -> Float[Tensor, " frequencies"]:
    """The share of all power that the neurons of each frequency carry; index 0 is frequency 1, the last n//2."""
    share = torch.zeros(n // 2 + 1, dtype=power.dtype, device=power.device).index_add(0, frequency, power)
    return share[1:] / power.sum().clamp_min(torch.finfo(power.dtype).tiny)


def ablate_forbidden_parity(
    logits: Float[Tensor, "order order order"], frequencies: Sequence[int], n: int
) -> Float[Tensor, "order order order"]:
    """Remove some frequencies from the logits [x y z] of D_n that parity forbids; a projection.

    A product of a rotation and a reflection is a reflection, so in the regions (rot, ref) and (ref, rot) the logits
    of rotations lose their components along cos k z and sin k z; in the other two regions those of reflections do.
    Logits that parity allows, and the forbidden ones' constants, stay as they are.
    Raises: ValueError for axes that are not 2 n long, or a frequency outside 1..n//2.
    """
    if logits.shape[0] != 2 * n:
        raise ValueError(f"ablate_forbidden_parity: D_{n} has order {2 * n}, got logits of order {logits.shape[0]}")
    rows = fourier_basis(n, logits.dtype)[_frequency_rows(frequencies, n)].to(logits.device)
    along = (logits.unflatten(2, (2, n)) @ rows.T @ rows).flatten(2)
    return torch.where(DihedralGroup(n).forbidden.to(logits.device), logits - along, logits)


def forbidden_share(logits: Float[Tensor, "order order order"], n: int) -> float:
    """The share, 0 to 1, of the logits' squared size that lies on outputs that parity forbids.

    Each half (rotations, reflections) of the outputs is centred: its level settles parity but is no wave.
    """
    halves = logits.unflatten(2, (2, n))
    power = (halves - halves.mean(-1, keepdim=True)).flatten(2).pow(2)
    return (power[DihedralGroup(n).forbidden.to(logits.device)].sum() / power.sum()).item()


def table_loss(
    logits: Float[Tensor, "order order order"],
    table: Int[Tensor, "order order"],
    where: Bool[Tensor, "order order"] | None = None,
) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy over all pairs, or those that `where` marks, in float64.

    float32 would round the small losses here: it keeps only two digits of log(1 + 5e-6).
    """
    where = torch.ones_like(table, dtype=torch.bool) if where is None else where
    picked, labels = logits[where].double(), table[where]
    return F.cross_entropy(picked, labels).item(), (picked.argmax(-1) == labels).double().mean().item()


class GroupMLP(HookedRootModule):
    """One hidden layer that reads two group elements and scores every element as their product.

    hidden[x, y] = relu([W_E_a[x], W_E_b[y]] W),  logits[x, y] = hidden[x, y] W_U;  no biases.

    Parameters (the published files' names): W_E_a, W_E_b [order d_embed], W [2 d_embed, d_hidden],
    W_U [d_hidden order], from N(0, 1) / sqrt(fan-in), the embeddings' taken as d_embed. Each attribute x_embed,
    y_embed, embed_stack, hidden and out is a hook point. From Chughtai, Chan, Nanda, arXiv 2302.03025.
    Raises: ValueError for a size below 1.
    """

    def __init__(self, order: int, d_embed: int = 256, d_hidden: int = 128, seed: int = 1):
        super().__init__()
        if min(order, d_embed, d_hidden) < 1:
            raise ValueError(f"GroupMLP: sizes must be at least 1, got {order=}, {d_embed=}, {d_hidden=}")
        with training.seeded(seed):
            self.W_E_a = nn.Parameter(torch.randn(order, d_embed) / math.sqrt(d_embed))
            self.W_E_b = nn.Parameter(torch.randn(order, d_embed) / math.sqrt(d_embed))
            self.W = nn.Parameter(torch.randn(2 * d_embed, d_hidden) / math.sqrt(2 * d_embed))
            self.W_U = nn.Parameter(torch.randn(d_hidden, order) / math.sqrt(d_hidden))
        self.x_embed, self.y_embed, self.embed_stack = HookPoint(), HookPoint(), HookPoint()
        self.hidden, self.out = HookPoint(), HookPoint()
        self.setup()

    def forward(self, pairs: Int[Tensor, "batch 2"] | None = None) -> Float[Tensor, "*pairs order"]:
        """Logits of the given pairs, [batch order]; of all pairs where none are given, [order order order].

        W's upper half acts on x alone and its lower half on y alone. All pairs therefore need no order^2 rows of
        embeddings: hidden[x, y] = relu((W_E_a W_top)[x] + (W_E_b W_bottom)[y]), and embed_stack has a row per element.
        """
        first, second = (slice(None), slice(None)) if pairs is None else pairs.unbind(1)
        x, y = self.x_embed(self.W_E_a[first]), self.y_embed(self.W_E_b[second])
        stack = self.embed_stack(torch.cat([x, y], dim=-1))
        if pairs is None:
            d = x.shape[1]
            before = (stack[:, :d] @ self.W[:d])[:, None] + (stack[:, d:] @ self.W[d:])[None, :]
        else:
            before = stack @ self.W
        # In place: at this size an epoch's time goes into fresh memory as much as into arithmetic.
        return self.out(self.hidden(before.relu_()) @ self.W_U)

    @classmethod
    def from_pretrained(cls, path: str | Path, order: int | None = None) -> "GroupMLP":
        """Load W_E_a, W_E_b, W and W_U from a safetensors file; sizes come from their shapes.

        Raises: FileNotFoundError; ValueError for other names, shapes that do not fit together, or another `order`.
        """
        state, _ = training.load_weights(Path(path))
        names = ["W", "W_E_a", "W_E_b", "W_U"]
        if sorted(state) != names:
            raise ValueError(f"GroupMLP: {path} should hold exactly {names}, it holds {sorted(state)}")
        found, d_embed = state["W_E_a"].shape
        if order not in (None, found):
            raise ValueError(f"GroupMLP: {path} is of a group of order {found}, expected order {order}")
        model = cls(found, d_embed, state["W"].shape[1])
        for name, own in model.state_dict().items():
            if own.shape != state[name].shape:
                raise ValueError(
                    f"GroupMLP: {path}: {name} has shape {tuple(state[name].shape)}, "
                    f"W_E_a and W ask for {tuple(own.shape)}"
                )
        model.to(state["W"].dtype).load_state_dict(state)
        return model


@dataclass(frozen=True)
class GroupTraining:
    """The paper's recipe for D_53: full batch on 90 % of the pairs, AdamW (arXiv 2302.03025 and its repository)."""

    fraction: float = 0.9
    learning_rate: float = 1e-3
    weight_decay: float = 2.0  # far above the usual 0.01, because the decay is what makes few frequencies win
    epochs: int = 100_000
    log_every: int = 200  # and eight times as often during the first ten of these, where the phase change is
    seed: int = 1  # of the choice of training pairs

    def __post_init__(self):
        if not 0 < self.fraction < 1:
            raise ValueError(f"GroupTraining: fraction must lie between 0 and 1, both excluded, got {self.fraction}")
        if min(self.epochs, self.log_every) < 1:
            raise ValueError(f"GroupTraining: epochs and log_every must be at least 1, got {self}")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError(f"GroupTraining: the learning rate must be above 0 and the decay at least 0, got {self}")


def train_pairs(order: int, fraction: float, seed: int) -> Bool[Tensor, "order order"]:
    """Mark floor(fraction order^2) random pairs to train on; the others are the test pairs."""
    chosen = torch.randperm(order**2, generator=torch.Generator().manual_seed(seed))[: int(fraction * order**2)]
    return torch.zeros(order**2, dtype=torch.bool).index_fill(0, chosen, True).view(order, order)


@torch.no_grad()
def measure(model: GroupMLP, group: Group, train: Bool[Tensor, "order order"]) -> dict[str, float | list[float]]:
    """Every number that the training curves show, of the model as it is; computed on the CPU, losses in float64."""
    logits, cache = model.run_with_cache(names_filter="hidden")
    logits, w_u, energy = logits.cpu(), model.W_U.cpu(), _energy(cache["hidden"].cpu(), group.n)
    frequency, fraction = _best_frequencies(energy, group.n // 2)
    energy[0, 0] = 0
    _, centred = _best_frequencies(energy, group.n // 2)
    power = energy.sum((0, 1)) * w_u.pow(2).sum(1)
    share = frequency_power(frequency, power, group.n)
    live = [k for k, part in enumerate(share.tolist(), 1) if part >= 0.01]
    out = {}
    for pairs, where in {"train_": train, "test_": ~train, "": None}.items():
        out[f"{pairs}loss"], out[f"{pairs}accuracy"] = table_loss(logits, group.table, where)
    out |= {
        "clusters": float(len(frequency[frequency > 0].unique())),
        "live_frequencies": float(len(live)),
        "mean_fraction": fraction.mean().item(),
        "weighted_fraction": ((centred * power).sum() / power.sum()).item(),
        "power_by_frequency": [round(s, 4) for s in share.tolist()],
    }
    if group.parity.any():
        out["forbidden_share"] = forbidden_share(logits, group.n)
        out["ablated_loss"] = table_loss(ablate_forbidden_parity(logits, live, group.n), group.table)[0]
    return out


def train(
    model: GroupMLP, group: Group, config: GroupTraining, resume: str | Path | None = None, save_every: int = 1000
) -> training.History:
    """Train a model in place on its group's table, on its device: full batch, the test pairs left out of the loss.

    `resume` is a file for the state of an interrupted run: written every `save_every` epochs, read where it exists,
    removed at the end. The resumed run repeats the uninterrupted one bit by bit. The history holds "epoch" (epochs
    done) and the numbers of `measure` at each logged epoch.
    Raises: ValueError for a state of another group or recipe, FloatingPointError where the loss is no longer finite.
    """
    recipe, resume = repr((group, config)), None if resume is None else Path(resume)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    pairs = train_pairs(group.order, config.fraction, config.seed)
    labels = group.table.flatten().to(training.device_of(model))
    weight = (pairs / pairs.sum()).flatten().to(model.W)  # 0 for test pairs
    start, history = 0, {"epoch": []}
    if resume is not None and resume.exists():
        start, history = training.load_run(resume, recipe, model, [optimizer])
    report = training.progress(config.epochs, str(group))
    for epoch in range(start, config.epochs + 1):
        every = config.log_every if epoch >= 10 * config.log_every else max(1, config.log_every // 8)
        if (epoch % every == 0 or epoch == config.epochs) and epoch not in history["epoch"]:
            numbers = measure(model, group, pairs)
            if not math.isfinite(numbers["train_loss"]):
                raise FloatingPointError(f"train: the loss is not finite at epoch {epoch}: lower the learning rate")
            for name, value in {"epoch": epoch, **numbers}.items():
                history.setdefault(name, []).append(value)
            report(epoch, **{k: numbers[k] for k in ("train_loss", "test_loss", "test_accuracy", "live_frequencies")})
        if resume is not None and epoch % save_every == 0 and start < epoch < config.epochs:
            training.save_run(resume, recipe, model, [optimizer], epoch, history)
        if epoch < config.epochs:
            optimizer.zero_grad()
            # By weights, because to choose the training pairs would copy the logits twice an epoch.
            (F.cross_entropy(model().flatten(0, 1), labels, reduction="none") @ weight).backward()
            optimizer.step()
    if resume is not None:
        resume.unlink(missing_ok=True)
    return history


def _energy(hidden, n, centred=False):
    """Squared 2-D coefficients [component of x, component of y, neuron], summed over the regions."""
    energy = fourier_2d(hidden, n).pow(2).sum(0)
    if centred:
        energy[0, 0] = 0
    return energy


def _best_frequencies(energy, highest):
    n, total = len(energy), energy.sum((0, 1))
    explained = torch.stack([energy[frequency_mask([k], n)].sum(0) for k in range(1, highest + 1)])
    fraction, best = (explained / total.clamp_min(torch.finfo(total.dtype).tiny)).max(dim=0)
    return torch.where(total > 0, best + 1, 0), torch.where(total > 0, fraction, 0.0)


def _frequency_rows(frequencies, n):
    wrong = [k for k in frequencies if not 1 <= k <= n // 2]
    if wrong:
        raise ValueError(f"frequencies on Z_{n} lie in 1..{n // 2}, got {wrong}")
    return [row for k in frequencies for row in (2 * k - 1, 2 * k) if row < n]


def _check_n(function, n):
    if n < 3:
        raise ValueError(f"{function}: n must be at least 3 (a triangle), got {n}")
