"""The bilinear transformer: the model in its published format, and what can be read off its weights.

Pearce, Dooms, Rigg 2024, "Weight-based Decomposition: A Case for Bilinear MLPs", arXiv 2406.03947. The published
family is `tdooms/TinyStories-<layers>-<width>-<modifier>` on the Hugging Face hub.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
from paper_utils.files import ROOT, data_folder, replacing

RELEASED = ROOT / "checkpoints" / "tinystories"
PUBLISHED = "tdooms/TinyStories-1-1024-i5n"
PUBLISHED_TOKENIZER = "tdooms/ts-tokenizer-4096"  # of the whole published family, whose repositories hold none
SPECIALS = ("[UNK]", "[BOS]", "[EOS]")
UNK, BOS, EOS = range(3)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and kind of a `BilinearTransformer`, by the names of the published config.json; nine, as there.

    The defaults are the published one-layer model's.
    """

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
        if min(sizes) < 1 or self.noise < 0:
            raise ValueError(f"TransformerConfig: sizes must be at least 1 and noise at least 0: {self}")
        if self.d_model % self.n_head or self.d_model // self.n_head % 2:
            raise ValueError(
                f"TransformerConfig: d_model must be n_head times an even d_head (rotary embeddings turn pairs), got "
                f"d_model {self.d_model} and n_head {self.n_head}"
            )
        if self.normalization not in (None, "rms"):
            raise ValueError(f"TransformerConfig: normalization must be None or 'rms', got {self.normalization!r}")


