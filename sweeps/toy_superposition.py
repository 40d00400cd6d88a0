"""Trainings around notebook 5: its two models from other seeds, and toy models by the hundred."""

import statistics
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from paper_utils import data, sae, training
from paper_utils import superposition as sp
from sweeps import Sweep

# ---- The two models of the original notebook


def pair(seed: int) -> nn.ModuleList:
    """Build classifier and autoencoder."""
    return nn.ModuleList([sp.FeatureNet(seed=seed), sp.PlaneAutoencoder(seed=seed)])


def train_pair(models: nn.ModuleList, images: data.Images, seed: int) -> training.History:
    """Train both; return what the measures need of the autoencoder's history."""
    net, plane = models
    sp.train_feature_net(net, images, sp.FeatureConfig(epochs=3), seed)
    history = sp.train_plane(plane, images, sp.PlaneConfig(), seed, net)
    return {
        "last_batch": history["step_loss"][-1],
        **{name: history[name][-1] for name in ("mse", "rise", "direction")},
    }


def measure_pair(models: nn.ModuleList, history: training.History, images: data.Images, seed: int) -> dict[str, float]:
    """Measure what the first sweep's `why` names."""
    net, plane = models
    importance = sp.scaled_importance(torch.tensor(history["rise"]))
    generator = torch.Generator().manual_seed(seed)
    random = [torch.randn(len(importance), 2, generator=generator) for _ in range(2_000)]
    measured, columns, *chance = (
        sp.gathered_share(directions, importance, 2)
        for directions in (torch.tensor(history["direction"]), plane.encoder.weight.T, *random)
    )
    mean_only = net.features(images.train_x).var(0, correction=0).mean().item()
    return {
        "explained": 1 - history["mse"] / mean_only,
        "last_batch": history["last_batch"],
        "gathered_two": measured,
        "columns_above_random": columns - statistics.fmean(chance),
        **sp.weight_measures(plane, importance),
    }


PAIRS = Sweep(
    name="05_toy_superposition",
    why="""The two models of notebook 5 from other seeds: what belongs to the method, what to one run? The classifier
    takes 3 of its 10 epochs, which give features of the same kind, and the autoencoder its full 20. Gathered is the
    share of the importance within 15 degrees of the best two rays: for the measured directions, and for the encoder's
    columns less random angles.""",
    version=1,
    grid={"seed": range(10, 15)},  # none of the notebook's own
    build=pair,
    train=train_pair,
    measure=measure_pair,
    load=data.load_mnist,
)

# ---- Which figures do five features form?

GEOMETRY_MODELS, LONG = 100, 20_000


def asked(sparsity: float, steps: int) -> bool:
    """Tell whether a point is trained: longer than LONG only where features are rare, which is the question there."""
    return steps <= LONG or sparsity >= 0.9


def five_features(decay: float, sparsity: float, steps: int) -> nn.Module:
    """Build a hundred models, or nothing where nothing is asked."""
    return sp.ToyModel(5, 2, GEOMETRY_MODELS, seed=1_000) if asked(sparsity, steps) else nn.Identity()


def train_five(toys: nn.Module, decay: float, sparsity: float, steps: int) -> training.History:
    """Train a hundred models at one sparsity with importance decay^i."""
    if not asked(sparsity, steps):
        return {}
    source, importance = sp.SparseSource((sparsity,) * GEOMETRY_MODELS, 5), decay ** torch.arange(5.0)
    return sp.train_toy(toys, source, importance, sp.ToyConfig(steps, 256), seed=1)


def measure_five(
    toys: nn.Module, history: training.History, decay: float, sparsity: float, steps: int
) -> list[dict[str, float | str]]:
    """Return a row for each model: its figure, the error of its angles, and how many features are longer than 0.5."""
    rows = []
    for model, w in enumerate(toys.w if asked(sparsity, steps) else ()):
        error = min(sp.angle_errors(w).values(), default=180.0)
        kept = int((w.norm(dim=0) > 0.5).sum())
        rows.append({"model": model, "geometry": sp.geometry(w), "error": round(error, 2), "kept": kept})
    return rows


GEOMETRY = Sweep(
    name="05_toy_superposition_geometry",
    why="""Which figures do five features form in a plane? A hundred toy models for each sparsity and kind of
    importance, from the same weights for 3,000 steps, for 20,000 and, where features are rare, for 60,000: where two
    schedules differ, the shorter one is not enough. "error" is the largest error of an angle, in degrees, from the
    figure that fits best (180 where no figure has as many features).""",
    version=1,
    grid={
        "decay": (0.9, 1.0),
        "sparsity": (0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999),
        "steps": (3_000, LONG, 60_000),
    },
    build=five_features,
    train=train_five,
    measure=measure_five,
)

# ---- When is a feature given a dimension of its own?

IMPORTANCES, PHASE_MODELS = tuple(round(10 ** (k / 6 - 1), 4) for k in range(13)), 10
PHASE_CONFIG = sp.ToyConfig(4_000, 512)


def two_features(density: float) -> sp.ToyModel:
    """Build ten models for each importance of the second feature."""
    return sp.ToyModel(2, 1, len(IMPORTANCES) * PHASE_MODELS, seed=2_000)


