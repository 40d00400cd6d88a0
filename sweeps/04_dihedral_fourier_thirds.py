"""Where n is a multiple of three: which frequencies of a dihedral group waste half of their waves, five runs each.

By notebook 4's recipe for small groups. For k = n/3 the overtone 2k folds back onto k itself, because 3k is 0 mod n.
A row for each key representation: its inner share, and the share of the logits' waves of its frequency on answers
that parity forbids. For even n "n/2+" and "n/2-" have one frequency, hence one share.
"""

from paper_utils import groups

GRID = {"n": (12, 15, 18), "seed": range(5)}
LOAD = None


def run(n: int, seed: int, device: str = "cpu") -> list[dict[str, float | str]]:
    group = groups.DihedralGroup(n)
    model = groups.GroupMLP(group.order, 64, 64, seed).to(device)
    recipe = groups.GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000, seed=seed)
    groups.train(model, group, recipe)
    model = model.cpu().double().requires_grad_(False)
    logits, inner, basis = model(), groups.inner_vectors(model, group), groups.fourier_basis(n)
    loss, accuracy = groups.table_loss(logits, group.table)
    along = (logits.unflatten(2, (2, n)) @ basis.T).square()  # [x, y, half, component of z]
    forbidden = group.forbidden.unflatten(2, (2, n))[..., :1]
    rows = []
    for name, part in groups.census(model, group).items():
        if name != "sign" and part["loss_without"] >= 1.1 * loss:
            k = int(name.rstrip("+-"))
            power = along[..., 2 * k - 1 : 2 * k + 1]
            share = ((power * forbidden).sum() / power.sum()).item()
            row = {"irrep": name, "forbidden_share": share, "inner_share": inner[name][1], "accuracy": accuracy}
            rows.append(row | {"waves": (power.sum() / along[..., 1:].sum()).item()})
    return rows
