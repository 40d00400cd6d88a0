"""Sweeps of notebook 4: smaller groups, grokking on D_53, and which representation wins."""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from paper_utils import groups
from paper_utils.groups import CyclicGroup, DihedralGroup, Group, GroupMLP, GroupTraining, SymmetricGroup
from paper_utils.training import History
from sweeps import Sweep

Row = dict[str, float | str]


def small_network(group: Group, seed: int) -> GroupMLP:
    return GroupMLP(group.order, 64, 64, seed)


def train_small(model: GroupMLP, group: Group, seed: int) -> History:
    """Train by the recipe for small groups; `seed` chooses the training pairs. The history is of its last epoch."""
    return groups.train(model, group, replace(groups.SMALL, seed=seed))


# ---- Smaller dihedral groups


def train_dihedral(model: GroupMLP, n: int, seed: int) -> History:
    return train_small(model, DihedralGroup(n), seed)


def measure_dihedral(model: GroupMLP, history: History, n: int, seed: int) -> Row:
    group, last = DihedralGroup(n), {name: values[-1] for name, values in history.items()}
    found, inner = groups.census(model.double(), group), groups.inner_vectors(model, group)
    key = groups.key_irreps(found, last["loss"])
    return {
        "accuracy": last["accuracy"],
        "key": len(key),
        "sign_neurons": found.get("sign", {"neurons": 0})["neurons"],
        "inner_share": min(share for name, (vector, share) in inner.items() if name in key and len(vector) == 2),
        "forbidden_share": last["forbidden_share"],
        "ablation_factor": last["loss"] / last["ablated_loss"],
        "key_irreps": " ".join(key),
    }


DIHEDRAL = Sweep(
    name="04_dihedral_fourier",
    why="""Smaller dihedral groups in place of D_53, five runs each, by notebook 4's recipe for small groups. Width 64,
    learning rate 0.01, decay 1, 3,000 epochs: seconds in place of the hour that a D_53 takes. 17 and 31 are as prime as
    53; 12 is even, so that r^6 commutes with everything and two more irreps have one dimension. The accuracy is that of
    all pairs, a tenth of which are not trained on. A representation is key where holding its neurons at their means
    multiplies the loss by 1.1 or more; the inner share is the lowest of those of two dimensions.""",
    version=1,
    grid={"n": (12, 17, 31), "seed": range(5)},
    build=lambda n, seed: small_network(DihedralGroup(n), seed),
    train=train_dihedral,
    measure=measure_dihedral,
)


# ---- Where n is a multiple of three


def measure_thirds(model: GroupMLP, history: History, n: int, seed: int) -> list[Row]:
    group, model = DihedralGroup(n), model.double()
    logits, inner, basis = model(), groups.inner_vectors(model, group), groups.fourier_basis(n)
    loss, accuracy = groups.table_loss(logits, group.table)
    along = (logits.unflatten(2, (2, n)) @ basis.T).square()  # [x, y, half, component of z]
    forbidden, found, rows = group.forbidden.unflatten(2, (2, n))[..., :1], groups.census(model, group), []
    for name in (name for name in groups.key_irreps(found, loss) if name != "sign"):
        k = int(name.rstrip("+-"))
        power = along[..., 2 * k - 1 : 2 * k + 1]
        share = ((power * forbidden).sum() / power.sum()).item()
        row = {"irrep": name, "forbidden_share": share, "inner_share": inner[name][1], "accuracy": accuracy}
        rows.append(row | {"waves": (power.sum() / along[..., 1:].sum()).item()})
    return rows


THIRDS = Sweep(
    name="04_dihedral_fourier_thirds",
    why="""Where n is a multiple of three: which frequencies of a dihedral group waste half of their waves, five runs
    each. By notebook 4's recipe for small groups. For k = n/3 the overtone 2k folds back onto k itself, because 3k is 0
    mod n. A row for each key representation: its inner share, and the share of the logits' waves of its frequency on
    answers that parity forbids. For even n "n/2+" and "n/2-" have one frequency, hence one share.""",
    version=1,
    grid={"n": (12, 15, 18), "seed": range(5)},
    build=lambda n, seed: small_network(DihedralGroup(n), seed),
    train=train_dihedral,
    measure=measure_thirds,
)


# ---- Groups that are not dihedral

OTHERS = {"S_4": SymmetricGroup(4), "C_31": CyclicGroup(31)}


def train_other(model: GroupMLP, group: str, seed: int) -> History:
    return train_small(model, OTHERS[group], seed)