def train_two(toys: sp.ToyModel, density: float, config: sp.ToyConfig = PHASE_CONFIG) -> training.History:
    """Train all models of one density; the history also tells which began with weights of opposite signs."""
    opposite = toys.w.detach()[:, 0].prod(1) < 0
    importance = torch.tensor([[1.0, i] for i in IMPORTANCES]).repeat_interleave(PHASE_MODELS, 0)
    source = sp.SparseSource((1 - density,) * len(importance), 2)
    history = sp.train_toy(toys, source, importance, config, seed=2)
    return {**history, "opposite": opposite.int().tolist()}


def measure_two(toys: sp.ToyModel, history: training.History, density: float) -> list[dict[str, float | str]]:
    """Return a row for each model of each importance: its loss, what the second feature is, how it started."""
    named = {(True, False): "ignored", (True, True): "superposed", (False, True): "own", (False, False): "neither"}
    kept = (toys.w[:, 0].abs() > 0.5).tolist()
    return [
        {
            "importance": IMPORTANCES[k // PHASE_MODELS],
            "model": k % PHASE_MODELS,
            "second": named[tuple(long)],
            "opposite": opposite,
            "loss": round(loss, 7),
        }
        for k, (long, opposite, loss) in enumerate(zip(kept, history["opposite"], history["loss"], strict=True))
    ]


PHASE = Sweep(
    name="05_toy_superposition_phase",
    why="""When is a feature ignored, superposed or given a dimension of its own? Elhage's phase diagram, two features
    in one dimension. The first feature has importance 1, the second one of 13 importances from 0.1 to 10; ten models a
    point. A model whose two weights start with the same sign has to turn one of them round before it can superpose
    both.""",
    version=1,
    grid={"density": tuple(round(10 ** (-k / 6), 4) for k in range(13))},
    build=two_features,
    train=train_two,
    measure=measure_two,
)

# ---- Features per dimension

DENSITIES = tuple(100 ** (-k / 30) for k in range(31))


def forty_features(seed: int) -> sp.ToyModel:
    """Build a model for each density."""
    return sp.ToyModel(40, 10, len(DENSITIES), seed=100 * seed)


def train_forty(toys: sp.ToyModel, seed: int) -> training.History:
    """Train a model for each density, all features equally important."""
    source = sp.SparseSource(tuple(1 - d for d in DENSITIES), 40)
    return sp.train_toy(toys, source, torch.ones(40), sp.ToyConfig(10_000, 512), seed)


def measure_forty(toys: sp.ToyModel, history: training.History, seed: int) -> list[dict[str, float]]:
    """Return a row for each feature of each model: length, dimensionality, least cosine with one longer than 0.5."""
    length, dimension, unit = toys.w.norm(dim=1), sp.dimensionality(toys.w), sp.unit_vectors(toys.w.mT)
    opposite = (unit @ unit.mT).masked_fill((length < 0.5)[:, None, :], 1.0).amin(-1)
    numbers = {"length": length, "d": dimension, "opposite": opposite}
    return [
        {"density": round(density, 5)} | {name: round(values[i, k].item(), 4) for name, values in numbers.items()}
        for i, density in enumerate(DENSITIES)
        for k in range(40)
    ]


DIMENSIONS = Sweep(
    name="05_toy_superposition_dimensions",
    why="""How many features does a dimension hold as features get rarer, and what fraction of one does each feature
    have? Forty features of equal importance in ten dimensions, at 31 sparsities from dense to one active input in 100,
    evenly spaced in the logarithm of 1 / (1 - S), as Elhage and others plot it; five training runs.""",
    version=1,
    grid={"seed": range(10, 15)},  # none of the notebook's own
    build=forty_features,
    train=train_forty,
    measure=measure_forty,
)

# ---- Features that come together, and features that never do

PAIR_MODELS = 30


@dataclass(frozen=True)
class PairSource:
    """Features 2k and 2k + 1 are a pair: one draw for both (correlated), or one of the two at most."""

    kind: str
    pairs: int
    density: float

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        value, alone, chosen = torch.rand(3, batch, self.pairs, 2, generator=generator, device=generator.device)
        together = alone[..., :1].expand_as(alone)
        on = (alone if self.kind == "independent" else together) < self.density
        if self.kind == "anti-correlated":
            first = chosen[..., :1] < 0.5
            on = on & torch.cat([first, ~first], -1)
        return (value * on).reshape(1, batch, -1).expand(PAIR_MODELS, -1, -1)


def features_in_pairs(kind: str, pairs: int, density: float) -> sp.ToyModel:
    """Build thirty models."""
    return sp.ToyModel(2 * pairs, 2, PAIR_MODELS, seed=500)


def train_in_pairs(toys: sp.ToyModel, kind: str, pairs: int, density: float) -> training.History:
    """Train thirty models on features that come in pairs."""
    source = PairSource(kind, pairs, density)
    return sp.train_toy(toys, source, torch.ones(2 * pairs), sp.ToyConfig(4_000, 512), seed=3)


def measure_in_pairs(
    toys: sp.ToyModel, history: training.History, kind: str, pairs: int, density: float
) -> list[dict[str, float]]:
    """Return a row for each model: mean cosine within pairs, kept features, and the share of the squared length of W
    that lies on the difference of a pair's features rather than on their sum (0: only what they share is kept)."""
    w = toys.w.reshape(PAIR_MODELS, 2, pairs, 2)  # [model hidden pair member]
    a, b = w.unbind(-1)
    cosine = torch.cosine_similarity(a, b, dim=1).mean(1)
    apart, common = (a - b).square().sum((1, 2)), (a + b).square().sum((1, 2))
    kept = (w.norm(dim=1) > 0.5).sum((1, 2))
    return [
        {"model": i, "cosine": round(c, 4), "kept": int(k), "difference": round(d, 4)}
        for i, (c, k, d) in enumerate(zip(cosine.tolist(), kept, (apart / (apart + common)).tolist(), strict=True))
    ]


CORRELATED = Sweep(
    name="05_toy_superposition_correlated",
    why="""What do correlations between features change? Two pairs of features in a plane that come together, or never
    do (Elhage and others: correlated features are kept at right angles or side by side, anti-correlated ones
    opposite), and three correlated pairs, which collapse to what the two of a pair have in common where features are
    dense. Thirty models a point.""",
    version=1,
    grid={
        "kind": ("independent", "correlated", "anti-correlated"),
        "pairs": (2, 3),
        "density": (0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0),
    },
    build=features_in_pairs,
    train=train_in_pairs,
    measure=measure_in_pairs,
)

# ---- The bridge to notebook 3

LATENTS, ROWS = 80, 10_000
RECIPE = sae.SAEConfig(epochs=100, batch_size=512, lr=3e-3)


def toy_and_reader(sparsity: float, strength: float, seed: int) -> nn.ModuleList:
    """Build the toy model and the autoencoder that reads its codes."""
    return nn.ModuleList([sp.ToyModel(40, 10, 1, seed), sae.SparseAutoencoder(10, LATENTS, "corrected", seed)])


def toy_codes(toy: sp.ToyModel, sparsity: float, seed: int) -> tuple[Tensor, Tensor, torch.Generator]:
    """Draw inputs and their codes on the CPU, and return the generator that drew them."""
    generator = torch.Generator().manual_seed(seed)
    x = sp.SparseSource((sparsity,), 40)(5 * ROWS, generator)[0]
    x = x[(x > 0).any(1)][:ROWS]  # an input without features has no code to explain
    return x, x @ toy.w.detach().cpu()[0].T, generator


def train_reader(models: nn.ModuleList, sparsity: float, strength: float, seed: int) -> training.History:
    """Train the toy model, then the autoencoder on its codes."""
    toy, model = models
    sp.train_toy(toy, sp.SparseSource((sparsity,), 40), torch.ones(40), sp.ToyConfig(), seed)
    _, codes, _ = toy_codes(toy, sparsity, seed)
    # The strength is for the mean over a batch; SAEConfig's l1 multiplies the sum.
    config = replace(RECIPE, l1=strength / RECIPE.batch_size)
    return {"l0": sae.train_sae(model, codes.to(toy.w.device), config)["l0"][-1]}


def measure_reader(
    models: nn.ModuleList, history: training.History, sparsity: float, strength: float, seed: int
) -> dict[str, float]:
    """Measure how well the autoencoder finds the toy model's features, and how well random directions do."""
    toy, model = models
    x, codes, generator = toy_codes(toy, sparsity, seed)
    known = sp.unit_vectors(toy.w[0].T[toy.w[0].norm(dim=0) > 0.5])

    def cosines(directions: Tensor) -> Tensor:
        return (known @ sp.unit_vectors(directions).T).amax(1)

    alive = sae.firing_counts(model, codes) > 0
    found = cosines(model.w_dec[alive]) if alive.any() else torch.zeros(len(known))
    chance = torch.stack([cosines(torch.randn(LATENTS, 10, generator=generator)).mean() for _ in range(200)])
    return {
        "recovery": found.mean().item(),
        "found": (found > 0.95).float().mean().item(),
        "chance": chance.quantile(0.975).item(),
        "represented": len(known),
        "live": int(alive.sum()),
        "l0": history["l0"],
        "active": (x > 0).sum(1).float().mean().item(),
    }


BRIDGE = Sweep(
    name="05_toy_superposition_bridge",
    why="""Does a sparse autoencoder find features that are known? The bridge from notebook 5 to notebook 3. A toy
    model with forty features in ten dimensions gives codes W x. An autoencoder with 80 latents sees the codes only;
    its mark is the mean, over the features that the toy model represents (longer than 0.5), of the largest cosine
    between the feature's column of W and the direction of a latent that fires. Chance is the mark of 80 random
    directions.""",
    version=1,
    grid={"sparsity": (0.5, 0.7, 0.9, 0.99), "strength": (0.03, 0.1, 0.3), "seed": range(10, 13)},
    build=toy_and_reader,
    train=train_reader,
    measure=measure_reader,
)
