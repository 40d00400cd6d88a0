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
# **Claim.** In a transformer whose MLP multiplies two linear maps, what the MLP does for an output token is one symmetric matrix, taken from the weights alone.
# Its eigenvectors say which pairs of earlier words raise or lower that token, and each can be written in words: as what it looks for in the token itself, and in what each attention head brings.
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the seed" below.
#
# **Among the five.** [01](01_mnist_bilinear.ipynb) reads the same eigendecomposition off a classifier of images, where an eigenvector is a picture; here it is a list of words.
# [04](04_dihedral_fourier.ipynb) reads a network whose task has an exact theory, so that the reading can be held against it. That features are directions at all is what
# [05](05_toy_superposition.ipynb) and [03](03_mnist_sae.ipynb) are about. All five check what they read: by what is left when it is taken away, or by what chance would give.

# %%
# On Colab only: get the repository, and what Colab lacks. Nothing happens elsewhere.
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    address, folder = "https://github.com/OWNER/REPO", os.path.abspath("paper")
    if not os.path.exists(folder):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", address, folder], check=True)
    sys.path.insert(0, folder)
    from paper_utils import colab

    colab.install()

# %% tags=["parameters"]
MODE = "full"  # "quick" reads 160 stories, tests against 200 random directions and takes the spectra of 256 tokens
SEED = 0  # of the random directions, and of what is sampled
TOKEN = "swim"  # the output token; it is held against the mean of the others
OTHERS = ["run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]
EIGENVECTORS = [-1, 2]  # the two whose word tables are shown; -1 is the most positive, 0 the most negative
MIN_COUNT = 50  # word tables are shown for all tokens, and again for those seen this often in training
CHECKPOINT = "released"  # "published": the paper's own model, from the hub; or a folder, or a hub id owner/name@commit

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum
from IPython.display import HTML, display

from paper_utils import bilinear, data, files, hub, plotting, results, transformer
from paper_utils.transformer import BilinearTransformer

plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"
SHOWN = [-1, -2, -3, -4, 0, 1, 2, 3]  # the eight eigenvectors whose top inputs the seed prints
SMALL_MULTIPLES = ["swim", "run", "eat", "sleep", "fly", "happy", "sad", "big", "red", "mom", "dog", "the"]

# %% [markdown]
# ## Weights and text
#
# The paper's own model (`tdooms/TinyStories-1-1024-i5n`, 22 million weights) lies on the Hugging Face hub. Here the default is the small one released with this repository, trained by the same kind of recipe
# on 24,675 stories (its card is in `checkpoints/tinystories/`): the same command gives the same figures with and without a network. `CHECKPOINT=published` takes the paper's, and goes on with the released one, loudly,
# where the hub does not answer within seconds. Text is the validation part of TinyStories, of which neither model has seen anything; where it cannot be had, stories sampled from the model itself stand in.

# %%
FOLDERS = {"released": transformer.RELEASED, "published": transformer.PUBLISHED}
try:
    model = BilinearTransformer.from_pretrained(FOLDERS.get(CHECKPOINT, CHECKPOINT))
except hub.Unreachable as error:
    print(f"THE RELEASED WEIGHTS, not {CHECKPOINT}: {error}.")
    model = BilinearTransformer.from_pretrained(transformer.RELEASED)
released = model.name == "checkpoints/tinystories"
WEIGHTS = "released weights" if released else model.name
try:
    stories = data.load_stories("validation", limit=160 if QUICK else 2000)
except data.DataUnavailable as error:
    print(f"STAND-IN TEXT: {error}. Going on with stories sampled from the model; no claim is judged on them.")
    stories = data.Stories(model.sample(24 if QUICK else 64, SEED, "Once upon a time"), "sampled-stories", {})
names = ["model.safetensors", "config.json", "tokenizer.json", "token_counts.json"] if released else []
used = {f"checkpoints/tinystories/{name}": files.digest(transformer.RELEASED / name) for name in names}
print(f"{WEIGHTS}; {len(stories.texts)} stories, {stories.source}")

# %%
KEPT = [1, 2, 4, 8, 16, 64, model.config.d_model]  # of the truncation
FIGURES = """
spectrum word_table_first word_table_first_frequent word_table_second word_table_second_frequent word_table_strongest
word_list_test token_spectra truncation all_spectra
"""
NUMBERS = """
weights parameters d_model nats_per_token bits_per_character tokens vocabulary_seen
eigenvalue_min eigenvalue_max eigenvalue_ratio eigenvalues_half_power interaction_error
share_error trace_error contrast_min top_story_token top_story_share strongest_eigenvector
say_everywhere say_before_others say_before_token positions_before_token
projection_everywhere projection_before_others projection_before_token
swim_words swim_p_all swim_p_best swim_best_score swim_best_eigenvector swim_best_path swim_vectors_at_1_percent
eat_words eat_p_all eat_p_best eat_best_score eat_best_eigenvector eat_best_path eat_vectors_at_1_percent
spectra_tokens negative_stronger_share
"""

# %%
results.begin(
    "02_tinystories",
    mode=MODE,
    seed=SEED,
    source=stories.source,
    files={**stories.files, **used},
    figures=[*FIGURES.split(), *(f"top_inputs_{k if k >= 0 else f'minus_{-k}'}" for k in SHOWN)],
    numbers=[*NUMBERS.split(), *(f"correlation_{part}_{i}" for part in ("mlp", "logit") for i in range(len(KEPT)))],
)
results.record("weights", model.name)

# %% [markdown]
# ## Model
#
# One layer. A token is embedded, attention adds what it gathers from earlier tokens, the MLP adds what it makes of the sum, and the unembedding reads the result:
#
# $$x_0 = W_e[\text{token}], \qquad x = x_0 + \textstyle\sum_h OV_h \sum_s A^h_s\, x_{0,s}, \qquad y = x + P\big((L x) \odot (R x)\big), \qquad \text{logits} = W_u\, y .$$
#
# $A^h$ is causal softmax attention with rotary positions, $OV_h$ what head $h$ writes for what it attends to. There is no norm and no bias, so the path from $x$ to a logit is exactly linear plus exactly quadratic. In training, noise of a third of each position's own standard deviation is
# added before attention, MLP and unembedding; the paper's follow-up ([arXiv 2410.08417](https://arxiv.org/abs/2410.08417)) found it to matter for readable eigenvectors.

# %%
results.record("parameters", sum(weight.numel() for weight in model.parameters()))
results.record("d_model", model.config.d_model)
for name, weight in model.named_parameters():
    print(f"{name:34} {tuple(weight.shape)!s:14} {weight.numel():>9,}")
model.config

# %% [markdown]
# ### How good is it?
#
# The mean cross entropy over the validation stories. A loss per token depends on how long the tokens are, hence the second number: bits per character of the story, which can be compared between tokenizers. And a few stories from the model, to judge by eye.

# %%
encoded = model.encode(stories.texts)
loss = transformer.evaluate(model, encoded)
n_tokens = sum(len(story) - 1 for story in encoded)
bits = loss * n_tokens / transformer.characters_covered(model, stories.texts) / np.log(2)
for name, value in (("nats_per_token", loss), ("bits_per_character", bits), ("tokens", n_tokens)):
    results.record(name, value)
results.record("vocabulary_seen", len({token for story in encoded for token in story}))
print(f"{loss:.3f} nats per token, {bits:.3f} bits per character, over {n_tokens:,} tokens\n")
for text in model.sample(3, SEED, "Once upon a time", n_tokens=60):
    print(text, "...\n")

# %% [markdown]
# ## The interaction matrix of an output direction
#
# The logit of a token is $u \cdot y$ with its row $u$ of the unembedding. To see what speaks for *swim* rather than for any verb, take the direction $d = u_\text{swim} - \text{mean}(u_\text{run}, u_\text{climb}, \dots)$. What the MLP adds to it is a quadratic form:
#
# $$d \cdot P\big((L x) \odot (R x)\big) = \sum_i (d P)_i\, (l_i \cdot x)(r_i \cdot x) = x^\top Q\, x, \qquad Q = \tfrac12\Big(L^\top \mathrm{diag}(d P)\, R + R^\top \mathrm{diag}(d P)\, L\Big).$$
#
# The symmetric half is all that a quadratic form can see. With $Q = \sum_i \lambda_i v_i v_i^\top$ the MLP's say is $\sum_i \lambda_i (v_i \cdot x)^2$: eigenvector $i$ raises the logit wherever $x$ has a large component along $\pm v_i$ if $\lambda_i > 0$, and lowers it if $\lambda_i < 0$.
# The sign of $v_i$ means nothing; that both ends of it act alike does. Contracting with $d$ first keeps everything in memory: the whole tensor would take 4 GB at the published width.

# %%
direction = transformer.output_direction(model, TOKEN, OTHERS)
gate = einsum(direction, model.w_p[0], "out, out hidden -> hidden")
q = einsum(gate, model.w_l[0], model.w_r[0], "hidden, hidden in1, hidden in2 -> in1 in2")
q = (q + q.T) / 2
assert torch.allclose(q, model.interaction(direction), atol=1e-5)
values, vectors = bilinear.eigendecompose(q)
x = torch.randn(1, 100, model.config.d_model, generator=torch.Generator().manual_seed(SEED))
said = model.transformer.h[0].mlp(x)[0] @ direction
form = einsum(x[0], q, x[0], "n in1, in1 in2, n in2 -> n")
results.record("interaction_error", (said - form).abs().max() / said.abs().max())
power = values.square().sort(descending=True).values.cumsum(0) / values.square().sum()
results.record("eigenvalue_min", values[0])
results.record("eigenvalue_max", values[-1])
results.record("eigenvalue_ratio", values[0].abs() / values[-1])
results.record("eigenvalues_half_power", int((power < 0.5).sum()) + 1)

# %%
fig, ax = plt.subplots(figsize=(4.6, 2.4))
plotting.spectrum(ax, values)
title = f'"{TOKEN}" against {len(OTHERS)} other tokens ({WEIGHTS})' if OTHERS else f'"{TOKEN}" ({WEIGHTS})'
ax.set(xlabel="index", ylabel="eigenvalue", title=title)
alt = f"Ascending eigenvalues of the interaction matrix of {TOKEN}: a few large ones at both ends, the rest near 0."
results.save_figure(fig, "spectrum", alt=alt)

# %% [markdown]
# **Figure `spectrum`.** The eigenvalues of $Q$ in ascending order; red ones raise the logit of the token against the others, blue ones lower it. In the published model the most negative is by far the largest (about −3.2, against +1.2 for the most positive).

# %% [markdown]
# ## An eigenvector in words: virtual tokens
#
# What the MLP reads at a position is a sum of contributions: the token's own embedding (the direct path), and what each head brings from earlier tokens. A token with embedding $e$ contributes $e$ by the direct path and $OV_h\, e$ by head $h$, times the attention it gets.
# So each path has its own list of virtual tokens, and $v_i$ scores every one of them: $v_i^\top e$ and $v_i^\top OV_h\, e$. Below, for each path, the ten highest and the ten lowest. A word at one end of one path and a word at the same end of another *together* make $(v_i \cdot x)^2$ large; from opposite ends they cancel.

# %%
paths = transformer.virtual_tokens(model)
w_e = model.w_e
by_hand = torch.stack([w_e, *(model.w_o[0, h] @ model.w_v[0, h] @ w_e for h in range(model.config.n_head))])
assert torch.allclose(paths, by_hand, atol=1e-5)
PATHS = ["direct", *(f"head {h}" for h in range(model.config.n_head))]
vocabulary = np.array(model.vocabulary)
counts_file = transformer.RELEASED / "token_counts.json"
counts = torch.tensor(json.loads(counts_file.read_text())) if released else None
if counts is None:  # of other weights' training nothing is known here: the text at hand has to do
    counts = torch.bincount(torch.tensor([t for story in encoded for t in story]), minlength=len(vocabulary))
    MIN_COUNT = 1
frequent = (counts >= MIN_COUNT).nonzero().flatten()


# %%
def word_table(index: int, columns: torch.Tensor, name: str, which: str) -> None:
    """Ten highest and ten lowest virtual tokens of each path for one eigenvector, coloured by score."""
    scores = einsum(
        transformer.eigenvector(vectors, index), paths[:, :, columns], "d_model, path d_model token -> path token"
    )
    order = scores.argsort(descending=True)
    rows = torch.cat([order[:, :10], order[:, -10:]], dim=1)
    shown = scores.gather(1, rows)
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 4.2))
    limit = shown.abs().max().item()
    image = plotting.signed_map(ax, shown.T, vmax=limit)
    ax.set_aspect("auto")
    for column, (path_rows, path_scores) in enumerate(zip(rows, shown, strict=True)):
        for row, (token, (_, ink)) in enumerate(
            zip(path_rows, plotting.token_colours(path_scores, limit), strict=True)
        ):
            text = vocabulary[columns[token]].replace("$", r"\$")
            ax.text(column, row, text, color=ink, fontsize=7, **plotting.CENTRED)
    ax.axhline(9.5, color="0.3", linewidth=0.8)
    ax.set_xticks(range(len(PATHS)), PATHS)
    ax.xaxis.tick_top()
    fig.colorbar(image, ax=ax, label="score (sign of the eigenvector is arbitrary)", pad=0.01)
    fig.suptitle(f'"{TOKEN}", eigenvector {index} (λ = {values[index]:.2f}), {which} ({WEIGHTS})', fontsize=8)
    alt = f"Table of words by path for eigenvector {index} of {TOKEN}, {which}: ten highest in red, ten lowest in blue."
    results.save_figure(fig, name, alt=alt)


