"""The census on groups that are not dihedral: S_4, the smallest with an irrep of three dimensions, and the cyclic C_31.

Five runs each by notebook 4's recipe for small groups; a row for each representation that some neuron lives on.
"""

from paper_utils import groups

GRID = {"group": ("S_4", "C_31"), "seed": range(5)}
LOAD = None


def run(group: str, seed: int, device: str = "cpu") -> list[dict[str, float | str]]:
    of = {"S_4": groups.SymmetricGroup(4), "C_31": groups.CyclicGroup(31)}[group]
    model = groups.GroupMLP(of.order, 64, 64, seed).to(device)
    recipe = groups.GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000, seed=seed)
    last = {name: values[-1] for name, values in groups.train(model, of, recipe).items()}
    inner = groups.inner_vectors(model, of)
    shared = {name: last[name] for name in ("loss", "accuracy", "test_accuracy", "forbidden_share", "ablated_loss")}
    found = groups.census(model.double(), of).items()
    return [{"irrep": name, **part, "inner_share": inner[name][1], **shared} for name, part in found]
