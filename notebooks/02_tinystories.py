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
# **Claim.** In a transformer whose MLP multiplies two linear maps, what the MLP contributes to an output token is one symmetric matrix, taken from the weights alone.
# Its eigenvectors say which pairs of earlier words raise or lower that token, and each can be written in words: as what it looks for in the token itself, and in what each attention head brings.
#
# After Pearce, Dooms and Rigg (2024), [arXiv 2406.03947](https://arxiv.org/abs/2406.03947), whose notebook is "the original notebook" below.
#
# **Among the five.** [01](01_mnist_bilinear.ipynb) reads the same eigendecomposition off a classifier of images, where an eigenvector is a picture; here it is a list of words.
# [04](04_dihedral_fourier.ipynb) reads a network whose task has an exact theory, so that the reading can be checked against it. [05](05_toy_superposition.ipynb) asks when a network packs more features than it has dimensions; [03](03_mnist_sae.ipynb) takes such features apart.

# %% tags=["parameters"]
MODE = "full"  # "quick" reads 160 stories, tests against 200 random directions and takes the spectra of 256 tokens
# of the random directions, and of what is sampled
SEED = 0  # @param {type: "integer"}
# the output token; it is compared with the mean of the others
TOKEN = "swim"  # @param {type: "string"}
OTHERS = ["run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]  # @param {type: "raw"}
# the two whose word tables are shown; -1 is the most positive, 0 the most negative
EIGENVECTORS = [-1, 2]  # @param {type: "raw"}
# word tables are shown for all tokens, and again for those seen this often in training
MIN_COUNT = 50  # @param {type: "integer"}
# "published": the paper's own model, from the hub; or a folder, or a hub id owner/name@commit
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
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum
from IPython.display import HTML, display

from paper_utils import bilinear, data, hub, plotting, results, transformer
from paper_utils.transformer import BilinearTransformer

plt.rcParams.update(plotting.STYLE)
QUICK = MODE == "quick"

# %% [markdown]
# ## Weights and text
#
# The paper's own model (`tdooms/TinyStories-1-1024-i5n`, 22 million weights) lies on the Hugging Face hub. The default here is a small one released with this repository, trained on 24,675 stories with Muon, which is not the published recipe: [its card](../checkpoints/tinystories/README.md)
# names every setting. With it the same command gives the same figures with and without a network. `CHECKPOINT=published` takes the paper's model, and says loudly that it goes on with the released one where the hub does not answer within seconds.
# The text is the validation part of TinyStories, which neither model has seen; where it cannot be had, stories sampled from the model itself stand in.

# %%
FOLDERS = {"released": transformer.RELEASED, "published": transformer.PUBLISHED}
try:
    model = BilinearTransformer.from_pretrained(FOLDERS.get(CHECKPOINT, CHECKPOINT))
except hub.Unreachable as error:
    print(f"THE RELEASED WEIGHTS, not {CHECKPOINT}: {error}.")
    model = BilinearTransformer.from_pretrained(transformer.RELEASED)
try:
    stories = data.load_stories("validation", limit=160 if QUICK else 2000)
except data.DataUnavailable as error:
    print(f"STAND-IN TEXT: {error}. Going on with stories sampled from the model; no claim is judged on them.")
    stories = data.Stories(model.sample(24 if QUICK else 64, SEED, "Once upon a time"), "sampled-stories", {})
released = model.name == "checkpoints/tinystories"
WEIGHTS = "released weights" if released else model.name
FILES = ["model.safetensors", "config.json", "tokenizer.json", "token_counts.json"] if released else []
results.begin("02_tinystories", mode=MODE, seeds=[SEED], data=stories, inputs=[transformer.RELEASED / f for f in FILES])

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
for name, weight in model.named_parameters():
    print(f"{name:34} {tuple(weight.shape)!s:14} {weight.numel():>9,}")
model.config

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
direction = transformer.output_direction(model, TOKEN, OTHERS)
gate = einsum(direction, model.w_p[0], "out, out hidden -> hidden")
q = einsum(gate, model.w_l[0], model.w_r[0], "hidden, hidden in1, hidden in2 -> in1 in2")
q = (q + q.T) / 2
assert torch.allclose(q, model.interaction(direction), atol=1e-5)
values, vectors = bilinear.eigendecompose(q)

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
plotting.spectrum(ax, values)
title = f'"{TOKEN}" against {len(OTHERS)} other tokens ({WEIGHTS})' if OTHERS else f'"{TOKEN}" ({WEIGHTS})'
ax.set(xlabel="index", ylabel="eigenvalue", title=title)
alt = f"Ascending eigenvalues of the interaction matrix of {TOKEN}: a few large ones at both ends, the rest near 0."
results.save_figure(fig, "spectrum", alt=alt)

# %% [markdown]
# **Figure `spectrum`.** The eigenvalues of $Q$ in ascending order; red ones raise the logit of the token against the others, blue ones lower it. In the published model the most negative is by far the largest (about −3.2, against +1.2 for the most positive).

# %%
power = values.square().sort(descending=True).values.cumsum(0) / values.square().sum()
results.record(
    eigenvalue_min=values[0],
    eigenvalue_max=values[-1],
    eigenvalue_ratio=values[0].abs() / values[-1],
    eigenvalues_half_power=int((power < 0.5).sum()) + 1,
)

# %% [markdown]
# ### How good is the model?
#
# The mean cross entropy over the validation stories. A loss per token depends on how long the tokens are, hence the second number: bits per character, which can be compared between tokenizers that drop the same characters (this one drops case and accents). And a few stories from the model, to judge by eye.

# %%
encoded = model.encode(stories.texts)
n_tokens = sum(len(story) - 1 for story in encoded)
loss = transformer.evaluate(model, encoded)
bits = loss * n_tokens / transformer.characters_covered(model, stories.texts) / np.log(2)
parameters = sum(weight.numel() for weight in model.parameters())
results.record(weights=model.name, parameters=parameters, nats_per_token=loss, bits_per_character=bits)
print(f"{loss:.3f} nats per token, {bits:.3f} bits per character, over {n_tokens:,} tokens ({stories.source})\n")
for text in model.sample(3, SEED, "Once upon a time", n_tokens=60):
    print(text, "...\n")

# %% [markdown]
# ## An eigenvector in words: virtual tokens
#
# What the MLP reads at a position is a sum of contributions: the token's own embedding (the direct path), and what each head brings from earlier tokens. A token with embedding $e$ contributes $e$ by the direct path and $OV_h\, e$ by head $h$, times the attention it gets.
# So each path has its own list of virtual tokens, and $v_i$ scores every one of them: $v_i^\top e$ and $v_i^\top OV_h\, e$. Below, for each path, the ten highest and the ten lowest. A word at one end of one path and a word at the same end of another *together* make $(v_i \cdot x)^2$ large; from opposite ends they cancel.

# %%
paths = transformer.virtual_tokens(model)
PATHS = ["direct", *(f"head {h}" for h in range(model.config.n_head))]
vocabulary = np.array(model.vocabulary)
everything = torch.arange(len(vocabulary))
if released:
    counts = torch.tensor(json.loads((transformer.RELEASED / "token_counts.json").read_text()))
else:  # The training text of other weights is unknown here: count in the text at hand.
    counts, MIN_COUNT = torch.bincount(torch.cat([*map(torch.tensor, encoded)]), minlength=len(vocabulary)), 1
frequent = (counts >= MIN_COUNT).nonzero().flatten()


# %% tags=["hide-input"] jupyter={"source_hidden": true}
def word_table(index: int, columns: torch.Tensor, name: str) -> None:
    """Ten highest and ten lowest virtual tokens of each path for one eigenvector, coloured by score."""
    scores = einsum(vectors[:, index], paths[:, :, columns], "d_model, path d_model token -> path token")
    order = scores.argsort(descending=True)
    rows = torch.cat([order[:, :10], order[:, -10:]], dim=1)
    shown = scores.gather(1, rows)
    limit = shown.abs().max().item()
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 4.2))
    image = plotting.signed_map(ax, shown.T, vmax=limit)
    ax.set_aspect("auto")
    for column in range(len(PATHS)):
        inks = [ink for _, ink in plotting.token_colours(shown[column], limit)]
        for row, (token, ink) in enumerate(zip(vocabulary[columns[rows[column]]], inks, strict=True)):
            ax.text(column, row, token.replace("$", r"\$"), color=ink, fontsize=7, **plotting.CENTRED)
    ax.axhline(9.5, color="0.3", linewidth=0.8)
    ax.set_xticks(range(len(PATHS)), PATHS)
    ax.xaxis.tick_top()
    fig.colorbar(image, ax=ax, label="score (sign of the eigenvector is arbitrary)", pad=0.01)
    which = "all tokens" if columns is everything else f"seen {MIN_COUNT} times or more"
    fig.suptitle(f'"{TOKEN}", eigenvector {index} (λ = {values[index]:.2f}), {which} ({WEIGHTS})', fontsize=8)
    alt = f"Table of words by path for eigenvector {index} of {TOKEN}, {which}: ten highest in red, ten lowest in blue."
    results.save_figure(fig, name, alt=alt)


