"""Cyclic, dihedral and symmetric groups, their Fourier basis, and the MLP that learns to compose (notebook 4)."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from paper_utils import training
from paper_utils.progress import progress

try:
    from transformer_lens import HookedRootModule
except ImportError:  # TransformerLens 3, the newest that fits the transformers on Colab
    from transformer_lens.hook_points import HookedRootModule


class Group:
    """A finite group with elements 0 .. order-1, of which 0 is the identity; see its subclasses.

    table[x, y] is the product x y, inverse[x] the element that x makes the identity with. parity is 1 where the
    irreducible representation "sign" is -1, else 0 (reflections, odd permutations), and adds up mod 2 in a product.
    """

    def __init__(self, n: int, table: Int[Tensor, "order order"], names: list[str]):
        self.n, self.order, self.table, self.names = n, len(table), table, names
        self.inverse = (table == 0).long().argmax(1)
        sign = self.irreps().get("sign", torch.ones(self.order))
        self.parity = (sign.flatten() < 0).long()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    def irreps(self) -> dict[str, Float[Tensor, "order d d"]]:
        """Return the real irreducible representations by name, "trivial" first; matrices[x] @ matrices[y] is x y's."""
        raise NotImplementedError

    def basis(self) -> tuple[Float[Tensor, "order order"], Int[Tensor, " order"]]:
        """Return orthonormal functions on the group, one a row, and the index of the irrep whose entries span each."""
        rows, index = [], []
        for i, matrices in enumerate(self.irreps().values()):
            _, size, right = torch.linalg.svd(matrices.flatten(1).T, full_matrices=False)
            rows.append(right[size > 1e-6])  # of a 2 x 2 rotation two entries repeat the other two
            index += [i] * len(rows[-1])
        return torch.cat(rows), torch.tensor(index)

    @property
    def forbidden(self) -> Bool[Tensor, "order order order"]:
        """Mark each [x, y, z] where z cannot be x y because its parity is another."""
        return self.parity[self.table][:, :, None] != self.parity