# %%
everything = torch.arange(len(vocabulary))
word_table(EIGENVECTORS[0], everything, "word_table_first", "all tokens")

# %% [markdown]
# **Figure `word_table_first`.** The first eigenvector of `EIGENVECTORS` (by default the most positive) in words, all tokens admitted, as the seed shows it. Above the line the ten highest scores of each path, below it the ten lowest; colour is the score, on one scale for all paths.

# %%
seen = f"seen {MIN_COUNT} times or more"
word_table(EIGENVECTORS[0], frequent, "word_table_first_frequent", seen)

# %% [markdown]
# **Figure `word_table_first_frequent`.** The same, for tokens that stood at least `MIN_COUNT` times in the training text. A small model learns little about rare tokens and word pieces, whose embeddings keep a random part: they fill an unfiltered table.

# %%
word_table(EIGENVECTORS[1], everything, "word_table_second", "all tokens")
word_table(EIGENVECTORS[1], frequent, "word_table_second_frequent", seen)

# %% [markdown]
# **Figure `word_table_second`.** The second of `EIGENVECTORS` (by default index 2, the third most negative), all tokens.
#
# **Figure `word_table_second_frequent`.** The same for frequent tokens.

# %%
strongest = int(values.abs().argmax())
strongest -= len(values) if strongest > len(values) / 2 else 0
results.record("strongest_eigenvector", strongest)
word_table(strongest, frequent, "word_table_strongest", seen)

