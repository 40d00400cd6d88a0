"""Smaller dihedral groups in place of D_53, five runs each, by notebook 4's recipe for small groups.

Width 64, learning rate 0.01, decay 1, 3,000 epochs: seconds in place of the hour that a D_53 takes. 17 and 31 are as
prime as 53; 12 is even, so that r^6 commutes with everything and two more irreps have one dimension. The accuracy is
that of all pairs, a tenth of which are not trained on. A representation is key where holding its neurons at their
means multiplies the loss by 1.1 or more; the inner share is the lowest of those of two dimensions.
"""

from paper_utils import groups

GRID = {"n": (12, 17, 31), "seed": range(5)}
LOAD = None


def run(n: int, seed: int, device: str = "cpu") -> dict[str, float | str]:
    group = groups.DihedralGroup(n)
    model = groups.GroupMLP(group.order, 64, 64, seed).to(device)
    recipe = groups.GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=3000, log_every=3000, seed=seed)
    last = {name: values[-1] for name, values in groups.train(model, group, recipe).items()}
    found, inner = groups.census(model.double(), group), groups.inner_vectors(model, group)
    key = [name for name, part in found.items() if part["loss_without"] >= 1.1 * last["loss"]]
    return {
        "accuracy": last["accuracy"],
        "key": len(key),
        "sign_neurons": found.get("sign", {"neurons": 0})["neurons"],
        "inner_share": min(share for name, (vector, share) in inner.items() if name in key and len(vector) == 2),
        "forbidden_share": last["forbidden_share"],
        "ablation_factor": last["loss"] / last["ablated_loss"],
        "key_irreps": " ".join(key),
    }