class CyclicGroup(Group):
    """The cyclic group C_n, n at least 3: rotations r^0 .. r^(n-1). Irrep "k" turns by 2 pi k / n; "n/2" is 1 or -1."""

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power = torch.arange(n)
        super().__init__(n, (power[:, None] + power) % n, [f"r^{k}" for k in range(n)])

    def irreps(self) -> dict[str, Float[Tensor, "order d d"]]:
        n, power = self.n, torch.arange(self.n)
        found = {"trivial": torch.ones(n, 1, 1).double()}
        found |= {str(k): _turns(k * power, n) for k in range(1, (n + 1) // 2)}
        return found | ({} if n % 2 else {str(n // 2): (1 - 2 * (power % 2)).double().view(n, 1, 1)})


class DihedralGroup(Group):
    """The dihedral group D_n: rotations r^k (elements 0 .. n-1) and reflections r^k s (elements n .. 2n-1).

    With x = r^a s^p and y = r^b s^q:  x y = r^(a + (-1)^p b) s^(p + q), exponents of r mod n, of s mod 2.
    Irreps: "trivial", "sign", and "k" (a turn by 2 pi k / n, s a reflection) for k below n/2; for even n also "n/2+"
    and "n/2-", where r is -1 and s is 1 or -1. Raises: ValueError for n below 3.

    >>> DihedralGroup(3).table[3].tolist()  # s r^k = r^-k s, s r^k s = r^-k
    [3, 5, 4, 0, 2, 1]
    """

    def __init__(self, n: int):
        _check_n(type(self).__name__, n)
        power, flip = torch.arange(2 * n) % n, torch.arange(2 * n) // n
        sign = 1 - 2 * flip
        table = (power[:, None] + sign[:, None] * power[None, :]) % n + n * (flip[:, None] ^ flip[None, :])
        super().__init__(n, table, [f"r^{k}" for k in range(n)] + [f"r^{k} s" for k in range(n)])

    def irreps(self) -> dict[str, Float[Tensor, "order d d"]]:
        n = self.n
        flip = torch.tensor([1.0, -1.0]).double().repeat_interleave(n).view(-1, 1, 1)
        found = {"trivial": flip.abs(), "sign": flip}
        mirror = torch.cat([torch.ones_like(flip), flip], -1)  # 1 and, for reflections, diag(1, -1)
        found |= {str(k): _turns(k * torch.arange(2 * n), n) * mirror for k in range(1, (n + 1) // 2)}
        turn = (1 - 2 * (torch.arange(2 * n) % n % 2)).view(-1, 1, 1)
        return found | ({} if n % 2 else {f"{n // 2}+": turn * flip.abs(), f"{n // 2}-": turn * flip})


class SymmetricGroup(Group):
    """The symmetric group S_4: permutations of 0, 1, 2, 3 in the order of their digits; (x y)(i) = x(y(i)).

    Irreps: "trivial", "sign", "2d" (how the three ways to split 0123 in pairs are permuted), "standard" (how the four
    points are) and "standard-sign", of dimensions 1, 1, 2, 3, 3. Raises: ValueError for another n.
    """

    def __init__(self, n: int = 4):
        if n != 4:
            raise ValueError(f"SymmetricGroup: n must be 4, the only one whose irreps are written down, got {n}")
        points = list(itertools.permutations(range(n)))
        table = [[points.index(tuple(x[i] for i in y)) for y in points] for x in points]
        super().__init__(n, torch.tensor(table), ["".join(map(str, x)) for x in points])

    def irreps(self) -> dict[str, Float[Tensor, "order d d"]]:
        points = torch.tensor(list(itertools.permutations(range(4))))
        splits = [[{0, 1}, {2, 3}], [{0, 2}, {1, 3}], [{0, 3}, {1, 2}]]
        moved = [
            [next(i for i, s in enumerate(splits) if {x[j] for j in a} in s) for a, _ in splits]
            for x in points.tolist()
        ]
        standard, two = (_without_mean(F.one_hot(images)) for images in (points, torch.tensor(moved)))
        sign = torch.linalg.det(standard).round().view(-1, 1, 1)
        return {"trivial": sign.abs(), "sign": sign, "2d": two, "standard": standard, "standard-sign": standard * sign}


def fourier_basis(n: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n n"]:
    """Return the real Fourier basis on Z_n, one orthonormal row per component.

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
    """Name the rows of `fourier_basis(n)`: Const, cos 1, sin 1, cos 2, ..."""
    _check_n("fourier_names", n)
    return ["Const", *(f"{wave} {k}" for k in range(1, n // 2 + 1) for wave in ("cos", "sin"))][:n]


def fourier_2d(x: Float[Tensor, "order order k"], n: int) -> Float[Tensor, "region n n k"]:
    """Compute the 2-D Fourier coefficients of k functions on pairs of group elements, one block per region.

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


def neuron_frequencies(
    hidden: Float[Tensor, "order order k"], n: int, highest: int | None = None
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """Find each neuron's best frequency and what fraction of its squared activation that explains, like the original.

    fraction(f) = sum of squares of the 3 x 3 block Const/cos f/sin f over all regions / sum of squares of everything.
    A neuron that never fires has frequency 0 and fraction 0. `highest` is the last frequency tried, n//2 unless given
    (the original stopped one short of it). Regions' constants count as explained, unlike in `neuron_irreps`.
    Raises: ValueError for axes that do not fit n, or `highest` outside 1..n//2.

    >>> wave = fourier_basis(5)[3]  # cos 2
    >>> neuron_frequencies((wave[:, None] * wave[None, :])[:, :, None], 5)[0]
    tensor([2])
    """
    highest = n // 2 if highest is None else highest
    if not 1 <= highest <= n // 2:
        raise ValueError(f"neuron_frequencies: highest frequency {highest} is outside 1..{n // 2}")
    energy = fourier_2d(hidden, n).square().sum(0)
    rows = [[0, *_frequency_rows([k], n)] for k in range(1, highest + 1)]
    fraction, best = torch.stack([energy[block][:, block].sum((0, 1)) for block in rows]).max(dim=0)
    total = energy.sum((0, 1))
    fraction = fraction / total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, best + 1, 0), torch.where(total > 0, fraction, 0.0)


def neuron_irreps(hidden: Float[Tensor, "order order k"], group: Group) -> tuple[list[str], Float[Tensor, " k"]]:
    """Find each neuron's irreducible representation and the fraction of its variance over all pairs that it explains.

    An irrep explains what varies with x, y, or both, in that irrep and no other. A constant neuron is "dead": 0.
    """
    basis, index = group.basis()
    member = F.one_hot(index).T.to(hidden)
    energy = _both_axes(member, _both_axes(basis.to(hidden), hidden).square())  # [irrep of x, irrep of y, neuron]
    total = energy.sum((0, 1))
    variance = total - energy[0, 0]
    fraction, best = (energy[0] + energy[:, 0] + energy.diagonal().T)[1:].max(dim=0)
    live = variance > torch.finfo(total.dtype).eps * total
    best, names = torch.where(live, best, -1).tolist(), [*list(group.irreps())[1:], "dead"]
    return [names[i] for i in best], torch.where(live, fraction / variance, 0.0)


def keep_irreps(
    hidden: Float[Tensor, "order order k"], names: Sequence[str], group: Group
) -> Float[Tensor, "order order k"]:
    """Project functions on pairs onto their mean and what some irreps explain of them (see `neuron_irreps`).

    `x - keep(x, [name]) + keep(x, [])` removes one irrep. Raises: ValueError for a name that is no irrep's.
    """
    known = list(group.irreps())
    if wrong := [name for name in names if name not in known]:
        raise ValueError(f"keep_irreps: {group} has the irreps {', '.join(known)}; got {wrong}")
    basis, index = group.basis()
    blocks = torch.stack([(index == 0) | (index == known.index(name)) for name in ["trivial", *names]])
    mask, basis = (blocks[:, :, None] & blocks[:, None]).any(0), basis.to(hidden)
    return _both_axes(basis.T, _both_axes(basis, hidden) * mask[:, :, None].to(hidden))


def inner_vectors(model: "GroupMLP", group: Group) -> dict[str, tuple[Float[Tensor, " d"], float]]:
    """Find the unit vector a that the neurons of each irrep share, and the share of the squared weights along it.

    What a neuron adds up before its ReLU varies with x, in the irrep rho, as sum_ij L_ij rho(x)_ij, and with y as
    sum_ij R_ij rho(y)_ij. If it is <u, rho(x) a> + <a, rho(y) v>, then L = u a^T and R = a v^T: a spans the rows of all
    L and the columns of all R, and the share is 1. Vectors that have nothing to do with each other give 1/d.
    """
    d = model.W_E_a.shape[1]
    left, right = ((e @ w).detach().cpu() for e, w in ((model.W_E_a, model.W[:d]), (model.W_E_b, model.W[d:])))
    found = {}
    for name, matrices in group.irreps().items():
        of_x = torch.einsum("xij,xk->kij", matrices.to(left), left)
        of_y = torch.einsum("yij,yk->kij", matrices.to(left), right)
        size, axes = torch.linalg.eigh(
            torch.einsum("kij,kil->jl", of_x, of_x) + torch.einsum("kij,klj->il", of_y, of_y)
        )
        found[name] = axes[:, -1], (size[-1] / size.sum()).item()
    return found


def ablate_forbidden_parity(
    logits: Float[Tensor, "order order order"], frequencies: Sequence[int], n: int
) -> Float[Tensor, "order order order"]:
    """Remove some frequencies from the logits [x y z] of D_n that parity forbids; a projection.

    In the regions (rot, ref) and (ref, rot) the logits of rotations lose their components along cos k z and sin k z;
    in the other two those of reflections do. Logits that parity allows, and the others' constants, stay as they are.
    Raises: ValueError for axes that are not 2 n long, or a frequency outside 1..n//2.
    """
    if logits.shape[0] != 2 * n:
        raise ValueError(f"ablate_forbidden_parity: D_{n} has order {2 * n}, got logits of order {logits.shape[0]}")
    rows = fourier_basis(n, logits.dtype)[_frequency_rows(frequencies, n)].to(logits.device)
    along = (logits.unflatten(2, (2, n)) @ rows.T @ rows).flatten(2)
    return torch.where(DihedralGroup(n).forbidden.to(logits.device), logits - along, logits)


def waves(logits: Float[Tensor, "order order order"], group: Group) -> Float[Tensor, "order order order"]:
    """Take the mean over the outputs of each parity off the logits."""
    halves = F.one_hot(group.parity).to(logits)
    return logits - logits @ (halves / halves.sum(0)) @ halves.T


def forbidden_share(logits: Float[Tensor, "order order order"], group: Group) -> float:
    """Measure the share of the `waves`' squared size that lies on outputs which parity forbids: 0 to 1."""
    power = waves(logits, group).square()
    return (power[group.forbidden.to(logits.device)].sum() / power.sum()).item()


def table_loss(
    logits: Float[Tensor, "order order order"],
    table: Int[Tensor, "order order"],
    where: Bool[Tensor, "order order"] | None = None,
) -> tuple[float, float]:
    """Compute the mean cross entropy (nats) and the accuracy over all pairs, or those that `where` marks, in float64.

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
        """Score the given pairs, [batch order], or all pairs where none are given, [order order order].

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


# For groups of 24 to 62 elements, beside embeddings and a hidden layer of 64: seconds in place of D_53's hour.
SMALL = GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000)
KEY = 1.1  # a representation is key where holding its neurons at their means multiplies the loss by this much


def train_pairs(order: int, fraction: float, seed: int) -> Bool[Tensor, "order order"]:
    """Mark floor(fraction order^2) random pairs to train on; the others are the test pairs."""
    chosen = torch.randperm(order**2, generator=torch.Generator().manual_seed(seed))[: int(fraction * order**2)]
    return torch.zeros(order**2, dtype=torch.bool).index_fill(0, chosen, True).view(order, order)


def hooked_loss(
    model: GroupMLP,
    group: Group,
    change: Callable[[Tensor], Tensor],
    where: Bool[Tensor, "order order"] | None = None,
) -> float:
    """Compute the loss (see `table_loss`) where `change` replaces the hidden activations [x y k], by a hook."""
    logits = model.run_with_hooks(fwd_hooks=[("hidden", lambda hidden, hook: change(hidden))])
    return table_loss(logits, group.table, where)[0]


def hold_at_means(neurons: Bool[Tensor, " k"], hidden: Float[Tensor, "x y k"]) -> Float[Tensor, "x y k"]:
    """Hold the marked neurons at their means over all pairs."""
    return torch.where(neurons.to(hidden.device), hidden.mean((0, 1)), hidden)


def census(model: GroupMLP, group: Group, importance: bool = True) -> dict[str, dict[str, float | int]]:
    """Count the neurons of each irrep that has some; measure their power, and the loss with them held at their means.

    A neuron's power is its variance over all pairs times the squared norm of its row of W_U, given as a share of all.
    """
    hidden = model.run_with_cache(names_filter="hidden")[1]["hidden"].detach().cpu()
    names, _ = neuron_irreps(hidden, group)
    power = hidden.flatten(0, 1).var(0, correction=0) * model.W_U.detach().cpu().square().sum(1)
    found = {}
    for name in (name for name in group.irreps() if name in names):
        own = torch.tensor([other == name for other in names])
        found[name] = {"neurons": int(own.sum()), "power": (power[own].sum() / power.sum()).item()}
        if importance:
            found[name]["loss_without"] = hooked_loss(model, group, partial(hold_at_means, own))
    return found


def key_irreps(found: dict[str, dict[str, float | int]], loss: float) -> list[str]:
    """Choose the irreps of a `census` that are key: without their neurons the loss is `KEY` times `loss` or more."""
    return [name for name, part in found.items() if part["loss_without"] >= KEY * loss]


@torch.no_grad()
def measure(model: GroupMLP, group: Group, train: Bool[Tensor, "order order"]) -> dict[str, float | list[float]]:
    """Measure what the training curves show: losses in float64, lists with an entry per irrep after the first."""
    logits, out = model().cpu(), {}
    for pairs, where in {"train_": train, "test_": ~train, "": None}.items():
        out[f"{pairs}loss"], out[f"{pairs}accuracy"] = table_loss(logits, group.table, where)
    out["squared_weights"] = sum(weight.square().sum().item() for weight in model.parameters())
    shares, vectors = census(model, group, importance=False), inner_vectors(model, group)
    out["power"] = [round(shares.get(name, {"power": 0.0})["power"], 4) for name in vectors][1:]
    out["inner_share"] = [round(share, 4) for _, share in vectors.values()][1:]
    out["forbidden_share"] = forbidden_share(logits, group)
    level = torch.where(group.forbidden, logits - waves(logits, group), logits)
    out["ablated_loss"] = table_loss(level, group.table)[0]
    return out


def train(
    model: GroupMLP,
    group: Group,
    config: GroupTraining,
    resume: str | Path | None = None,
    save_every: int = 1000,
    each_log: Callable[..., dict] = measure,
) -> training.History:
    """Train a model in place on its group's table, on its device: full batch, the test pairs left out of the loss.

    `resume` is a file for the state of an interrupted run: written every `save_every` epochs, read where it exists,
    removed at the end. The resumed run repeats the uninterrupted one bit by bit. The history holds "epoch" (epochs
    done) and the numbers of `each_log`, called as `measure` is, at each logged epoch.
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
    report = progress(config.epochs, str(group))
    for epoch in range(start, config.epochs + 1):
        every = config.log_every if epoch >= 10 * config.log_every else max(1, config.log_every // 8)
        if (epoch % every == 0 or epoch == config.epochs) and epoch not in history["epoch"]:
            numbers = each_log(model, group, pairs)
            if not math.isfinite(numbers["train_loss"]):
                raise FloatingPointError(f"train: the loss is not finite at epoch {epoch}: lower the learning rate")
            for name, value in {"epoch": epoch, **numbers}.items():
                history.setdefault(name, []).append(value)
            report(epoch, **{k: numbers[k] for k in ("train_loss", "test_loss", "test_accuracy")})
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


def _turns(steps: Int[Tensor, " order"], n: int) -> Float[Tensor, "order 2 2"]:
    """Rotate the plane by 2 pi steps / n."""
    # Reduce the steps mod n before they are multiplied by pi, because large angles cost digits.
    angle = 2 * math.pi * (steps % n).double() / n
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)


def _without_mean(moved: Int[Tensor, "order p p"]) -> Float[Tensor, "order d d"]:
    """Restrict permutation matrices [moved, point, image] to the vectors whose entries add up to 0."""
    p = moved.shape[1]
    basis = torch.linalg.qr(torch.cat([torch.ones(p, 1), torch.eye(p)[:, 1:]], 1).double()).Q[:, 1:]
    return torch.einsum("id,xij,je->xed", basis, moved.double(), basis)


def _both_axes(matrix: Float[Tensor, "f x"], values: Float[Tensor, "x x k"]) -> Float[Tensor, "f f k"]:
    """Apply a matrix along the first and along the second axis."""
    # In two steps: one einsum over three factors would build their outer product first.
    return torch.einsum("gy,fyk->fgk", matrix, torch.einsum("fx,xyk->fyk", matrix, values))


def _frequency_rows(frequencies, n):
    wrong = [k for k in frequencies if not 1 <= k <= n // 2]
    if wrong:
        raise ValueError(f"frequencies on Z_{n} lie in 1..{n // 2}, got {wrong}")
    return [row for k in frequencies for row in (2 * k - 1, 2 * k) if row < n]


def _check_n(function, n):
    if n < 3:
        raise ValueError(f"{function}: n must be at least 3 (a triangle), got {n}")
