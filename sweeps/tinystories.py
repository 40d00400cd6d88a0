"""The transformer of notebook 2 by two optimisers at two recipes: an hour a run on one thread."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from checkpoints.tinystories.train import CONFIG, VERSION, PretrainingRecipe, token_counts
from checkpoints.tinystories.train import train as train_on
from paper_utils import data, training, transformer
from paper_utils.files import digest, read_json
from paper_utils.spectra import effective_rank
from paper_utils.transformer import SWIMMING, VERBS, BilinearTransformer
from sweeps import Sweep

RATES = {"first": (0.008, 0.5), "best": (0.016, 0.25)}  # of each recipe: learning rate and weight decay
RELEASED = {"AdamW": transformer.RELEASED, "Muon": transformer.RELEASED.with_name("tinystories_muon")}


@dataclass(frozen=True)
class Texts:
    """Both parts of TinyStories."""

    train: data.Stories
    validation: data.Stories

    source = property(lambda self: self.validation.source)
    files = property(lambda self: self.train.files | self.validation.files)


def load() -> Texts:
    return Texts(data.load_stories("train"), data.load_stories("validation"))


def build(optimiser: str, recipe: str, seed: int) -> BilinearTransformer:
    return BilinearTransformer(CONFIG, seed)


def train(model: BilinearTransformer, texts: Texts, optimiser: str, recipe: str, seed: int) -> training.History:
    """Train in place, or take the released weights if their card names this training; round to half precision."""
    lr, decay = RATES[recipe]
    how = PretrainingRecipe(lr=lr, weight_decay=decay, muon=optimiser == "Muon", seed=seed, bf16=True)
    history = released(model, texts, how) or train_on(model, vars(texts), how)
    for parameter in model.parameters():  # as all are saved and released
        parameter.data = parameter.data.half().float()
    return {**history, "tokenizer": [model.tokenizer.to_str()]}


def released(model: BilinearTransformer, texts: Texts, recipe: PretrainingRecipe) -> training.History | None:
    """Load the released weights whose card names this training, and return its curves; else return None.

    The card must agree in config, recipe and data, and in the version of the training code, which a change that moves
    the weights raises.
    """
    folder = RELEASED["Muon" if recipe.muon else "AdamW"]
    card = read_json(folder / "card.json")
    asked = {"config": asdict(model.config), "recipe": asdict(recipe), "version": VERSION}
    asked["data"] = {split: {"stories": len(part.texts), **part.files} for split, part in vars(texts).items()}
    if any(card.get(name) != value for name, value in asked.items()):
        return None
    found = BilinearTransformer.from_pretrained(folder)
    model.load_state_dict(found.state_dict())
    model.tokenizer = found.tokenizer
    return card["curves"]


@training.one_thread
def measure(net: BilinearTransformer, history: training.History, texts: Texts, **point: object) -> dict:
    """Measure loss; spectrum of swim against nine verbs; its words and those of 400 others; ten verbs' effects."""
    net.tokenizer = Tokenizer.from_str(*history["tokenizer"])
    encoded, counts = net.encode(texts.validation.texts), token_counts(net, texts.train)
    x = transformer.mlp_inputs(net, encoded)
    upcoming = torch.tensor([token for ids in encoded for token in (*ids[1:], transformer.EOS)])
    before = upcoming[:, None] == torch.tensor(net.token_ids(VERBS))
    odd = torch.cat([torch.full((len(ids),), i % 2 == 1) for i, ids in enumerate(encoded)])
    at, mean = before.any(1), x.mean(0)
    here = x[at], upcoming[at], before[at]
    contrasts = [transformer.output_direction(net, verb, [v for v in VERBS if v != verb]) for verb in VERBS]
    listed, tokens = set(net.token_ids(SWIMMING.split())), net.vocabulary
    skipped = listed.union(net.token_ids(VERBS))
    words = [i for i in counts.argsort(descending=True).tolist() if tokens[i].isalpha() and i not in skipped]
    strongest = torch.stack([transformer.strongest_eigenvector(net, d) for d in contrasts], dim=1)
    others = torch.stack([transformer.strongest_eigenvector(net, net.w_u[i]) for i in words[:400]], dim=1)

    def held(vectors: torch.Tensor) -> torch.Tensor:  # [vector verb]
        return transformer.effects_of_holding(net, *here, vectors, mean)

    effects, null = held(strongest), held(others[:, ::7]).quantile(0.05, dim=0)
    apart = ~torch.eye(len(VERBS), dtype=bool)
    own, elsewhere = effects.diagonal().mean(), effects[apart].mean()
    detection = []  # by the linear and by the quadratic part of lambda (v . x)^2 around the mean of v . x
    for v, d, positive in zip(strongest.T, contrasts, before[at].T, strict=True):
        rest, sign = x[at] @ v - mean @ v, (v @ net.interaction(d) @ v).sign()
        detection.append([transformer.auc(part * sign, positive) for part in ((mean @ v) * rest, rest.square())])
    linear, quadratic = torch.tensor(detection).mean(0)
    topics, gates = torch.stack([transformer.topic_and_gate(net, d, x) for d in contrasts], dim=1).unbind(2)
    topic, gate = held(topics), held(gates)
    ends = [torch.linalg.eigh(net.interaction(d))[1][:, [0, -1]] for d in contrasts]
    both_ends = held(torch.stack(ends, dim=1)).diagonal()
    components = held(torch.linalg.eigh(torch.cov(x.T))[1][:, -64:])
    fitted = transformer.effects_of_fitted(net, *here, odd[at], mean)
    often = before.sum(0) >= 100  # five of the verbs: enough positions to fit a direction to
    common = (counts >= 50).nonzero().flatten()
    paths = transformer.virtual_tokens(net)[:, :, common]
    columns = [i for i, token in enumerate(common.tolist()) if token in listed]
    values = torch.linalg.eigvalsh(net.interaction(contrasts[0]))
    found = {
        "nats": transformer.evaluate(net, encoded),
        "lowest": values[0],
        "highest": values[-1],
        "participation": effective_rank(values),
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
    with tempfile.TemporaryDirectory() as folder:  # the weights' file, for the notebook, which compares the released
        net.save_pretrained(Path(folder), torch.float16)
        weights = {"weights": digest(Path(folder) / "model.safetensors")}
    return {name: round(float(value), 4) for name, value in found.items()} | weights


OPTIMISERS = Sweep(
    name="02_tinystories",
    why="""
    The transformer of notebook 2 by two optimisers at two recipes: what is read off the weights, and what it does.
    Same text, tokenizer, steps and noise. Recipe "first": learning rate and weight decay as chosen for Muon in the
    first edition. "best": each optimiser's best of the settings in checkpoints/tinystories/README.md, which is one for
    both. An interrupted run goes on where it was. The best ones of seed 0 are the released checkpoints, as long as
    their cards name this training, its data and the version of its code.
    Held, as the mean over ten verbs of the change of log p(verb) right before it, is what the MLP reads along the
    strongest eigenvector (own), the two factors of both ends (topic, gate), both ends together (both), the direction
    between the means before this verb and before the others, taken on every other story and held in the rest, both
    ways (fitted), and of the 64 largest principal components the one that lowers the verb most (components). _often:
    over the verbs said 100 times or more. _spill: the mean |change| of the nine others.
    """,
    version=VERSION,
    grid={"optimiser": ("AdamW", "Muon"), "recipe": ("first", "best"), "seed": (0, 1)},
    build=build,
    train=train,
    measure=measure,
    load=load,
)
