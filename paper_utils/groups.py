"""Cyclic and dihedral groups, their real Fourier basis, and the MLP that learns to compose (notebook 4).

`python -m paper_utils.groups` trains the released checkpoint; `make train-dihedral` calls it.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from paper_utils import training
from paper_utils.files import ROOT, replacing

try:
    from transformer_lens import HookedRootModule
except ImportError:  # TransformerLens 3, the newest that fits the transformers on Colab
    from transformer_lens.hook_points import HookedRootModule


class CyclicGroup:
    """The cyclic group C_n: rotations r^0 .. r^(n-1), composed by adding exponents mod n.

    Attributes: n; order = n; names of the elements; table, Int[order order]: table[x, y] is the product x y.

    Raises:
        ValueError: n below 3.

    Example:
        >>> CyclicGroup(3).table.tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power = torch.arange(n)
        self.n, self.order = n, n
        self.table = (power[:, None] + power[None, :]) % n
        self.names = [f"r^{k}" for k in range(n)]


class DihedralGroup:
    """The dihedral group D_n: rotations r^k (elements 0 .. n-1) and reflections r^k s (elements n .. 2n-1).

    With x = r^a s^p and y = r^b s^q:  x y = r^(a + (-1)^p b) s^(p + q), exponents of r mod n, of s mod 2.

    Attributes: n; order = 2 n; names of the elements; table, Int[order order]: table[x, y] is the product x y.

    Raises:
        ValueError: n below 3.

    Example:
        >>> DihedralGroup(3).table[3].tolist()  # s r^k = r^-k s, s r^k s = r^-k
        [3, 5, 4, 0, 2, 1]
    """

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power, flip = torch.arange(2 * n) % n, torch.arange(2 * n) // n
        sign = 1 - 2 * flip
        self.n, self.order = n, 2 * n
        self.table = (power[:, None] + sign[:, None] * power[None, :]) % n + n * (flip[:, None] ^ flip[None, :])
        self.names = [f"r^{k}" for k in range(n)] + [f"r^{k} s" for k in range(n)]


Group = CyclicGroup | DihedralGroup