def measure_other(model: GroupMLP, history: History, group: str, seed: int) -> list[Row]:
    last, inner = {name: values[-1] for name, values in history.items()}, groups.inner_vectors(model, OTHERS[group])
    shared = {name: last[name] for name in ("loss", "accuracy", "test_accuracy", "forbidden_share", "ablated_loss")}
    found = groups.census(model.double(), OTHERS[group]).items()
    return [{"irrep": name, **part, "inner_share": inner[name][1], **shared} for name, part in found]


NOT_DIHEDRAL = Sweep(
    name="04_dihedral_fourier_others",
    why="""The census on groups that are not dihedral: S_4, the smallest with an irrep of three dimensions, and the
    cyclic C_31. Five runs each by notebook 4's recipe for small groups; a row for each representation that some neuron
    lives on.""",
    version=1,
    grid={"group": tuple(OTHERS), "seed": range(5)},
    build=lambda group, seed: small_network(OTHERS[group], seed),
    train=train_other,
    measure=measure_other,
)


# ---- Which representation wins


def train_initial(model: GroupMLP, weights: int, pairs: int) -> History:
    return train_small(model, DihedralGroup(31), pairs)


def measure_initial(model: GroupMLP, history: History, weights: int, pairs: int) -> Row:
    hidden = model.run_with_cache(names_filter="hidden")[1]["hidden"]
    return {"neurons": " ".join(groups.neuron_irreps(hidden, DihedralGroup(31))[0])}


INITIAL = Sweep(
    name="04_dihedral_fourier_initial",
    why="""Which representation wins: is it decided by the initial weights, or by the choice of training pairs? D_31 by
    notebook 4's recipe for small groups, from each of three initial networks with each of three sets of training pairs.
    A row names the representation that each of the 64 neurons ends on.""",
    version=1,
    grid={"weights": range(3), "pairs": range(3)},
    build=lambda weights, pairs: small_network(DihedralGroup(31), weights),
    train=train_initial,
    measure=measure_initial,
)


# ---- Grokking

GROKKING_RECIPE = GroupTraining(fraction=0.3, weight_decay=0.7, epochs=40_000, log_every=1600)
# As often as `groups.train` logs: eight times as often during the first ten of these.
LOGGED = 1 + 10 * 8 + (GROKKING_RECIPE.epochs // GROKKING_RECIPE.log_every - 10)


def build_grokking(seed: int) -> nn.ModuleList:
    """The network, and one for its weights at each logged epoch."""
    return nn.ModuleList(GroupMLP(106, seed=seed) for _ in range(1 + LOGGED))


def train_grokking(models: nn.ModuleList, seed: int) -> History:
    network, *at_epoch = models
    left = iter(at_epoch)

    def log(model: GroupMLP, *rest: object) -> dict:
        next(left).load_state_dict(model.state_dict())
        return groups.measure(model, *rest)

    return groups.train(network, DihedralGroup(53), replace(GROKKING_RECIPE, seed=seed), each_log=log)


def measure_grokking(models: nn.ModuleList, history: History, seed: int) -> list[Row]:
    group, network = DihedralGroup(53), models[0].double()
    pairs = groups.train_pairs(group.order, GROKKING_RECIPE.fraction, seed)
    names, keep, table = list(group.irreps())[1:], groups.keep_irreps, []
    key = groups.key_irreps(groups.census(network, group), groups.table_loss(network(), group.table)[0])

    def remove(hidden: torch.Tensor, name: str) -> torch.Tensor:
        return hidden - keep(hidden, [name], group) + hidden.mean((0, 1))

    for i, model in enumerate(models[1:]):
        model = model.double()
        now = {name: values[i] for name, values in history.items()}
        shared = {name: value for name, value in now.items() if not isinstance(value, list)}
        shared["restricted_loss"] = groups.hooked_loss(model, group, partial(keep, names=key, group=group))
        for name in key:
            own = {"irrep": name} | {k: now[k][names.index(name)] for k in ("power", "inner_share")}
            own["excluded_loss"] = groups.hooked_loss(model, group, partial(remove, name=name), pairs)
            # Five digits: the table is for drawing.
            table.append({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in (own | shared).items()})
    return table


GROKKING = Sweep(
    name="04_dihedral_fourier_grokking",
    why="""Grokking on D_53: 30 % of the pairs, weight decay 0.7, 40,000 epochs (the paper's other recipe has 160,000).
    A row for each logged epoch and each representation that is key at the end, which is known only then: the weights
    are kept at each logged epoch and measured afterwards. Restricted: the hidden layer keeps the key ones alone.
    Excluded: it loses one of them. As in the paper, restricted losses are over all pairs, excluded ones over training
    pairs.""",
    version=1,
    grid={"seed": (1, 2)},
    build=build_grokking,
    train=train_grokking,
    measure=measure_grokking,
)