# %%
word_table(EIGENVECTORS[0], everything, "word_table_first")

# %% [markdown]
# **Figure `word_table_first`.** The first eigenvector of `EIGENVECTORS` (by default the most positive) in words, all tokens admitted, as the original notebook shows it. Above the line the ten highest scores of each path, below it the ten lowest; colour is the score, on one scale for all paths.

# %%
word_table(EIGENVECTORS[0], frequent, "word_table_first_frequent")

# %% [markdown]
# **Figure `word_table_first_frequent`.** The same, for tokens that stand at least `MIN_COUNT` times in the training text. A small model learns little about rare tokens and word pieces, whose embeddings keep a random part: they fill an unfiltered table.

# %%
word_table(EIGENVECTORS[1], everything, "word_table_second")
word_table(EIGENVECTORS[1], frequent, "word_table_second_frequent")

# %% [markdown]
# **Figure `word_table_second`.** The second of `EIGENVECTORS` (by default index 2, the third most negative), all tokens.
#
# **Figure `word_table_second_frequent`.** The same for frequent tokens.

# %%
strongest = int(values.abs().argmax())
strongest -= len(values) if strongest > len(values) / 2 else 0
results.record(strongest_eigenvector=strongest)
word_table(strongest, frequent, "word_table_strongest")