class Norm(nn.Module):
    """What stands before attention, before the MLP and before the unembedding: a norm or nothing, and noise.

    RMS norm: x / sqrt(mean(x^2) + 1e-8) * weight. Noise, in training only: x + noise * std(x) * N(0, 1), std over the
    last axis.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.noise = config.noise
        if config.normalization == "rms":
            self.norm = nn.RMSNorm(config.d_model, eps=1e-8)
        else:
            self.norm = nn.Identity()

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
        """Queries and keys, turned to their positions, and values, each [batch head seq d_head]."""
        pattern = "batch seq (n_proj head d_head) -> n_proj batch head seq d_head"
        q, k, v = rearrange(qkv, pattern, n_proj=3, head=self.n_head)
        return self.rotary(q), self.rotary(k), v

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        q, k, v = self.split(self.qkv(x))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(rearrange(z, "batch head seq d_head -> batch seq (head d_head)"))


class BilinearLayer(nn.Module):
    """mlp(x) = O ((L x + b_l) * (R x + b_r)); w holds L above R, and the biases only where the config has them."""

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
    w_p [layer d_model hidden], w_q, w_k, w_v [layer head d_head d_model], w_o [layer head d_model d_head],
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
            self.transformer = nn.ModuleDict(
                {
                    "wte": nn.Embedding(config.n_vocab, config.d_model),
                    "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                    "n_f": Norm(config),
                }
            )
            self.lm_head = nn.Linear(config.d_model, config.n_vocab, bias=False)

    def residual(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_model"]:
        """What the unembedding reads: the residual stream after the last block, through n_f."""
        if not 1 <= ids.shape[1] <= self.config.n_ctx:
            raise ValueError(
                f"BilinearTransformer: a text must have 1 to n_ctx = {self.config.n_ctx} tokens, got {ids.shape[1]}: "
                "cut it (encode does)"
            )
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

    @property
    def w_l(self) -> Float[Tensor, "layer hidden d_model"]:
        return torch.stack([block.mlp.w.weight.chunk(2)[0] for block in self.transformer.h])

    @property
    def w_r(self) -> Float[Tensor, "layer hidden d_model"]:
        return torch.stack([block.mlp.w.weight.chunk(2)[1] for block in self.transformer.h])

    @property
    def w_p(self) -> Float[Tensor, "layer d_model hidden"]:
        return torch.stack([block.mlp.o.weight for block in self.transformer.h])

    def _projection(self, index: int) -> Float[Tensor, "layer head d_head d_model"]:
        rows = torch.stack([block.attn.qkv.weight.chunk(3)[index] for block in self.transformer.h])
        return rearrange(rows, "layer (head d_head) d_model -> layer head d_head d_model", head=self.config.n_head)

    @property
    def w_q(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._projection(0)

    @property
    def w_k(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._projection(1)

    @property
    def w_v(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._projection(2)

    @property
    def w_o(self) -> Float[Tensor, "layer head d_model d_head"]:
        o = torch.stack([block.attn.o.weight for block in self.transformer.h])
        return rearrange(o, "layer d_model (head d_head) -> layer head d_model d_head", head=self.config.n_head)

    @property
    def ov(self) -> Float[Tensor, "layer head d_model d_model"]:
        return self.w_o @ self.w_v

    @property
    def b(self) -> Float[Tensor, "layer d_model d_model d_model"]:
        """The MLPs' interaction tensors, mlp(x)_out = sum b[layer, out, in1, in2] x_in1 x_in2, each symmetric.

        4 GB a layer at width 1024: `interaction` contracts it with a direction without building it.
        """
        return torch.stack([self.interaction(torch.eye(self.config.d_model), i) for i in range(self.config.n_layer)])

    def interaction(
        self, direction: Float[Tensor, "*batch d_model"], layer: int = 0
    ) -> Float[Tensor, "*batch d_model d_model"]:
        """The symmetric matrix of an MLP for output directions d: d . mlp(x) = x^T Q x.

        Q = (L^T diag(d w_p) R + R^T diag(d w_p) L) / 2, eq. 3 of arXiv 2406.03947 contracted with d first.

        Raises:
            ValueError: a layer that is not there, a direction of another width, or an MLP with biases, whose output is
                no quadratic form of its input alone.
        """
        c = self.config
        if not 0 <= layer < c.n_layer or direction.shape[-1] != c.d_model or c.mlp_bias:
            raise ValueError(
                f"interaction: needs a layer in 0..{c.n_layer - 1}, a direction of width {c.d_model} and an MLP "
                f"without biases, got layer {layer}, width {direction.shape[-1]}, mlp_bias {c.mlp_bias}"
            )
        mlp = self.transformer.h[layer].mlp
        left, right = mlp.w.weight.detach().chunk(2)
        gate = direction.to(left) @ mlp.o.weight.detach()
        q = (left.T * gate[..., None, :]) @ right
        return (q + q.mT) / 2

    # ---- the published format

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "BilinearTransformer":
        """Read config.json, model.safetensors and, where it lies beside them, tokenizer.json.

        A model of the hub that comes without tokenizer gets the published family's: tinystories/tokenizer-4096.json of
        the data folder, else the hub's.

        Args:
            source: a folder, or a hub id `owner/name`, or `owner/name@commit` to pin it. The id's commit is looked up
                and kept in the model's `name` where none is given.

        Raises:
            FileNotFoundError: no such folder and no hub id, or a file is missing in it.
            hub.Unreachable: a hub id, and the hub does not answer within seconds.
            ValueError: a damaged file, an unknown kind of MLP or norm, a missing, surplus or mis-shaped tensor, or a
                tokenizer of another size; names it.
        """
        folder, name = _locate(source)
        config = _read_config(folder / "config.json")
        state, _ = training.load_weights(folder / "model.safetensors")
        with torch.device("meta"):
            model = cls(config, seed=0)
        _check_tensors(folder / "model.safetensors", state, model.state_dict())
        model.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
        model.name = name
        tokenizer = folder / "tokenizer.json"
        if not tokenizer.exists() and "@" in name:
            tokenizer = _family_tokenizer()
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
        """The token of every id."""
        return [self._tokenizer.id_to_token(i) for i in range(self.config.n_vocab)]

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise ValueError(f"{self.name} came without a tokenizer: put its tokenizer.json beside config.json")
        return self.tokenizer

    def token_ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of tokens.

        Raises:
            ValueError: a token that is not in the vocabulary; names the nearest spellings that are.
        """
        vocabulary = self._tokenizer.get_vocab()
        for token in tokens:
            if token not in vocabulary:
                near = difflib.get_close_matches(token, vocabulary, n=5, cutoff=0.5)
                raise ValueError(
                    f"token_ids: {token!r} is not one of the {len(vocabulary)} tokens; near ones: "
                    f"{', '.join(near) or 'none'}"
                )
        return [vocabulary[token] for token in tokens]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """[BOS], the text's tokens, [EOS]; cut to n_ctx. Characters outside ASCII are dropped, as published.

        Raises:
            ValueError: an empty text; names its number.
        """
        cleaned = [ascii_only(text) for text in texts]
        if empty := [i for i, text in enumerate(cleaned) if not text.strip()]:
            raise ValueError(f"encode: text {empty[0]} is empty: every text needs at least one ASCII character")
        return [[*e.ids, EOS][: self.config.n_ctx] for e in self._tokenizer.encode_batch(cleaned)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, word pieces joined and special tokens left out."""
        vocabulary = self._tokenizer
        return " ".join(vocabulary.id_to_token(i) for i in ids if i > EOS).replace(" ##", "")

    @torch.no_grad()
    def sample(self, n: int, seed: int, prompt: str = "", n_tokens: int = 200, temperature: float = 0.8) -> list[str]:
        """`n` texts drawn from the model token by token; the same seed gives the same texts on the same machine.

        Raises:
            ValueError: no text, no token, or a temperature that is not above 0.
        """
        if n < 1 or n_tokens < 1 or temperature <= 0:
            raise ValueError(
                f"sample: needs n and n_tokens of at least 1 and a temperature above 0, got {n}, {n_tokens}, "
                f"{temperature}"
            )
        start = self.encode([prompt])[0][:-1] if prompt else [BOS]
        device = self.lm_head.weight.device
        generator = torch.Generator(device).manual_seed(seed)
        ids = torch.tensor([start] * n, device=device)
        while ids.shape[1] < min(len(start) + n_tokens, self.config.n_ctx) and not (ids == EOS).any(1).all():
            logits = self.lm_head(self.residual(ids)[:, -1]) / temperature
            logits[:, [UNK, BOS]] = -torch.inf
            ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=generator)], dim=1)
        rows = [row[: row.index(EOS)] if EOS in row else row for row in ids.tolist()]
        return [self.decode(row) for row in rows]


def ascii_only(text: str) -> str:
    """A text without the characters outside ASCII, as the published model's data were cleaned."""
    return text.encode("ascii", "ignore").decode()


def read_tokenizer(path: Path, n_vocab: int) -> Tokenizer:
    """Read a tokenizer.json of `n_vocab` entries that starts with [UNK], [BOS], [EOS].

    Raises:
        ValueError: a damaged file, or another vocabulary; names it.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise ValueError(f"{path} is damaged or no tokenizer file ({error})") from error
    size, specials = tokenizer.get_vocab_size(), tuple(tokenizer.id_to_token(i) for i in range(3))
    if size != n_vocab or specials != SPECIALS:
        raise ValueError(
            f"{path}: needs {n_vocab} tokens that start with {SPECIALS}, has {size} that start with {specials}"
        )
    return tokenizer


def _locate(source: str | Path) -> tuple[Path, str]:
    """The folder of a checkpoint, fetched where `source` is a hub id, and its name for people."""
    if (folder := Path(source)).is_dir():
        inside = folder.resolve().is_relative_to(ROOT)
        return folder, str(folder.resolve().relative_to(ROOT)) if inside else folder.name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(@\w+)?", str(source)):
        raise FileNotFoundError(
            f"from_pretrained: no folder {source}, and a hub id reads owner/name or owner/name@commit"
        )
    name, _, commit = str(source).partition("@")
    commit = commit or hub.latest_commit(name)
    folder = hub.download(name, ["config.json", "model.safetensors"], commit)
    return folder, f"{name}@{commit[:12]}"


def _family_tokenizer() -> Path:
    at_hand = data_folder() / "tinystories" / "tokenizer-4096.json"
    if at_hand.exists():
        return at_hand
    commit = hub.latest_commit(PUBLISHED_TOKENIZER)
    return hub.download(PUBLISHED_TOKENIZER, ["tokenizer.json"], commit) / "tokenizer.json"


def _read_config(path: Path) -> TransformerConfig:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        kind = given["mlp"]
        if kind != "blp":
            raise ValueError(
                f"{path}: mlp must be 'blp' (bilinear), got {kind!r}: other kinds have no interaction matrix"
            )
        return TransformerConfig(**{f.name: given[f.name] for f in fields(TransformerConfig)})
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged or no JSON ({error})") from error
    except (KeyError, TypeError) as error:
        needed = ", ".join(f.name for f in fields(TransformerConfig))
        raise ValueError(f"{path}: needs mlp, {needed}; {type(error).__name__}: {error}") from error


def _check_tensors(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    problems = [f"missing {name}" for name in wanted.keys() - found.keys()]
    problems += [f"surplus {name}" for name in found.keys() - wanted.keys()]
    problems += [
        f"{name} is {list(found[name].shape)}, must be {list(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    if problems:
        raise ValueError(f"{path} does not fit its config.json: {'; '.join(sorted(problems))}")


# ---- what can be read off a one-layer model


def virtual_tokens(model: BilinearTransformer, layer: int = 0) -> Float[Tensor, "path d_model vocab"]:
    """What each token of the vocabulary puts before the MLP: by the direct path w_e, then by each head's ov w_e."""
    w_e = model.w_e.detach()
    heads = einsum(model.ov[layer].detach(), w_e, "head out d_model, d_model vocab -> head out vocab")
    return torch.cat([w_e[None], heads])


def output_direction(model: BilinearTransformer, token: str, others: Sequence[str] = ()) -> Float[Tensor, " d_model"]:
    """The unembedding of a token, less the mean of the others' where there are any."""
    rows = model.w_u.detach()[model.token_ids([token, *others])]
    return rows[0] - rows[1:].mean(0) if others else rows[0]


def eigenvector(vectors: Float[Tensor, "d_model n"], index: int) -> Float[Tensor, " d_model"]:
    """A column of ascending eigenvectors: 0 is the most negative, -1 the most positive.

    Raises:
        ValueError: an index out of range; names the range.
    """
    n = vectors.shape[1]
    if not -n <= index < n:
        raise ValueError(f"eigenvector: of {n} eigenvectors the indices are {-n}..{n - 1}, got {index}")
    return vectors[:, index]


def token_spectra(
    model: BilinearTransformer, tokens: Int[Tensor, " n"], layer: int = 0, chunk: int = 16
) -> Float[Tensor, "n d_model"]:
    """Ascending eigenvalues of the interaction matrix of each token's unembedding; `chunk` matrices are in memory."""
    rows = model.w_u.detach()[tokens]
    values = torch.empty_like(rows)
    # Straight into one array: small results kept between the large matrices would keep the freed memory apart.
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        values[part] = torch.linalg.eigvalsh(model.interaction(rows[part], layer))
    return values


# ---- what it does on texts


def padded(
    stories: Sequence[Sequence[int]],
) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch next"]]:
    """Stories as one array, padded with [EOS], and which of the next tokens are real: [EOS] counts once."""
    lengths = torch.tensor([len(story) for story in stories])
    ids = torch.full((len(stories), int(lengths.max())), EOS)
    for row, story in zip(ids, stories, strict=True):
        row[: len(story)] = torch.tensor(story)
    return ids, torch.arange(ids.shape[1] - 1) < lengths[:, None] - 1


def evaluate(model: BilinearTransformer, stories: Sequence[Sequence[int]], batch_size: int = 16) -> float:
    """Nats per token over stories of ids: every token after [BOS] counts, [EOS] once."""
    was_training, device = model.training, model.lm_head.weight.device
    model.eval()
    order, total = sorted(stories, key=len), 0.0
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            ids, real = (part.to(device) for part in padded(order[start : start + batch_size]))
            logits = model.lm_head(model.residual(ids[:, :-1])[real])
            total += F.cross_entropy(logits, ids[:, 1:][real], reduction="sum").item()
    model.train(was_training)
    return total / sum(len(story) - 1 for story in stories)


def characters_covered(model: BilinearTransformer, texts: Sequence[str]) -> int:
    """How many of the texts' ASCII characters lie before the cut at n_ctx: with it a loss becomes bits a character.

    A loss per token depends on how long tokens are, and so on the tokenizer; this does not.
    """
    cleaned, last = [ascii_only(text) for text in texts], model.config.n_ctx - 1
    encodings = model.tokenizer.encode_batch(cleaned)
    return sum(
        len(text) if len(e.ids) <= last else e.offsets[last][1] for text, e in zip(cleaned, encodings, strict=True)
    )


def trace(model: BilinearTransformer, ids: Int[Tensor, "batch seq"], layer: int = 0) -> dict[str, Tensor]:
    """A layer's activations, by nnsight: attn_in, attn_out and mlp_in [batch seq d_model], qkv [batch seq 3*d_model].

    The forward pass ends at the MLP: what comes after it is not computed.
    """
    traced = NNsight(model)
    with torch.no_grad(), traced.trace(ids) as tracer:
        block = traced.transformer.h[layer]
        attn_in = block.attn.input.save()
        qkv = block.attn.qkv.output.save()
        attn_out = block.attn.output.save()
        mlp_in = block.mlp.input.save()
        tracer.stop()
    return {"attn_in": attn_in, "qkv": qkv, "attn_out": attn_out, "mlp_in": mlp_in}


def mlp_inputs(
    model: BilinearTransformer, stories: Sequence[Sequence[int]], batch_size: int = 32, layer: int = 0
) -> Iterator[tuple[list[int], Float[Tensor, "batch seq d_model"], Bool[Tensor, "batch seq"]]]:
    """Over all stories, a batch at a time: their numbers, what the MLP reads, and which positions are no padding."""
    order = sorted(range(len(stories)), key=lambda i: len(stories[i]))
    report = training.progress(len(order), "activations")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids, real = padded([stories[i] for i in rows])
        yield rows, trace(model, ids, layer)["mlp_in"], F.pad(real, (1, 0), value=True)
        report(start + len(rows))


class TopInputs:
    """The `n` stories in which (mlp input . vector)^2 gets largest, for each vector, kept while batches stream by.

    After the last `update`: values, story and position, each [vector n], largest first; fewer stories than n leave
    story -1 and value -1 at the end.
    """

    def __init__(self, vectors: Float[Tensor, "d_model vector"], n: int = 8) -> None:
        self.vectors = vectors
        self.values = torch.full((vectors.shape[1], n), -1.0, dtype=vectors.dtype)
        self.story = torch.full((vectors.shape[1], n), -1)
        self.position = torch.full((vectors.shape[1], n), -1)

    def update(
        self, rows: Sequence[int], x: Float[Tensor, "batch seq d_model"], real: Bool[Tensor, "batch seq"]
    ) -> None:
        activation = (x @ self.vectors).square().masked_fill(~real[..., None], -1)
        best, where = activation.max(1)  # of each story only its best position: the n are of different stories
        values = torch.cat([self.values, best.T], dim=1)
        story = torch.cat([self.story, torch.tensor(rows).expand(len(best.T), -1)], dim=1)
        position = torch.cat([self.position, where.T], dim=1)
        self.values, order = values.topk(self.values.shape[1], dim=1)
        self.story, self.position = story.gather(1, order), position.gather(1, order)


def attention_shares(
    model: BilinearTransformer, qkv: Float[Tensor, "seq three_d_model"], position: int, layer: int = 0
) -> Float[Tensor, "seq d_model"]:
    """What each token contributes to the attention output at `position`: sum over heads of pattern * w_o w_v x.

    The rows add up to the attention output there; rows after `position` are 0.

    Raises:
        ValueError: a position outside the text.
    """
    if not 0 <= position < len(qkv):
        raise ValueError(f"attention_shares: position must be in 0..{len(qkv) - 1}, got {position}")
    attention = model.transformer.h[layer].attn
    q, k, v = attention.split(qkv[None, : position + 1])
    scores = einsum(q[0, :, -1], k[0], "head d_head, head seq d_head -> head seq") / q.shape[-1] ** 0.5
    z = rearrange(scores.softmax(-1)[..., None] * v[0], "head seq d_head -> seq (head d_head)")
    return F.pad(attention.o(z), (0, 0, 0, len(qkv) - 1 - position))


@dataclass(frozen=True)
class WordListTest:
    """What `word_list_test` found: mean standardised scores [path vector], a p-value a vector and one for all."""

    scores: Tensor
    p_vector: Tensor
    p_all: float


def word_list_test(
    vectors: Float[Tensor, "d_model vector"],
    paths: Float[Tensor, "path d_model vocab"],
    words: Sequence[int],
    n_random: int = 2000,
    seed: int = 0,
) -> WordListTest:
    """Whether some direction sorts a list of words to one end of the vocabulary more than random directions do.

    A direction scores each token in each path by its dot product, standardised over the vocabulary; its statistic is
    the largest |mean score of the words| over the paths. It is held against random directions, `n_random` sets of as
    many as there are vectors: p_vector compares one with one, p_all the best of the set with the best of a random set.

    Args:
        words: columns of `paths`.

    Raises:
        ValueError: fewer than two words.
    """
    if len(words) < 2:
        raise ValueError(f"word_list_test: needs at least two words, got {len(words)}")
    n_vectors = vectors.shape[1]
    mean, centred = paths.mean(2), paths - paths.mean(2, keepdim=True)
    of_words = paths[:, :, words].mean(2) - mean
    # The variance of v . token over the vocabulary is v^T C v: no direction needs its scores of all tokens.
    covariance = centred @ centred.mT / paths.shape[2]

    def scores(v: Float[Tensor, "d_model n"]) -> Float[Tensor, "path n"]:
        variance = einsum(v, covariance @ v, "d n, path d n -> path n")
        return of_words @ v / variance.sqrt()

    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(len(vectors), n_random * n_vectors, generator=generator, dtype=vectors.dtype)
    null = scores(random).abs().amax(0)
    found = scores(vectors)
    best = found.abs().amax(0)
    p_vector = (1 + (null >= best[:, None]).sum(1)) / (1 + len(null))
    p_all = (1 + (null.view(n_random, n_vectors).amax(1) >= best.max()).sum().item()) / (1 + n_random)
    return WordListTest(found, p_vector, p_all)