# %% [markdown]
# **Figure `word_table_strongest`.** The eigenvector of largest $|\lambda|$ in frequent words. The seed does not print this table; it is the one to read first, since this eigenvector has the largest say.

# %% [markdown]
# ## Is it about swimming? Measured, not felt
#
# Such tables invite reading. To measure instead: two lists of words, written down before looking, cut to the words that stand at least 50 times in training. An eigenvector's score of a list in a path is the mean of its words' scores, standardised over all frequent tokens.
# It is held against random directions in the same space: how often does the best path of a random direction score a list as high? With one eigenvector that is `p_vector`; with the best of eight eigenvectors against the best of eight random directions, over all paths, it is `p_all`.
# Swimming words are tested on the directions of *swim*, eating words on those of *eat* against the same verbs.

# %%
LISTS = {
    "swim": "swim swimming swam water pool sea ocean lake river pond beach boat ship fish shark whale dolphin duck frog "
    "turtle crab shell sand wave waves splash splashed wet dive float island",
    "eat": "eat eating ate food hungry bread apple apples cake cookie cookies soup pizza lunch dinner breakfast delicious "
    "yummy tasty fruit candy banana sandwich cheese snack milk chocolate cream kitchen plate bowl",
}
known = model.tokenizer.get_vocab()
common = (counts >= (50 if released else 1)).nonzero().flatten()
column = {int(token): i for i, token in enumerate(common)}
usual = paths[:, :, common]
verbs = ["swim", "run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]
tests, words = {}, {}
for verb, listed in LISTS.items():
    words[verb] = [w for w in listed.split() if known.get(w) in column]
    own = transformer.output_direction(model, verb, [v for v in verbs if v != verb])
    own_vectors = bilinear.eigendecompose(model.interaction(own))[1][:, SHOWN]
    ids = [column[known[w]] for w in words[verb]]
    tests[verb] = transformer.word_list_test(own_vectors, usual, ids, n_random=200 if QUICK else 2000, seed=SEED)
    print(f"{verb}: {len(ids)} words: {' '.join(words[verb])}\n")

# %%
for verb, test in tests.items():
    best = int(test.p_vector.argmin())
    path = int(test.scores[:, best].abs().argmax())
    results.record(f"{verb}_words", len(words[verb]))
    results.record(f"{verb}_p_all", test.p_all)
    results.record(f"{verb}_p_best", test.p_vector[best])
    results.record(f"{verb}_best_score", test.scores[path, best].abs())
    results.record(f"{verb}_best_eigenvector", SHOWN[best])
    results.record(f"{verb}_best_path", PATHS[path])
    results.record(f"{verb}_vectors_at_1_percent", int((test.p_vector < 0.01).sum()))

# %%
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.6))
limit = max(test.scores.abs().max().item() for test in tests.values())
for ax, (verb, test) in zip(axes, tests.items(), strict=True):
    image = plotting.signed_map(ax, test.scores.T, vmax=limit)
    ax.set_aspect("auto")
    ax.set_xticks(range(len(PATHS)), [p.replace("head ", "h") for p in PATHS])
    labels = [f"{k} (p = {p:.4f})" for k, p in zip(SHOWN, test.p_vector, strict=True)]
    ax.set_yticks(range(len(SHOWN)), labels)
    ax.set_title(f'{len(words[verb])} "{verb}" words\nbest of eight: p = {test.p_all:.4f}')