# %% [markdown]
# **Figure `word_table_strongest`.** The eigenvector of largest $|\lambda|$ in frequent words. The original notebook does not print this table; it is the one to read first, since this eigenvector contributes most.

# %% [markdown]
# ## Is this eigenvector about swimming? A test against chance
#
# Such tables invite reading. A measurement needs a list of words, here two, cut to the words that stand at least 50 times in training. An eigenvector's score of a list in a path is the mean of its words' scores, standardised over all frequent tokens.
# It is compared with random directions in the same space: how often does the best path of a random direction score a list as high? With one eigenvector that is `p_vector`; with the best of eight eigenvectors against the best of eight random directions, over all paths, it is `p_all`.
# Swimming words are tested on the directions of *swim*, eating words on those of *eat* against the same verbs.

# %%
SHOWN = [-1, -2, -3, -4, 0, 1, 2, 3]  # the eight eigenvectors whose top inputs the original notebook prints
VERBS = ["swim", "run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]
LISTS = {
    "swim": "swim swimming swam water pool sea ocean lake river pond beach boat ship fish shark whale dolphin duck frog "
    "turtle crab shell sand wave waves splash splashed wet dive float island",
    "eat": "eat eating ate food hungry bread apple apples cake cookie cookies soup pizza lunch dinner breakfast delicious "
    "yummy tasty fruit candy banana sandwich cheese snack milk chocolate cream kitchen plate bowl",
}

# %%
least = 50 if released else int(stories.source == "tinystories")  # a few sampled stories lack most words
common = (counts >= least).nonzero().flatten()
column = {token: i for i, token in enumerate(vocabulary[common])}
tests, words = {}, {}
for verb, listed in LISTS.items():
    words[verb] = [word for word in listed.split() if word in column]
    own = transformer.output_direction(model, verb, [v for v in VERBS if v != verb])
    own_vectors = bilinear.eigendecompose(model.interaction(own))[1][:, SHOWN]
    of_words = [column[word] for word in words[verb]]
    tests[verb] = test = transformer.word_list_test(
        own_vectors, paths[:, :, common], of_words, n_random=200 if QUICK else 2000, seed=SEED
    )
    best = int(test.p_vector.argmin())
    path = int(test.scores[:, best].abs().argmax())
    found = {"best_score": test.scores[path, best].abs(), "best_eigenvector": SHOWN[best], "best_path": PATHS[path]}
    found |= {"p_all": test.p_all, "null_highest": test.null.max()}
    results.record(**{f"{verb}_{name}": value for name, value in found.items()})
    print(f"{verb}: {len(of_words)} words: {' '.join(words[verb])}\n")

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plotting.TEXT_WIDTH, 2.6))
limit = max(test.scores.abs().max().item() for test in tests.values())
for ax, (verb, test) in zip(axes, tests.items(), strict=True):
    image = plotting.signed_map(ax, test.scores.T, vmax=limit)
    ax.set_aspect("auto")
    ax.set_xticks(range(len(PATHS)), [p.replace("head ", "h") for p in PATHS])
    ax.set_yticks(range(len(SHOWN)), [f"{k} (p = {p:.4f})" for k, p in zip(SHOWN, test.p_vector, strict=True)])
    ax.set_title(f'{len(words[verb])} "{verb}" words\nbest of eight: p = {test.p_all:.4f}')
