"""The first steps of every training on data made from integers, and each decomposition: what tests of bits compare.

As a script it fixes the instruction set, as exact mode does, and prints a hash for each line: the bits of a processor.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator

if __name__ == "__main__":  # before torch and numpy are loaded
    os.environ.update({"PAPER_NUMERICS": "exact", "PAPER_PROGRESS": os.devnull})
    import paper_utils  # noqa: F401

import numpy as np
import torch
from torch import Tensor

from paper_utils import bilinear, groups, numerics, sae, training, transformer
from paper_utils import superposition as sp
from paper_utils.data import Images


def integers(seed: int, *shape: int) -> Tensor:
    """Pixels in 0..1 that are the same on every machine."""
    return torch.tensor(np.random.default_rng(seed).integers(0, 256, shape) / 255, dtype=torch.float32)


def images() -> Images:
    return Images(integers(0, 200, 784), torch.arange(200) % 10, integers(1, 50, 784), torch.arange(50) % 10, "x", {})


def trainings() -> Iterator[tuple[str, list[Tensor]]]:
    """The name of each training and its weights after the first steps, with what is measured on the way."""
    data = images()
    model = bilinear.BilinearMLP(bilinear.BilinearConfig(), 0)
    bilinear.train(model, data, bilinear.BilinearRecipe(warmup=0, decay=1, constant=0), 0)
    yield "bilinear.train", list(model.parameters())
    classifier = sae.Classifier(seed=0)
    sae.train_classifier(classifier, data, 0, epochs=1)
    yield "sae.train_classifier", list(classifier.parameters())
    x = sae.activations_of(classifier, data, 0)[0]
    for kind in sae.KINDS:
        autoencoder = sae.SparseAutoencoder(n_features=256, kind=kind, seed=0, k=8)
        sae.train_sae(autoencoder, x, sae.SAEConfig(epochs=1, lr=1e-4))
        yield f"sae.train_sae, {kind}", [*autoencoder.parameters(), autoencoder.threshold]
    net, plane = sp.FeatureNet(), sp.PlaneAutoencoder()
    sp.train_feature_net(net, data, sp.FeatureConfig(epochs=1), 0)
    yield "superposition.train_feature_net", list(net.parameters())
    history = sp.train_plane(plane, data, sp.PlaneConfig(epochs=1), 0, net)
    yield "superposition.train_plane", [*plane.parameters(), *(torch.tensor(history[k]) for k in ("rise", "direction"))]
    toy = sp.ToyModel(5, 2, 3, 0)
    sp.train_toy(toy, sp.SparseSource((0.0, 0.7, 0.99), 5), torch.ones(5), sp.ToyConfig(10, 64), 0)
    yield "superposition.train_toy", list(toy.parameters())
    group = groups.DihedralGroup(12)
    mlp = groups.GroupMLP(group.order, 64, 64, 0)
    groups.train(mlp, group, groups.GroupTraining(learning_rate=1e-2, weight_decay=1.0, epochs=5, log_every=5))
    yield "groups.train", list(mlp.parameters())
    language = transformer.BilinearTransformer(transformer.TransformerConfig(1, 64, 96, 4, 32, 200), seed=0)
    ids = torch.arange(320).reshape(10, 32) * 7 % 200
    optimizer = torch.optim.AdamW(language.parameters(), lr=1e-2, fused=True)
    with training.seeded(0):  # for the noise
        for _ in range(3):
            optimizer.zero_grad()
            (transformer.summed_loss(language, ids.tolist()) / ids.numel()).backward()
            optimizer.step()
    yield "transformer, by AdamW", list(language.parameters())


def decompositions() -> Iterator[tuple[str, list[Tensor]]]:
    """The name of each decomposition and function that the analyses use, and its values on pictures of integers."""
    x, model = integers(2, 150, 128) - 0.5, bilinear.BilinearMLP(bilinear.BilinearConfig(784, 60), 0)
    q = bilinear.interaction_tensor(model.w_u, model.w_l[0], model.w_r[0]).detach()
    yield "eigh", list(bilinear.eigendecompose(q))
    yield "eigh in pixels", list(bilinear.pixel_eigendecompose(q, model.w_e.detach()))
    yield "eigvalsh", [torch.linalg.eigvalsh(q), torch.linalg.eigvalsh(q.double())]
    yield "svd", list(torch.linalg.svd(x))
    yield "qr", list(torch.linalg.qr(x))
    yield "covariance", [torch.cov(x.T), x.var(0), x.std(0), x.norm(dim=1)]
    yield (
        "functions",
        [f(x.to(kind)) for kind in (torch.float, torch.double) for f in (torch.exp, torch.tanh, torch.sin)],
    )
    yield "softmax", [x.softmax(1), x.log_softmax(1), (x.abs() + 1).log(), x.sigmoid()]
    yield "square roots", [x.abs().double().sqrt().float()]  # x.sqrt() differs: numerics.py says why
    yield "quantiles", [x.quantile(0.3), x.median(), x.cumsum(0)]
    yield "numpy", [torch.tensor(f(np.abs(x.numpy()) + 1)) for f in (np.exp, np.log, np.sqrt, np.sum)]
    yield "numpy's eigvalsh", [torch.tensor(np.linalg.eigvalsh(x.numpy().T @ x.numpy()))]
    yield "Fourier transform", [groups.fourier_2d(x[:24, :24, None].double(), 12)]


def sha(tensors: list[Tensor]) -> str:
    return hashlib.sha256(b"".join(t.detach().contiguous().numpy().tobytes() for t in tensors)).hexdigest()[:16]


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {name: sha(tensors) for part in (trainings, decompositions) for name, tensors in part()}
    json.dump({"numerics": numerics.mode(), **found}, sys.stdout, indent=1)
