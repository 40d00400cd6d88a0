# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. A one-layer bilinear transformer on TinyStories, read from its weights
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/02_tinystories.ipynb)
#
# **Claim.** TODO
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below.

# %% tags=["parameters"]
MODE = "full"  # "quick" reads 160 stories, with a tenth of the baselines and a sixteenth of the tokens
# of the random directions, and of what is sampled
SEED = 0  # @param {type: "integer"}
# the output token; it is compared with the mean of the others
TOKEN = "swim"  # @param {type: "string"}
OTHERS = ["run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]  # @param {type: "raw"}
# the two whose word tables are shown; -1 is the most positive, 0 the most negative
EIGENVECTORS = [-1, 2]  # @param {type: "raw"}
# word tables are shown for all tokens, and again for those seen this often in training
MIN_COUNT = 50  # @param {type: "integer"}
# "control": the model of the other optimiser; "published": the paper's, from the hub; or a folder, or a hub id owner/name@commit
CHECKPOINT = "released"  # @param {type: "string"}

# %% tags=["hide-input"] jupyter={"source_hidden": true} cellView="form"
# @title On Colab, run this too: it gets the repository and what Colab lacks. Nothing happens elsewhere.
ON_COLAB = "quick"  # @param ["quick", "full"]
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    MODE = ON_COLAB
    address, at, folder = "https://github.com/OWNER/REPO", "main", os.path.abspath("paper")
    if not os.path.exists(os.path.join(folder, "paper_utils")):
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        for step in (["fetch", "--quiet", "--depth", "1", address, at], ["checkout", "--quiet", "FETCH_HEAD"]):
            subprocess.run(["git", "-C", folder, *step], check=True)
    sys.path.insert(0, folder)
    from paper_utils import colab

    colab.install()

# %% tags=["hide-input"] jupyter={"source_hidden": true}
import matplotlib.pyplot as plt
import numpy as np
import torch

from paper_utils import bilinear, data, hub, plotting, results, transformer

plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"

# %% [markdown]
# ## The finding: what an eigenvector of the weights does to the text
#
# TODO

# %%
CONTROL = transformer.RELEASED.with_name("tinystories_muon")
NAMED = {"released": transformer.RELEASED, "control": CONTROL, "published": transformer.PUBLISHED}
try:
    model = transformer.BilinearTransformer.from_pretrained(NAMED.get(CHECKPOINT, CHECKPOINT))
except hub.Unreachable as error:
    print(f"THE RELEASED WEIGHTS, not {CHECKPOINT}: {error}.")
    model = transformer.BilinearTransformer.from_pretrained(transformer.RELEASED)
try:
    stories = data.load_stories("validation", limit=160 if QUICK else 2000)
except data.DataUnavailable as error:
    print(f"STAND-IN TEXT: {error}. Going on with stories sampled from the model; no claim is judged on them.")
    stories = data.Stories(model.sample(24 if QUICK else 64, SEED, "Once upon a time"), "sampled-stories", {})
files = [path for folder in (transformer.RELEASED, CONTROL) for path in sorted(folder.glob("*.[js]*"))]
results.begin("02_tinystories", mode=MODE, seeds=[SEED], data=stories, inputs=files)

# %%
encoded = model.encode(stories.texts)
x = transformer.mlp_inputs(model, encoded)  # [position d_model], taken out of the running model by nnsight
upcoming = torch.tensor([token for ids in encoded for token in (*ids[1:], transformer.EOS)])  # the token that follows
verbs = [TOKEN, *OTHERS]
before = upcoming[:, None] == torch.tensor(model.token_ids(verbs))  # [position verb]
at, mean = before.any(1).nonzero().flatten(), x.mean(0)  # the positions right before a verb
contrasts = [transformer.output_direction(model, verb, [v for v in verbs if v != verb]) for verb in verbs]
own = torch.stack([transformer.strongest_eigenvector(model, contrast) for contrast in contrasts], dim=1)
changes = transformer.changes_by_holding(model, x[at], upcoming[at], own, mean @ own)  # [vector position]
effects = changes @ before[at].float() / before.sum(0)  # [vector verb]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.2, 4.0))
limit = effects[effects.isfinite()].abs().max().item()
image = plotting.signed_map(ax, effects, vmax=limit)
for (row, column), value in np.ndenumerate(effects.numpy()):
    ax.text(
        column, row, f"{value:+.2f}", color="w" if abs(value) > 0.6 * limit else "k", fontsize=7, **plotting.CENTRED
    )
ax.set(xticks=range(len(verbs)), xticklabels=verbs, yticks=range(len(verbs)), yticklabels=verbs)
ax.set(xlabel="verb that the text goes on with", ylabel="verb whose strongest eigenvector is held at its mean")
fig.colorbar(image, ax=ax, label="mean change of its log probability (nats)")
alt = "Ten by ten verbs: holding a verb's eigenvector at its mean lowers the log probability of that verb and of few others."
results.save_figure(fig, "held", alt=alt)

# %% [markdown]
# **Figure `held`.** TODO

# %%
import json

from einops import einsum
from IPython.display import HTML, display

if model.config.n_layer > 1 or model.config.normalization or model.config.mlp_bias:
    raise ValueError(f"this notebook reads one layer without norms and biases, got {model.config}")
ours = model.name.startswith("checkpoints/")  # else the training text is unknown: count in the text at hand
WEIGHTS = f"weights: {model.name}"
vocabulary, tokens_here = np.array(model.vocabulary), torch.tensor([token for ids in encoded for token in ids])
counts = torch.bincount(tokens_here, minlength=len(vocabulary))
frequency = counts / counts.sum()
if ours:
    counts = torch.tensor(json.loads((transformer.RELEASED / "token_counts.json").read_text()))
MIN_COUNT = MIN_COUNT if ours else 1
story = torch.arange(len(encoded)).repeat_interleave(torch.tensor([*map(len, encoded)]))  # of each position


def interval(values: torch.Tensor, where: torch.Tensor) -> list[float]:
    """The mean of values at positions, and the ends of its 95 % interval when whole stories are drawn anew."""
    _, of = story[where].unique(return_inverse=True)
    sums, sizes = (torch.bincount(of, weights) for weights in (values.double(), torch.ones(len(of)).double()))
    draws = torch.randint(len(sums), (2000, len(sums)), generator=torch.Generator().manual_seed(SEED))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    return [values.mean().item(), *means.quantile(torch.tensor([0.025, 0.975]).double()).tolist()]


# %% [markdown]
# the same by nnsight in the running model TODO

# %%
for verb, vector, change in zip(verbs, own.T, changes, strict=True):
    (token,) = model.token_ids([verb])
    rows = [i for i, ids in enumerate(encoded) if token in ids[1:]][:8]
    ids, real = transformer.padded([encoded[i] for i in rows])
    held = transformer.hold(model, ids, vector[:, None], (mean @ vector)[None]) - 0
    log_p = (held.log_softmax(-1) - model(ids).log_softmax(-1))[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
    there = real & (ids[:, 1:] == token)
    assert torch.allclose(
        log_p[there], change[(upcoming[at] == token) & torch.isin(story[at], torch.tensor(rows))], atol=1e-3
    )

# %%
SHOWN = [-1, -2, -3, -4, 0, 1, 2, 3]  # the eight eigenvectors whose top inputs the original notebook prints
words = [i for i in counts.argsort(descending=True).tolist() if vocabulary[i].isalpha()][: 50 if QUICK else 500]


def decomposed(directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each direction: all eigenvalues, the eight eigenvectors SHOWN, and the one of largest |eigenvalue|."""
    found = [torch.linalg.eigh(model.interaction(direction)) for direction in directions]
    eight, largest = zip(
        *[(vectors[:, SHOWN], vectors[:, values.abs().argmax()]) for values, vectors in found], strict=True
    )
    return torch.stack([values for values, _ in found]), torch.stack(eight), torch.stack(largest, dim=1)


word_values, word_eight, word_strongest = decomposed(model.w_u[words])
other_words = [i for i, word in enumerate(words) if vocabulary[word] not in verbs][::8]
generator = torch.Generator().manual_seed(SEED)
random = torch.nn.functional.normalize(torch.randn(len(mean), len(other_words), generator=generator), dim=0)
baselines = {}
for name, vectors in {"other words": word_strongest[:, other_words], "random": random}.items():
    found = transformer.changes_by_holding(model, x[at], upcoming[at], vectors, mean @ vectors)
    baselines[name] = found @ before[at].float() / before.sum(0)  # [vector verb]

# %%
own_effect, said = effects.diagonal(), before.any(0)  # in quick mode a verb may not be said at all
intervals = [
    interval(changes[i][before[at, i]], at[before[at, i]]) if said[i] else [np.nan] * 3 for i in range(len(verbs))
]
fifth = baselines["other words"].quantile(0.05, dim=0)
elsewhere = effects[:, said][~torch.eye(len(verbs), dtype=bool)[:, said]]
results.record(
    held_own_mean=own_effect[said].mean(),
    held_others_mean=elsewhere.mean(),
    held_token=intervals[0],
    held_lowest_of_other_words=baselines["other words"][:, said].min(0).values.mean(),
    held_random_lowest=baselines["random"][:, said].min(),
    verbs_said=int(said.sum()),
    verbs_beyond_other_words=int((own_effect < fifth).sum()),
    verbs_interval_beyond=sum(high < low for (*_, high), low in zip(intervals, fifth.tolist(), strict=True)),
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.8))
for place, (name, colour) in zip((0.12, 0.3), (("other words", plotting.GREEN), ("random", "0.6")), strict=True):
    for i, found in enumerate(baselines[name].T.numpy()):
        ax.plot(
            np.full(len(found), i + place),
            found,
            ".",
            color=colour,
            markersize=2.5,
            label="_" * i + f"{name} ({len(found)})",
        )
for i, (value, low, high) in enumerate(intervals):
    ax.errorbar(
        i - 0.12,
        value,
        [[value - low], [high - value]],
        fmt="o",
        color=plotting.VERMILLION,
        markersize=4,
        capsize=3,
        label="_" * i + "own eigenvector, 95 % over stories",
    )
    ax.text(i - 0.2, value, f"{value:+.2f}", ha="right", va="center", fontsize=7, color=plotting.VERMILLION)
ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
ax.set(
    xticks=range(len(verbs)),
    xticklabels=[f"{v}\n({n})" for v, n in zip(verbs, before.sum(0).tolist(), strict=True)],
    xlim=(-0.75, len(verbs) - 0.4),
)
ax.set(ylabel="change of log p(verb) (nats)", xlabel="verb (positions right before it)")
fig.legend(loc="outside upper center", ncols=3)
alt = "For each verb the change of its log probability by holding its own eigenvector, with interval, against eigenvectors of other words and random directions."
results.save_figure(fig, "held_baselines", alt=alt)

# %% [markdown]
# **Figure `held_baselines`.** TODO

# %% [markdown]
# ## Model

# %%
for name, weight in model.named_parameters():
    print(f"{name:34} {tuple(weight.shape)!s:14} {weight.numel():>9,}")
model.config

# %%
n_tokens = len(upcoming) - len(encoded)
loss = transformer.evaluate(model, encoded)
bits = loss * n_tokens / transformer.characters_covered(model, stories.texts) / np.log(2)
parameters = sum(weight.numel() for weight in model.parameters())
results.record(weights=model.name, parameters=parameters, nats_per_token=loss, bits_per_character=bits)
print(f"{loss:.3f} nats per token, {bits:.3f} bits per character, over {n_tokens:,} tokens ({stories.source})\n")
for text in model.sample(3, SEED, "Once upon a time", n_tokens=60):
    print(text, "...\n")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
cards = [json.loads((folder / "card.json").read_text()) for folder in (transformer.RELEASED, CONTROL)]
COLOURS = {"AdamW": plotting.BLUE, "Muon": plotting.ORANGE}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for card in cards:
    name, curves = "Muon" if card["recipe"]["muon"] else "AdamW", card["curves"]
    ax.plot(curves["step"], curves["loss"], ":", color=COLOURS[name], label=f"{name}, training (with noise)")
    ax.plot(curves["step"], curves["validation_loss"], color=COLOURS[name], label=f"{name}, validation (without)")
    ax.text(
        curves["step"][-1],
        curves["validation_loss"][-1],
        f" {card['final']['nats_per_token']:.3f}",
        fontsize=7,
        va="top" if name == "AdamW" else "bottom",
    )
ax.set(xlabel="step", ylabel="nats per token", ylim=(2.2, 3.6))
ax.legend()
results.save_figure(
    fig,
    "learning_curves",
    alt="Training and validation loss over steps of the two released models, one for each optimiser.",
)

# %% [markdown]
# **Figure `learning_curves`.** TODO

# %% [markdown]
# ## The interaction matrix of an output direction

# %%
direction = contrasts[0]
gate = einsum(direction, model.w_p[0], "out, out hidden -> hidden")
q = einsum(gate, model.w_l[0], model.w_r[0], "hidden, hidden in1, hidden in2 -> in1 in2")
q = (q + q.T) / 2
assert torch.allclose(q, model.interaction(direction), atol=1e-5)
values, vectors = bilinear.eigendecompose(q)
strongest = int(values.abs().argmax())
strongest -= len(values) if strongest > len(values) / 2 else 0
results.record(
    eigenvalue_min=values[0],
    eigenvalue_max=values[-1],
    eigenvalue_ratio=values[0].abs() / values[-1],
    participation_ratio=values.abs().sum() ** 2 / values.square().sum(),
    strongest_eigenvector=strongest,
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
# Read off the picture of the original notebook (commit 19987d7 of tdooms/bilinear-decomposition), each within 0.03.
PUBLISHED = {
    0: -3.18,
    1: -1.11,
    2: -0.98,
    3: -0.85,
    100: -0.31,
    200: -0.17,
    300: -0.09,
    400: -0.03,
    500: 0.0,
    600: 0.03,
}
PUBLISHED |= {700: 0.08, 800: 0.15, 900: 0.27, 1000: 0.58, 1020: 0.97, 1021: 1.0, 1022: 1.12, 1023: 1.21}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.5))
plotting.spectrum(axes[0], values)
plotting.spectrum(axes[1], list(PUBLISHED.values()))
for line in axes[1].lines[1:]:
    line.set_xdata(
        list(PUBLISHED)[: len(line.get_xdata())]
        if line.get_color() == plotting.NEGATIVE
        else list(PUBLISHED)[-len(line.get_xdata()) :]
    )
axes[1].lines[0].set_xdata([0, 1])
for ax, shown, title in zip(
    axes,
    (dict(enumerate(values.tolist())), PUBLISHED),
    ("here", "the original's picture: 18 values read off"),
    strict=True,
):
    last = max(shown)
    ax.text(last * 0.03, shown[0], f"{shown[0]:.2f}", fontsize=7, va="center")
    ax.text(last * 0.97, shown[last], f"{shown[last]:+.2f}", fontsize=7, va="center", ha="right")
    ax.set(xlabel="index", ylabel="eigenvalue", title=title)
fig.suptitle(f'"{TOKEN}" against {len(OTHERS)} other tokens ({WEIGHTS})', fontsize=8)
alt = f"Ascending eigenvalues of the interaction matrix of {TOKEN}, here and published: one far below all others, a few at both ends, the rest near 0."
results.save_figure(fig, "spectrum", alt=alt)

# %% [markdown]
# **Figure `spectrum`.** TODO

# %% [markdown]
# ## Virtual tokens

# %%
paths = transformer.virtual_tokens(model)
PATHS = ["direct", *(f"head {h}" for h in range(model.config.n_head))]
everything, frequent = torch.arange(len(vocabulary)), (counts >= MIN_COUNT).nonzero().flatten()


def ends(vector: torch.Tensor, columns: torch.Tensor, n: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """The n highest and n lowest scores of each path [path 2n] among some tokens, and the tokens that have them."""
    scores = einsum(vector, paths[:, :, columns], "d_model, path d_model token -> path token")
    order = scores.argsort(descending=True)
    rows = torch.cat([order[:, :n], order[:, -n:]], dim=1)
    return scores.gather(1, rows), columns[rows]


# %% tags=["hide-input"] jupyter={"source_hidden": true}
import html


def table_html(title: str, headings: list[str], scores: torch.Tensor, tokens: list[list[str]]) -> str:
    """Columns of words with their scores as text that can be selected, on one scale of colours; all escaped."""
    colours = [plotting.token_colours(column, scores.abs().max().item()) for column in scores]
    rows = []
    for row in range(scores.shape[1]):
        cells = zip(tokens, scores.tolist(), colours, strict=True)
        marked = [
            f'<td style="background:{c[row][0]};color:{c[row][1]};text-align:left">{html.escape(t[row])} {s[row]:+.2f}</td>'
            for t, s, c in cells
        ]
        rows.append(f"<tr>{''.join(marked)}</tr>")
    heads = "".join(f'<th style="text-align:left">{html.escape(heading)}</th>' for heading in headings)
    return f"<table><caption>{html.escape(title)}</caption><tr>{heads}</tr>{''.join(rows)}</table>"


def draw_table(ax, headings: list[str], scores: np.ndarray, tokens: list[list[str]], limit: float):
    """The same as a picture: a column of words each, ten of either end."""
    image = plotting.signed_map(ax, scores.T, vmax=limit)
    ax.set_aspect("auto")
    for (column, row), score in np.ndenumerate(scores):
        ((_, ink),) = plotting.token_colours([score], limit)
        text = tokens[column][row].replace("$", r"\$")
        ax.text(column, row, f"{text} {score:+.2f}", color=ink, fontsize=7, **plotting.CENTRED)
    ax.axhline(scores.shape[1] / 2 - 0.5, color="0.3", linewidth=0.8)
    ax.set_xticks(range(len(headings)), headings)
    ax.xaxis.tick_top()
    return image


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def word_table(index: int, columns: torch.Tensor, name: str) -> None:
    """An eigenvector in words: the table of text, and the figure of the same."""
    scores, tokens = ends(vectors[:, index], columns)
    names = [[str(vocabulary[i]) for i in column] for column in tokens]
    which = "all tokens" if columns is everything else f"tokens seen {MIN_COUNT} times or more"
    title = f'"{TOKEN}", eigenvector {index} (λ = {values[index]:.2f}), {which} ({WEIGHTS})'
    display(HTML(table_html(title, PATHS, scores, names)))
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 4.2))
    image = draw_table(ax, PATHS, scores.numpy(), names, scores.abs().max().item())
    fig.colorbar(image, ax=ax, label="score (sign of the eigenvector is arbitrary)", pad=0.01)
    fig.suptitle(title, fontsize=8)
    alt = f"Table of words by path for eigenvector {index} of {TOKEN}, {which}: ten highest in red, ten lowest in blue."
    results.save_figure(fig, name, alt=alt, show=False)


word_table(strongest, frequent, "word_table_strongest")
word_table(EIGENVECTORS[0], everything, "word_table_first")
word_table(EIGENVECTORS[0], frequent, "word_table_first_frequent")
word_table(EIGENVECTORS[1], everything, "word_table_second")
word_table(EIGENVECTORS[1], frequent, "word_table_second_frequent")

# %% [markdown]
# **Figure `word_table_*`.** TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
PUBLISHED_WORDS = {  # head 0 of the original notebook's two tables, the ten highest and the ten lowest
    -1: "tree 1.57 climb 1.10 bush 0.86 chim 0.81 high 0.81 waff 0.80 peach 0.78 nap 0.78 apples 0.72 climbed 0.72 "
    "fin -2.10 fish -2.13 lake -2.22 ocean -2.31 sea -2.37 ##ork -2.56 pool -2.75 water -2.86 swimming -2.99 swim -3.39",
    2: "swim 1.93 jump 1.70 dance 1.47 jumps 1.39 swimming 1.33 jumping 1.25 dancing 1.15 ##o 1.14 skip 1.13 dive 1.11 "
    "capt -1.55 potato -1.59 plant -1.59 dirt -1.62 plants -1.63 ship -1.66 dry -1.76 tomato -1.77 pirate -1.82 pirates -2.02",
}
published = {
    k: (text.split()[::2], [float(score) for score in text.split()[1::2]]) for k, text in PUBLISHED_WORDS.items()
}
columns = [("published: −1,\nhead 0", *published[-1]), ("published: 2,\nhead 0", *published[2])]
for k in (strongest, *EIGENVECTORS):
    scores, tokens = ends(vectors[:, k], frequent)
    spread = einsum(vectors[:, k], paths[:, :, frequent], "d, path d token -> path token").std(1)
    widest = int((scores.abs().amax(1)).argmax())
    columns.append(
        (f"here: {k},\n{PATHS[widest]}", [str(vocabulary[i]) for i in tokens[widest]], scores[widest].tolist())
    )
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 4.2))
scaled = np.array([np.array(scores) / np.abs(scores).max() for *_, scores in columns])
draw_table(ax, [heading for heading, *_ in columns], scaled, [names for _, names, _ in columns], 1.0)
results.save_figure(
    fig,
    "published_words",
    alt="Five columns of words: two of the original notebook's tables, three of the same eigenvectors here.",
)

# %% [markdown]
# **Figure `published_words`.** TODO

# %% [markdown]
# ## Is this eigenvector about swimming?
# TODO

# %%
LISTS = {
    "swim": "swim swimming swam water pool sea ocean lake river pond beach boat ship fish shark whale dolphin duck frog "
    "turtle crab shell sand wave waves splash splashed wet dive float island",
    "eat": "eat eating ate food hungry bread apple apples cake cookie cookies soup pizza lunch dinner breakfast delicious "
    "yummy tasty fruit candy banana sandwich cheese snack milk chocolate cream kitchen plate bowl",
}
LISTS["swim, without its forms"] = LISTS["swim"].removeprefix("swim swimming swam ")
LISTS["published"] = " ".join(published[-1][0][10:])
TESTS = [  # the list, and the verb whose eigenvectors it is tested on; the last two are controls
    *(("swim", "swim"), ("eat", "eat"), ("swim, without its forms", "swim"), ("published", "swim")),
    *(("swim", "eat"), ("eat", "swim")),
]
least = MIN_COUNT if stories.source == "tinystories" else 0  # a few sampled stories lack most words
common = (counts >= least).nonzero().flatten()
column = {token: i for i, token in enumerate(vocabulary[common])}
listed = {name: [column[word] for word in text.split() if word in column] for name, text in LISTS.items()}
eight = dict(zip(verbs, decomposed(torch.stack(contrasts))[1], strict=True))  # of each verb's contrast
draws = torch.randperm(len(words), generator=generator)[: 10 * (len(words) // 10)].view(-1, 10)
draws = torch.cat([draws, torch.randperm(len(words), generator=generator)[: draws.numel()].view(-1, 10)] * 2)[:200]
rows = model.w_u[words][draws]
contrast_eight = decomposed(rows[:, 0] - rows[:, 1:].mean(1))[1]
of_a_list = {word for text in LISTS.values() for word in text.split()}
token_eight = word_eight[[i for i, word in enumerate(words) if vocabulary[word] not in of_a_list][:400]]
random_eight = torch.randn(200 if QUICK else 2000, len(mean), 8, generator=generator)

# %%
NULLS = {"other words": token_eight, "contrasts": contrast_eight, "random": random_eight}


def best(vectors: torch.Tensor, name: str) -> torch.Tensor:
    """The largest |mean score| of a list over all paths, for each set of eight vectors [set d_model 8]."""
    flat = vectors.transpose(0, 1).flatten(1)
    scores = transformer.list_scores(flat, paths[:, :, common], listed[name])
    return scores.abs().amax(0).view(len(vectors), -1).amax(1)


statistics = torch.stack([best(eight[verb][None], name)[0] for name, verb in TESTS])
nulls = [{kind: best(sets, name) for kind, sets in NULLS.items()} for name, _ in TESTS]
# Each test's p-value is the share of other words and contrasts that do as well, times the number of tests.
strong = [torch.cat([null["other words"], null["contrasts"]]) for null in nulls]
p = torch.stack([(1 + (null >= s).sum()) / (1 + len(null)) for null, s in zip(strong, statistics, strict=True)])
p = (len(TESTS) * p).clamp(max=1)
results.record(
    swim_score=statistics[0],
    eat_score=statistics[1],
    swim_score_without_forms=statistics[2],
    published_score=statistics[3],
    lists_p_corrected=p[:4].max(),
    controls_p_corrected=p[4:].min(),
    swim_null_95=nulls[0]["other words"].quantile(0.95),
    swim_null_highest=strong[0].max(),
    swim_random_highest=nulls[0]["random"].max(),
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.8))
colours = dict(zip(NULLS, (plotting.GREEN, plotting.PINK, "0.6"), strict=True))
for i, null in enumerate(nulls):
    for j, (kind, found) in enumerate(null.items()):
        low, high = found.quantile(torch.tensor([0.025, 0.975])).tolist()
        height, label = i + 0.2 * j - 0.2, "_" * i + f"{kind} ({len(found):,}): mean, 95 %, largest"
        ax.plot(
            [low, high], [height] * 2, color=colours[kind], linewidth=3, alpha=0.5, solid_capstyle="butt", label=label
        )
        ax.plot(found.mean(), height, "|", color=colours[kind], markersize=6)
        ax.plot(found.max(), height, ".", color=colours[kind], markersize=4)
    ax.plot(statistics[i], i, "D", color=plotting.VERMILLION, markersize=5)
    ax.text(
        statistics[i] + 0.08,
        i,
        f"{statistics[i]:.2f}, p = {p[i]:.2g}",
        va="center",
        fontsize=7,
        color=plotting.VERMILLION,
    )
labels = [f'{len(listed[name])} words "{name}"\non "{verb}"' for name, verb in TESTS]
ax.set(
    yticks=range(len(TESTS)),
    yticklabels=labels,
    xlabel="largest |mean standardised score| over eight eigenvectors and all paths",
    xlim=(0, 5.2),
)
ax.invert_yaxis()
fig.legend(loc="outside upper center", ncols=3)
alt = "Six word lists: the score of the verb's own eigenvectors as a diamond, far right of three null distributions in the first four and inside them in the two controls."
results.save_figure(fig, "word_list_test", alt=alt)

# %% [markdown]
# **Figure `word_list_test`.** TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.8))
maps = [transformer.list_scores(eight[verb], paths[:, :, common], listed[verb]).T for verb in ("swim", "eat")]
limit = max(found.abs().max().item() for found in maps)
for ax, verb, found in zip(axes, ("swim", "eat"), maps, strict=True):
    image = plotting.signed_map(ax, found, vmax=limit)
    ax.set_aspect("auto")
    for (row, place), value in np.ndenumerate(found.numpy()):
        ax.text(
            place, row, f"{value:+.1f}", color="w" if abs(value) > 0.6 * limit else "k", fontsize=7, **plotting.CENTRED
        )
    ax.set(
        xticks=range(len(PATHS)),
        xticklabels=[path.replace("head ", "h") for path in PATHS],
        yticks=range(len(SHOWN)),
        yticklabels=SHOWN,
    )
    ax.set(title=f'"{verb}" words on the eigenvectors of "{verb}"', ylabel="eigenvector", xlabel="path")
fig.colorbar(image, ax=axes, label="mean standardised score", shrink=0.9)
alt = "Two maps, eigenvector by path: the mean standardised score of the swimming words and of the eating words, with values."
results.save_figure(fig, "word_list_paths", alt=alt)

# %% [markdown]
# **Figure `word_list_paths`.** TODO

# %% [markdown]
# ## What part of the form detects?
# TODO

# %%
projection = x @ vectors[:, strongest]
rest, middle, largest = projection - projection.mean(), projection.mean(), values[strongest]
parts = {
    "constant": torch.full_like(rest, largest * middle**2),
    "linear": 2 * largest * middle * rest,
    "quadratic": largest * rest**2,
}
assert torch.allclose(sum(parts.values()), largest * projection**2, atol=1e-4)
everywhere = torch.arange(len(x))
places = {"everywhere": everywhere, "before the other verbs": at[~before[at, 0]], f"before {TOKEN}": at[before[at, 0]]}
measured = {
    name: {part: interval(v[where], where) for part, v in (*parts.items(), ("sum", sum(parts.values())))}
    for name, where in places.items()
}


def auc(score: torch.Tensor, positive: torch.Tensor) -> float:
    """How often a score is higher at a positive position than at a negative one, 0.5 by chance."""
    ranks = score.argsort().argsort().double()[positive] + 1
    n = positive.sum().item()
    return ((ranks.sum() - n * (n + 1) / 2) / (n * (len(score) - n))).item()


detection = []  # of each verb said, at the positions before one of the ten: by the linear part, the quadratic, both
for i in said.nonzero().flatten().tolist():
    lam = own[:, i] @ model.interaction(contrasts[i]) @ own[:, i]
    r = x[at] @ own[:, i] - mean @ own[:, i]
    scores = (2 * lam * (mean @ own[:, i]) * r, lam * r.square(), lam * (x[at] @ own[:, i]).square())
    detection.append([auc(score, before[at, i]) for score in scores])
detection = np.array(detection)
results.record(
    constant_part=measured["everywhere"]["constant"][0],
    sum_before_token=measured[f"before {TOKEN}"]["sum"],
    sum_before_others=measured["before the other verbs"]["sum"],
    linear_before_token=measured[f"before {TOKEN}"]["linear"][0],
    quadratic_before_token=measured[f"before {TOKEN}"]["quadratic"][0],
    auc_linear=detection[:, 0].mean(),
    auc_quadratic=detection[:, 1].mean(),
    auc_whole=detection[:, 2].mean(),
    auc_linear_lowest=detection[:, 0].min(),
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.7))
tones = {"constant": "0.6", "linear": plotting.VERMILLION, "quadratic": plotting.SKY, "sum": "k"}
for i, found in enumerate(measured.values()):
    for j, (part, (value, low, high)) in enumerate(found.items()):
        left.bar(i + 0.2 * j - 0.3, value, 0.18, color=tones[part], label="_" * i + part)
        left.plot([i + 0.2 * j - 0.3] * 2, [low, high], color="0.3", linewidth=0.8)
        left.text(
            i + 0.2 * j - 0.3,
            (high if value > 0 else low) + 0.25 * np.sign(value),
            f"{value:+.1f}",
            fontsize=7,
            rotation=0,
            **plotting.CENTRED,
        )
left.axhline(0, color="0.7", linewidth=0.6)
left.set(
    xticks=range(3),
    xticklabels=[name.replace("before ", "before\n") for name in measured],
    ylabel=f'added to the logit of "{TOKEN}"',
)
left.margins(y=0.12)
left.legend(loc="upper left")
for j, part in enumerate(("linear", "quadratic", "sum")):
    right.plot(
        np.arange(len(detection)),
        detection[:, j],
        "o",
        color=tones[part],
        markersize=3.5 if part == "sum" else 5,
        label=part,
        zorder=3 - j,
    )
right.axhline(0.5, color="0.7", linestyle=":")
right.set(xticks=range(len(detection)), ylabel="AUC: this verb against the other nine", ylim=(0, 1))
right.set_xticklabels([verb for verb, there in zip(verbs, said.tolist(), strict=True) if there], rotation=45)
right.legend(loc="lower right")
alt = "Left: constant, linear and quadratic part of the strongest eigenvector's contribution at three kinds of place. Right: how well the parts tell each verb from the others."
results.save_figure(fig, "parts", alt=alt)

# %% [markdown]
# **Figure `parts`.** TODO

# %% [markdown]
# ### How many eigenvectors does it take?

# %%
KEPT = [1, 2, 4, 8, 16, 64, len(values)]
order = values.abs().argsort(descending=True)
forms, mlp = [], []
for chunk in x.split(4096):
    forms.append(((chunk @ vectors[:, order]).square() * values[order]).cumsum(1)[:, [k - 1 for k in KEPT]])
    mlp.append(model.transformer.h[0].mlp(chunk[None])[0] @ direction)
forms, mlp = torch.cat(forms).T.double(), torch.cat(mlp).double()
assert torch.allclose(forms[-1], mlp, atol=1e-2)
logit = mlp + x.double() @ direction.double()
correlations = {}
for name, where in {"everywhere": everywhere, "before a verb": at}.items():
    found = torch.corrcoef(torch.stack([*forms[:, where], mlp[where], logit[where]]))
    correlations[name] = found[: len(KEPT), -2:]
results.record(
    **{f"correlation_{k}": c for k, c in zip(KEPT, correlations["everywhere"][:, 0], strict=True)},
    **{f"correlation_{k}_before_verbs": c for k, c in zip(KEPT, correlations["before a verb"][:, 0], strict=True)},
    correlation_logit=correlations["everywhere"][-1, 1],
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4), sharey=True)
for ax, (name, found), n in zip(axes, correlations.items(), (len(x), len(at)), strict=True):
    for column, what, marker in (
        (0, "with the MLP's contribution", "o-"),
        (1, "with the whole logit difference", "x--"),
    ):
        ax.plot(KEPT, found[:, column], marker, markersize=4, label=what, zorder=3 - column)
    for k, c in zip(KEPT[:3], found[:3, 0].tolist(), strict=True):
        ax.annotate(f"{c:.2f}", (k, c), (4, -9), textcoords="offset points", fontsize=7)
    ax.set_xscale("log", base=2)
    ax.set_xticks(KEPT, KEPT)
    ax.set(
        xlabel="eigenvectors kept",
        title=f"{name.replace('a verb', 'one of the ten verbs')}: {n:,} positions",
        ylim=(min(0, found.min()), 1.05),
    )
axes[0].set_ylabel("correlation")
axes[1].legend(loc="lower right")
fig.suptitle(f'"{TOKEN}" ({WEIGHTS})', fontsize=8)
alt = "Correlation of the truncated form with the MLP's contribution and the logit difference against the eigenvectors kept, over all positions and before a verb."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** TODO

# %% [markdown]
# ## One position, complete
# TODO

# %%
index = at[before[at, 0]][changes[0][before[at, 0]].argmin()] if before[:, 0].any() else at[0]
position = int(index) - int((story < story[index]).sum())
ids = encoded[story[index]]
taken = transformer.trace(model, torch.tensor([ids]))
pattern = transformer.attention_pattern(model, taken["qkv"][0], position)[:, : position + 1]
average = paths @ frequency  # [path d_model]: what the average token brings by each path
gradient = direction + q @ (x[index] + average.sum(0))
brought = einsum(paths[1:, :, ids[: position + 1]], "head d token -> head token d") - average[1:, None]
by_token = torch.cat([torch.zeros(1, position + 1), pattern * (brought @ gradient)])  # [path token]
by_token[0, -1] = (paths[0][:, ids[position]] - average[0]) @ gradient
constant = average.sum(0) @ direction + average.sum(0) @ q @ average.sum(0)
difference = contrasts[0] @ (x[index] + model.transformer.h[0].mlp(x[index][None, None])[0, 0])
assert torch.allclose(constant + by_token.sum(), difference, atol=1e-3)
logits = model(torch.tensor([ids]))[0, position, model.token_ids(verbs)]
assert torch.allclose(difference, logits[0] - logits[1:].mean(), atol=1e-3)
results.record(position_difference=difference, position_constant=constant)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
first = max(0, position - 17)
shown = torch.cat([by_token[:, :first].sum(1, keepdim=True), by_token[:, first:]], dim=1)
names = [f"{first} earlier", *vocabulary[ids[first : position + 1]]]
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.5))
image = plotting.signed_map(ax, shown)
ax.set_aspect("auto")
limit = shown.abs().max().item()
for (row, column), value in np.ndenumerate(shown.numpy()):
    if abs(value) >= 0.05:
        ax.text(
            column, row, f"{value:+.1f}", color="w" if abs(value) > 0.6 * limit else "k", fontsize=7, **plotting.CENTRED
        )
sums = shown.sum(1).tolist()
ax.set_yticks(range(len(PATHS)), [f"{path}: {total:+.2f}" for path, total in zip(PATHS, sums, strict=True)])
ax.set_xticks(
    range(len(names)),
    [f"{name} {total:+.2f}" for name, total in zip(names, shown.sum(0).tolist(), strict=True)],
    rotation=60,
    ha="right",
)
fig.colorbar(image, ax=ax, label="added to the logit difference")
ax.set_title(
    f'before "{vocabulary[upcoming[index]]}": {difference:.2f} = {constant:+.2f} (average tokens) {by_token.sum():+.2f} (this text)'
)
alt = "Map of paths by tokens: what each earlier token adds by each head to the logit difference of one position, with row and column sums."
results.save_figure(fig, "one_position", alt=alt)

# %% [markdown]
# **Figure `one_position`.** TODO

# %% [markdown]
# ## Top activating inputs

# %%
activations = [(block @ vectors[:, SHOWN]).square().max(0) for block in x.split([*map(len, encoded)])]  # of each story
peak, peak_at = (torch.stack([block[i] for block in activations]) for i in (0, 1))
top = peak.topk(8, dim=0)


def line_of(story: int, position: int, k: int) -> tuple[list[str], np.ndarray, list[str], float, str]:
    """The tokens up to a position, each one's share of |x . v| there, the three after, the largest share, and λ(v.x)²."""
    ids = encoded[story]
    taken = transformer.trace(model, torch.tensor([ids]))
    shares = transformer.attention_shares(model, taken["qkv"][0], position).sum(0)
    shares[position] += taken["attn_in"][0, position]
    projection = taken["mlp_in"][0, position] @ vectors[:, k]
    scores = (shares @ vectors[:, k] * projection.sign()).numpy()
    first, tokens = max(0, position - 20), [str(vocabulary[i]) for i in ids[: position + 4]]
    added = f"{values[k] * projection**2:+.2f}"
    return (
        tokens[first : position + 1],
        scores[first : position + 1],
        tokens[position + 1 :],
        np.abs(scores).max(),
        added,
    )


lines = {k: [line_of(s, int(peak_at[s, i]), k) for s in top.indices[:, i].tolist()] for i, k in enumerate(SHOWN)}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
KEY = plotting.tokens_html(["pushes against", "0", "pushes the way that v · x goes"], [-1.0, 0.0, 1.0])
page = [f"<b>Key</b> (ends: the largest share of the story): {KEY}"]
for k in SHOWN:
    page.append(f"<b>eigenvector {k} of {TOKEN}, λ = {values[k]:.2f} ({WEIGHTS})</b>")
    page += [plotting.tokens_html(*line) for line in lines[k]]
display(HTML("\n".join(page)))

# %% [markdown]
# Each block TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for k in SHOWN:
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 3.2))
    plotting.token_lines(ax, lines[k])
    key = plt.cm.ScalarMappable(plt.Normalize(-1, 1), plotting.SIGNED)
    fig.colorbar(
        key,
        ax=ax,
        orientation="horizontal",
        aspect=60,
        pad=0.01,
        label="share of v · x, in units of the story's largest",
    )
    fig.suptitle(
        f'"{TOKEN}", eigenvector {k} (λ = {values[k]:.2f}): top inputs, and what is added to the logit ({WEIGHTS})',
        fontsize=8,
    )
    alt = f"The eight texts in which eigenvector {k} of {TOKEN} acts most, each token coloured by its share."
    results.save_figure(fig, f"top_inputs_{k if k >= 0 else f'minus_{-k}'}", alt=alt, show=k in (-1, 0))

# %% [markdown]
# **Figure `top_inputs_*`.** TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
PUBLISHED_TOP = {  # of the original notebook: the first and the eighth activation, and the eight tokens in brackets
    -1: (7.89, 6.66, "to to at wore ordinary jumped to jumps"),
    -2: (5.11, 4.41, "pink pink pink pink fancy white pink red"),
    -3: (3.97, 3.53, "pa her her her his pa ap his"),
    -4: (4.71, 4.13, "fish fish dolphin dolphin ducks swan fish swim"),
    0: (-12.12, -8.7, "jumped jumps play wa play play and go"),
    1: (-4.12, -3.61, "after jumped too stepped t and jumped and"),
    2: (-4.02, -2.73, "new sea little capt the dry little ##bo"),
    3: (-3.17, -2.76, "##r cold this icy the rain the chim"),
}
cells = []
for k, (high, low, tokens) in PUBLISHED_TOP.items():
    here = " ".join(line[0][-1] for line in lines[k])
    row = (k, f"{high:.2f} … {low:.2f}", tokens, f"{lines[k][0][4]} … {lines[k][-1][4]}", here)
    cells.append("".join(f'<td style="text-align:left">{html.escape(str(cell))}</td>' for cell in row))
heads = "".join(
    f"<th>{h}</th>" for h in ("eigenvector", "published: λ(v·x)²", "published: tokens", "here: λ(v·x)²", "here: tokens")
)
display(HTML(f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"))

# %% [markdown]
# ## Any token

# %%
SMALL = ["swim", "run", "eat", "sleep", "fly", "happy", "sad", "big", "red", "mom", "dog", "the"]
few = torch.tensor(model.token_ids(SMALL))
spectra = transformer.token_spectra(model, few) / model.w_u[few].norm(dim=1, keepdim=True)
tokens = torch.arange(0, len(vocabulary), 16 if QUICK else 1)
everyone = transformer.token_spectra(model, tokens) / model.w_u[tokens].norm(dim=1, keepdim=True)
low, high = -everyone[:, 0], everyone[:, -1]
results.record(negative_stronger_share=(low > high)[counts[tokens] >= MIN_COUNT].float().mean())

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(3, 4, figsize=(plotting.TEXT_WIDTH, 4.0), sharex=True, sharey=True)
for ax, token, spectrum in zip(axes.flat, SMALL, spectra, strict=True):
    plotting.spectrum(ax, torch.cat([spectrum[:12], spectrum[-12:]]))
    ax.axvline(11.5, color="0.8", linewidth=0.6, linestyle="--")
    ax.text(0.7, spectrum[0], f"{spectrum[0]:.2f}", fontsize=7, va="center")
    ax.text(22.3, spectrum[-1], f"{spectrum[-1]:+.2f}", fontsize=7, va="center", ha="right")
    ax.set(title=token, xticks=[0, 11, 12, 23], xticklabels=["1st", "12th", "", "last"])
fig.supxlabel("the 12 most negative eigenvalues, and the 12 most positive", fontsize=8)
fig.supylabel("eigenvalue / ‖u‖", fontsize=8)
fig.suptitle(f"single tokens ({WEIGHTS})", fontsize=8)
alt = "Twelve small panels, one a token: the twelve most negative and twelve most positive eigenvalues, with the outermost two labelled."
results.save_figure(fig, "token_spectra", alt=alt)

# %% [markdown]
# **Figure `token_spectra`.** TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
pieces = np.char.startswith(vocabulary[tokens].astype(str), "##")
kinds = {"word pieces (##)": pieces, "whole words seen rarely": ~pieces & (counts[tokens] < MIN_COUNT).numpy()}
kinds["frequent words"] = ~pieces & (counts[tokens] >= MIN_COUNT).numpy()
fig, ax = plt.subplots(figsize=(4.6, 3.4))
for (kind, of), colour in zip(kinds.items(), (plotting.ORANGE, "0.6", plotting.BLUE), strict=True):
    ax.scatter(high[of], low[of], s=4, color=colour, linewidths=0, alpha=0.6, label=f"{kind} ({of.sum():,})")
edge = float(max(low.max(), high.max())) * 1.05
ax.plot([0, edge], [0, edge], color="0.6", linewidth=0.6)
for token in ("swim", "eat", "the"):
    (i,) = model.token_ids([token])
    if (place := (tokens == i).nonzero().flatten()).numel():
        ax.annotate(token, (high[place[0]], low[place[0]]), (5, 5), textcoords="offset points", fontsize=7)
ax.set(
    xlabel="most positive eigenvalue / ‖u‖", ylabel="−(most negative eigenvalue) / ‖u‖", xlim=(0, edge), ylim=(0, edge)
)
ax.legend(markerscale=2, loc="upper left")
ax.set_title(f"{len(tokens):,} tokens ({WEIGHTS})")
alt = (
    "Scatter of every token's strongest negative against its strongest positive eigenvalue, coloured by kind of token."
)
results.save_figure(fig, "all_spectra", alt=alt)

# %% [markdown]
# **Figure `all_spectra`.** TODO

# %% tags=["hide-input"] jupyter={"source_hidden": true}
import plotly.graph_objects as go

steps = []
for i in sorted(range(len(words)), key=lambda i: vocabulary[words[i]]):
    word, spectrum = str(vocabulary[words[i]]), word_values[i]
    scores, tokens = ends(word_strongest[:, i], frequent, 8)
    z, shown, seen = (
        scores.T.numpy().round(2).tolist(),
        vocabulary[tokens.T.numpy()].tolist(),
        counts[tokens.T].tolist(),
    )
    edge, outer = (
        spectrum[spectrum.abs().argmax()],
        torch.cat([spectrum[:12], spectrum[-12:]]).numpy().round(3).tolist(),
    )
    data_of = {"y": [outer, [*range(16)]], "z": [None, z], "text": [None, shown], "customdata": [None, seen]}
    title = {
        "title.text": f"{html.escape(word)}, seen {counts[words[i]]:,} times; words of its strongest eigenvector, λ = {edge:.2f}"
    }
    steps.append({"label": word, "method": "update", "args": [data_of, title, [0, 1]]})
first, title, _ = steps[0]["args"]
ranks = [
    f"{n} from the {end}" for end, numbers in (("bottom", range(1, 13)), ("top", range(12, 0, -1))) for n in numbers
]
explorer = go.Figure(
    [
        go.Bar(
            y=first["y"][0],
            text=ranks,
            textposition="none",
            hovertemplate="%{text}: %{y:.3f}<extra></extra>",
            marker_color=[plotting.NEGATIVE] * 12 + [plotting.POSITIVE] * 12,
        ),
        go.Heatmap(
            z=first["z"][1],
            y=first["y"][1],
            x=PATHS,
            text=first["text"][1],
            customdata=first["customdata"][1],
            xaxis="x2",
            yaxis="y2",
            texttemplate="%{text}",
            hovertemplate="%{x}, %{text}: %{z:.2f}, seen %{customdata} times<extra></extra>",
            colorscale="RdBu_r",
            zmid=0,
            colorbar_title="score",
        ),
    ]
)
slider = {"steps": steps, "currentvalue": {"prefix": "word: "}, "pad": {"t": 50}}
explorer.update_layout(
    sliders=[slider],
    template="plotly_white",
    width=980,
    height=620,
    showlegend=False,
    title=title["title.text"],
    xaxis={"domain": [0, 0.3], "title": "both ends of the spectrum", "showticklabels": False},
    yaxis_title="eigenvalue",
    xaxis2={"domain": [0.38, 1], "side": "top"},
    yaxis2={"anchor": "x2", "autorange": "reversed", "showticklabels": False},
)
results.save_page(
    explorer,
    "token_explorer",
    alt=f"The {len(words)} most frequent words: the spectrum of each, and its strongest eigenvector in words",
)

# %% [markdown]
# ## The optimiser's part
# TODO

# %%
runs = results.read_sweep("02_tinystories")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
PANELS = {
    "nats": "nats a token",
    "eigenvalue": "ends of the spectrum",
    "participation": "participation ratio",
    "words": "swimming words (s.d.)",
    "own": "held: change of\nlog p(own verb)",
    "others": "held: change of\nlog p(other verbs)",
}
fig, axes = plt.subplots(1, len(PANELS), figsize=(plotting.TEXT_WIDTH, 2.2), sharey=True)
rows = len(runs)
for ax, (name, title) in zip(axes, PANELS.items(), strict=True):
    for i, run in runs.iterrows():
        colour = COLOURS[run["model"].split()[0]]
        for column in ("lowest", "highest") if name == "eigenvalue" else (name,):
            ax.plot(run[column], i, "o", color=colour, markersize=5)
            ax.annotate(
                f"{run[column]:.2f}", (run[column], i), (0, 5), textcoords="offset points", ha="center", fontsize=7
            )
        if name == "words":
            ax.plot(run["words_null"], i, "|", color="0.4", markersize=9)
        if name == "own":
            ax.plot(run["own_null"], i, "|", color="0.4", markersize=9)
    ax.set(title=title, yticks=range(rows), ylim=(rows - 0.5, -0.7))
    ax.margins(x=0.25)
axes[0].set_yticklabels(runs["model"])
for end in (-3.18, 1.21):
    axes[1].axvline(end, color="0.8", linestyle=":")
alt = "Four trained models, two of each optimiser: loss, ends of the spectrum, participation ratio, score of the swimming words and effect of the intervention."
results.save_figure(fig, "optimisers", alt=alt)

# %% [markdown]
# **Figure `optimisers`.** TODO

# %% [markdown]
# ## What we found

# %% tags=["hide-input"] jupyter={"source_hidden": true}
rows = [
    ("weights", "weights", "tdooms/TinyStories-1-1024-i5n"),
    ("parameters", "parameters", "22 million"),
    ("nats per token (validation)", "nats_per_token", "not stated"),
    ("bits per character", "bits_per_character", "not stated"),
    ("verbs said in the text", "verbs_said", "not tested"),
    ("held: own verb, mean change of log p", "held_own_mean", "not tested"),
    ("held: the other verbs", "held_others_mean", "not tested"),
    (f"held: {TOKEN}, with interval", "held_token", "not tested"),
    ("verbs beyond 95 % of other words' eigenvectors", "verbs_beyond_other_words", "not tested"),
    ("most negative eigenvalue", "eigenvalue_min", "about -3.2"),
    ("most positive", "eigenvalue_max", "about 1.2"),
    ("their ratio", "eigenvalue_ratio", "about 2.6"),
    ("participation ratio", "participation_ratio", "not stated"),
    ("strongest eigenvector", "strongest_eigenvector", "0"),
]
rows += [
    (f"{name.replace('_', ' ')} (s.d.)", name, "not tested")
    for name in ("swim_score", "eat_score", "swim_score_without_forms", "published_score")
]
rows += [
    ("the four lists: largest corrected p", "lists_p_corrected", "not tested"),
    ("the two controls: smallest", "controls_p_corrected", "not tested"),
]
rows += [(f"AUC, {part}", f"auc_{part}", "not tested") for part in ("linear", "quadratic", "whole")]
rows += [
    (f"correlation, {k} kept, {where}", f"correlation_{k}{suffix}", "not stated")
    for where, suffix in (("everywhere", ""), ("before a verb", "_before_verbs"))
    for k in KEPT[:5]
]
rows += [("tokens with a stronger negative end", "negative_stronger_share", "not stated")]
results.findings(rows)

# %% [markdown]
# TODO

# %%
results.finish()