fig.colorbar(image, ax=axes, label="mean standardised score", shrink=0.9)
fig.suptitle(f"eigenvector by path ({WEIGHTS})", fontsize=8)
alt = "Two maps, eigenvector by path: mean standardised score of the swimming words and of the eating words, with p-values."
results.save_figure(fig, "word_list_test", alt=alt)

# %% [markdown]
# **Figure `word_list_test`.** Left: swimming words on the eigenvectors of *swim*; right: eating words on those of *eat*. Colour: the mean standardised score of the list's words in a path. Rows: the eight eigenvectors of the original notebook, each with its own p-value (the share of random directions whose best path
# scores the list as high); the title's p-value is that of the best of the eight against the best of eight random directions. The signs within a row belong together; between rows they are arbitrary.

# %% [markdown]
# ## Top activating inputs
#
# Where in real text does an eigenvector act? Its activation at a position is $(v_i \cdot x)^2$. One pass over all stories keeps each story's best position for each of the eight eigenvectors; nnsight takes the MLP's input out of the running model, a batch at a time.
# The same pass keeps, for every position, what the truncation below needs, and the strongest eigenvector's projection.

# %%
KEPT = [1, 2, 4, 8, 16, 64, model.config.d_model]  # of the truncation
peak = torch.empty(len(encoded), len(SHOWN))  # of each story, for each eigenvector: the highest activation
peak_at = torch.empty(peak.shape, dtype=torch.long)  # and the position it is at
measured, upcoming = [], []
for rows, x, real in transformer.mlp_inputs(model, encoded):
    peak[rows], peak_at[rows] = (x @ vectors[:, SHOWN]).square().masked_fill(~real[..., None], -1).max(1)
    flat = x[real]
    forms = [bilinear.truncated_logits(flat, values[None], vectors[None], k)[:, 0] for k in KEPT]
    mlp = model.transformer.h[0].mlp(flat[None])[0] @ direction
    measured.append(torch.stack([*forms, mlp, mlp + flat @ direction, flat @ vectors[:, strongest]]))
    upcoming += [token for row in rows for token in (*encoded[row][1:], transformer.EOS)]
measured, upcoming = torch.cat(measured, dim=1).double(), torch.tensor(upcoming)
top = peak.topk(8, dim=0)

