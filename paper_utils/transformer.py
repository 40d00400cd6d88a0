"""The bilinear transformer: the model in its published format, and what can be read off its weights.

Pearce, Dooms, Rigg 2024, "Weight-based Decomposition: A Case for Bilinear MLPs", arXiv 2406.03947. The published
family is `tdooms/TinyStories-<layers>-<width>-<modifier>` on the Hugging Face hub.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from nnsight import NNsight
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from paper_utils import hub, training
from paper_utils.files import ROOT, data_folder, read_json, replacing
from paper_utils.progress import progress

RELEASED = ROOT / "checkpoints" / "tinystories"
PUBLISHED = "tdooms/TinyStories-1-1024-i5n"
PUBLISHED_TOKENIZER = "tdooms/ts-tokenizer-4096"  # one for the whole published family: its repositories hold none
SPECIALS = ("[UNK]", "[BOS]", "[EOS]")
UNK, BOS, EOS = range(3)
VERBS = ["swim", "run", "climb", "eat", "see", "smell", "walk", "fly", "sit", "sleep"]  # the first against the others
SWIMMING = "swim swimming swam water pool sea ocean lake river pond beach boat ship fish shark whale dolphin duck frog "
SWIMMING += "turtle crab shell sand wave waves splash splashed wet dive float island"


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and kind of a `BilinearTransformer`, by the names and with the values of the published config.json."""

    n_layer: int = 1
    d_model: int = 1024
    d_hidden: int = 3072
    n_head: int = 8
    n_ctx: int = 256
    n_vocab: int = 4096
    mlp_bias: bool = False
    normalization: str | None = None  # or "rms"
    noise: float = 0.33  # in training only, where a norm would stand, in units of each position's standard deviation

    def __post_init__(self) -> None:
        sizes = (self.n_layer, self.d_model, self.d_hidden, self.n_head, self.n_ctx, self.n_vocab)
        kind = self.noise >= 0 and self.normalization in (None, "rms")
        if min(sizes) < 1 or not kind or self.d_model % (2 * self.n_head):
            raise ValueError(
                f"{self}: sizes must be at least 1, noise at least 0, normalization None or 'rms', and d_model must be "
                "n_head times an even d_head (rotary embeddings turn pairs)"
            )