fig.colorbar(image, ax=axes, label="mean standardised score", shrink=0.9)
fig.suptitle(f"eigenvector by path ({WEIGHTS})", fontsize=8)
alt = "Two maps, eigenvector by path: mean standardised score of the swimming words and of the eating words, with p-values."
results.save_figure(fig, "word_list_test", alt=alt)

# %% [markdown]
# **Figure `word_list_test`.** Left: swimming words on the eigenvectors of *swim*; right: eating words on those of *eat*. Colour: the mean standardised score of the list's words in a path. Rows: the eight eigenvectors of the seed, each with its own p-value (the share of random directions whose best path scores the
# list as high); the title's p-value is that of the best of the eight against the best of eight random directions. The signs within a row belong together; between rows they are arbitrary.

# %% [markdown]
# ## Top activating inputs
#
# Where in real text does an eigenvector act? Its activation at a position is $(v_i \cdot x)^2$. One pass over all stories keeps, for 40 eigenvectors (the 20 at either end), the best stories; nnsight takes the MLP's input out of the running model. Nothing larger than a batch is held.
# The same pass accumulates what the truncation below needs, and how large the strongest eigenvector's projection is everywhere, and where the next token is `TOKEN`.

# %%
EDGE = [*range(20), *range(-20, 0)]
top = transformer.TopInputs(vectors[:, EDGE])
projections, next_ids, token_id = [], [], model.token_ids([TOKEN])[0]
sums = torch.zeros(len(KEPT) + 3, len(KEPT) + 3, dtype=torch.float64)
for rows, x, real in transformer.mlp_inputs(model, encoded):
    top.update(rows, x, real)
    flat = x[real]
    projections.append(flat @ vectors[:, strongest])
    following = [torch.tensor([*encoded[row][1:], transformer.EOS]) for row in rows]
    next_ids.append(torch.cat(following))
    forms = [bilinear.truncated_logits(flat, values[None], vectors[None], k)[:, 0] for k in KEPT]
    mlp = model.transformer.h[0].mlp(flat[None])[0] @ direction
    seen_here = torch.stack([*forms, mlp, mlp + flat @ direction, torch.ones_like(mlp)]).double()
    sums += seen_here @ seen_here.T

