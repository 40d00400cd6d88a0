"""Grokking on D_53: 30 % of the pairs, weight decay 0.7, 40,000 epochs (the paper's other recipe has 160,000).

A row for each logged epoch and each representation that is key at the end, which is known only then: the weights are
kept at each logged epoch and measured afterwards. Restricted: the hidden layer keeps the key ones alone. Excluded: it
loses one of them. As in the paper, restricted losses are over all pairs, excluded ones over training pairs.
"""

from functools import partial

from paper_utils import groups

GRID = {"seed": (1, 2)}
LOAD = None
RECIPE = {"fraction": 0.3, "weight_decay": 0.7, "epochs": 40_000, "log_every": 1600}


def run(seed: int, device: str = "cpu") -> list[dict[str, float | str]]:
    group, recipe, states = groups.DihedralGroup(53), groups.GroupTraining(**RECIPE, seed=seed), []

    def log(model: groups.GroupMLP, *rest: object) -> dict:
        states.append({name: value.detach().clone() for name, value in model.state_dict().items()})
        return groups.measure(model, *rest)

    model = groups.GroupMLP(group.order, seed=seed).to(device)
    history = groups.train(model, group, recipe, each_log=log)
    return rows(model, group, history, states, groups.train_pairs(group.order, recipe.fraction, seed))


def rows(model, group, history, states, pairs) -> list[dict[str, float | str]]:
    """The history with restricted and excluded losses, a row for each logged epoch and key representation."""
    model, names, keep = model.cpu().double().requires_grad_(False), list(group.irreps())[1:], groups.keep_irreps
    found = groups.census(model, group)
    key = [name for name in found if found[name]["loss_without"] >= 1.1 * groups.table_loss(model(), group.table)[0]]
    table = []
    for i, state in enumerate(states):
        model.load_state_dict(state)
        now = {name: values[i] for name, values in history.items()}
        shared = {name: value for name, value in now.items() if not isinstance(value, list)}
        shared["restricted_loss"] = groups.hooked_loss(model, group, partial(keep, names=key, group=group))
        for name in key:
            own = {"irrep": name} | {k: now[k][names.index(name)] for k in ("power", "inner_share")}
            own["excluded_loss"] = groups.hooked_loss(model, group, partial(remove, name=name, group=group), pairs)
            row = own | shared
            # Five digits: the table is for drawing.
            table.append({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()})
    return table


def remove(hidden, name, group):
    return hidden - groups.keep_irreps(hidden, [name], group) + hidden.mean((0, 1))