class Norm(nn.Module):
    """Stand before attention, before the MLP and before the unembedding: a norm or nothing, and noise.

    RMS norm: x / sqrt(mean(x^2) + 1e-8) * weight. Noise, in training only: x + noise * std(x, last axis) * N(0, 1).
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.noise = config.noise
        self.norm = nn.RMSNorm(config.d_model, eps=1e-8) if config.normalization == "rms" else nn.Identity()

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        x = self.norm(x)
        if self.training and self.noise:
            x = torch.addcmul(x, torch.randn_like(x), x.std(-1, keepdim=True), value=self.noise)
        return x


class Rotary(nn.Module):
    """Rotary position embedding of whole heads: the pair (i, i + d_head/2) turns by position * 10000^(-2i/d_head).

    Su et al. 2021, arXiv 2104.09864.
    """

    inv_freq: Tensor

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 10000 ** (-torch.arange(0, d_head, 2) / d_head))

    def forward(self, x: Float[Tensor, "batch head seq d_head"]) -> Float[Tensor, "batch head seq d_head"]:
        angle = torch.outer(torch.arange(x.shape[-2], device=x.device), self.inv_freq)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    """Causal softmax attention with rotary embeddings, scaled by 1/sqrt(d_head), without biases."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.rotary = Rotary(config.d_model // config.n_head)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.o = nn.Linear(config.d_model, config.d_model, bias=False)

    def split(self, qkv: Float[Tensor, "batch seq three_d_model"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries and keys, turned to their positions, and values, each [batch head seq d_head]."""
        pattern = "batch seq (n_proj head d_head) -> n_proj batch head seq d_head"
        q, k, v = rearrange(qkv, pattern, n_proj=3, head=self.n_head)
        return self.rotary(q), self.rotary(k), v

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        q, k, v = self.split(self.qkv(x))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(rearrange(z, "batch head seq d_head -> batch seq (head d_head)"))


class BilinearLayer(nn.Module):
    """mlp(x) = O ((L x + b_l) * (R x + b_r)); w holds L above R, and the biases where the config has them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.w = nn.Linear(config.d_model, 2 * config.d_hidden, bias=config.mlp_bias)
        self.o = nn.Linear(config.d_hidden, config.d_model, bias=False)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        left, right = self.w(x).chunk(2, dim=-1)
        return self.o(left * right)


class Block(nn.Module):
    """x += attn(n1(x)); x += mlp(n2(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.n1, self.attn = Norm(config), Attention(config)
        self.n2, self.mlp = Norm(config), BilinearLayer(config)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        x = x + self.attn(self.n1(x))
        return x + self.mlp(self.n2(x))


class BilinearTransformer(nn.Module):
    """A decoder whose MLPs multiply two linear maps instead of applying a non-linearity; logits = U n_f(x).

    Modules carry the published state-dict names (transformer.wte, transformer.h.0.attn.qkv, ..., lm_head); the
    properties carry the paper's letters: w_e [d_model vocab], w_u [vocab d_model], w_l and w_r [layer hidden d_model],
    w_p [layer d_model hidden], w_qkv [3 layer head d_head d_model], w_o [layer head d_model d_head],
    ov [layer head d_model d_model], b [layer d_model d_model d_model].

    Example:
        >>> config = TransformerConfig(d_model=16, d_hidden=8, n_head=2, n_vocab=32)
        >>> BilinearTransformer(config, seed=0)(torch.zeros(1, 5, dtype=torch.long)).shape
        torch.Size([1, 5, 32])
    """

    def __init__(self, config: TransformerConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Tokenizer | None = None
        self.name = "untrained"
        with training.seeded(seed):
            wte = nn.Embedding(config.n_vocab, config.d_model)
            blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
            self.transformer = nn.ModuleDict({"wte": wte, "h": blocks, "n_f": Norm(config)})
            self.lm_head = nn.Linear(config.d_model, config.n_vocab, bias=False)

    def residual(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_model"]:
        """Return what the unembedding reads: the residual stream after the last block, through n_f."""
        if not 1 <= ids.shape[1] <= self.config.n_ctx:
            limit = f"1 to n_ctx = {self.config.n_ctx} tokens"
            raise ValueError(f"BilinearTransformer: a text must have {limit}, got {ids.shape[1]}: cut it (encode does)")
        x = self.transformer.wte(ids)
        for block in self.transformer.h:
            x = block(x)
        return self.transformer.n_f(x)

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        return self.lm_head(self.residual(ids))

    # ---- the paper's letters

    @property
    def w_e(self) -> Float[Tensor, "d_model vocab"]:
        return self.transformer.wte.weight.T

    @property
    def w_u(self) -> Float[Tensor, "vocab d_model"]:
        return self.lm_head.weight

    def _stacked(self, name: str) -> Float[Tensor, "layer rows columns"]:
        return torch.stack([block.get_parameter(name) for block in self.transformer.h])

    @property
    def w_l(self) -> Float[Tensor, "layer hidden d_model"]:
        return self._stacked("mlp.w.weight").chunk(2, dim=1)[0]

    @property
    def w_r(self) -> Float[Tensor, "layer hidden d_model"]:
        return self._stacked("mlp.w.weight").chunk(2, dim=1)[1]

    @property
    def w_p(self) -> Float[Tensor, "layer d_model hidden"]:
        return self._stacked("mlp.o.weight")

    @property
    def w_qkv(self) -> Float[Tensor, "3 layer head d_head d_model"]:
        pattern = "layer (n_proj head d_head) d_model -> n_proj layer head d_head d_model"
        return rearrange(self._stacked("attn.qkv.weight"), pattern, n_proj=3, head=self.config.n_head)

    @property
    def w_o(self) -> Float[Tensor, "layer head d_model d_head"]:
        pattern = "layer d_model (head d_head) -> layer head d_model d_head"
        return rearrange(self._stacked("attn.o.weight"), pattern, head=self.config.n_head)

    @property
    def ov(self) -> Float[Tensor, "layer head d_model d_model"]:
        return self.w_o @ self.w_qkv[2]

    @property
    def b(self) -> Float[Tensor, "layer d_model d_model d_model"]:
        """The MLPs' interaction tensors, mlp(x)_out = sum b[layer, out, in1, in2] x_in1 x_in2, each symmetric.

        4 GB a layer at width 1024: `interaction` contracts it with a direction without building it.
        """
        return torch.stack([self.interaction(torch.eye(self.config.d_model), i) for i in range(self.config.n_layer)])

    def interaction(self, direction: Float[Tensor, "*batch out"], layer: int = 0) -> Float[Tensor, "*batch in1 in2"]:
        """Return the symmetric matrix of an MLP without biases for output directions d: d . mlp(x) = x^T Q x.

        Q = (L^T diag(d w_p) R + R^T diag(d w_p) L) / 2, eq. 3 of arXiv 2406.03947 contracted with d first.
        """
        c, width = self.config, direction.shape[-1]
        if not 0 <= layer < c.n_layer or width != c.d_model or c.mlp_bias:
            needed = f"a layer in 0..{c.n_layer - 1}, a direction of width {c.d_model} and an MLP without biases"
            raise ValueError(f"interaction: needs {needed}, got layer {layer}, width {width}, mlp_bias {c.mlp_bias}")
        mlp = self.transformer.h[layer].mlp
        left, right = mlp.w.weight.detach().chunk(2)
        gate = direction.to(left) @ mlp.o.weight.detach()
        q = (left.T * gate[..., None, :]) @ right
        return (q + q.mT) / 2

    # ---- the published format

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "BilinearTransformer":
        """Read config.json, model.safetensors and tokenizer.json of a folder, or of a hub id `owner/name[@commit]`.

        A model of the hub that comes without tokenizer gets the published family's, from the data folder or the hub.
        Raises FileNotFoundError, hub.Unreachable, or ValueError, which names the file or tensor that does not fit.
        """
        folder, name = hub.locate(source, ["config.json", "model.safetensors"])
        config = _read_config(folder / "config.json")
        state, _ = training.load_weights(folder / "model.safetensors")
        with torch.device("meta"):
            model = cls(config, seed=0)
        try:
            model.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
        except RuntimeError as error:
            raise ValueError(f"{folder / 'model.safetensors'} does not fit its config.json: {error}") from error
        model.name = name
        tokenizer = folder / "tokenizer.json"
        if "@" in name and not tokenizer.exists():
            tokenizer = data_folder() / "tinystories" / "tokenizer-4096.json"
            if not tokenizer.exists():
                tokenizer = hub.locate(PUBLISHED_TOKENIZER, ["tokenizer.json"])[0] / "tokenizer.json"
        if tokenizer.exists():
            model.tokenizer = read_tokenizer(tokenizer, config.n_vocab)
        return model.requires_grad_(False).eval()

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write the published format; weights in `dtype`, rotary frequencies always in float32."""
        state = {k: v if k.endswith("inv_freq") else v.to(dtype) for k, v in self.state_dict().items()}
        training.save_weights(folder / "model.safetensors", state, {"format": "pt"})
        with replacing(folder / "config.json") as beside:
            beside.write_text(json.dumps({**asdict(self.config), "mlp": "blp"}, indent=1) + "\n", encoding="utf-8")
        if self.tokenizer is not None:
            with replacing(folder / "tokenizer.json") as beside:
                self.tokenizer.save(str(beside))

    # ---- text

    @property
    def vocabulary(self) -> list[str]:
        """List the token of every id."""
        return [self._tokenizer.id_to_token(i) for i in range(self.config.n_vocab)]

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise ValueError(f"{self.name} came without a tokenizer: put its tokenizer.json beside config.json")
        return self.tokenizer

    def token_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of tokens; one that is not in the vocabulary raises ValueError, which names near spellings."""
        vocabulary = self._tokenizer.get_vocab()
        for token in tokens:
            if token not in vocabulary:
                near = ", ".join(difflib.get_close_matches(token, vocabulary, n=5, cutoff=0.5)) or "none"
                raise ValueError(f"token_ids: {token!r} is not one of the {len(vocabulary)} tokens; near ones: {near}")
        return [vocabulary[token] for token in tokens]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return [BOS], the text's tokens, [EOS], cut to n_ctx. Characters outside ASCII are dropped, as published."""
        cleaned = [ascii_only(text) for text in texts]
        if empty := [i for i, text in enumerate(cleaned) if not text.strip()]:
            raise ValueError(f"encode: text {empty[0]} is empty: every text needs at least one ASCII character")
        return [[*e.ids, EOS][: self.config.n_ctx] for e in self._tokenizer.encode_batch(cleaned)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, word pieces joined and special tokens left out."""
        return " ".join(self._tokenizer.id_to_token(i) for i in ids if i > EOS).replace(" ##", "")

    @torch.no_grad()
    def sample(self, n: int, seed: int, prompt: str = "", n_tokens: int = 200, temperature: float = 0.8) -> list[str]:
        """Draw `n` texts token by token; the same seed gives the same texts on the same machine."""
        if n < 1 or n_tokens < 1 or temperature <= 0:
            needed = "n and n_tokens of at least 1 and a temperature above 0"
            raise ValueError(f"sample: needs {needed}, got {n}, {n_tokens}, {temperature}")
        start, device = self.encode([prompt])[0][:-1] if prompt else [BOS], training.device_of(self)
        generator = torch.Generator(device).manual_seed(seed)
        ids = torch.tensor([start] * n, device=device)
        while ids.shape[1] < min(len(start) + n_tokens, self.config.n_ctx) and not (ids == EOS).any(1).all():
            logits = self.lm_head(self.residual(ids)[:, -1]) / temperature
            logits[:, [UNK, BOS]] = -torch.inf
            ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=generator)], dim=1)
        return [self.decode(row[: row.index(EOS)] if EOS in row else row) for row in ids.tolist()]


def ascii_only(text: str) -> str:
    """Drop the characters outside ASCII, as the published model's data were cleaned."""
    return text.encode("ascii", "ignore").decode()


def read_tokenizer(path: Path, n_vocab: int) -> Tokenizer:
    """Read a tokenizer.json of `n_vocab` entries that starts with [UNK], [BOS], [EOS]; another raises ValueError."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise ValueError(f"{path} is damaged or no tokenizer file ({error})") from error
    size, specials = tokenizer.get_vocab_size(), tuple(tokenizer.id_to_token(i) for i in range(3))
    if size != n_vocab or specials != SPECIALS:
        raise ValueError(f"{path}: needs {n_vocab} tokens, the first {SPECIALS}, has {size}, the first {specials}")
    return tokenizer


def _read_config(path: Path) -> TransformerConfig:
    given, own = read_json(path), {f.name: f for f in fields(TransformerConfig)}
    if lacking := {"mlp", *own} - {"noise"} - given.keys():
        raise ValueError(f"{path}: needs mlp, {', '.join(own)}; lacks {', '.join(sorted(lacking))}")
    if (mlp := given["mlp"]) != "blp":
        raise ValueError(f"{path}: mlp must be 'blp', got {mlp!r}: only bilinear MLPs have interaction matrices")
    if given.get("norm_bias"):
        raise ValueError(f"{path}: norm_bias must be false, got {given['norm_bias']!r}: norms here have no bias")
    # Members of the family that were trained without noise have null there.
    given["noise"] = given.get("noise") or 0.0
    for name, f in own.items():
        kinds = {float: (int, float)}.get(f.type, f.type)
        if not isinstance(given[name], kinds) or (isinstance(given[name], bool) and f.type is not bool):
            raise ValueError(f"{path}: {name} must be of type {f.type}, got {given[name]!r}")
    try:
        return TransformerConfig(**{name: given[name] for name in own})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# ---- what can be read off the weights, and in the first layer of a running model


def virtual_tokens(model: BilinearTransformer) -> Float[Tensor, "path d_model vocab"]:
    """Return what each token puts before the first MLP: by the direct path w_e, then by each head's ov w_e."""
    w_e = model.w_e.detach()
    heads = einsum(model.ov[0].detach(), w_e, "head out d_model, d_model vocab -> head out vocab")
    return torch.cat([w_e[None], heads])


def output_direction(model: BilinearTransformer, token: str, others: Sequence[str] = ()) -> Float[Tensor, " d_model"]:
    """Return the unembedding of a token, less the mean of the others' where there are any."""
    rows = model.w_u.detach()[model.token_ids([token, *others])]
    return rows[0] - rows[1:].mean(0) if others else rows[0]


@training.one_thread
def strongest_eigenvector(
    model: BilinearTransformer, direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """Return the eigenvector of largest |eigenvalue| of a direction's interaction matrix; its sign is arbitrary."""
    values, vectors = torch.linalg.eigh(model.interaction(direction))
    return vectors[:, values.abs().argmax()]


@training.one_thread
def topic_and_gate(
    model: BilinearTransformer, direction: Float[Tensor, " d_model"], x: Float[Tensor, "position d_model"]
) -> Float[Tensor, "d_model 2"]:
    """Return the two factors of both ends of an output direction's form, as unit vectors: topic, then gate.

    With p = sqrt(lambda+) v+ and n = sqrt(|lambda-|) v- of the outermost eigenvalues,
    lambda+ (v+ . x)^2 - |lambda-| (v- . x)^2 = ((p + n) . x) ((p - n) . x).
    The gate is the factor whose projection of `x`, what the MLP reads over text, lies farther from 0 in its own
    standard deviations. ValueError: the form has no negative or no positive eigenvalue.
    """
    values, vectors = torch.linalg.eigh(model.interaction(direction))
    if not values[0] < 0 < values[-1]:
        raise ValueError(f"topic_and_gate: needs eigenvalues of both signs, got {values[0]:.3g} to {values[-1]:.3g}")
    minus, plus = (vectors[:, [0, -1]] * values[[0, -1]].abs().double().sqrt().to(vectors)).T
    factors = F.normalize(torch.stack([plus + minus, plus - minus], dim=1), dim=0)
    distance = (x.mean(0) @ factors).abs() / (x @ factors).std(0)
    return factors[:, distance.argsort()]


@training.one_thread
def token_spectra(model: BilinearTransformer, tokens: Int[Tensor, " n"], chunk: int = 16) -> Float[Tensor, "n d_model"]:
    """Return the ascending eigenvalues of each token's interaction matrix, `chunk` matrices at a time."""
    rows = model.w_u.detach()[tokens]
    # Write into one array: small results kept between the large matrices would fragment the freed memory.
    values = torch.empty_like(rows)
    for part in torch.arange(len(rows)).split(chunk):
        values[part] = torch.linalg.eigvalsh(model.interaction(rows[part]))
    return values


# ---- what it does on texts


def padded(stories: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch next"]]:
    """Return stories as one array, padded with [EOS], and which of the next tokens are real: [EOS] counts once."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(story) for story in stories], batch_first=True, padding_value=EOS)
    lengths = torch.tensor([len(story) for story in stories])
    return ids, torch.arange(1, ids.shape[1]) < lengths[:, None]


def summed_loss(model: nn.Module, stories: Sequence[Sequence[int]]) -> Float[Tensor, ""]:
    """Sum the cross entropy of stories of ids, in nats: every token after [BOS] counts, [EOS] once."""
    ids, real = (part.to(training.device_of(model)) for part in padded(stories))
    logits = model(ids[:, :-1])[real]
    return F.cross_entropy(logits.float(), ids[:, 1:][real], reduction="sum")


def evaluate(model: BilinearTransformer, stories: Sequence[Sequence[int]], batch_size: int = 16) -> float:
    """Return the mean cross entropy over stories of ids, in nats per token, without noise."""
    was_training, order = model.training, sorted(stories, key=len)
    model.eval()
    with torch.no_grad():
        # From the longest on: a batch then fits into the memory that an earlier one gave back.
        parts = (order[start : start + batch_size] for start in reversed(range(0, len(order), batch_size)))
        total = sum(summed_loss(model, part).item() for part in parts)
    model.train(was_training)
    return total / sum(len(story) - 1 for story in stories)


def characters_covered(model: BilinearTransformer, texts: Sequence[str]) -> int:
    """Count the texts' ASCII characters before the cut at n_ctx, for a loss per character."""
    cleaned, last = [ascii_only(text) for text in texts], model.config.n_ctx - 1
    encodings = model._tokenizer.encode_batch(cleaned)
    return sum(len(t) if len(e.ids) <= last else e.offsets[last][1] for t, e in zip(cleaned, encodings, strict=True))


def trace(model: BilinearTransformer, ids: Int[Tensor, "batch seq"]) -> dict[str, Tensor]:
    """Take activations by nnsight: attn_in, attn_out and mlp_in [batch seq d_model], qkv [batch seq 3*d_model]."""
    traced = NNsight(model)
    with torch.no_grad(), traced.trace(ids) as tracer:
        block = traced.transformer.h[0]
        taken = {"attn_in": block.attn.input, "qkv": block.attn.qkv.output, "attn_out": block.attn.output}.save()
        taken["mlp_in"] = block.mlp.input
        tracer.stop()  # the rest of the forward pass is not needed
    return taken


def mlp_inputs(
    model: BilinearTransformer, stories: Sequence[Sequence[int]], batch_size: int = 32
) -> Float[Tensor, "position d_model"]:
    """Return what the MLP reads at every position of every story, one story after the other; traced by nnsight."""
    starts = torch.tensor([0, *map(len, stories)]).cumsum(0).tolist()
    inputs = torch.empty(starts[-1], model.config.d_model, dtype=model.w_u.dtype)
    order = sorted(range(len(stories)), key=lambda i: len(stories[i]))
    report = progress(len(order), "activations")
    for done, start in enumerate(
        reversed(range(0, len(order), batch_size)), 1
    ):  # from the longest on, as in `evaluate`
        rows = order[start : start + batch_size]
        x = trace(model, padded([stories[i] for i in rows])[0])["mlp_in"]
        for i, of_story in zip(rows, x, strict=True):
            inputs[starts[i] : starts[i + 1]] = of_story[: len(stories[i])]
        report(min(done * batch_size, len(order)))
    return inputs


def hold(
    model: BilinearTransformer,
    ids: Int[Tensor, "batch seq"],
    vectors: Float[Tensor, "d_model k"],
    at: Float[Tensor, " k"],
) -> Float[Tensor, "batch seq vocab"]:
    """Return the logits while nnsight holds what the MLP reads along orthonormal vectors (columns) at constants `at`.

    The MLP reads x - V (V^T x - at) in place of x, at every position; the residual stream keeps x.
    """
    _check_orthonormal("hold", vectors)
    with torch.no_grad(), (traced := NNsight(model)).trace(ids):
        mlp = traced.transformer.h[0].mlp
        mlp.input = mlp.input - (mlp.input @ vectors - at) @ vectors.T
        logits = traced.lm_head.output.save()
    return logits


def _check_orthonormal(function: str, vectors: Float[Tensor, "*batch d_model k"]) -> None:
    products = vectors.mT @ vectors
    if not torch.allclose(products, torch.eye(products.shape[-1]).to(products), atol=1e-4):
        raise ValueError(f"{function}: needs orthonormal columns, got V^T V = {products.tolist()}")


def changes_by_holding(
    model: BilinearTransformer,
    x: Float[Tensor, "position d_model"],
    upcoming: Int[Tensor, " position"],
    vectors: Float[Tensor, "d_model vector *k"],
    at: Float[Tensor, " vector *k"],
) -> Float[Tensor, "vector position"]:
    """Return the change of log p(upcoming) by holding what the MLP reads along unit vectors, one at a time.

    As `hold` in a model of one layer without norms, where what follows attention works on each position by itself:
    `x` is what the MLP reads at the positions of interest. With a third axis, k orthonormal vectors together.
    """
    if model.config.n_layer > 1 or model.config.normalization:
        raise ValueError(f"changes_by_holding: needs one layer without norms, got {model.config}")

    def log_p(read: Float[Tensor, "position d_model"]) -> Float[Tensor, " position"]:
        logits = model.lm_head(x + model.transformer.h[0].mlp(read[None])[0])
        return logits.log_softmax(-1).gather(1, upcoming[:, None])[:, 0]

    spans = vectors.reshape(*vectors.shape[:2], -1).movedim(1, 0)
    _check_orthonormal("changes_by_holding", spans)
    return torch.stack([log_p(x - (x @ v - a.reshape(-1)) @ v.T) for v, a in zip(spans, at, strict=True)]) - log_p(x)


def effects_of_holding(
    model: BilinearTransformer,
    x: Float[Tensor, "position d_model"],
    upcoming: Int[Tensor, " position"],
    before: Bool[Tensor, "position verb"],
    vectors: Float[Tensor, "d_model vector *k"],
    mean: Float[Tensor, " d_model"],
) -> Float[Tensor, "vector verb"]:
    """Return the mean change of log p(verb), right before it, by holding what the MLP reads at its mean along vectors.

    `before` says which verb stands next at each position; NaN for a verb that is never said. See `changes_by_holding`.
    """
    changes = changes_by_holding(model, x, upcoming, vectors, torch.tensordot(mean, vectors, 1))
    return changes @ before.to(changes) / before.sum(0)


def effects_of_fitted(
    model: BilinearTransformer,
    x: Float[Tensor, "position d_model"],
    upcoming: Int[Tensor, " position"],
    before: Bool[Tensor, "position verb"],
    odd: Bool[Tensor, " position"],
    mean: Float[Tensor, " d_model"],
) -> Float[Tensor, "vector verb"]:
    """Do `effects_of_holding` along a direction fitted to the text for each verb, always to the other half of it.

    The direction is the mean of x before the verb less the mean before the other verbs. It is fitted at the `odd`
    positions and held at the rest, and the other way round; NaN for a verb that one half lacks.
    """
    halves = (odd, ~odd)
    there = torch.stack([before[half].any(0) for half in halves]).all(0)
    effects = x.new_full((len(there), len(there)), torch.nan)
    effects[there] = 0
    for fit, held in (halves, halves[::-1]):
        differences = [x[fit & verb].mean(0) - x[fit & ~verb].mean(0) for verb in before.T[there]]
        units = F.normalize(torch.stack(differences, dim=1), dim=0)
        changes = changes_by_holding(model, x[held], upcoming[held], units, mean @ units)
        effects[there] += changes @ before[held].to(changes) / before.sum(0)
    return effects


def auc(score: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> float:
    """Return how often a score is higher at a positive position than at a negative one: 0.5 by chance."""
    n = positive.sum().item()
    ranks = score.argsort().argsort().double()[positive].sum().item()
    return (ranks - n * (n - 1) / 2) / (n * (len(score) - n))


def attention_pattern(
    model: BilinearTransformer, qkv: Float[Tensor, "seq three_d_model"], position: int
) -> Float[Tensor, "head seq"]:
    """Return how much each head attends from `position` to each token; 0 after it."""
    if not 0 <= position < len(qkv):
        raise ValueError(f"attention_pattern: position must be in 0..{len(qkv) - 1}, got {position}")
    q, k, _ = model.transformer.h[0].attn.split(qkv[None, : position + 1])
    scores = einsum(q[0, :, -1], k[0], "head d_head, head seq d_head -> head seq") / q.shape[-1] ** 0.5
    return F.pad(scores.softmax(-1), (0, len(qkv) - 1 - position))


def attention_shares(
    model: BilinearTransformer, qkv: Float[Tensor, "seq three_d_model"], position: int
) -> Float[Tensor, "head seq d_model"]:
    """Return what each token brings to the attention output at `position` by each head; they add up to it."""
    values = model.transformer.h[0].attn.split(qkv[None])[2][0]
    z = attention_pattern(model, qkv, position)[..., None] * values
    return einsum(model.w_o[0], z, "head d_model d_head, head seq d_head -> head seq d_model")


def list_scores(
    vectors: Float[Tensor, "d_model vector"], paths: Float[Tensor, "path d_model vocab"], words: Sequence[int]
) -> Float[Tensor, "path vector"]:
    """Return how far to one end of the vocabulary a direction sorts words (columns of `paths`), in each path.

    A direction scores each token of a path by its dot product, standardised over the vocabulary; this is the mean of
    the words' scores, in standard deviations of a single token.
    """
    if len(words) < 2:
        raise ValueError(f"list_scores: needs at least two words, got {len(words)}")
    mean = paths.mean(2, keepdim=True)
    # The variance of v . token over the vocabulary is v^T C v, so no direction needs the scores of all tokens.
    covariance = (paths - mean) @ (paths - mean).mT / paths.shape[2]
    # Not by einsum: it takes a product for each direction, whose threads wait for each other on a busy machine.
    variance = (vectors * (covariance @ vectors)).sum(1)
    return (paths[:, :, words].mean(2) - mean[:, :, 0]) @ vectors / variance.double().sqrt().to(variance)
