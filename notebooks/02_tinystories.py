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
# **Claim.** In a transformer whose MLP multiplies two linear maps, what the MLP contributes to an output token is one symmetric matrix, taken from the weights alone. For ten verbs its strongest eigenvector is a part that the model uses: held constant along it, the model loses much of the verb's probability where the verb is said, and little of the other nine's.
# The two ends of its spectrum together are a product of two directions: a gate, which is much alike for most of the verbs and rarely changes sign, and a topic, which is the verb's own. Both can be written in words, as what they look for in the token itself and in what each attention head brings: the gate reads function words, the topic of *eat* reads *eat, yummy, delicious*.
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below.
#
# **Among the five.** [01](01_mnist_bilinear.ipynb) reads the same eigendecomposition off a classifier of images. There an eigenvector is a picture; here it is a list of words. [04](04_dihedral_fourier.ipynb) reads a network whose task has an exact theory to check the reading by.
# [05](05_toy_superposition.ipynb) asks when a network packs more features than it has dimensions; [03](03_mnist_sae.ipynb) takes such features apart.

# %% tags=["parameters"]
MODE = "full"  # "quick" reads 160 stories, with a tenth of the baselines and a sixteenth of the tokens
# of the random directions, and of what is sampled
SEED = 0  # @param {type: "integer"}
# the output token; it is compared with the mean of the others, of which there must be one at least
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
from draw import tinystories as drawing

from paper_utils import bilinear, data, hub, plotting, results, training, transformer
from paper_utils.spectra import effective_rank

plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"

# %% [markdown]
# ## The finding: what an eigenvector of the weights does to the text
#
# Each of ten verbs has a matrix of its own: what the MLP contributes to that verb's logit, less the mean of the nine others'. The eigenvector of largest eigenvalue, positive or negative, is computed from the weights alone, without any text.
# The intervention then holds what the MLP reads along this vector $v$ at its mean over all text, $x \to x - v\,(v \cdot x - \overline{v \cdot x})$, and changes nothing else: the residual stream keeps $x$. If the eigenvector is a part that the model uses for the verb, the verb becomes less likely where it is said, and the other verbs do not.
#
# The weights are a small model released with this repository, trained on 24,675 stories with AdamW ([its card](../checkpoints/tinystories/README.md)); `CHECKPOINT=control` shows one trained with Muon, `CHECKPOINT=published` the paper's own (`tdooms/TinyStories-1-1024-i5n`, 22 million weights) where the Hugging Face hub can be reached.
# The text is the validation part of TinyStories, which none of them has seen; where it cannot be had, stories sampled from the model itself stand in.

# %%
CONTROL = transformer.RELEASED.with_name("tinystories_muon")
NAMED = {"released": transformer.RELEASED, "control": CONTROL, "published": transformer.PUBLISHED}
try:
    model = transformer.BilinearTransformer.from_pretrained(NAMED.get(CHECKPOINT, CHECKPOINT))
except hub.Unreachable as error:
    print(f"THE RELEASED WEIGHTS, not {CHECKPOINT}: {error}.")
    model = transformer.BilinearTransformer.from_pretrained(transformer.RELEASED)
verbs = [TOKEN, *OTHERS]
try:
    stories = data.load_stories("validation", limit=160 if QUICK else 2000)
except data.DataUnavailable as error:
    print(f"STAND-IN TEXT: {error}. Going on with stories sampled from the model; no claim is judged on them.")
    opening = "Once upon a time there was a cat. She liked to "
    texts = [text for verb in verbs for text in model.sample(3 if QUICK else 6, SEED, opening + verb)]
    stories = data.Stories(texts, "sampled-stories", {})
files = [path for folder in (transformer.RELEASED, CONTROL) for path in sorted(folder.glob("*.[js]*"))]
results.begin("02_tinystories", mode=MODE, seeds=[SEED], data=stories, inputs=files)

# %%
encoded = model.encode(stories.texts)
x = transformer.mlp_inputs(model, encoded)  # [position d_model], taken out of the running model by nnsight
upcoming = torch.tensor([token for ids in encoded for token in (*ids[1:], transformer.EOS)])  # the token that follows
before = upcoming[:, None] == torch.tensor(model.token_ids(verbs))  # [position verb]
at, mean = before.any(1).nonzero().flatten(), x.mean(0)  # the positions right before a verb
contrasts = [transformer.output_direction(model, verb, [v for v in verbs if v != verb]) for verb in verbs]
own = torch.stack([transformer.strongest_eigenvector(model, contrast) for contrast in contrasts], dim=1)
here = x[at], upcoming[at], before[at]
changes = transformer.changes_by_holding(model, *here[:2], own, mean @ own)  # [vector position]
effects = transformer.effects_of_holding(model, *here, own, mean)  # [vector verb]: their means right before each verb

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.2, 4.0))
drawing.held(ax, effects, verbs)
alt = "Ten by ten verbs: holding a verb's eigenvector at its mean lowers the log probability of that verb and of few others."
results.save_figure(fig, "held", alt=alt)

# %% [markdown]
# **Figure `held`.** Rows: the verb whose strongest eigenvector is held at its mean. Columns: the verb that the text goes on with. A number is the mean change of that verb's log probability at the positions right before it, in nats: −1 divides the probability by 2.7, and what rounds to 0 is left blank. The diagonal is the verb's own eigenvector.
#
# ### Against other directions, and with intervals
#
# The same for the strongest eigenvectors of other frequent words' own unembeddings, and for random directions. An interval is of whole stories drawn anew: positions in one story are not independent.

# %%
import json

from einops import einsum
from IPython.display import HTML, display

from paper_utils.files import ROOT, digest

if model.config.n_layer > 1 or model.config.normalization or model.config.mlp_bias:
    raise ValueError(f"this notebook reads one layer without norms and biases, got {model.config}")
ours = model.name.startswith("checkpoints/")  # else the training text is unknown: count in the text at hand
WEIGHTS = f"weights: {model.name}"
vocabulary, tokens_here = np.array(model.vocabulary), torch.tensor([token for ids in encoded for token in ids])
counts = torch.bincount(tokens_here, minlength=len(vocabulary))
frequency = counts / counts.sum()
if ours:
    counts = torch.tensor(json.loads((ROOT / model.name / "token_counts.json").read_text()))
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
# In a model of one layer without norms, all that follows attention works on each position by itself. `changes_by_holding` therefore computes the intervention at the positions of interest alone. `hold` is the same by nnsight, inside the running model, over whole stories; both agree on eight stories of each verb:

# %%
for verb, vector, change in zip(verbs, own.T, changes, strict=True):
    (token,) = model.token_ids([verb])
    rows = [i for i, ids in enumerate(encoded) if token in ids[1:]][:8]
    ids, real = transformer.padded([encoded[i] for i in rows])
    held = transformer.hold(model, ids, vector[:, None], (mean @ vector)[None])
    moved = (held.log_softmax(-1) - model(ids).log_softmax(-1))[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
    same = (upcoming[at] == token) & torch.isin(story[at], torch.tensor(rows))
    assert torch.allclose(moved[real & (ids[:, 1:] == token)], change[same], atol=1e-3)

# %%
SHOWN = [-1, -2, -3, -4, 0, 1, 2, 3]  # the eight eigenvectors whose top inputs the original notebook prints
words = [i for i in counts.argsort(descending=True).tolist() if vocabulary[i].isalpha()][: 50 if QUICK else 500]


@training.one_thread  # small matrices: threads would wait for each other
def decomposed(directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each direction: all eigenvalues, the eight eigenvectors SHOWN, and the one of largest |eigenvalue|."""
    n, width = directions.shape
    values, eight, largest = torch.empty(n, width), torch.empty(n, width, len(SHOWN)), torch.empty(width, n)
    for i, direction in enumerate(directions):
        values[i], vectors = torch.linalg.eigh(model.interaction(direction))
        eight[i], largest[:, i] = vectors[:, SHOWN], vectors[:, values[i].abs().argmax()]
    return values, eight, largest


word_values, word_eight, word_strongest = decomposed(model.w_u[words])
verb_values, verb_eight, _ = decomposed(torch.stack(contrasts))
# The opposite end of each verb's spectrum: the most positive eigenvector where the most negative is the strongest.
opposite = torch.where(-verb_values[:, 0] > verb_values[:, -1], verb_eight[:, :, 0].T, verb_eight[:, :, 4].T)
other_words = [i for i, word in enumerate(words) if vocabulary[word] not in verbs][::8]
generator = torch.Generator().manual_seed(SEED)
random = torch.nn.functional.normalize(torch.randn(len(mean), len(other_words), generator=generator), dim=0)
tried = {"other words": word_strongest[:, other_words], "random": random, "opposite end": opposite}
baselines = {name: transformer.effects_of_holding(model, *here, vectors, mean) for name, vectors in tried.items()}

# %% tags=["hide-input"] jupyter={"source_hidden": true}
own_effect, said = effects.diagonal(), before.any(0)  # in quick mode a verb may not be said at all
intervals = [interval(changes[i][b], at[b]) if (b := before[at, i]).any() else [np.nan] * 3 for i in range(len(verbs))]
fifth = baselines["other words"].quantile(0.05, dim=0)
apart = ~torch.eye(len(verbs), dtype=bool)
results.record(
    held_own_mean=own_effect[said].mean(),
    held_others_mean=effects[:, said][apart[:, said]].mean(),
    held_token=intervals[0],
    verbs_said=int(said.sum()),
    verbs_beyond_other_words=int((own_effect < fifth).sum()),
)
nulls = (baselines[name] for name in ("other words", "random"))
ends = baselines["opposite end"].diagonal()
fig = drawing.baselines(verbs, before.sum(0).tolist(), intervals, ends, *nulls)
alt = "For each verb the change of its log probability by holding its own eigenvector, with interval, against eigenvectors of other words and random directions."
results.save_figure(fig, "held_baselines", alt=alt)

# %% [markdown]
# **Figure `held_baselines`.** The change of each verb's log probability right before it, when what the MLP reads is held along the verb's own strongest eigenvector (red, with the 95 % interval over stories), along the eigenvector at the opposite end of its spectrum (squares), along the strongest eigenvectors of other words (green) and along random directions (grey). Below each verb: how often it is said.

# %% [markdown]
# ## Model
#
# One layer. A token is embedded, attention adds what it gathers from earlier tokens, the MLP adds what it makes of the sum, and the unembedding reads the result:
#
# $$x_0 = W_e[\text{token}], \qquad x = x_0 + \textstyle\sum_h OV_h \sum_s A^h_s\, x_{0,s}, \qquad y = x + P\big((L x) \odot (R x)\big), \qquad \text{logits} = W_u\, y .$$
#
# | symbol | in the code | what it is |
# | --- | --- | --- |
# | $W_e$, $W_u$; $u$ | `w_e`, `w_u` | embedding and unembedding; $u$ is a token's row of the unembedding |
# | $A^h$, $OV_h$ | `attention_pattern`, `ov[0, h]` | causal softmax attention of head $h$ with rotary positions; what the head writes for what it attends to |
# | $L$, $R$, $P$ | `w_l[0]`, `w_r[0]`, `w_p[0]` | the two maps that the MLP multiplies, and its output map |
# | $d$; $Q$ | `output_direction`, `interaction` | a token's $u$ less the mean of others'; the matrix of what the MLP adds to $d \cdot y$ |
# | $\lambda_i$, $v_i$ | `values`, `vectors` | eigenvalues of $Q$ in ascending order, so that 0 is the most negative and −1 the most positive, and eigenvectors |
#
# There is no norm and no bias, so the path from $x$ to a logit is exactly linear plus exactly quadratic. In training, noise of a third of each position's own standard deviation is
# added before attention, MLP and unembedding; the paper's follow-up ([arXiv 2410.08417](https://arxiv.org/abs/2410.08417)) found it to matter for readable eigenvectors.

# %%
for name, weight in model.named_parameters():
    print(f"{name:34} {tuple(weight.shape)!s:14} {weight.numel():>9,}")
model.config

# %% [markdown]
# ### How good is the model?
#
# The mean cross entropy over the validation stories. Losses per token of different tokenizers cannot be compared. Losses per character can, where the tokenizers drop the same characters: this one drops case, accents and what is not ASCII. And three stories from the model, to judge by eye.

# %%
n_tokens = len(upcoming) - len(encoded)
loss = transformer.evaluate(model, encoded)
bits = loss * n_tokens / transformer.characters_covered(model, stories.texts) / np.log(2)
parameters = sum(weight.numel() for weight in model.parameters())
print(f"{loss:.3f} nats per token, {bits:.3f} bits per character, over {n_tokens:,} tokens ({stories.source})\n")
for text in model.sample(3, SEED, "Once upon a time", n_tokens=60):
    print(text, "...\n")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
results.record(weights=model.name, parameters=parameters, nats_per_token=loss, bits_per_character=bits)
cards = [json.loads((folder / "card.json").read_text()) for folder in (transformer.RELEASED, CONTROL)]
COLOURS = {"AdamW": plotting.BLUE, "Muon": plotting.ORANGE}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for card in cards:
    name, curves = "Muon" if card["recipe"]["muon"] else "AdamW", card["curves"]
    ax.plot(curves["step"], curves["loss"], ":", color=COLOURS[name], label=f"{name}, training (with noise)")
    ax.plot(curves["step"], curves["validation_loss"], color=COLOURS[name], label=f"{name}, validation (without)")
    final, side = f" {card['final']['nats_per_token']:.4f}", "top" if name == "AdamW" else "bottom"
    ax.text(curves["step"][-1], curves["validation_loss"][-1], final, fontsize=7, va=side, color=COLOURS[name])
ax.set(xlabel="step", ylabel="nats per token", ylim=(2.1, 3.6))
ax.legend()
alt = "Training and validation loss over steps of the two released models, one for each optimiser."
results.save_figure(fig, "learning_curves", alt=alt)

# %% [markdown]
# **Figure `learning_curves`.** The two released models' losses over training, from their cards. Training losses lie higher because they are taken with noise. The numbers are the final losses over all 2,000 validation stories; the curves take every fourth story.

# %% [markdown]
# ## The interaction matrix of an output direction
#
# The logit of a token is $u \cdot y$ with its row $u$ of the unembedding. To see what raises *swim* rather than any verb, take the direction $d = u_\text{swim} - \text{mean}(u_\text{run}, u_\text{climb}, \dots)$. What the MLP adds to it is a quadratic form:
#
# $$d \cdot P\big((L x) \odot (R x)\big) = \sum_i (d P)_i\, (l_i \cdot x)(r_i \cdot x) = x^\top Q\, x, \qquad Q = \tfrac12\Big(L^\top \mathrm{diag}(d P)\, R + R^\top \mathrm{diag}(d P)\, L\Big).$$
#
# A quadratic form sees only the symmetric half of its matrix. With $Q = \sum_i \lambda_i v_i v_i^\top$ the MLP contributes $\sum_i \lambda_i (v_i \cdot x)^2$: eigenvector $i$ raises the logit wherever $x$ has a large component along $\pm v_i$ if $\lambda_i > 0$, and lowers it if $\lambda_i < 0$.
# $v_i$ and $-v_i$ are the same eigenvector; both ends act alike. Contracting with $d$ first keeps everything in memory: the whole tensor would take 4 GB at the published width.

# %%
direction = contrasts[0]
written = einsum(direction, model.w_p[0], "out, out hidden -> hidden")
q = einsum(written, model.w_l[0], model.w_r[0], "hidden, hidden in1, hidden in2 -> in1 in2")
q = (q + q.T) / 2
assert torch.allclose(q, model.interaction(direction), atol=1e-5)
values, vectors = bilinear.eigendecompose(q)
strongest = int(values.abs().argmax())
strongest -= len(values) if strongest > len(values) / 2 else 0
# %% tags=["hide-input"] jupyter={"source_hidden": true}
results.record(
    eigenvalue_min=values[0],
    eigenvalue_max=values[-1],
    eigenvalue_ratio=values[0].abs() / values[-1],
    participation_ratio=effective_rank(values),
    strongest_eigenvector=strongest,
)
# Read off the picture of the original notebook (commit 19987d7 of tdooms/bilinear-decomposition), each within 0.03.
PUBLISHED = dict(enumerate([-3.18, -1.11, -0.98, -0.85])) | {100: -0.31, 200: -0.17, 300: -0.09, 400: -0.03, 500: 0.0}
PUBLISHED |= {600: 0.03, 700: 0.08, 800: 0.15, 900: 0.27, 1000: 0.58} | dict(enumerate([0.97, 1.0, 1.12, 1.21], 1020))
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.5))
titles = {"here": dict(enumerate(values.tolist())), "published: 18 of 1,024 values, read off a picture": PUBLISHED}
for ax, (title, shown) in zip(axes, titles.items(), strict=True):
    ranks, heights = np.array(list(shown)), np.array(list(shown.values()))
    for part, colour in ((heights < 0, plotting.NEGATIVE), (heights >= 0, plotting.POSITIVE)):
        ax.plot(ranks[part], heights[part], ".-", color=colour, markersize=3, linewidth=0.8)
    for rank, side, by in ((ranks[0], "left", 6), (ranks[-1], "right", -6)):
        style = {"textcoords": "offset points", "va": "center", "ha": side, "fontsize": 7}
        ax.annotate(f"{shown[rank]:+.2f}", (rank, shown[rank]), (by, 0), **style)
    ax.axhline(0, color="0.7", linewidth=0.6)
    ax.set(xlabel="index", ylabel="eigenvalue", title=title)
fig.suptitle(f'"{TOKEN}" against {len(OTHERS)} other tokens ({WEIGHTS})', fontsize=8)
alt = f"Ascending eigenvalues of the interaction matrix of {TOKEN}, here and published: a few large ones at both ends, the rest near 0."
results.save_figure(fig, "spectrum", alt=alt)

# %% [markdown]
# **Figure `spectrum`.** The eigenvalues of $Q$ in ascending order: red ones raise the logit of the token against the others, blue ones lower it. Left: here. Right: what can be read off the original notebook's picture, each value within 0.03. The scales of two models cannot be compared; the shape can: the published spectrum has one end far stronger than the other.

# %% [markdown]
# ## An eigenvector in words: virtual tokens
#
# What the MLP reads at a position is a sum: the token's own embedding (the direct path), and what each head brings from earlier tokens. A token with embedding $e$ brings $e$ by the direct path and $OV_h\, e$ by head $h$, times the attention it gets.
# So each path has its own list of virtual tokens, and $v_i$ scores every one of them: $v_i^\top e$ and $v_i^\top OV_h\, e$. A word at one end of one path and a word at the same end of another *together* make $(v_i \cdot x)^2$ large; from opposite ends they cancel.

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
def word_table(index: int, columns: torch.Tensor, name: str) -> None:
    """An eigenvector in words: the table of text, and the figure of the same."""
    scores, tokens = ends(vectors[:, index], columns)
    names = [[str(vocabulary[i]) for i in column] for column in tokens]
    which = "all tokens" if columns is everything else f"tokens seen {MIN_COUNT} times or more"
    title = f'"{TOKEN}", eigenvector {index} (λ = {values[index]:.2f}), {which} ({WEIGHTS})'
    display(HTML(drawing.table_html(title, PATHS, scores, names)))
    fig = drawing.word_columns(PATHS, scores, names, np.full(len(PATHS), scores.abs().max().item()))
    fig.suptitle(title, fontsize=8)
    alt = f"Table of words by path for eigenvector {index} of {TOKEN}, {which}: ten highest in red, ten lowest in blue."
    results.save_figure(fig, name, alt=alt, show=False)


word_table(strongest, frequent, "word_table_strongest")
word_table(EIGENVECTORS[0], everything, "word_table_first")
word_table(EIGENVECTORS[0], frequent, "word_table_first_frequent")
word_table(EIGENVECTORS[1], everything, "word_table_second")
word_table(EIGENVECTORS[1], frequent, "word_table_second_frequent")

# %% [markdown]
# **Figure `word_table_*`.** The same tables as pictures, for the eigenvector of largest $|\lambda|$ (`strongest`, frequent tokens) and for the two of `EIGENVECTORS`, which the original notebook prints: over all tokens as it does, and over tokens seen at least `MIN_COUNT` times. Rare tokens and word pieces can fill an unfiltered table where their embeddings keep a random part; with these weights few do, and both tables are nearly alike.
# Above the line the ten highest scores of each path, below it the ten lowest; one scale of colours a table.
#
# Any other word: the interactive page `token_explorer` below.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
PUBLISHED_WORDS = {  # head 0 of the original notebook's two tables, the ten highest and the ten lowest
    -1: "tree 1.57 climb 1.10 bush 0.86 chim 0.81 high 0.81 waff 0.80 peach 0.78 nap 0.78 apples 0.72 climbed 0.72 "
    "fin -2.10 fish -2.13 lake -2.22 ocean -2.31 sea -2.37 ##ork -2.56 pool -2.75 water -2.86 swimming -2.99 swim -3.39",
    2: "swim 1.93 jump 1.70 dance 1.47 jumps 1.39 swimming 1.33 jumping 1.25 dancing 1.15 ##o 1.14 skip 1.13 dive 1.11 "
    "capt -1.55 potato -1.59 plant -1.59 dirt -1.62 plants -1.63 ship -1.66 dry -1.76 tomato -1.77 pirate -1.82 pirates -2.02",
}
scored = {k: text.split() for k, text in PUBLISHED_WORDS.items()}
published = {k: (of[::2], [float(score) for score in of[1::2]]) for k, of in scored.items()}
columns = [("published: −1,\nhead 0", *published[-1]), ("published: 2,\nhead 0", *published[2])]
for k in (strongest, *EIGENVECTORS):
    scores, tokens = ends(vectors[:, k], frequent)
    widest = int((scores.abs().amax(1)).argmax())
    names = [str(vocabulary[i]) for i in tokens[widest]]
    columns.append((f"here: {k},\n{PATHS[widest]}", names, scores[widest].tolist()))
scores = np.array([scores for *_, scores in columns])
headings, names, _ = zip(*columns, strict=True)
fig = drawing.word_columns(headings, scores, names)
alt = "Five columns of words: two of the original notebook's tables, and three of eigenvectors here."
results.save_figure(fig, "published_words", alt=alt)

# %% [markdown]
# **Figure `published_words`.** Two columns of the original notebook's tables (its strongest path, head 0) beside the strongest path of three eigenvectors here; each column has its own scale of colours, since the scores of two models cannot be compared.

# %% [markdown]
# ## Is this eigenvector about swimming? A test against chance
#
# Such tables invite reading. A test needs a list of words. The score of a list is the mean of its words' scores in a path, standardised over all frequent tokens; the statistic is the largest such $|\text{mean}|$ over all paths and over the eight eigenvectors whose top inputs the original notebook prints.
# Two lists are ours, and were written by one person; the third leaves out the forms of *swim* itself; the fourth is not ours: nine of the ten words at one end of the published eigenvector −1 (*##ork* is too rare here). As controls the two long lists are tested on the other verb's eigenvectors, where less is expected.
#
# Each statistic is compared with the same statistic of three nulls: the eight eigenvectors of other frequent words' own unembeddings, those of random contrasts (one frequent word less the mean of nine), and eight random directions; words of the lists do not count among the others. A p-value is the share of the first two nulls together that do as well, times six, the number of tests.

# %%
LISTS = {
    "swim": transformer.SWIMMING,
    "eat": "eat eating ate food hungry bread apple apples cake cookie cookies soup pizza lunch dinner breakfast delicious "
    "yummy tasty fruit candy banana sandwich cheese snack milk chocolate cream kitchen plate bowl",
}
LISTS["swim, without its forms"] = LISTS["swim"].removeprefix("swim swimming swam ")
LISTS["published"] = " ".join(published[-1][0][10:])
TESTS = [  # the list, and the verb whose eigenvectors it is tested on; the last two are controls
    *(("swim", "swim"), ("eat", "eat"), ("swim, without its forms", "swim"), ("published", "swim")),
    *(("swim", "eat"), ("eat", "swim")),
]

# %%
least = MIN_COUNT if stories.source == "tinystories" else 0  # a few sampled stories lack most words
common = (counts >= least).nonzero().flatten()
column = {token: i for i, token in enumerate(vocabulary[common])}
listed = {name: [column[word] for word in text.split() if word in column] for name, text in LISTS.items()}
TEN = transformer.VERBS  # whatever OTHERS are
tested = [transformer.output_direction(model, verb, [v for v in TEN if v != verb]) for verb in ("swim", "eat")]
eight = dict(zip(("swim", "eat"), decomposed(torch.stack(tested))[1], strict=True))
of_a_list = {word for text in LISTS.values() for word in text.split()}
free = [i for i, word in enumerate(words) if vocabulary[word] not in of_a_list]  # for the nulls
draws = torch.stack([torch.randperm(len(free), generator=generator)[:10] for _ in range(20 if QUICK else 200)])
rows = model.w_u[words][torch.tensor(free)[draws]]
contrast_eight = decomposed(rows[:, 0] - rows[:, 1:].mean(1))[1]
token_eight = word_eight[free[:400]]
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

# %% tags=["hide-input"] jupyter={"source_hidden": true}
maps = [transformer.list_scores(eight[verb], paths[:, :, common], listed[verb]).T for verb in ("swim", "eat")]
where = np.unravel_index(int(maps[0].abs().argmax()), maps[0].shape)
results.record(
    swim_score=statistics[0],
    eat_score=statistics[1],
    swim_score_without_forms=statistics[2],
    published_score=statistics[3],
    swim_best_eigenvector=SHOWN[where[0]],
    swim_best_path=PATHS[where[1]],
    published_beyond_nulls=statistics[3] - strong[3].max(),
    lists_p_corrected=p[:4].max(),
    controls_p_corrected=p[4:].min(),
)
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.8))
colours = dict(zip(NULLS, (plotting.GREEN, plotting.PINK, "0.6"), strict=True))
for i, null in enumerate(nulls):
    for j, (kind, found) in enumerate(null.items()):
        low, high = found.quantile(torch.tensor([0.025, 0.975])).tolist()
        height, label = i + 0.2 * j - 0.2, "_" * i + f"{kind} ({len(found):,}): mean, 95 %, largest"
        ax.plot([low, high], [height] * 2, color=colours[kind], linewidth=3, alpha=0.5, label=label)
        ax.plot(found.mean(), height, "|", color=colours[kind], markersize=6)
        ax.plot(found.max(), height, ".", color=colours[kind], markersize=4)
    ax.plot(statistics[i], i, "D", color=plotting.VERMILLION, markersize=5)
    text = f"{statistics[i]:.2f}, p = {p[i]:.2g}"
    beside = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 7}
    ax.text(1.02, i, text, color=plotting.VERMILLION, **beside)
labels = [f'{len(listed[name])} words "{name}"\non "{verb}"' for name, verb in TESTS]
ax.set(yticks=range(len(TESTS)), yticklabels=labels, xlim=(0, 1.05 * statistics.max()))
ax.set(xlabel="largest |mean standardised score| over eight eigenvectors and all paths")
ax.invert_yaxis()
fig.legend(loc="outside upper center", ncols=3)
alt = "Six word lists: the score of the verb's own eigenvectors as a diamond, far right of three null distributions in the first four and inside them in the two controls."
results.save_figure(fig, "word_list_test", alt=alt)

# %% [markdown]
# **Figure `word_list_test`.** Diamonds: the statistic of each list on the eigenvectors of a verb, with its p-value, corrected for the six tests. Bars: 95 % of each null; tick: its mean; dot: its largest value. With 600 draws no corrected p-value can be below 0.01: read the distance from the dots instead.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.8))
limit = max(found.abs().max().item() for found in maps)
for ax, verb, found in zip(axes, ("swim", "eat"), maps, strict=True):
    image = plotting.signed_map(ax, found, limit, numbers="+.1f")
    ax.set_aspect("auto")
    ax.set_xticks(range(len(PATHS)), [path.replace("head ", "h") for path in PATHS])
    ax.set_yticks(range(len(SHOWN)), SHOWN)
    ax.set(title=f'"{verb}" words on the eigenvectors of "{verb}"', ylabel="eigenvector", xlabel="path")
fig.colorbar(image, ax=axes, label="mean standardised score", shrink=0.9)
alt = "Two maps, eigenvector by path: the mean standardised score of the swimming words and of the eating words, with values."
results.save_figure(fig, "word_list_paths", alt=alt)

# %% [markdown]
# **Figure `word_list_paths`.** Where the words stand: the mean standardised score of each list, by eigenvector and path. Signs within a row belong together; between rows they are arbitrary.

# %% [markdown]
# ## Which part of the form detects?
#
# An eigenvector adds $\lambda (v \cdot x)^2$. With $v \cdot x = m + r$, where $m$ is the mean over all text, this is $\lambda m^2 + 2 \lambda m r + \lambda r^2$: a constant, a linear and a quadratic part. Only the last two can tell one position from another. Which of them does?

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
detection = []  # of each verb said, at the positions before one of the ten: by the linear part, the quadratic, both
for i in said.nonzero().flatten().tolist():
    lam = own[:, i] @ model.interaction(contrasts[i]) @ own[:, i]
    r = x[at] @ own[:, i] - mean @ own[:, i]
    scores = (2 * lam * (mean @ own[:, i]) * r, lam * r.square(), lam * (x[at] @ own[:, i]).square())
    detection.append([transformer.auc(score, before[at, i]) for score in scores])
detection = np.array(detection)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
results.record(
    constant_part=measured["everywhere"]["constant"][0],
    sum_before_token=measured[f"before {TOKEN}"]["sum"],
    sum_before_others=measured["before the other verbs"]["sum"],
    auc_linear=detection[:, 0].mean(),
    auc_quadratic=detection[:, 1].mean(),
    auc_quadratic_either_way=np.maximum(detection[:, 1], 1 - detection[:, 1]).mean(),
)
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.7))
tones = {"constant": "0.6", "linear": plotting.VERMILLION, "quadratic": plotting.SKY, "sum": "k"}
for i, found in enumerate(measured.values()):
    for j, (part, (value, low, high)) in enumerate(found.items()):
        left.bar(i + 0.2 * j - 0.3, value, 0.18, color=tones[part], label="_" * i + part)
        left.plot([i + 0.2 * j - 0.3] * 2, [low, high], color="0.3", linewidth=0.8)
        height = (high if value > 0 else low) + 0.25 * np.sign(value)
        left.text(i + 0.2 * j - 0.3, height, f"{value:+.1f}", fontsize=7, **plotting.CENTRED)
left.axhline(0, color="0.7", linewidth=0.6)
left.set(xticks=range(3), xticklabels=[name.replace("before ", "before\n") for name in measured])
left.set_ylabel(f'added to the logit of "{TOKEN}"')
left.margins(y=0.12)
left.legend(loc="upper left")
for j, part in enumerate(("linear", "quadratic", "sum")):
    style = {"fillstyle": "none", "markersize": 8} if part == "sum" else {"markersize": 5}
    right.plot(range(len(detection)), detection[:, j], "o", color=tones[part], label=part, zorder=3 - j, **style)
right.axhline(0.5, color="0.7", linestyle=":")
right.set(xticks=range(len(detection)), ylabel="AUC: this verb against the other nine", ylim=(0, 1))
right.set_xticklabels([verb for verb, there in zip(verbs, said.tolist(), strict=True) if there], rotation=45)
right.legend(loc="lower right")
alt = "Left: constant, linear and quadratic part of the strongest eigenvector's contribution at three kinds of place. Right: how well the parts tell each verb from the others."
results.save_figure(fig, "parts", alt=alt)

# %% [markdown]
# **Figure `parts`.** Left: the three parts of the strongest eigenvector's contribution to *swim*, and their sum, at all positions, right before the nine other verbs and right before *swim*; lines are 95 % intervals over stories. Right: for each verb's own strongest eigenvector, how often a part is larger right before that verb than right before another of the ten (AUC; 0.5 is chance).
# The sum (circles) follows the linear part: as $v \cdot x$ rarely changes sign, $\lambda (v \cdot x)^2$ ranks positions as its linear part does.

# %% [markdown]
# ## Both ends together: a gate times a topic
#
# Why does a quadratic form detect by its linear part? Take the two ends of the spectrum together. With $p = \sqrt{\lambda_+}\, v_+$ and $n = \sqrt{|\lambda_-|}\, v_-$,
#
# $$\lambda_+ (v_+ \cdot x)^2 - |\lambda_-| (v_- \cdot x)^2 = (a \cdot x)\,(b \cdot x), \qquad a = p + n, \quad b = p - n :$$
#
# a product of two directions. If one factor hardly varies from position to position, the product follows the other: it is linear in effect. Of the two, the *gate* is the one whose projection lies farther from 0, in its own standard deviations over all text, and the *topic* the other; no verb decides it. Both are then held at their means like the eigenvectors above. That little happens when the gate is held says only that it varies little, by which it was chosen; it was not set to 0.

# %%
factors = torch.stack([transformer.topic_and_gate(model, contrast, x) for contrast in contrasts])  # [verb d_model 2]
held_factors, alike = {}, {}
for name, unit in zip(("topic", "gate"), factors.permute(2, 1, 0), strict=True):
    held_factors[name] = transformer.effects_of_holding(model, *here, unit, mean)
    alike[name] = (unit.T @ unit).abs()

# %% [markdown]
# Beside them stands a direction that knows the text: the mean of what the MLP reads before the verb, less the mean before the other nine. It is fitted to half of the stories and held in the other half, both ways.

# %%
fitted = transformer.effects_of_fitted(model, *here, story[at] % 2 == 1, mean).diagonal()

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 3.0), width_ratios=[1.25, 1])
marks = {"topic": ("D", plotting.BLUE), "gate": ("o", "0.5")}
style = {"color": plotting.VERMILLION, "markersize": 4, "zorder": 3}
left.plot(range(len(verbs)), own_effect, "o", label="strongest eigenvector", **style)
for name, (marker, colour) in marks.items():
    left.plot(range(len(verbs)), held_factors[name].diagonal(), marker, color=colour, markersize=5, label=name)
left.plot(range(len(verbs)), fitted, "s", color="k", fillstyle="none", markersize=4, label="fitted to the text")
left.axhline(0, color="0.7", linewidth=0.6, zorder=0)
left.set(xticks=range(len(verbs)), ylabel="change of log p(verb) (nats)", title="held, right before the verb")
fig.legend(loc="outside upper left", ncols=4)
shown = torch.where(torch.ones_like(apart).triu(1), alike["gate"], torch.where(apart, alike["topic"], torch.nan))
for (row, column), value in np.ndenumerate(shown.numpy()):
    if row != column:
        right.text(column, row, f"{value:.2f}"[1:], color="w" if value > 0.6 else "k", fontsize=7, **plotting.CENTRED)
image = right.imshow(shown, cmap="Greys", vmin=0, vmax=1)
right.set(xticks=range(len(verbs)), yticks=range(len(verbs)), yticklabels=verbs)
right.set_title("|cos| between verbs:\nabove gates, below topics")
for ax in (left, right):
    ax.set_xticklabels(verbs, rotation=60)
alt = "Left: holding a verb's topic lowers its log probability far more than holding its gate. Right: gates of most verbs are much alike, topics are not."
results.save_figure(fig, "gate_topic", alt=alt)

# %% [markdown]
# **Figure `gate_topic`.** Left: the mean change of each verb's log probability right before it, when what the MLP reads is held along the verb's strongest eigenvector (as in figure `held`), its topic, its gate, or the direction fitted to the text. *Smell, sleep* and *swim* have the fewest positions (24, 50 and 51), of which each fit sees half. Right: how alike the directions of different verbs are, as $|\cos|$ without the leading 0: gates above the diagonal, topics below it.

# %% [markdown]
# Is the topic a good direction to hold? The same in all the trained models that are [compared below](#The-optimiser's-part), as the mean over the verbs, beside both ends of the spectrum held together, which is the plane that topic and gate span, and the largest 64 principal components of what the MLP reads: for each verb the one that lowers it most.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
runs = results.read_sweep("02_tinystories")
WAYS = {"fitted": "fitted to the text", "both": "both ends together", "topic": "topic", "own": "strongest eigenvector"}
WAYS |= {"components": "worst of 64 components", "gate": "gate"}
fig, ax = plt.subplots(figsize=(5.4, 2.4))
for i, way in enumerate(WAYS):
    for j, run in enumerate(runs.to_dict("records")):
        label = "_" * (i > 0 or run["seed"] > 0) + f"{run['optimiser']}, {run['recipe']} recipe"
        style = {"color": COLOURS[run["optimiser"]], "fillstyle": "full" if run["recipe"] == "best" else "none"}
        ax.plot(run[way], i + 0.08 * (j - len(runs) / 2), "o", markersize=4, label=label, **style)
ax.set(yticks=range(len(WAYS)), yticklabels=WAYS.values(), ylim=(len(WAYS) - 0.4, -0.6))
ax.axvline(0, color="0.7", linewidth=0.6, zorder=0)
ax.set_xlabel("held: change of log p(verb) before it, mean over ten verbs (nats)")
fig.legend(loc="outside upper center", ncols=2)
alt = "Trained models of two optimisers and recipes: the change of a verb's log probability by six ways to choose the direction that is held."
results.save_figure(fig, "ways_to_hold", alt=alt)

# %% [markdown]
# **Figure `ways_to_hold`.** A dot a trained model: the mean over ten verbs of the change of the verb's log probability right before it. Farther to the left is more harm to the verb, not a better reading: the fitted direction also changes the other nine verbs more. The topic differs by optimiser more than by run. The strongest eigenvector of one Muon run costs little (−0.48), where its topic costs as much as that of the others: it is one end of two.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
shown = [0, *(verbs.index(verb) for verb in ("eat", "fly", "sleep") if verb in OTHERS)]
columns = [("gate", 1, 0), *(("topic", 0, i) for i in shown)]
headings, scores, names = [], [], []
for name, which, i in columns:
    found, tokens = ends(factors[i][:, which], frequent)
    widest = int(found.abs().amax(1).argmax())
    headings.append(f"{name} of {verbs[i]},\n{PATHS[widest]}")
    scores.append(found[widest].numpy())
    names.append([str(vocabulary[token]) for token in tokens[widest]])
title = "gate and topics, each by its strongest path"
display(HTML(drawing.table_html(title, headings, scores, names)))
fig = drawing.word_columns(headings, scores, names)
alt = "Columns of words: the gate of swim and the topics of four verbs, ten words of either end each."
results.save_figure(fig, "gate_topic_words", alt=alt)

# %% [markdown]
# **Figure `gate_topic_words`.** The gate of *swim* and the topics of four verbs in frequent words, each by the path in which its scores are largest; each column has its own scale of colours. The sign of a topic is tied to that of its own gate: the end that raises the verb is the one where the gate lies (lower for *swim*, *fly* and *sleep*, upper for *eat*). Flipping both changes nothing.

# %% [markdown]
# ## How many eigenvectors does it take?
#
# Keep the $k$ eigenvectors of largest $|\lambda|$ and correlate the truncated form with the MLP's full contribution in the direction, and with the whole logit difference, which also holds the direct and attention paths. Over all positions such a correlation may partly ask whether a verb can stand there at all; right before one of the ten verbs it asks which.

# %%
KEPT = [1, 2, 4, 8, 16, 64, len(values)]
order = values.abs().argsort(descending=True)
forms, mlp = [], []
for chunk in x.split(4096):
    forms.append(((chunk @ vectors[:, order]).square() * values[order]).cumsum(1)[:, [k - 1 for k in KEPT]])
    mlp.append(model.transformer.h[0].mlp(chunk[None])[0] @ direction)
forms, mlp = torch.cat(forms).T.double(), torch.cat(mlp).double()
assert torch.allclose(forms[-1], mlp, atol=1e-2)
logit = mlp + (x @ direction).double()
correlations = {}
for name, where in {"everywhere": everywhere, "before a verb": at}.items():
    found = torch.corrcoef(torch.stack([*forms[:, where], mlp[where], logit[where]]).double())
    correlations[name] = found[: len(KEPT), -2:]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for name, found in correlations.items():
    ending = "_before_verbs" if name == "before a verb" else ""
    results.record(**{f"correlation_{k}{ending}": c for k, c in zip((1, 2), found[:2, 0], strict=True)})
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.4), sharey=True)
for ax, (name, found), n in zip(axes, correlations.items(), (len(x), len(at)), strict=True):
    for column, what in enumerate(("with the MLP's contribution", "with the whole logit difference")):
        ax.plot(KEPT, found[:, column], ("o-", "x--")[column], markersize=4, label=what, zorder=3 - column)
    for k, c in zip(KEPT[:3], found[:3, 0].tolist(), strict=True):
        ax.annotate(f"{c:.2f}", (k, c), (4, -9), textcoords="offset points", fontsize=7)
    ax.set_xscale("log", base=2)
    ax.set_xticks(KEPT, KEPT)
    ax.set(xlabel="eigenvectors kept", ylim=(min(0, found.min()), 1.05))
    ax.set_title(f"{name.replace('a verb', 'one of the ten verbs')}: {n:,} positions")
axes[0].set_ylabel("correlation")
axes[1].legend(loc="lower right")
fig.suptitle(f'"{TOKEN}" ({WEIGHTS})', fontsize=8)
alt = "Correlation of the truncated form with the MLP's contribution and the logit difference against the eigenvectors kept, over all positions and before a verb."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Correlation against the number of eigenvectors kept, on a scale of doublings; left over all positions, right over the positions before one of the ten verbs. The curve of the MLP's contribution ends at 1 because all eigenvectors together are the MLP.

# %% [markdown]
# ## One position, taken apart completely
#
# The logit difference $d \cdot y = d \cdot x + x^\top Q x$ at one position is a sum over earlier tokens and paths. Let $\bar x$ be what the MLP would read if every path brought the average token $\bar e$. Then
#
# $$d \cdot y = \underbrace{d \cdot \bar x + \bar x^\top Q \bar x}_{\text{constant}} + g \cdot (x - \bar x), \qquad g = d + Q\,(x + \bar x), \qquad x - \bar x = (e - \bar e) + \sum_h \sum_s A^h_s\, OV_h\,(e_s - \bar e),$$
#
# exactly, since attention weights add up to 1. Each pair of token and path has one number, and with the constant they add up to the logit difference. The position is the one right before *swim* where the intervention above costs most.

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

# %% tags=["hide-input"] jupyter={"source_hidden": true}
largest = by_token.abs().amax(0).topk(min(18, position + 1)).indices.tolist()
columns = sorted({*largest, position})  # the tokens with the largest shares, in the order of the text, and the rest
rest = by_token.sum(1) - by_token[:, columns].sum(1)
shown = torch.cat([rest[:, None], by_token[:, columns]], dim=1)
names = [f"{position + 1 - len(columns)} others", *vocabulary[np.array(ids)[columns]]]
fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.5))
image = plotting.signed_map(ax, shown, numbers="+.1f")
ax.set_aspect("auto")
sums = shown.sum(1).tolist()
ax.set_yticks(range(len(PATHS)), [f"{path}: {total:+.2f}" for path, total in zip(PATHS, sums, strict=True)])
labels = [f"{name} {total:+.2f}" for name, total in zip(names, shown.sum(0).tolist(), strict=True)]
ax.set_xticks(range(len(names)), labels, rotation=60, ha="right")
fig.colorbar(image, ax=ax, label="added to the logit difference")
total = f"{difference:.2f} = {constant:+.2f} (average tokens) {by_token.sum():+.2f} (this text)"
ax.set_title(f'before "{vocabulary[upcoming[index]]}": {total}')
alt = "Map of paths by tokens: what each earlier token adds by each head to the logit difference of one position, with row and column sums."
results.save_figure(fig, "one_position", alt=alt)

# %% [markdown]
# **Figure `one_position`.** What each earlier token adds by each path (rows; `direct` is the position's own token) to the logit of *swim* less the mean of the nine other verbs; values that round to 0 are left blank. Shown are the tokens with the largest shares, in the order of the text, and the sum of the others. Sums of rows and columns stand beside the names. Constant and map add up to the model's own logit difference, which the cell asserts. They are one of many exact splits: an interaction of two tokens is shared equally. The position is the one where the intervention costs most.

# %% [markdown]
# ## Top activating inputs
#
# Where in real text does an eigenvector act? Its activation at a position is $(v_i \cdot x)^2$; each story counts with its best position. What made $x$ large along $v$ there? $x$ is the token's own embedding plus, for every earlier token, what all heads bring from it: $\sum_h A^h_s\, OV_h\, x_{0,s}$. These shares add up to $x$ exactly, so each token can be coloured by its share of $v \cdot x$.

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


# %%
lines = {k: [line_of(s, int(peak_at[s, i]), k) for s in top.indices[:, i].tolist()] for i, k in enumerate(SHOWN)}
swimming = set(LISTS["swim"].split())
in_water = {k: sum(not swimming.isdisjoint(line[0]) for line in lines[k]) for k in SHOWN}
middles = [vocabulary[ids[max(0, len(ids) // 2 - 20) : len(ids) // 2 + 1]] for ids in encoded]  # of each story
# %% tags=["hide-input"] jupyter={"source_hidden": true}
chance = 8 * np.mean([not swimming.isdisjoint(window) for window in middles])
results.record(in_water_0=in_water[0], in_water_minus_1=in_water[-1], in_water_chance=chance)
KEY = drawing.tokens_html(["pushes against", "0", "pushes the way that v · x goes"], [-1.0, 0.0, 1.0])
page = [f"<b>Key</b> (ends: the largest share of the story): {KEY}"]
for k in SHOWN:
    page.append(f"<b>eigenvector {k} of {TOKEN}, λ = {values[k]:.2f} ({WEIGHTS})</b>")
    page += [drawing.tokens_html(*line) for line in lines[k]]
display(HTML("\n".join(page)))

# %% [markdown]
# Each block: the eight stories in which the eigenvector acts most, the twenty tokens before the position and three after it, the position's own token in brackets. The number is what the eigenvector adds to the logit, $\lambda (v \cdot x)^2$. Colours are scaled by the largest share of the whole story up to the position, as in the original notebook.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for k in SHOWN:
    title = f'"{TOKEN}", eigenvector {k} (λ = {values[k]:.2f}): top inputs, and what each adds to the logit'
    fig = drawing.top_inputs(lines[k], f"{title} ({WEIGHTS})")
    alt = f"The eight texts in which eigenvector {k} of {TOKEN} acts most, each token coloured by its share."
    results.save_figure(fig, f"top_inputs_{k if k >= 0 else f'minus_{-k}'}", alt=alt, show=k in (-1, 0))

# %% [markdown]
# **Figure `top_inputs_*`.** The same as pictures, one for each of the eight eigenvectors; shown here are the most positive (−1) and the most negative (0).
#
# Beside the original notebook's: the last column of each half counts texts with a word of the swimming list among the twenty tokens before the position or at it; `in_water_chance` is how many of eight have one in the middle of any story.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
import html

PUBLISHED_TOP = {  # of the original notebook: the first and the eighth activation, the tokens in brackets, how many in water
    -1: (7.89, 6.66, "to to at wore ordinary jumped to jumps", 8),
    -2: (5.11, 4.41, "pink pink pink pink fancy white pink red", 3),
    -3: (3.97, 3.53, "pa her her her his pa ap his", 1),
    -4: (4.71, 4.13, "fish fish dolphin dolphin ducks swan fish swim", 8),
    0: (-12.12, -8.7, "jumped jumps play wa play play and go", 8),
    1: (-4.12, -3.61, "after jumped too stepped t and jumped and", 4),
    2: (-4.02, -2.73, "new sea little capt the dry little ##bo", 4),
    3: (-3.17, -2.76, "##r cold this icy the rain the chim", 1),
}
cells = []
for k, (high, low, tokens, wet) in PUBLISHED_TOP.items():
    here = " ".join(line[0][-1] for line in lines[k])
    row = (k, f"{high:+.2f} … {low:+.2f}", tokens, wet, f"{lines[k][0][4]} … {lines[k][-1][4]}", here, in_water[k])
    cells.append("".join(f'<td style="text-align:left">{html.escape(str(cell))}</td>' for cell in row))
names = ("λ(v·x)², first … eighth", "tokens in brackets", "of 8 with a swimming word")
heads = "<th>eigenvector</th>" + "".join(
    f"<th>{which}: {name}</th>" for which in ("published", "here") for name in names
)
display(HTML(f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"))

# %% [markdown]
# ## Any token
#
# The same for single tokens, without comparison tokens: $Q$ of a token's own $u$. Rows of the unembedding differ in length, and eigenvalues scale with it: they are divided by $\|u\|$.

# %%
SMALL = ["swim", "run", "eat", "sleep", "fly", "happy", "sad", "big", "red", "mom", "dog", "the"]
few = torch.tensor(model.token_ids(SMALL))
spectra = transformer.token_spectra(model, few) / model.w_u[few].norm(dim=1, keepdim=True)
tokens = torch.arange(0, len(vocabulary), 16 if QUICK else 1)
everyone = transformer.token_spectra(model, tokens) / model.w_u[tokens].norm(dim=1, keepdim=True)
low, high = -everyone[:, 0], everyone[:, -1]
often, pieces = (counts[tokens] >= MIN_COUNT).numpy(), np.char.startswith(vocabulary[tokens].astype(str), "##")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
stronger = (low > high).numpy()
results.record(
    negative_stronger_words=stronger[often & ~pieces].mean(),
    negative_stronger_pieces=stronger[often & pieces].mean(),
)
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
# **Figure `token_spectra`.** Both ends of the spectra of twelve tokens, divided by $\|u\|$; the middle, left out at the dashed line, is near 0. Of these twelve the verbs have the stronger negative end, the others the stronger positive one, some of either barely; most frequent words have the stronger negative one (`all_spectra`).

# %% tags=["hide-input"] jupyter={"source_hidden": true}
kinds = {"word pieces (##)": pieces, "whole words seen rarely": ~pieces & ~often, "frequent words": ~pieces & often}
fig, ax = plt.subplots(figsize=(4.6, 3.4))
for (kind, of), colour in zip(kinds.items(), (plotting.ORANGE, "0.6", plotting.BLUE), strict=True):
    ax.scatter(high[of], low[of], s=4, color=colour, linewidths=0, alpha=0.6, label=f"{kind} ({of.sum():,})")
edge = float(max(low.max(), high.max())) * 1.05
ax.plot([0, edge], [0, edge], color="0.6", linewidth=0.6)
arrow = {"arrowstyle": "-", "linewidth": 0.5}
for token, by in {"swim": (-35, 30), "eat": (-5, 35), "the": (20, 25)}.items():
    (i,) = model.token_ids([token])
    if (place := (tokens == i).nonzero().flatten()).numel():
        spot = (high[place[0]], low[place[0]])
        ax.annotate(token, spot, by, textcoords="offset points", fontsize=7, arrowprops=arrow)
ax.set(xlabel="most positive eigenvalue / ‖u‖", ylabel="−(most negative eigenvalue) / ‖u‖")
ax.set(xlim=(0, edge), ylim=(0, edge))
ax.legend(markerscale=2, loc="upper left")
ax.set_title(f"{len(tokens):,} tokens ({WEIGHTS})")
alt = "Scatter of every token's strongest negative against its strongest positive eigenvalue, by kind of token."
results.save_figure(fig, "all_spectra", alt=alt)

# %% [markdown]
# **Figure `all_spectra`.** One dot a token: how strong its most negative and its most positive eigenvalue are, divided by $\|u\|$. Above the line the negative one is the stronger. Word pieces (orange), which continue a word, lie almost all on the positive side.
#
# The interactive page `token_explorer`, which `make figures` writes under `figures/02_tinystories/pages/`, shows any of the 500 most frequent words: both ends of its spectrum, and its strongest eigenvector in words, with score and count under the pointer; the slider goes through the alphabet.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
shown = []
for i in sorted(range(len(words)), key=lambda i: vocabulary[words[i]]):
    scores, tokens = ends(word_strongest[:, i], frequent, 8)
    word = {"word": str(vocabulary[words[i]]), "count": int(counts[words[i]])}
    word |= {"eigenvalue": word_values[i][word_values[i].abs().argmax()].item()}
    word |= {"ends": torch.cat([word_values[i][:12], word_values[i][-12:]]).numpy().round(3).tolist()}
    word |= {"tokens": vocabulary[tokens.T.numpy()].tolist(), "counts": counts[tokens.T].tolist()}
    shown.append(word | {"scores": scores.T.numpy().round(2).tolist()})
alt = f"The {len(words)} most frequent words: the spectrum of each, and its strongest eigenvector in words"
results.save_page(drawing.explorer(shown, PATHS), "token_explorer", alt=alt)

# %% [markdown]
# ## The optimiser's part
#
# What can be read off weights depends on how they were trained. The published model was trained with AdamW; the first release of this repository with Muon, which orthogonalises each update of a matrix, at learning rate 0.008 and weight decay 0.5. That setting had been chosen for Muon, and yet AdamW reached the lower loss with it. Does the order hold where each optimiser is at its best?
# Rates from 0.004 to 0.032 and decays from 0.125 to 1 were tried with both optimisers in trainings of a quarter of an epoch, and three settings, one with decay 0.0625, in a whole one, a single run each ([the card](../checkpoints/tinystories/README.md) has the numbers). Rate 0.016 with decay 0.25 came out lowest for both; for AdamW over a whole epoch by only 0.004. Below are two runs of six epochs of each optimiser at either setting, *first* and *best*, on the same text, tokenizer, steps and noise. The measures are those of this notebook, taken by `sweeps/tinystories.py`.

# %%
for folder in (transformer.RELEASED, CONTROL):
    assert digest(folder / "model.safetensors") in set(runs["weights"]), f"{folder.name} changed: make sweeps NB=02"

# %% tags=["hide-input"] jupyter={"source_hidden": true}
pairs, ratio = {"participation": [], "topic": []}, {}  # of one run of either optimiser at the same recipe: differences
for recipe, of in runs.groupby("recipe"):
    muon, adamw = (of[of["optimiser"] == optimiser].sort_values("seed") for optimiser in ("Muon", "AdamW"))
    ratio[recipe] = np.abs(muon["nats"].to_numpy() - adamw["nats"].to_numpy())  # of each seed
    for name, differences in pairs.items():
        differences += np.subtract.outer(muon[name].to_numpy(), adamw[name].to_numpy()).ravel().tolist()
first, best_ones = (runs.loc[runs["recipe"] == recipe, "nats"] for recipe in ("first", "best"))
results.record(
    own_minus_null=(runs["own"] - runs["own_null"]).tolist(),
    others_over_own=runs["spill"].tolist(),
    verbs_beyond_null=runs["verbs"].tolist(),
    topic_minus_own=(runs["topic"] - runs["own"]).tolist(),
    gate_over_topic=runs["gate_share"].tolist(),
    gates_minus_topics_alike=(runs["gates_alike"] - runs["topics_alike"]).tolist(),
    words_minus_null=(runs["words"] - runs["words_null"]).tolist(),
    auc_linear_minus_quadratic=(runs["auc_linear"] - runs["auc_quadratic"]).tolist(),
    topic_over_both=(runs["topic"] / runs["both"]).tolist(),
    fitted_over_topic=(runs["fitted_often"] / runs["topic_often"]).tolist(),
    fitted_over_topic_spill=(runs["fitted_spill"] / runs["topic_spill"]).tolist(),
    own_minus_components=(runs["own"] - runs["components"]).tolist(),
    best_minus_first_nats=(best_ones - first.min()).tolist(),
    optimisers_nats_best_over_first=(ratio["best"] / ratio["first"]).tolist(),
    participation_muon_minus_adamw=pairs["participation"],
    topic_muon_minus_adamw=pairs["topic"],
)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
PANELS = {
    "nats": "nats a token",
    "participation": "participation ratio of the spectrum",
    "ends": "ends of the spectrum",
    "words": "swimming words (s.d.)\n|: other words",
    "own": "held: log p(own verb)\n|: other words",
    "others": "held: log p(another verb)",
}
shown = runs.assign(ends=runs["lowest"]).to_dict("records")
names = [f"{run['optimiser']}, {run['recipe']}, {run['seed']}" for run in shown]
fig, axes = plt.subplots(2, 3, figsize=(plotting.TEXT_WIDTH, 0.9 + 0.55 * len(runs)), sharey=True)
for ax, (name, title) in zip(axes.flat, PANELS.items(), strict=True):
    for i, run in enumerate(shown):
        points = [run[name]] + ([run["highest"]] if name == "ends" else [])
        ax.plot(points, [i] * len(points), "o", color=COLOURS[run["optimiser"]], markersize=5)
        for point in points:
            ax.annotate(f"{point:.3g}", (point, i), (0, 5), textcoords="offset points", ha="center", fontsize=7)
        if f"{name}_null" in run:
            ax.plot(run[f"{name}_null"], i, "|", color="0.4", markersize=9)
    if name in ("ends", "own", "others"):
        ax.axvline(0, color="0.8", linewidth=0.6)
    ax.set(title=title, yticks=range(len(shown)), yticklabels=names, ylim=(len(shown) - 0.5, -0.8))
    ax.margins(x=0.2)
alt = "Trained models of both optimisers: loss, spectrum, score of the swimming words and effect of the intervention on the own verb and on others."
results.save_figure(fig, "optimisers", alt=alt)

# %% [markdown]
# **Figure `optimisers`.** A dot a trained model, named by optimiser, recipe and seed. Spectrum and words are those of *swim*. Words: the swimming words' score on its strongest eigenvector; grey tick, the 95 % quantile of 400 other words' strongest eigenvectors. Held: the mean over ten verbs of the change of log probability, of the verb itself (grey tick: the mean over verbs of the 5 % quantile of about sixty other words' eigenvectors) and of the nine others.
# Of the published model only the ends of the spectrum (−3.18 and 1.21) are known; their scale is another.

# %% [markdown]
# ## What we found

# %% tags=["hide-input"] jupyter={"source_hidden": true}
ORIGINAL = {"weights": "tdooms/TinyStories-1-1024-i5n", "parameters": "22 million", "strongest_eigenvector": "0"}
ORIGINAL |= {"eigenvalue_min": "-3.18", "eigenvalue_max": "1.21", "eigenvalue_ratio": "2.6"}
ORIGINAL |= {"swim_best_eigenvector": "-1", "swim_best_path": "head 0", "in_water_minus_1": "8", "in_water_0": "8"}
STATED = """weights parameters nats_per_token bits_per_character verbs_said held_own_mean held_others_mean held_token
    verbs_beyond_other_words eigenvalue_min eigenvalue_max eigenvalue_ratio participation_ratio strongest_eigenvector
    swim_best_eigenvector swim_best_path swim_score swim_score_without_forms eat_score published_score lists_p_corrected
    controls_p_corrected constant_part sum_before_token sum_before_others auc_linear auc_quadratic
    auc_quadratic_either_way correlation_1 correlation_2 correlation_1_before_verbs correlation_2_before_verbs in_water_minus_1 in_water_0 in_water_chance
    negative_stronger_words negative_stronger_pieces"""
rows = [(name.replace("_", " "), name, ORIGINAL.get(name, "not stated")) for name in STATED.split()]
results.findings(rows)

# %% [markdown]
# - **What an eigenvector does.** Held at its mean, a verb's strongest eigenvector takes much probability from that verb and, on average, next to none from the other nine (rises and falls cancel: `held` has each). For each of the ten verbs the effect, with its whole interval, lies below the 5 % quantile of 62 other words' eigenvectors (`held_baselines`); in the other trained models the effect does for seven to nine of ten. None of these 62 words does as much to six of the verbs; to *climb, eat, fly* and *sit* the eigenvectors of *make* or *be* do.
#   The eigenvector of the opposite end costs less on average; for *swim, climb, eat* and *fly* it costs more.
# - **Gate and topic.** The two ends together are a product of two directions. One of them, the gate, is much alike for eight of the ten verbs (less so for *walk*, least for *see*), most of all with AdamW, and reads function words and commas. The other, the topic, differs from verb to verb and reads what the text is about: for *swim*, water at one end and music, apples and a chimney at the other. The weights give the pair, a text tells which of the two is the topic.
#   Holding the topic, which has both ends in it, costs the verb more than holding the strongest eigenvector (for *see* as much). Holding the gate at its mean changes little (−0.05 on average, 0.11 in absolute value, from *see* −0.25 to *swim* +0.13; `gate_topic`), which says that it varies little, not that the model can do without it. This fits that the linear part of an eigenvector's contribution ranks each verb above the others; the quadratic part has the sign of $\lambda$, helps for *run, see, smell, walk, sit* and *sleep*, and works against the other verbs (`parts`). Counted either way it tells the verbs apart less well, too: its mean AUC is 0.76, the linear part's 0.87.
# - **What the topic misses.** On average over the five verbs with a hundred positions or more a direction fitted to the text costs the verb more than the topic does, in every trained model (`fitted_over_topic`), and it changes the other nine more, too (`fitted_over_topic_spill`). Of the five rarer verbs the topic costs more for *swim, smell* and *sit*, less for *climb* and *sleep* (`gate_topic`). So two eigenvectors hold much of what tells a verb from the others, not all. The worst of the 64 largest principal components costs, on average over the verbs, 29 to 55 % of what the strongest eigenvector does.
# - **In words** the swimming list stands far to one end of an eigenvector of *swim* in one head, farther than any of 600 other words' eigenvectors and contrasts sort it. So do nine of the ten words that the original notebook's table has at one end; and neither long list passes on the other verb's eigenvectors (`word_list_test`).
# - **Beside the original.** The published spectrum has one end 2.6 times as strong as the other; here the ratio is 1.6, and from 1.1 to 2.2 in the other runs. The published swimming words stand at eigenvector −1 in one head; here in one head, too, but at both ends, eigenvectors 0 and −1 (`word_list_paths`). That both heads have the number 0 means nothing. The published column has the two ends of our topic of *swim*: swimming words at one; at the other *apples* and a piece of *chimney* are all that both columns share (`published_words`, `gate_topic_words`).
# - **Top inputs.** The most positive eigenvector acts most in texts about water, in eight of eight as in the original notebook (0.5 expected by chance), but seven times at an adjective right after *the* (`top_inputs_minus_1`), where no verb follows; the published ones stand at *to*, *at* and verbs. The most negative one acts most where the published one does not: at *the* in texts of other topics, such as trumpets, apples and mittens (`top_inputs_0`). Both fit the product: gate times topic, the topic at one end or the other.
# - **The optimiser** matters less for the loss than its setting. At the first setting the mean losses differ by 0.038 nats in favour of AdamW, at the best one by 0.004, and every run at the best setting has a lower loss than every run at the first. At that setting Muon is ahead for most of the training (`learning_curves`), and in the short ones (the card): which is ahead depends on when one stops. What goes with the optimiser at both settings: AdamW has the more concentrated spectrum of *swim*, gates more alike, and a topic that costs the verb more when held; Muon sorts the swimming words farther to one end. These are two runs each: the margin of the words is smaller than the difference between seeds, and the setting moves the spectrum of AdamW as far as the optimiser does.
#   AdamW is the default because the published model used it and any torch has it; that its gates are more alike and its topics cost more makes the released model no blind choice. Muon is the control. What holds in every run: the intervention on the own verb on average and for at least seven of ten, gates more alike than topics, and the swimming words.
# - **A few eigenvectors.** Over all positions one of 256 eigenvectors correlates at 0.72 with the MLP's contribution and two at 0.86; right before a verb one reaches 0.64, two 0.73 and eight 0.92 (`truncation`). The MLP's contribution correlates at more than 0.99 with the whole logit difference.
# - **All tokens.** For three in four whole words seen 50 times or more the most negative eigenvalue is the stronger one, and for almost no word piece (`all_spectra`). In the control, trained with Muon, it is one word in two (`CHECKPOINT=control` shows it).
#
# ## Where the original notebook differs
#
# - **Weights.** The original notebook shows the published model, of 22 million weights trained on the whole data set: AdamW, batches of 128, learning rate 0.001, weight decay 1, 5 epochs. The default here is a model of this repository's own, an eighth of the size, trained on a ninetieth of the text with smaller batches and a larger rate. `CHECKPOINT=published` shows the paper's where
#   the hub can be reached; on the machine that made these figures it could not, so what stands beside ours is read off the original notebook's outputs, not computed here. A folder in the published format with 1,024 dimensions runs through the whole notebook in quick mode within 1.5 GB.
# - **Causes.** The original notebook reads weights and inputs; it intervenes nowhere. Interventions, nulls, the split into parts, gate and topic, and the comparison of optimisers are ours.
# - **Tokenizer.** The same recipe, trained on our stories; its words are a little longer, so losses per token of the two cannot be compared directly.
# - **The tensor.** The original notebook builds $B$, 4 GB, and contracts it afterwards. Here the direction goes in first.
# - **Memory.** It keeps every activation of 40 eigenvectors over the whole validation set, and takes the best 200 positions. Here each story's best position is kept: the same stories, as only that position counts.
# - **Attention.** It recomputes attention beside the model. Here the model's own code splits queries, keys and values, and a test checks that the shares add up to its output.
# - **Colour.** Red is positive throughout. The original notebook's colour map runs the other way round.
# - **Sign.** An eigenvector's sign is arbitrary; nothing here depends on it, and none is turned by hand.
#
# ## Limits
#
# Small models of one size, on one text, with two runs of each optimiser at each of two settings. Rate and decay were searched in short trainings of one run each; over six epochs only the two settings were compared, and batch size, noise and the optimisers' own constants were not searched. Holding a projection at its mean can take the MLP's input where no text takes it; nothing here says by how much. The ten verbs and the long word lists were chosen by one person. The gate is told from the topic by its mean over text, not by the weights alone. Random directions carry little variance; principal components carry much, but are chosen without the verbs. Other words' eigenvectors are of single unembeddings, not of contrasts, and the quantile depends on which sixty words are taken. A contrast subtracts the other verbs, so part of its specificity is built in, and only the ten verbs' probabilities were measured.
# Attention is taken as it is: what a head brings is read off the weights, how much of it is brought is not.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - R. Eldan, Y. Li. *TinyStories: How Small Can Language Models Be and Still Speak Coherent English?* 2023. [arXiv 2305.07759](https://arxiv.org/abs/2305.07759)
# - K. Jordan and others. *Muon: An optimizer for hidden layers in neural networks.* 2024. [kellerjordan.github.io/posts/muon](https://kellerjordan.github.io/posts/muon/); scaled as in J. Liu and others, *Muon is Scalable for LLM Training*, 2025, [arXiv 2502.16982](https://arxiv.org/abs/2502.16982)
# - N. Elhage and others. *A Mathematical Framework for Transformer Circuits.* 2021. [transformer-circuits.pub](https://transformer-circuits.pub/2021/framework/index.html)
# - J. Fiotto-Kaufman and others. *NNsight and NDIF: Democratizing Access to Foundation Model Internals.* 2024. [arXiv 2407.14561](https://arxiv.org/abs/2407.14561)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig = drawing.cover(effects, verbs)
results.save_figure(
    fig, "cover", alt="Ten by ten verbs: holding a verb's eigenvector costs that verb most.", show=False
)

# %% [markdown]
# **Figure `cover`.** The map of `held`, small, for README's picture of all five notebooks.

# %%
results.finish()