# %%
# The positive side of the projection is the one to which its best path sends the swimming words.
by_path = tests["swim"].scores[:, SHOWN.index(strongest) if strongest in SHOWN else 0]
projection = measured[-1] * by_path[by_path.abs().argmax()].sign()
contribution = values[strongest] * projection.square()
everywhere = torch.ones_like(upcoming, dtype=torch.bool)
before_others = torch.isin(upcoming, torch.tensor(model.token_ids(OTHERS), dtype=torch.long))
before_token = upcoming == model.token_ids([TOKEN])[0]
results.record(positions_before_token=int(before_token.sum()))
for place, where in {"everywhere": everywhere, "before_others": before_others, "before_token": before_token}.items():
    mean = contribution[where if where.any() else everywhere].mean()
    side = (projection / projection.std())[where if where.any() else everywhere].mean()
    results.record(**{f"contribution_{place}": mean, f"projection_{place}": side})
    print(f"{place}: {int(where.sum()):,} positions, mean contribution {mean:+.2f}")

# %% [markdown]
# What made $x$ large along $v$ there? $x$ is the token's own embedding plus, for every earlier token, what all heads bring from it: $\sum_h A^h_s\, OV_h\, x_{0,s}$. These shares add up to $x$ exactly, so each token can be coloured by its share of $v \cdot x$ (the position's own token has the direct path in it).


# %%
def line_of(story: int, position: int, vector: torch.Tensor) -> tuple[list[str], np.ndarray, list[str]]:
    """The tokens up to a position, each one's share of |mlp input . vector| there, and the three tokens after it."""
    ids = encoded[story]
    taken = transformer.trace(model, torch.tensor([ids]))
    shares = transformer.attention_shares(model, taken["qkv"][0], position)
    shares[position] += taken["attn_in"][0, position]
    scores = shares @ vector * (taken["mlp_in"][0, position] @ vector).sign()
    first = max(0, position - 20)
    tokens = [str(vocabulary[i]) for i in ids[first : position + 4]]
    n = position + 1 - first
    return tokens[:n], scores[first : position + 1].numpy(), tokens[n:]


lines = {}
for i, k in enumerate(SHOWN):
    lines[k] = [line_of(story, int(peak_at[story, i]), vectors[:, k]) for story in top.indices[:, i].tolist()]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
page = []
for i, k in enumerate(SHOWN):
    page.append(f"<b>eigenvector {k} of {TOKEN}, λ = {values[k]:.2f} ({WEIGHTS})</b>")
    for line, activation in zip(lines[k], top.values[:, i], strict=True):
        page.append(f"<div>{values[k] * activation:+.2f}</div>{plotting.tokens_html(*line)}")
display(HTML("\n".join(page)))

# %% [markdown]
# Each block: the eight stories in which the eigenvector acts most, the twenty tokens before the position and three after it, the position's own token in brackets. Red tokens push $v \cdot x$ the way it goes, blue ones against it; the number is what the eigenvector adds to the logit, $\lambda (v \cdot x)^2$.

# %% tags=["hide-input"] jupyter={"source_hidden": true}
for k in SHOWN:
    fig, ax = plt.subplots(figsize=(plotting.TEXT_WIDTH, 2.9))
    plotting.token_lines(ax, lines[k])
    fig.suptitle(f'"{TOKEN}", eigenvector {k} (λ = {values[k]:.2f}): top inputs ({WEIGHTS})', fontsize=8)
    alt = f"The eight texts in which eigenvector {k} of {TOKEN} acts most, each token coloured by its share."
    results.save_figure(fig, f"top_inputs_{k if k >= 0 else f'minus_{-k}'}", alt=alt, show=k in (-1, 0))

# %% [markdown]
# **Figure `top_inputs_*`.** The same as pictures, one for each of the eight eigenvectors; shown here are the most positive (−1) and the most negative (0). Colour: share of $v \cdot x$, scaled within each text.

# %% [markdown]
# ## Beyond the original notebook
#
# ### How many eigenvectors does it take?
#
# Keep the $k$ eigenvectors of largest $|\lambda|$ and correlate the truncated form, over every position of every story, with the MLP's full contribution in the direction, and with the whole logit difference, which also holds the direct and attention paths.