# %%
projection, upcoming = torch.cat(projections), torch.cat(next_ids)
# Turned so that the side to which its best path sends the swimming words is the positive one.
by_path = tests["swim"].scores[:, SHOWN.index(strongest)] if strongest in SHOWN else tests["swim"].scores[:, 0]
projection *= by_path[by_path.abs().argmax()].sign()
say = values[strongest] * projection.square()
where = {"everywhere": torch.ones_like(upcoming, dtype=torch.bool)}
where["before_others"] = torch.isin(upcoming, torch.tensor(model.token_ids(OTHERS) if OTHERS else [], dtype=torch.long))
where["before_token"] = upcoming == token_id
results.record("positions_before_token", int(where["before_token"].sum()))
for place, mask in where.items():
    chosen = mask if mask.any() else where["everywhere"]
    results.record(f"projection_{place}", (projection / projection.std())[chosen].mean())
    results.record(f"say_{place}", say[chosen].mean())
    print(f"{place}: {int(mask.sum()):,} positions, mean say {say[chosen].mean():+.2f}")

# %% [markdown]
# What made $x$ large along $v$ there? $x$ is the token's own embedding plus, for every earlier token, what all heads bring from it: $\sum_h A^h_s\, OV_h\, x_{0,s}$. These shares add up to $x$ exactly, so each token can be coloured by its share of $v \cdot x$ (the position's own token has the direct path in it).


# %%
def shares_of(story: int, position: int, vector: torch.Tensor) -> torch.Tensor:
    """Each token's share of (mlp input . vector) at a position, with the sign that makes their sum positive."""
    taken = transformer.trace(model, torch.tensor([encoded[story]]))
    shares = transformer.attention_shares(model, taken["qkv"][0], position)
    shares[position] += taken["attn_in"][0, position]
    gaps.append((shares.sum(0) - taken["mlp_in"][0, position]).abs().max())
    scores = shares @ vector
    return scores * scores.sum().sign()


gaps, lines = [], {}
for k in SHOWN:
    i = EDGE.index(k)
    lines[k] = []
    for story, position in zip(top.story[i].tolist(), top.position[i].tolist(), strict=True):
        begin, ids = max(0, position - 20), encoded[story]
        shares = shares_of(story, position, vectors[:, k])[begin : position + 1]
        tokens = [str(vocabulary[t]) for t in ids[begin : position + 4]]
        lines[k].append((tokens[: len(shares)], shares.numpy(), tokens[len(shares) :]))