def fourier_basis(n: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n n"]:
    """The real Fourier basis on Z_n, one orthonormal row per component.

    Rows: 1, then cos(2 pi k j / n) and sin(2 pi k j / n) for k = 1, 2, ..., each scaled to unit norm. Where n is
    even the last frequency n/2 has a cosine only (its sine is zero everywhere).

    Raises:
        ValueError: n below 3.

    Example:
        >>> fourier_basis(4).mul(2).round(decimals=2)[3].tolist()  # cos 2
        [1.0, -1.0, 1.0, -1.0]
    """
    _check_n("fourier_basis", n)
    j = torch.arange(n)
    rows = [torch.ones(n, dtype=torch.float64)]
    for k in range(1, n // 2 + 1):
        # The product is reduced mod n before it meets pi: large angles would cost digits.
        angle = 2 * math.pi * ((k * j) % n).double() / n
        rows += [angle.cos(), angle.sin()]
    basis = torch.stack(rows[:n])
    return (basis / basis.norm(dim=1, keepdim=True)).to(dtype)


def fourier_names(n: int) -> list[str]:
    """Names of the rows of `fourier_basis(n)`: Const, cos 1, sin 1, cos 2, ...

    Example:
        >>> fourier_names(4)
        ['Const', 'cos 1', 'sin 1', 'cos 2']
    """
    _check_n("fourier_names", n)
    return ["Const", *(f"{wave} {k}" for k in range(1, n // 2 + 1) for wave in ("cos", "sin"))][:n]


def fourier_2d(x: Float[Tensor, "order order k"], n: int) -> Float[Tensor, "region n n k"]:
    """The 2-D Fourier coefficients of k functions on pairs of group elements, one block per region.

    X[region, f, g, k] = sum_ab F[f, a] F[g, b] x[region, a, b, k] with F = fourier_basis(n). The regions of D_n are
    (rot, rot), (rot, ref), (ref, rot), (ref, ref); C_n has one. The transform is orthogonal: sums of squares stay.

    Raises:
        ValueError: the axes are neither n (C_n) nor 2 n (D_n) long.

    Example:
        >>> fourier_2d(torch.ones(6, 6, 1), 3)[:, 0, 0, 0].tolist()  # a constant: n per region
        [3.0, 3.0, 3.0, 3.0]
    """
    _check_order("fourier_2d", x.shape[0], n)
    basis = fourier_basis(n, x.dtype).to(x.device)
    blocks = rearrange(x, "(sx a) (sy b) k -> (sx sy) a b k", a=n, b=n)
    return torch.einsum("fa,zagk->zfgk", basis, torch.einsum("gb,zabk->zagk", basis, blocks))


def inverse_fourier_2d(coefficients: Float[Tensor, "region n n k"]) -> Float[Tensor, "order order k"]:
    """The functions on pairs whose `fourier_2d` is `coefficients`; exact inverse, as F is orthogonal."""
    n = coefficients.shape[1]
    basis = fourier_basis(n, coefficients.dtype).to(coefficients.device)
    blocks = torch.einsum("fa,zfbk->zabk", basis, torch.einsum("gb,zfgk->zfbk", basis, coefficients))
    return rearrange(blocks, "(sx sy) a b k -> (sx a) (sy b) k", sx=math.isqrt(len(blocks)))


def frequency_mask(frequencies: Sequence[int], n: int) -> Bool[Tensor, "n n"]:
    """Where the 2-D coefficients of some frequencies stand: the union of their 3 x 3 blocks Const/cos k/sin k.

    Raises:
        ValueError: a frequency outside 1..n//2.

    Example:
        >>> frequency_mask([1], 5).int()[0].tolist()
        [1, 1, 1, 0, 0]
    """
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

    With no frequencies only each region's mean remains; `x - keep(x, [k]) + keep(x, [])` removes frequency k alone.

    Raises:
        ValueError: a frequency outside 1..n//2, or axes that do not fit n.
    """
    mask = frequency_mask(frequencies, n).to(hidden.device)
    return inverse_fourier_2d(fourier_2d(hidden, n) * mask[:, :, None])


def neuron_frequencies(
    hidden: Float[Tensor, "order order k"], n: int, highest: int | None = None, centred: bool = False
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """Each neuron's best frequency and the fraction of its squared activation that frequency explains.

    fraction(f) = sum of squares of the 3 x 3 block Const/cos f/sin f over all regions / sum of squares of everything.

    Args:
        hidden: activations over all pairs of elements.
        highest: last frequency tried, n//2 unless given (the original notebook stopped one short of it).
        centred: leave each region's constant out of both sums; the best frequency stays, fractions are stricter.

    Returns:
        The frequency and its fraction. A neuron that never fires explains nothing: frequency 0, fraction 0, no cluster.

    Raises:
        ValueError: axes that do not fit n, or `highest` outside 1..n//2.

    Example:
        >>> wave = fourier_basis(5)[3]  # cos 2
        >>> frequency, fraction = neuron_frequencies((wave[:, None] * wave[None, :])[:, :, None], 5)
        >>> frequency.item(), round(fraction.item(), 6)
        (2, 1.0)
    """
    highest = n // 2 if highest is None else highest
    energy = fourier_2d(hidden, n).pow(2).sum(0)
    if centred:
        energy[0, 0] = 0
    blocks = [frequency_mask([f], n).to(hidden.device) for f in range(1, highest + 1)] if highest > 0 else []
    if not blocks:
        raise ValueError(f"neuron_frequencies: highest frequency {highest} is outside 1..{n // 2}")
    total = energy.sum((0, 1))
    explained = torch.stack([energy[block].sum(0) for block in blocks])
    fraction, best = (explained / total.clamp_min(torch.finfo(total.dtype).tiny)).max(dim=0)
    return torch.where(total > 0, best + 1, 0), torch.where(total > 0, fraction, 0.0)


def neuron_power(hidden: Float[Tensor, "order order k"], w_u: Float[Tensor, "k out"], n: int) -> Float[Tensor, " k"]:
    """How much each neuron moves the logits: its squared activation without the regions' constants, times |W_U row|^2.

    Raises:
        ValueError: axes that do not fit n.
    """
    energy = fourier_2d(hidden, n).pow(2).sum(0)
    return (energy.sum((0, 1)) - energy[0, 0]).clamp_min(0) * w_u.pow(2).sum(1)


def frequency_power(frequency: Int[Tensor, " k"], power: Float[Tensor, " k"], n: int) -> Float[Tensor, " frequencies"]:
    """The share of all power that the neurons of each frequency carry; index 0 is frequency 1, the last n//2."""
    share = torch.zeros(n // 2 + 1, dtype=power.dtype, device=power.device).index_add(0, frequency, power)
    return share[1:] / power.sum().clamp_min(torch.finfo(power.dtype).tiny)


def ablate_forbidden_parity(
    logits: Float[Tensor, "order order order"], frequencies: Sequence[int], n: int
) -> Float[Tensor, "order order order"]:
    """Remove some frequencies from the logits that parity forbids; a projection.

    A product of a rotation and a reflection is a reflection, so in the regions (rot, ref) and (ref, rot) the logits
    of rotations lose their components along cos k z and sin k z; in the other two regions those of reflections do.
    Logits that parity allows, and the forbidden ones' constants, stay as they are.

    Args:
        logits: [x y z] over all pairs (x, y) and outputs z of D_n.

    Raises:
        ValueError: axes that are not 2 n long, or a frequency outside 1..n//2.
    """
    if logits.shape[0] != 2 * n:
        raise ValueError(f"ablate_forbidden_parity: D_{n} has order {2 * n}, got logits of order {logits.shape[0]}")
    rows = fourier_basis(n, logits.dtype)[_frequency_rows(frequencies, n)].to(logits.device)
    halves = rearrange(logits, "x y (half z) -> x y half z", z=n)
    along = (halves @ rows.T) @ rows
    return rearrange(halves - along * _forbidden(n).to(logits)[..., None], "x y half z -> x y (half z)")


def forbidden_share(logits: Float[Tensor, "order order order"], n: int) -> float:
    """The share of the logits' squared, centred size that lies on outputs parity forbids, 0 to 1.

    Centred within each half: that a half is low as a whole is what solves parity and says nothing about waves on it.
    """
    halves = rearrange(logits, "x y (half z) -> x y half z", z=n)
    power = (halves - halves.mean(-1, keepdim=True)).pow(2).sum(-1)
    return (power[_forbidden(n).to(logits.device)].sum() / power.sum()).item()


def table_loss(
    logits: Float[Tensor, "order order order"],
    table: Int[Tensor, "order order"],
    where: Bool[Tensor, "order order"] | None = None,
) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy over all pairs, or those that `where` marks, in float64.

    float32 would round the small losses here: log(1 + 5e-6) keeps but two digits.
    """
    where = torch.ones_like(table, dtype=torch.bool) if where is None else where
    picked, labels = logits[where].double(), table[where]
    return F.cross_entropy(picked, labels).item(), (picked.argmax(-1) == labels).double().mean().item()


class GroupMLP(HookedRootModule):
    """One hidden layer that reads two group elements and scores every element as their product.

    hidden[x, y] = relu([W_E_a[x], W_E_b[y]] W),  logits[x, y] = hidden[x, y] W_U;  no biases.

    Parameters (the published files' names): W_E_a, W_E_b [order d_embed], W [2 d_embed, d_hidden],
    W_U [d_hidden order], from N(0, 1) / sqrt(fan-in), the embeddings' taken as d_embed.
    Hook points: x_embed, y_embed, embed_stack, hidden, out.

    Raises:
        ValueError: a size below 1.

    Reference: Chughtai, Chan, Nanda, arXiv 2302.03025.
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

        All pairs never need the stack of every two embeddings (order^2 rows of 2 d_embed): W's upper half acts on x
        alone and its lower half on y alone, so hidden[x, y] = relu((W_E_a W_top)[x] + (W_E_b W_bottom)[y]). There
        embed_stack holds one row per element, its embeddings as x and as y side by side.
        """
        first, second = (slice(None), slice(None)) if pairs is None else pairs.unbind(1)
        x, y = self.x_embed(self.W_E_a[first]), self.y_embed(self.W_E_b[second])
        stack = self.embed_stack(torch.cat([x, y], dim=-1))
        if pairs is None:
            d = x.shape[1]
            before = (stack[:, :d] @ self.W[:d])[:, None] + (stack[:, d:] @ self.W[d:])[None, :]
        else:
            before = stack @ self.W
        return self.out(self.hidden(before.relu()) @ self.W_U)

    @classmethod
    def from_pretrained(cls, path: str | Path, order: int | None = None) -> "GroupMLP":
        """Load W_E_a, W_E_b, W and W_U from a safetensors file; sizes come from their shapes.

        Raises:
            FileNotFoundError: no such file.
            ValueError: another set of names, shapes that do not fit together, or an order other than the one asked.
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


@dataclasses.dataclass(frozen=True)
class GroupTraining:
    """The paper's recipe for D_53: full batch on 90 % of the pairs, AdamW (arXiv 2302.03025 and its repository)."""

    d_embed: int = 256
    d_hidden: int = 128
    fraction: float = 0.9
    learning_rate: float = 1e-3
    weight_decay: float = 2.0  # far above the usual 0.01: it is what makes few frequencies win
    epochs: int = 100_000
    log_every: int = 200  # and eight times as often during the first ten of these, where the phase change is
    seed: int = 1

    def __post_init__(self):
        if not 0 < self.fraction < 1:
            raise ValueError(f"GroupTraining: fraction must lie between 0 and 1, both excluded, got {self.fraction}")
        if min(self.d_embed, self.d_hidden, self.epochs, self.log_every) < 1:
            raise ValueError(f"GroupTraining: sizes, epochs and log_every must be at least 1, got {self}")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError(f"GroupTraining: the learning rate must be above 0 and the decay at least 0, got {self}")


def train_pairs(order: int, fraction: float, seed: int) -> Bool[Tensor, "order order"]:
    """Mark floor(fraction order^2) random pairs to train on; the others are the test pairs."""
    chosen = torch.randperm(order**2, generator=torch.Generator().manual_seed(seed))[: int(fraction * order**2)]
    return torch.zeros(order**2, dtype=torch.bool).index_fill(0, chosen, True).view(order, order)


def table_gradient(
    model: GroupMLP, table: Int[Tensor, "order order"], train: Bool[Tensor, "order order"], rows: int | None = None
) -> Callable[[], None]:
    """A function that fills the parameters' .grad with those of the mean cross entropy over the training pairs.

    The same gradient as autograd's through `model()`, by hand, a few rows of the table at a time in buffers that
    stay: at this size the time goes into fetching fresh memory, not into arithmetic, and a strip fits the cache.

    Args:
        rows: rows of the table per strip; by default as many as make about 850 pairs (8 for D_53).
    """
    order, d = model.W_E_a.shape
    rows = max(1, 850 // order) if rows is None else rows
    weight = (train.to(model.W.dtype) / train.sum()).flatten()[:, None]
    labels = table.flatten()[:, None]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    hidden = model.W.new_empty(rows, order, model.W.shape[1])
    residual, back = model.W.new_empty(rows * order, order), model.W.new_empty(rows * order, model.W.shape[1])
    back_a = model.W.new_empty(order, model.W.shape[1])

    @torch.no_grad()
    def gradient() -> None:
        w_a, w_b, w, w_u = model.W_E_a, model.W_E_b, model.W, model.W_U
        from_x, from_y, back_b = w_a @ w[:d], w_b @ w[d:], torch.zeros_like(back_a)
        w_u.grad.zero_()
        for start in range(0, order, rows):
            stop = min(order, start + rows)
            size, pairs = stop - start, slice(start * order, stop * order)
            h, p, g = hidden[:size], residual[: size * order], back[: size * order]
            torch.add(from_x[start:stop, None], from_y[None], out=h).relu_()
            h = h.flatten(0, 1)
            torch.softmax(torch.mm(h, w_u, out=p), -1, out=p)
            p.mul_(weight[pairs]).scatter_add_(1, labels[pairs], -weight[pairs])
            w_u.grad.addmm_(h.T, p)
            torch.mm(p, w_u.T, out=g)
            torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
            by_pair = g.view(size, order, -1)
            torch.sum(by_pair, 1, out=back_a[start:stop])
            back_b += by_pair.sum(0)
        torch.mm(w_a.T, back_a, out=w.grad[:d])
        torch.mm(w_b.T, back_b, out=w.grad[d:])
        torch.mm(back_a, w[:d].T, out=w_a.grad)
        torch.mm(back_b, w[d:].T, out=w_b.grad)

    return gradient


def measure(model: GroupMLP, group: Group, train: Bool[Tensor, "order order"]) -> dict[str, float | list[float]]:
    """Every number that the training curves show, of the model as it is."""
    with torch.no_grad():
        logits, cache = model.run_with_cache(names_filter="hidden")
        frequency, fraction = neuron_frequencies(cache["hidden"], group.n)
        _, centred = neuron_frequencies(cache["hidden"], group.n, centred=True)
        power = neuron_power(cache["hidden"], model.W_U, group.n)
    share = frequency_power(frequency, power, group.n)
    live = [k for k in range(1, group.n // 2 + 1) if share[k - 1] >= 0.01]
    out = {
        "train_loss": table_loss(logits, group.table, train)[0],
        "test_loss": table_loss(logits, group.table, ~train)[0],
        "loss": table_loss(logits, group.table)[0],
        "train_accuracy": table_loss(logits, group.table, train)[1],
        "test_accuracy": table_loss(logits, group.table, ~train)[1],
        "accuracy": table_loss(logits, group.table)[1],
        "clusters": float(len(frequency.unique()) - bool((frequency == 0).any())),
        "live_frequencies": float(len(live)),
        "mean_fraction": fraction.mean().item(),
        "weighted_fraction": ((centred * power).sum() / power.sum()).item(),
        "power_by_frequency": [round(s, 4) for s in share.tolist()],
    }
    if group.order == 2 * group.n:
        out["forbidden_share"] = forbidden_share(logits, group.n)
        out["ablated_loss"] = table_loss(ablate_forbidden_parity(logits, live, group.n), group.table)[0]
    return out


def train_group(
    group: Group, config: GroupTraining, resume: str | Path | None = None, save_every: int = 1000
) -> tuple[GroupMLP, dict[str, list]]:
    """Train a GroupMLP on a group's table, full batch, test pairs masked out of the loss.

    Args:
        resume: a safetensors file for the state of an interrupted run: written every `save_every` epochs, read where
            it exists, removed at the end. The resumed run repeats the uninterrupted one, bit by bit.

    Returns:
        The model, and the history: "epoch" (epochs done) and the metrics of `measure` at each logged epoch.

    Raises:
        ValueError: the file to resume from is of another group or recipe.
        FloatingPointError: the loss is no longer finite.
    """
    # training.fit can neither resume (it keeps no optimiser state) nor step on a gradient made by hand, and autograd
    # misses this room's bar: five times the speed of gathering every pair's 512 inputs.
    recipe = json.dumps([type(group).__name__, group.n, dataclasses.asdict(config)])
    resume = None if resume is None else Path(resume)
    model = GroupMLP(group.order, config.d_embed, config.d_hidden, config.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    train = train_pairs(group.order, config.fraction, config.seed)
    gradient = table_gradient(model, group.table, train)
    start, history = 0, {}
    if resume is not None and resume.exists():
        start, history = training.load_run(resume, recipe, model, [optimizer])
    report = training.progress(config.epochs, f"{type(group).__name__}({group.n})")
    for epoch in range(start, config.epochs + 1):
        every = config.log_every if epoch >= 10 * config.log_every else max(1, config.log_every // 8)
        if epoch % every == 0 or epoch == config.epochs:
            metrics = measure(model, group, train)
            if not math.isfinite(metrics["train_loss"]):
                raise FloatingPointError(
                    f"train_group: the loss is not finite at epoch {epoch}: lower the learning rate"
                )
            for name, value in {"epoch": epoch, **metrics}.items():
                history.setdefault(name, []).append(value)
            report(epoch, **{k: metrics[k] for k in ("train_loss", "test_loss", "test_accuracy", "live_frequencies")})
        if epoch == config.epochs:
            break
        if resume is not None and epoch % save_every == 0 and epoch > start:
            # A step logged at this epoch is measured again after resuming.
            keep = sum(logged < epoch for logged in history["epoch"])
            kept = {name: values[:keep] for name, values in history.items()}
            training.save_run(resume, recipe, model, [optimizer], epoch, kept)
        gradient()
        optimizer.step()
    if resume is not None:
        resume.unlink(missing_ok=True)
    return model, history


def _forbidden(n):
    flip = torch.arange(2 * n) // n
    return (flip[:, None] ^ flip[None, :])[:, :, None] != torch.arange(2)


def _frequency_rows(frequencies, n):
    wrong = [k for k in frequencies if not 1 <= k <= n // 2]
    if wrong:
        raise ValueError(f"frequencies on Z_{n} lie in 1..{n // 2}, got {wrong}")
    return [row for k in frequencies for row in (2 * k - 1, 2 * k) if row < n]


def _check_n(function, n):
    if n < 3:
        raise ValueError(f"{function}: n must be at least 3 (a triangle), got {n}")


def _check_order(function, order, n):
    _check_n(function, n)
    if order not in (n, 2 * n):
        raise ValueError(
            f"{function}: with n = {n} the axes must be {n} (cyclic) or {2 * n} (dihedral) long, got {order}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train D_n and write <output>.safetensors and its card <output>.json; an interrupted run is taken up again."""
    parser = argparse.ArgumentParser(prog="python -m paper_utils.groups", description=main.__doc__)
    parser.add_argument("--n", type=int, default=53)
    parser.add_argument("--epochs", type=int, default=30_000, help="the paper's own schedule has 100,000")
    parser.add_argument("--fraction", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "checkpoints" / "dihedral_D53")
    options = parser.parse_args(arguments)
    group = DihedralGroup(options.n)
    config = GroupTraining(
        fraction=options.fraction, weight_decay=options.weight_decay, epochs=options.epochs, seed=options.seed
    )
    key = hashlib.sha256(repr((options.n, config)).encode()).hexdigest()[:12]
    began = time.monotonic()
    model, history = train_group(group, config, resume=ROOT / "build" / "weights" / f"group-{key}-resume.safetensors")
    minutes = (time.monotonic() - began) / 60
    training.save_weights(options.output.with_suffix(".safetensors"), model.state_dict(), {"recipe": repr(config)})
    write_card(options.output, group, config, history, minutes)


def write_card(output: Path, group: Group, config: GroupTraining, history: dict[str, list], minutes: float) -> None:
    """Write <output>.json beside the weights: recipe, cost, final numbers (float64, of the saved file) and curves."""
    model = GroupMLP.from_pretrained(output.with_suffix(".safetensors"), group.order).double()
    card = {
        "model": f"GroupMLP on {type(group).__name__}({group.n}): W_E_a, W_E_b, W, W_U",
        "recipe": {"optimizer": "AdamW, full batch", **dataclasses.asdict(config)},
        "minutes": round(minutes, 1),
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "final": measure(model, group, train_pairs(group.order, config.fraction, config.seed)),
        # Six digits: the curves are for drawing, and float32's own noise is larger.
        "curves": json.loads(json.dumps(history), parse_float=lambda digits: float(f"{float(digits):.6g}")),
    }
    # One line per entry, so that a retrained card shows as a readable diff.
    entries = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in card.items() if name != "curves"]
    curves = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in card["curves"].items()]
    text = "{\n" + ",\n".join([*entries, ' "curves": {\n' + ",\n".join(curves) + "\n }"]) + "\n}\n"
    with replacing(output.with_suffix(".json")) as beside:
        beside.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with training.going_on_later():
        main()