# %%
correlation = torch.corrcoef(measured[:-1])
with_mlp, with_logit = correlation[: len(KEPT), -2], correlation[: len(KEPT), -1]
results.record(**{f"correlation_mlp_{k}": value for k, value in zip(KEPT, with_mlp, strict=True)})
results.record(correlation_logit=with_logit[-1])

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
ax.plot(range(len(KEPT)), with_mlp, "o-", markersize=4, label="with the MLP's contribution")
ax.plot(range(len(KEPT)), with_logit, "o-", markersize=4, label="with the whole logit difference")
ax.set_xticks(range(len(KEPT)), KEPT)
ax.set(xlabel="eigenvectors kept", ylabel="correlation", ylim=(min(0, with_logit.min()), 1.05))
ax.set_title(f'"{TOKEN}" over {len(upcoming):,} positions ({WEIGHTS})')
ax.legend(loc="lower right")
alt = "Correlation of the truncated form with the MLP's contribution and the whole logit difference, rising with k."
results.save_figure(fig, "truncation", alt=alt)

# %% [markdown]
# **Figure `truncation`.** Correlation over all positions of the validation stories, against the number of eigenvectors kept. The upper curve ends at 1 because all eigenvectors together are the MLP; the lower one ends at the MLP's own correlation with the logit difference.

# %% [markdown]
# ### Any token
#
# The same spectrum for a list of tokens, each on its own (no comparison tokens), both ends.

# %%
SMALL_MULTIPLES = ["swim", "run", "eat", "sleep", "fly", "happy", "sad", "big", "red", "mom", "dog", "the"]
spectra = transformer.token_spectra(model, torch.tensor(model.token_ids(SMALL_MULTIPLES)))
fig, axes = plt.subplots(3, 4, figsize=(plotting.TEXT_WIDTH, 3.8), sharex=True, sharey=True)
for ax, token, spectrum in zip(axes.flat, SMALL_MULTIPLES, spectra, strict=True):
    plotting.spectrum(ax, torch.cat([spectrum[:12], spectrum[-12:]]))
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
results.record(negative_stronger_share=(low > high)[counts[tokens] >= MIN_COUNT].float().mean())

# %% tags=["hide-input"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 3.2))
dots = ax.scatter(high, low, c=np.log10(counts[tokens].numpy() + 1), s=4, cmap="cividis", linewidths=0)
edge = float(max(low.max(), high.max())) * 1.05
ax.plot([0, edge], [0, edge], color="0.6", linewidth=0.6)
ax.set(xlabel="most positive eigenvalue", ylabel="−(most negative eigenvalue)", xlim=(0, edge), ylim=(0, edge))
fig.colorbar(dots, ax=ax, label=f"log10(times seen {'in training' if released else 'here'} + 1)")
ax.set_title(f"{len(tokens):,} tokens ({WEIGHTS})")
alt = "Scatter of every token's strongest negative against its strongest positive eigenvalue, coloured by frequency."
results.save_figure(fig, "all_spectra", alt=alt)

# %% [markdown]
# **Figure `all_spectra`.** One dot a token: how strong its strongest negative and positive eigenvalues are. Above the line the negative one is the stronger. Colour: how often the token stands in the training text.

# %% [markdown]
# ## What we found

# %% tags=["hide-input"] jupyter={"source_hidden": true}
rows = [
    ("weights", "weights", "tdooms/TinyStories-1-1024-i5n"),
    ("parameters", "parameters", "22 million"),
    ("nats per token (validation)", "nats_per_token", "not stated"),
    ("bits per character", "bits_per_character", "not stated"),
    ("most negative eigenvalue", "eigenvalue_min", "about -3.2"),
    ("most positive", "eigenvalue_max", "about 1.2"),
    ("their ratio", "eigenvalue_ratio", "about 2.6"),
    ("strongest eigenvector", "strongest_eigenvector", "0"),
    ("eigenvectors with half of the power", "eigenvalues_half_power", "not stated"),
    ("swim words: best eigenvector", "swim_best_eigenvector", "-1"),
    ("swim words: its path", "swim_best_path", "head 0"),
    ("eat words: best eigenvector", "eat_best_eigenvector", "not shown"),
    ("eat words: its path", "eat_best_path", "not shown"),
]
for verb in ("swim", "eat"):
    rows += [(f"{verb} words: its mean score (s.d.)", f"{verb}_best_score", "not stated")]
    rows += [(f"{verb} words: the highest of random sets", f"{verb}_null_highest", "not tested")]
    rows += [(f"{verb} words: p, best of eight", f"{verb}_p_all", "not tested")]