results.record("share_error", max(gaps))

# %%
page = []
for k in SHOWN:
    page.append(f"<b>eigenvector {k} of {TOKEN}, λ = {values[k]:.2f} ({WEIGHTS})</b>")
    for (tokens, shares, after), activation in zip(lines[k], top.values[EDGE.index(k)], strict=True):
        page.append(f"<div>{values[k] * activation:+.2f}</div>{plotting.tokens_html(tokens, shares, after)}")
display(HTML("\n".join(page)))

# %% [markdown]
# Each block: the eight stories in which the eigenvector acts most, the twenty tokens before the position and three after it, the position's own token in brackets. Red tokens push $v \cdot x$ the way it goes, blue ones against it; the number is what the eigenvector adds to the logit, $\lambda (v \cdot x)^2$.

# %%
for k in SHOWN:
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.9))
    plotting.token_lines(ax, lines[k])
    fig.suptitle(f'"{TOKEN}", eigenvector {k} (λ = {values[k]:.2f}): top inputs ({WEIGHTS})', fontsize=8)
    alt = f"The eight texts in which eigenvector {k} of {TOKEN} acts most, each token coloured by its share."
    name = f"top_inputs_{k if k >= 0 else f'minus_{-k}'}"
    results.save_figure(fig, name, alt=alt, show=k in (-1, 0))
cells = np.linspace(-1, 1, 201)
results.record("contrast_min", min(plotting.contrast(*pair) for pair in plotting.token_colours(cells, 1.0)))
at_top = [line[0][-1] for line in lines[0]]
results.record("top_story_token", max(set(at_top), key=at_top.count))
results.record("top_story_share", max(at_top.count(token) for token in at_top) / len(at_top))

# %% [markdown]
# **Figure `top_inputs_*`.** The same as pictures, one for each of the eight eigenvectors; shown here are the most positive (−1) and the most negative (0). Colour: share of $v \cdot x$, scaled within each text.
#
# Do the traced activations say what the model does? A plain forward pass with hooks gives the same, to the bit:

# %%
ids = torch.tensor([encoded[0]])
plain = {}
block = model.transformer.h[0]
hook = block.mlp.register_forward_pre_hook(lambda module, inputs: plain.update(mlp_in=inputs[0]))
model(ids)
hook.remove()
results.record("trace_error", (transformer.trace(model, ids)["mlp_in"] - plain["mlp_in"]).abs().max())

# %% [markdown]
# ## Beyond the seed
#
# ### How many eigenvectors does it take?
#
# Keep the $k$ eigenvectors of largest $|\lambda|$ and correlate the truncated form, over every position of every story, with the MLP's full say in the direction, and with the whole logit difference, which the direct and attention paths share.

# %%
n = sums[-1, -1]
mean = sums[-1] / n
covariance = sums / n - mean[:, None] * mean[None]
correlation = covariance / covariance.diagonal().sqrt().clamp_min(1e-12).outer(
    covariance.diagonal().sqrt().clamp_min(1e-12)
)
curves = {"mlp": correlation[: len(KEPT), -3], "logit": correlation[: len(KEPT), -2]}
for part, curve in curves.items():
    for i, value in enumerate(curve.tolist()):
        results.record(f"correlation_{part}_{i}", value)
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for (part, curve), colour in zip(curves.items(), plotting.OKABE_ITO, strict=False):
    label = "with the MLP's say" if part == "mlp" else "with the whole logit difference"
    ax.plot(range(len(KEPT)), curve, "o-", markersize=4, color=colour, label=label)
ax.set_xticks(range(len(KEPT)), KEPT)
ax.set(xlabel="eigenvectors kept", ylabel="correlation", ylim=(min(0, curves["logit"].min()), 1.05))
ax.set_title(f'"{TOKEN}" over {int(n):,} positions ({WEIGHTS})')
ax.legend(loc="lower right")
alt = (
    "Correlation of the truncated form with the MLP's contribution and with the whole logit difference, rising with k."
)
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Correlation over all positions of the validation stories, against the number of eigenvectors kept. The upper curve ends at 1 because all eigenvectors together are the MLP; the lower one ends at the MLP's own correlation with the logit difference.

# %% [markdown]
# ### Any token
#
# The same spectrum for a list of tokens, each on its own (no comparison tokens), both ends.

