"""The transformer of notebook 2 by two optimisers at two recipes: what is read off the weights, and what it does.

Same text, tokenizer, steps and noise. Recipe "first": learning rate and weight decay as chosen for Muon in the first
edition. "best": each optimiser's best of the settings in checkpoints/tinystories/README.md, which is one for both.
A run trains for an hour on one thread: the best ones of seed 0 are the released checkpoints, others are kept under
build/weights/, where the training resumes and leaves them.

Held, as the mean over ten verbs of the change of log p(verb) right before it, is what the MLP reads along the strongest
eigenvector (own), the two factors of both ends (topic, gate), both ends together (both), the direction between the
means before this verb and before the others, taken on every other story and held in the rest, both ways (fitted), and
of the 64 largest principal components the one that lowers the verb most (components). _often: over the verbs said 100
times or more. _spill: the mean |change| of the nine others.
"""

import json
import subprocess
import sys

import torch

from paper_utils import data, transformer
from paper_utils.files import ROOT, digest

GRID = {"optimiser": ("AdamW", "Muon"), "recipe": ("first", "best"), "seed": (0, 1)}
RECIPES = {"first": ("0.008", "0.5"), "best": ("0.016", "0.25")}  # learning rate and weight decay
RELEASED = {"AdamW": transformer.RELEASED, "Muon": transformer.RELEASED.with_name("tinystories_muon")}
VERBS = ["swim", "run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]
SWIMMING = "swim swimming swam water pool sea ocean lake river pond beach boat ship fish shark whale dolphin duck frog "
SWIMMING += "turtle crab shell sand wave waves splash splashed wet dive float island"


def LOAD() -> data.Stories:
    return data.load_stories("validation")


def auc(score: torch.Tensor, positive: torch.Tensor) -> float:
    """How often a score is higher at a positive position than at a negative one, 0.5 by chance."""
    n = positive.sum().item()
    ranks = score.argsort().argsort().double()[positive].sum().item()
    return (ranks - n * (n - 1) / 2) / (n * (len(score) - n))


def run(stories: data.Stories, optimiser: str, recipe: str, seed: int) -> dict[str, float | str]:
    """Loss; spectrum of swim against nine verbs; its words and those of 400 other words; ten verbs' interventions."""
    folder = ROOT / "build" / "weights" / f"tinystories-{optimiser}-{recipe}-{seed}"
    if recipe == "best" and seed == 0:
        folder = RELEASED[optimiser]
    if not (folder / "config.json").exists():
        how = ["--muon" if optimiser == "Muon" else "--no-muon", "--seed", str(seed), "--threads", "1"]
        how += ["--lr", RECIPES[recipe][0], "--weight-decay", RECIPES[recipe][1], "--output", folder]
        subprocess.run([sys.executable, "-m", "checkpoints.tinystories.train", *how], cwd=ROOT, check=True)
    net = transformer.BilinearTransformer.from_pretrained(folder)
    encoded = net.encode(stories.texts)
    x = transformer.mlp_inputs(net, encoded)
    upcoming = torch.tensor([token for ids in encoded for token in (*ids[1:], transformer.EOS)])
    before = upcoming[:, None] == torch.tensor(net.token_ids(VERBS))
    at, mean = before.any(1), x.mean(0)
    contrasts = [transformer.output_direction(net, verb, [v for v in VERBS if v != verb]) for verb in VERBS]
    counts = torch.tensor(json.loads((folder / "token_counts.json").read_text()))
    listed, tokens = set(net.token_ids(SWIMMING.split())), net.vocabulary
    skipped = listed.union(net.token_ids(VERBS))
    words = [i for i in counts.argsort(descending=True).tolist() if tokens[i].isalpha() and i not in skipped]
    strongest = torch.stack([transformer.strongest_eigenvector(net, d) for d in contrasts], dim=1)
    others = torch.stack([transformer.strongest_eigenvector(net, net.w_u[i]) for i in words[:400]], dim=1)

    def held(vectors: torch.Tensor) -> torch.Tensor:  # [vector verb]: the mean change of log p(verb) right before it
        levels = torch.tensordot(mean, vectors, 1)
        changes = transformer.changes_by_holding(net, x[at], upcoming[at], vectors, levels)
        return changes @ before[at].float() / before.sum(0)

    effects, null = held(strongest), held(others[:, ::7]).quantile(0.05, dim=0)
    own, elsewhere = effects.diagonal().mean(), effects[~torch.eye(len(VERBS), dtype=bool)].mean()
    detection = []  # by the linear and by the quadratic part of lambda (v . x)^2 around the mean of v . x
    for v, d, positive in zip(strongest.T, contrasts, before[at].T, strict=True):
        rest, sign = x[at] @ v - mean @ v, (v @ net.interaction(d) @ v).sign()
        detection.append([auc(part * sign, positive) for part in ((mean @ v) * rest, rest.square())])
    linear, quadratic = torch.tensor(detection).mean(0)
    factors = []  # of the form of both ends, (a . x)(b . x), the one that varies around 0, and the one that does not
    for d in contrasts:
        values, vectors = torch.linalg.eigh(net.interaction(d))
        plus, minus = values[-1].sqrt() * vectors[:, -1], (-values[0]).sqrt() * vectors[:, 0]
        both = torch.nn.functional.normalize(torch.stack([plus + minus, plus - minus], dim=1), dim=0)
        projections = x @ both
        factors.append(both[:, (projections.mean(0).abs() / projections.std(0)).argsort()])
    topics, gates = torch.stack(factors, dim=1).unbind(2)
    apart = ~torch.eye(len(VERBS), dtype=bool)
    topic, gate = held(topics), held(gates)
    ends = [torch.linalg.eigh(net.interaction(d))[1][:, [0, -1]] for d in contrasts]
    both_ends = held(torch.stack(ends, dim=1)).diagonal()
    components = held(torch.linalg.eigh(torch.cov(x.T))[1][:, -64:])
    odd, fitted = torch.cat([torch.full((len(ids),), i % 2) for i, ids in enumerate(encoded)]), 0
    for half in (0, 1):
        fit, there = at & (odd == half), at & (odd != half)
        differences = [x[fit & verb].mean(0) - x[fit & ~verb].mean(0) for verb in before.T]
        units = torch.nn.functional.normalize(torch.stack(differences, dim=1), dim=0)
        changes = transformer.changes_by_holding(net, x[there], upcoming[there], units, mean @ units)
        fitted += changes @ before[there].float() / before.sum(0)
    often = before.sum(0) >= 100  # five of the verbs: enough positions to fit a direction to
    common = (counts >= 50).nonzero().flatten()
    paths = transformer.virtual_tokens(net)[:, :, common]
    columns = [i for i, token in enumerate(common.tolist()) if token in listed]
    values = torch.linalg.eigvalsh(net.interaction(contrasts[0]))
    found = {
        "nats": transformer.evaluate(net, encoded),
        "lowest": values[0],
        "highest": values[-1],
        "participation": values.abs().sum() ** 2 / values.square().sum(),
        "words": transformer.list_scores(strongest[:, :1], paths, columns).abs().max(),
        "words_null": transformer.list_scores(others, paths, columns).abs().amax(0).quantile(0.95),
        "own": own,
        "own_null": null.mean(),
        "others": elsewhere,
        "spill": (elsewhere / own).abs(),
        "topic": topic.diagonal().mean(),
        "gate": gate.diagonal().mean(),
        "gate_share": (gate.diagonal().mean() / topic.diagonal().mean()).abs(),
        "both": both_ends.mean(),
        "components": components.amin(0).mean(),
        "fitted": fitted.diagonal().mean(),
        "topic_often": topic.diagonal()[often].mean(),
        "fitted_often": fitted.diagonal()[often].mean(),
        "topic_spill": topic[apart].abs().mean(),
        "fitted_spill": fitted[apart].abs().mean(),
        "topics_alike": (topics.T @ topics)[apart].abs().mean(),
        "gates_alike": (gates.T @ gates)[apart].abs().mean(),
        "auc_linear": linear,
        "auc_quadratic": quadratic,
        "verbs": (effects.diagonal() < null).sum(),
        **{f"own_{verb}": effect for verb, effect in zip(VERBS, effects.diagonal(), strict=True)},
    }
    weights = {"weights": digest(folder / "model.safetensors")}  # of the released ones the notebook compares it
    return {name: round(float(value), 4) for name, value in found.items()} | weights