rows += [(f"correlation, {k} kept", f"correlation_mlp_{k}", "not stated") for k in KEPT]
rows += [("MLP and whole logit difference", "correlation_logit", "not stated")]
rows += [("tokens with a stronger negative end", "negative_stronger_share", "not stated")]
for place in ("everywhere", "before_others", "before_token"):
    rows += [(f"strongest eigenvector: contribution {place}", f"contribution_{place}", "not stated")]
    rows += [(f"strongest eigenvector: projection {place} (s.d.)", f"projection_{place}", "not stated")]
results.findings(rows)

# %% [markdown]
# - **The model** predicts stories it was not trained on at 2.39 nats per token, 0.85 bits per character. Its samples above are grammatical and lose the thread after a sentence or two, as one layer must.
# - **The spectrum** has the shape of the published one: a single eigenvalue far below all others, −0.86, about twice the strongest positive one, +0.44 (published: about −3.2 and +1.2). Scales differ between models; the ratio, 1.9 here and 2.6 there, can be compared.
# - **In words** this eigenvector (index 0) is about swimming: head 2 ends in *swim, fish, water, pond, swimming, beach, splash, sea, duck* (`word_table_strongest`). There the 31 words of the list score 3.8 standard deviations on average, more than on the best of eight random directions in any of 2,000 sets.
#   The eating words do the same on the directions of *eat* (3.7). In the published run it is eigenvector −1 and head 0 whose column ends in *swim, swimming, water, pool, sea*; here the words of eigenvector −1 are commas, articles and pronouns, in every head.
# - **What it does.** It is a veto. Its projection lies far from 0 at most positions, on the side opposite to the swimming words, and its negative eigenvalue lowers the logit of *swim*: by 3.3 on average, by 3.0 before one of the other verbs. Words of water in the context pull the projection towards 0 and lift the veto: right before *swim* the eigenvector takes 1.2 (51 positions).
#   So its top inputs do not sit inside swimming scenes, as those of the published run do: they are articles and small words, as in *count to*, *pull the* and *in the park*. The third most positive one, −3, comes nearest
#   (p = 0.0002 by itself, head 2 again): six of its eight top inputs stand among shrimp, fish, lake and sea, at the words *all the* and *how to* (`top_inputs_minus_3`).
# - **Few suffice.** Two eigenvectors of 256 correlate at 0.81 with the MLP's contribution in this direction over 367,127 positions, sixteen at 0.93; and that contribution is nearly the whole logit difference (0.995): attention and the direct path by themselves add little to it.
# - **All tokens.** For most single tokens (four in five of the frequent ones) the strongest positive eigenvalue is the larger.
#
# ## Where the original notebook differs
#
# - **Weights.** The original notebook shows the published model, of 22 million weights trained on the whole data set. The default here is a model of this repository's own, an eighth of the size, trained by another recipe on a ninetieth of the text. `CHECKPOINT=published` shows the paper's where
#   the hub can be reached; on the machine that made these figures it could not, so the numbers in the right column are read off the original notebook, not computed here.
# - **Tokenizer.** The same recipe, trained on our stories; its words are a little longer, so losses per token of the two cannot be compared directly.
# - **The tensor.** The original notebook builds $B$, 4 GB, and contracts it afterwards. Here the direction goes in first.
# - **Memory.** It keeps every activation of 40 eigenvectors over the whole validation set, and takes the best 200 positions. Here each story's best position is kept: the same stories, as only that position counts.
# - **Attention.** It recomputes attention beside the model. Here the model's own code splits queries, keys and values, and a test checks that the shares add up to its output.
# - **Colour.** Red is positive throughout. The original notebook's colour map runs the other way round.
# - **Sign.** An eigenvector's sign is arbitrary; nothing here depends on it, and none is turned by hand.
#
# ## Limits
#
# One small model, one run of training. Its eigenvectors need not be those of the published model, and the word lists were written by one person. The p-values say that a direction is unlike random directions of the space; they do not say what it is for. Attention weights are taken as they are:
# what a head brings is read off the weights, how much of it is brought is not. The test treats the eight eigenvectors as exchangeable with random directions, which are not orthogonal to each other; in this many dimensions that matters little.
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
