"""What longer training changes: the frontiers with four times the epochs, and the original recipe at its default L1.

The frontiers (03_mnist_sae) train for four epochs and halve the learning rate after each. Here each kind has the same
schedule stretched to sixteen, at one of their strengths. The original recipe, on its own schedule, has a tenth of its
L1, which is the default of the original's class, for 56 epochs, where the original's log ends: are 147 features live
then? Everything varies with the seed, as in the frontiers.

A row is one training after one epoch. On the 60,000 training images: `live` counts features that at least one fires,
`above_1_percent` those that 600 fire. All others are measured at the end: on the test images what the reconstruction
loses, and as many principal components as L0 says; of the directions of live features the share with an antipodal
partner (cosine below -0.9); on the training images what the best feature, the best neuron and the median of 1,000
random directions tell about the digit (bits).
"""

import importlib

import torch
from torch.nn import functional as F

from paper_utils import data, sae

frontiers = importlib.import_module("sweeps.03_mnist_sae")

PARTS = {  # kinds with their strengths (the L1 weight, or k); epochs; the learning rate's step and decay
    "four times as long": ((("published", 3e-3), ("corrected", 3e-3), ("topk", 16), ("batchtopk", 16)), 16, 4, 0.5),
    "L1 x 1/10": ((("published", 3e-4),), 56, 10, 0.99),
}
GRID = {"seed": [10, 11], "part": list(PARTS)}  # none of the notebook's own seeds
LOAD = data.load_mnist
MARKS = (1, 6, 11, 16, 31, 56, 100, 200)


def run(images: data.Images, seed: int, part: str, device: str = "cpu") -> list[dict[str, float | str]]:
    """Train a classifier and the part's autoencoders on its activations; a row for each of MARKS that is reached."""
    kinds, epochs, lr_step, lr_decay = PARTS[part]
    classifier = sae.Classifier(seed=seed).to(device)
    sae.train_classifier(classifier, images, seed)
    x, order = sae.activations_of(classifier, images, seed)
    classifier, h, labels, rows = classifier.cpu().requires_grad_(False), x.cpu(), images.train_y[order.cpu()], []
    mean, basis, sizes = h.mean(0), frontiers.subspace("principal components", h, seed), torch.bincount(labels)
    some = torch.randn(h.shape[1], 1000, generator=torch.Generator().manual_seed(seed))
    tables = [(on.float().T @ F.one_hot(labels).float()).long() for on in (h > 0, (h - mean) @ some > 0)]
    neurons, at_random = (sae.mutual_information(table, sizes) for table in tables)
    for kind, strength in kinds:
        by_k = sae.KINDS[kind].by_k
        model = sae.SparseAutoencoder(kind=kind, seed=seed, **({"k": strength} if by_k else {})).to(device)
        config = sae.SAEConfig(epochs=epochs, l1=0.0 if by_k else strength, lr_step=lr_step, lr_decay=lr_decay)
        history = sae.train_sae(model, x, config, MARKS)
        model = model.cpu().requires_grad_(False)
        l0 = sae.firing_counts(model, classifier.activations(images.test_x)).sum().item() / len(images.test_x)
        kept = basis[:, : max(1, round(l0))]
        final = {"l0": l0}
        for name, edit in (("", model), ("components_", lambda a, kept=kept: mean + (a - mean) @ kept @ kept.T)):
            found = sae.evaluate(edit, classifier, images.test_x, images.test_y)
            final[f"{name}unexplained"] = 1 - found["variance_explained"]
            final[f"{name}loss_added"] = found["loss_added"]
        by_label = sae.label_counts(model, h, labels)
        live = F.normalize(model.w_dec[by_label.sum(1) > 0], dim=1)
        final["antipodal"] = ((live @ live.T).amin(1) < -0.9).float().mean().item() if len(live) else 0.0
        final["best_bits"] = sae.mutual_information(by_label, sizes).max().item()
        final |= {"neuron_bits": neurons.max().item(), "random_bits": at_random.median().item()}
        for epoch, counts in zip(MARKS, history["counts"], strict=False):
            counts = torch.tensor(counts)
            row = {"kind": kind, "strength": strength, "epoch": epoch, "live": counts.count_nonzero().item()}
            row["above_1_percent"] = (counts > len(x) // 100).sum().item()
            row |= {term: history[term][epoch - 1] for term in ("reconstruction", "l0")}
            row |= {"l1": history["l1"][epoch - 1] if "l1" in history else 0.0}
            rows.append(row | {f"final_{name}": value for name, value in final.items()})
    return rows