# %%
spectra = transformer.token_spectra(model, torch.tensor(model.token_ids(SMALL_MULTIPLES)))
fig, axes = plt.subplots(3, 4, figsize=(plotting.TEXT_WIDTH, 3.8), sharex=True, sharey=True)
for ax, token, spectrum in zip(axes.flat, SMALL_MULTIPLES, spectra, strict=True):
    ends = torch.cat([spectrum[:12], spectrum[-12:]])
    plotting.spectrum(ax, ends)
    ax.axvline(11.5, color="0.8", linewidth=0.6, linestyle="--")
    ax.set_title(token)
fig.supxlabel("the 12 most negative and the 12 most positive", fontsize=8)
fig.supylabel("eigenvalue", fontsize=8)
fig.suptitle(f"single tokens ({WEIGHTS})", fontsize=8)
alt = "Twelve small panels, one a token: the twelve most negative and twelve most positive eigenvalues."
results.save_figure(fig, "token_spectra", alt=alt)

# %% [markdown]
# **Figure `token_spectra`.** Both ends of the spectra of twelve tokens' own unembeddings; the middle, left out at the dashed line, is near 0.
#
# ### All tokens
#
# Every token's spectrum in one pass, sixteen matrices in memory at a time. For each, its most negative against its most positive eigenvalue.

# %%
tokens = torch.arange(0, len(vocabulary), 16 if QUICK else 1)
everyone = transformer.token_spectra(model, tokens)
low, high = -everyone[:, 0], everyone[:, -1]
results.record("spectra_tokens", len(tokens))
results.record("negative_stronger_share", (low > high)[counts[tokens] >= MIN_COUNT].float().mean())
fig, ax = plt.subplots(figsize=(4.6, 3.2))
shade = np.log10(counts[tokens].numpy() + 1)
dots = ax.scatter(high, low, c=shade, s=4, cmap="cividis", linewidths=0)
edge = float(max(low.max(), high.max())) * 1.05
ax.plot([0, edge], [0, edge], color="0.6", linewidth=0.6)
ax.set(xlabel="most positive eigenvalue", ylabel="−(most negative eigenvalue)", xlim=(0, edge), ylim=(0, edge))
fig.colorbar(dots, ax=ax, label="log10(times seen in training + 1)" if released else "log10(times seen here + 1)")
ax.set_title(f"{len(tokens):,} tokens ({WEIGHTS})")
alt = "Scatter of every token's strongest negative against its strongest positive eigenvalue, coloured by frequency."
results.save_figure(fig, "all_spectra", alt=alt)

# %% [markdown]
# **Figure `all_spectra`.** One dot a token: how strong its strongest negative and positive eigenvalues are. Above the line, what silences the token is stronger than what calls for it. Colour: how often the token stands in the training text.

# %% [markdown]
# ## What we found

# %%
rows = [("weights", "weights", "tdooms/TinyStories-1-1024-i5n"), ("parameters", "parameters", "22 million")]
rows += [("nats per token (validation)", "nats_per_token", "not stated")]
rows += [("bits per character", "bits_per_character", "not stated")]
rows += [("most negative eigenvalue", "eigenvalue_min", "about -3.2"), ("most positive", "eigenvalue_max", "about 1.2")]
rows += [
    ("their ratio", "eigenvalue_ratio", "about 2.6"),
    ("eigenvectors with half of the power", "eigenvalues_half_power", "not stated"),
]
for verb in ("swim", "eat"):
    rows += [(f"{verb} words: p, best of eight", f"{verb}_p_all", "not tested")]
    rows += [(f"{verb} words: best eigenvector", f"{verb}_best_eigenvector", "-1" if verb == "swim" else "not shown")]
    rows += [(f"{verb} words: its path", f"{verb}_best_path", "head 0" if verb == "swim" else "not shown")]
    rows += [(f"{verb} words: its mean score (s.d.)", f"{verb}_best_score", "not stated")]
rows += [(f"correlation, {k} kept", f"correlation_mlp_{i}", "not stated") for i, k in enumerate(KEPT)]
rows += [("tokens with a stronger negative end", "negative_stronger_share", "not stated")]
rows += [("strongest eigenvector", "strongest_eigenvector", "0")]
rows += [
    ("its mean say in the logit", "say_everywhere", "not stated"),
    ("before the token", "say_before_token", "not stated"),
]
rows += [("its mean projection (s.d.)", "projection_everywhere", "not stated")]
rows += [("before the token (s.d.)", "projection_before_token", "not stated")]
results.findings(rows)

