"""Which representation wins: is it decided by the initial weights, or by the choice of training pairs?

D_31 by notebook 4's recipe for small groups, from each of three initial networks with each of three sets of training
pairs. A row names the representation that each of the 64 neurons ends on.
"""

from paper_utils import groups

GRID = {"weights": range(3), "pairs": range(3)}
LOAD = None


def run(weights: int, pairs: int, device: str = "cpu") -> dict[str, str]:
    group = groups.DihedralGroup(31)
    model = groups.GroupMLP(group.order, 64, 64, weights).to(device)
    recipe = groups.GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000, seed=pairs)
    groups.train(model, group, recipe)
    hidden = model.cpu().run_with_cache(names_filter="hidden")[1]["hidden"].detach()
    return {"neurons": " ".join(groups.neuron_irreps(hidden, group)[0])}
