"""Frontiers: how much of the activations and of the classifier each kind of autoencoder keeps at how many features.

Four kinds at four strengths (the L1 weight, or k), all on the same schedule of four epochs, the learning rate halved
after each; the notebook draws its own long trainings on the same axes. Three subspaces of k dimensions stand beside
them, which need no training: the largest principal components, the neurons of largest variance, random directions.
Everything varies with the seed: classifier, order of the images, autoencoder. Measured on the 10,000 test images; on
the 60,000 training images, `live` counts features that at least one fires, and `best_bits` is the most that the firing
of one feature (the sign of one coordinate) tells about the digit.
"""

import torch
from torch.nn import functional as F

from paper_utils import data, sae

L1, K, DIMENSIONS = (3e-4, 1e-3, 3e-3, 1e-2), (4, 8, 16, 32), (2, 4, 8, 12, 16, 24, 32, 48, 64)
TRAINED = {"published": L1, "corrected": L1, "topk": K, "batchtopk": K}
STRENGTHS = TRAINED | dict.fromkeys(["principal components", "neurons", "random directions"], DIMENSIONS)
GRID = {"seed": range(10, 13), "kind": list(STRENGTHS)}  # none of the notebook's own seeds
LOAD = data.load_mnist
EPOCHS = 4


def subspace(kind: str, x: torch.Tensor, seed: int) -> torch.Tensor:
    """Orthonormal directions [hidden, hidden] of activations x, as columns, the first ones first to be kept."""
    if kind == "neurons":
        return torch.eye(x.shape[1])[:, x.var(0).argsort(descending=True)]
    if kind == "random directions":
        return torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=torch.Generator().manual_seed(seed))).Q
    return torch.linalg.eigh(torch.cov(x.T)).eigenvectors.flip(1)


def autoencoder(kind: str, strength: float, x: torch.Tensor, seed: int) -> sae.SparseAutoencoder:
    """One trained on activations x."""
    by_k = sae.KINDS[kind].by_k
    model = sae.SparseAutoencoder(kind=kind, seed=seed, **({"k": strength} if by_k else {})).to(x.device)
    config = sae.SAEConfig(epochs=EPOCHS, l1=0.0 if by_k else strength, lr_step=1, lr_decay=0.5)
    sae.train_sae(model, x, config)
    return model.cpu().requires_grad_(False)


def best_bits(fires: torch.Tensor, labels: torch.Tensor) -> float:
    """The largest mutual information of a column of `fires` with the labels."""
    counts = fires.float().T @ F.one_hot(labels, 10).float()
    return sae.mutual_information(counts.long(), torch.bincount(labels, minlength=10)).max().item()


def run(images: data.Images, seed: int, kind: str, device: str = "cpu") -> list[dict[str, float]]:
    """Train a classifier and an autoencoder of each strength on its activations; what the docstring above names."""
    classifier = sae.Classifier(seed=seed).to(device)
    sae.train_classifier(classifier, images, seed)
    x, order = sae.activations_of(classifier, images, seed)
    classifier, labels, rows = classifier.cpu().requires_grad_(False), images.train_y[order.cpu()], []
    for strength in STRENGTHS[kind]:
        if kind in TRAINED:
            model = autoencoder(kind, strength, x, seed)
            counts = sae.firing_counts(model, classifier.activations(images.test_x))
            sizes = {"l0": counts.sum().item() / len(images.test_x)}
            by_label = sae.label_counts(model, x.cpu(), labels)
            sizes["live"] = by_label.sum(1).count_nonzero().item()
            told = sae.mutual_information(by_label, torch.bincount(labels, minlength=10)).max().item()
        else:
            mean, basis = x.cpu().mean(0), subspace(kind, x.cpu(), seed)[:, :strength]
            model = lambda h, mean=mean, basis=basis: mean + (h - mean) @ basis @ basis.T  # noqa: E731
            sizes = {"l0": strength, "live": strength}
            told = best_bits((x.cpu() if kind == "neurons" else x.cpu() - mean) @ basis > 0, labels)
        found = sae.evaluate(model, classifier, images.test_x, images.test_y)
        rows.append({"strength": strength, **sizes, "best_bits": told, **found})
    return rows