# %% [markdown]
# - **The model** predicts stories it was not trained on at 2.39 nats per token, 0.85 bits per character. Its samples above are grammatical and lose the thread after a sentence or two, as one layer must.
# - **The spectrum** has the shape of the published one: a single eigenvalue far below all others, −0.86, about twice the strongest positive one, +0.44 (published: about −3.2 and +1.2). Scales differ between models; the ratio, 1.9 here and 2.6 there, can be compared.
# - **In words** this eigenvector (index 0) is about swimming: head 2 ends in *swim, fish, water, pond, swimming, beach, splash, sea, duck* (`word_table_strongest`). There the 31 words of the list score 3.8 standard deviations on average, and none of 2,000 sets of eight random directions comes as far (p = 0.0005, the smallest that 2,000 sets can give).
#   The eating words do the same on the directions of *eat* (3.7). In the published run it is eigenvector −1 and head 0 whose column ends in *swim, swimming, water, pool, sea*; here eigenvector −1 is about grammar: commas, articles, pronouns in every head.
# - **What it does.** It is a veto. Its projection lies far from 0 at most positions, on the side opposite to the swimming words, and its negative eigenvalue takes from the logit of *swim*: 3.3 on average, 3.0 before one of the other verbs. Words of water in the context pull the projection towards 0 and lift the veto: right before *swim* it takes 1.2 (51 positions).
#   Its top inputs are therefore anything but swimming: *count the*, *bow the*, *in the vest*. So the strongest eigenvector's top inputs do not sit inside swimming scenes, as those of the published run do. The third most positive one, −3, comes nearest
#   (p = 0.0002 by itself, head 2 again): six of its eight top inputs stand among shrimp, fish, lake and sea, at the words *all the* and *how to* (`top_inputs_minus_3`).
# - **Few suffice.** Two eigenvectors of 256 correlate at 0.81 with all that the MLP says in this direction over 367,127 positions, sixteen at 0.93; and what the MLP says is nearly the whole logit difference (0.995): attention and the direct path by themselves hardly speak to it.
# - **All tokens.** For most single tokens (four in five of the frequent ones) the strongest positive eigenvalue is the larger: the veto is a matter of one verb against others.
#
# ## Where the seed differs
#
# - **Weights.** The seed shows the published model, of 22 million weights trained on the whole data set. The default here is a model of this repository's own, an eighth of the size, trained on a ninetieth of the text. `CHECKPOINT=published` shows the paper's where
#   the hub can be reached; on the machine that made these figures it could not, so the numbers in the right column are read off the seed, not computed here.
# - **Tokenizer.** The same recipe, trained on our stories; its words are a little longer, so that losses per token of the two cannot be compared directly.
# - **The tensor.** The seed builds $B$, 4 GB, and contracts it afterwards. Here the direction goes in first.
# - **Memory.** The seed keeps every activation of 40 eigenvectors over the whole validation set, and takes the best 200 positions. Here a running list of the best stories is kept: the same stories, as only each story's best position counts.
# - **Attention.** It recomputes attention beside the model. Here the model's own code splits queries, keys and values, and a test holds that the shares add up to its output.
# - **Colour.** Red is positive throughout. The seed's colour map runs the other way round.
# - **Sign.** An eigenvector's sign is arbitrary; nothing here depends on it, and none is turned by hand.
#
# ## Limits
#
# One small model, one seed of training. Its eigenvectors need not be those of the published model, and the word lists were written by one person. The p-values say that a direction is unlike random directions of the space; they do not say what it is for. Attention weights are taken as they are:
# what a head brings is read off the weights, how much of it is brought is not. The permutation test treats the eight eigenvectors as exchangeable with random directions, which are not orthogonal to each other; in this many dimensions that matters little.
#
# ## References
#
# - M. T. Pearce, T. Dooms, A. Rigg. *Weight-based Decomposition: A Case for Bilinear MLPs.* 2024. [arXiv 2406.03947](https://arxiv.org/abs/2406.03947)
# - M. T. Pearce, T. Dooms, A. Rigg, J. M. Oramas, L. Sharkey. *Bilinear MLPs enable weight-based mechanistic interpretability.* 2024. [arXiv 2410.08417](https://arxiv.org/abs/2410.08417)
# - R. Eldan, Y. Li. *TinyStories: How Small Can Language Models Be and Still Speak Coherent English?* 2023. [arXiv 2305.07759](https://arxiv.org/abs/2305.07759)
# - N. Elhage and others. *A Mathematical Framework for Transformer Circuits.* 2021. [transformer-circuits.pub](https://transformer-circuits.pub/2021/framework/index.html)
# - J. Fiotto-Kaufman and others. *NNsight and NDIF: Democratizing Access to Foundation Model Internals.* 2024. [arXiv 2407.14561](https://arxiv.org/abs/2407.14561)

# %%
results.finish()
