"""The bilinear transformer: exact identities on a tiny model, the published format, and the released checkpoint."""

import json
import math
from dataclasses import replace

import pytest
import torch
from einops import einsum
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from paper_utils import bilinear, hub, transformer
from paper_utils.data import load_stories
from paper_utils.files import ROOT, data_folder
from paper_utils.spectra import effective_rank
from paper_utils.transformer import BOS, EOS, BilinearTransformer, TransformerConfig

TINY = TransformerConfig(d_model=16, d_hidden=24, n_head=2, n_ctx=32, n_vocab=48)
KINDS = {
    "published": TINY,
    "rms": replace(TINY, normalization="rms"),
    "bias": replace(TINY, mlp_bias=True),
    "three layers": replace(TINY, n_layer=3, normalization="rms", mlp_bias=True),
}


def make(config: TransformerConfig, seed: int = 0) -> BilinearTransformer:
    """A model whose every weight, norms and biases too, is random: a forgotten one shows."""
    model = BilinearTransformer(config, seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    model.transformer.h[0].attn.rotary.inv_freq = model.transformer.h[0].attn.rotary.inv_freq.double()
    return model.requires_grad_(False).eval()


@pytest.fixture
def model() -> BilinearTransformer:
    return make(TINY)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(48, (3, 20), generator=torch.Generator().manual_seed(1))


def written_forward(state: dict, c: TransformerConfig, ids: torch.Tensor, held: dict | None = None) -> torch.Tensor:
    """The forward pass as the format's description writes it: complex rotations, loops over heads, masks by hand.

    `held` maps layers to pairs (v, constant): v . (what the MLP reads) is set to the constant, pair after pair.
    """

    def norm(x, name):
        weight = state.get(f"{name}.norm.weight")
        return x if weight is None else x / (x.pow(2).mean(-1, keepdim=True) + 1e-8).sqrt() * weight

    def rotate(x, freq):  # [seq d_head] as complex numbers (first half + i second half), times e^(i position freq)
        half = x.shape[-1] // 2
        z = torch.complex(x[:, :half], x[:, half:])
        z = z * torch.polar(torch.ones(len(x), half, dtype=x.dtype), torch.outer(torch.arange(len(x)) * 1.0, freq))
        return torch.cat([z.real, z.imag], dim=-1)

    d = c.d_model // c.n_head
    out = []
    for row in ids:
        x = state["transformer.wte.weight"][row]
        for layer in range(c.n_layer):
            p = f"transformer.h.{layer}"
            rows = state[f"{p}.attn.qkv.weight"].reshape(3, c.n_head, d, c.d_model)
            n = norm(x, f"{p}.n1")
            heads = []
            for head in range(c.n_head):
                q, k, v = (n @ rows[i, head].T for i in range(3))
                freq = state[f"{p}.attn.rotary.inv_freq"].to(q.dtype)
                scores = rotate(q, freq) @ rotate(k, freq).T / d**0.5
                heads.append((scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1) @ v)
            x = x + torch.cat(heads, -1) @ state[f"{p}.attn.o.weight"].T
            n = norm(x, f"{p}.n2")
            for v, constant in (held or {}).get(layer, ()):
                n = torch.stack([token + (constant - sum(token * v)) * v for token in n])
            left, right = state[f"{p}.mlp.w.weight"].reshape(2, c.d_hidden, c.d_model)
            b_l, b_r = state.get(f"{p}.mlp.w.bias", torch.zeros(2 * c.d_hidden)).reshape(2, c.d_hidden)
            x = x + ((n @ left.T + b_l) * (n @ right.T + b_r)) @ state[f"{p}.mlp.o.weight"].T
        out.append(norm(x, "transformer.n_f") @ state["lm_head.weight"].T)
    return torch.stack(out)


# ---- the model


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_written_forward_pass(kind, ids):
    model = make(KINDS[kind])
    assert torch.allclose(model(ids), written_forward(model.state_dict(), KINDS[kind], ids), atol=1e-6)


def test_state_dict_has_the_published_names():
    names = set(BilinearTransformer(TINY, 0).state_dict())
    block = ("attn.qkv.weight", "attn.o.weight", "attn.rotary.inv_freq", "mlp.w.weight", "mlp.o.weight")
    assert names == {"transformer.wte.weight", "lm_head.weight", *(f"transformer.h.0.{name}" for name in block)}
    extra = {"h.2.n1.norm.weight", "h.0.n2.norm.weight", "n_f.norm.weight", "h.1.mlp.w.bias"}
    assert {f"transformer.{name}" for name in extra} <= set(BilinearTransformer(KINDS["three layers"], 0).state_dict())


def test_the_same_seed_gives_the_same_weights_and_another_others():
    one, same, other = (BilinearTransformer(TINY, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_noise_is_there_in_training_only_and_in_units_of_each_position():
    torch.manual_seed(0)
    norm = transformer.Norm(replace(TINY, noise=0.33, d_model=4096, n_head=1))
    x = torch.randn(2, 1, 4096) * torch.tensor([1.0, 100.0])[:, None, None]
    assert torch.equal(norm.eval()(x), x)
    added = norm.train()(x) - x
    assert (added.std(-1) / x.std(-1)).flatten().tolist() == pytest.approx([0.33, 0.33], rel=0.05)


@pytest.mark.parametrize("name, value", [("d_model", 15), ("n_head", 3), ("n_layer", 0), ("noise", -1.0)])
def test_a_config_that_cannot_be_says_so(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}.*: sizes must be"):
        replace(TINY, **{name: value})


@pytest.mark.parametrize("length", [0, 33])
def test_texts_of_no_or_too_many_tokens_are_refused(model, length):
    with pytest.raises(ValueError, match=f"1 to n_ctx = 32 tokens, got {length}"):
        model(torch.zeros(1, length, dtype=torch.long))


# ---- the paper's letters


def test_b_contracted_twice_is_the_mlp_and_once_bilinears_own_matrix(model):
    x = torch.randn(5, 16, dtype=torch.float64)
    out = einsum(model.b[0].double(), x, x, "out in1 in2, n in1, n in2 -> n out")
    assert torch.allclose(out, model.transformer.h[0].mlp(x[None])[0], atol=1e-5)
    assert torch.equal(model.b, model.b.mT)
    d = torch.randn(16, dtype=torch.float64)
    q = bilinear.interaction_tensor(d[None] @ model.w_p[0], model.w_l[0], model.w_r[0])[0]
    assert torch.allclose(model.interaction(torch.stack([d, 2 * d])), torch.stack([q, 2 * q]))


def test_letters_are_views_of_the_weights(model):
    attn, mlp = model.transformer.h[0].attn, model.transformer.h[0].mlp
    assert torch.equal(torch.cat([model.w_l[0], model.w_r[0]]), mlp.w.weight)
    assert torch.equal(model.w_qkv[:, 0].reshape(48, 16), attn.qkv.weight)
    assert model.w_e.shape == (16, 48) and model.w_u.shape == (48, 16) and model.w_p.shape == (1, 16, 24)
    x = torch.randn(16, dtype=torch.float64)
    _, _, v = attn.split(attn.qkv(x)[None, None])
    assert torch.allclose((model.ov[0] @ x).sum(0), attn.o(v.reshape(16)))
    paths = transformer.virtual_tokens(model)
    assert paths.shape == (3, 16, 48)
    assert torch.equal(paths[0], model.w_e) and torch.allclose(paths[2], model.ov[0, 1] @ model.w_e)


@pytest.mark.parametrize("layer, width, bias", [(1, 16, False), (-1, 16, False), (0, 8, False), (0, 16, True)])
def test_interaction_refuses_what_has_no_matrix(layer, width, bias):
    with pytest.raises(ValueError, match=r"interaction: needs a layer in 0\.\.0, a direction of width 16"):
        make(replace(TINY, mlp_bias=bias)).interaction(torch.zeros(width), layer)


def test_token_spectra_are_those_of_one_matrix_at_a_time(model):
    tokens = torch.tensor([3, 40, 7])
    expected = torch.stack([torch.linalg.eigvalsh(model.interaction(model.w_u[token])) for token in tokens])
    assert torch.allclose(transformer.token_spectra(model, tokens, chunk=2), expected)


def test_traced_activations_are_those_of_a_plain_forward_pass(model, ids):
    seen, block = {}, make(TINY).transformer.h[0]
    block.attn.register_forward_hook(lambda m, args, out: seen.update(attn_in=args[0], attn_out=out))
    block.attn.qkv.register_forward_hook(lambda m, args, out: seen.update(qkv=out))
    block.mlp.register_forward_pre_hook(lambda m, args: seen.update(mlp_in=args[0]))
    block(model.transformer.wte(ids))
    torch.testing.assert_close(transformer.trace(model, ids), seen, rtol=0, atol=0)


def test_shares_add_up_to_the_attention_output(model, ids):
    traced = transformer.trace(model, ids)
    for position in (0, 7, 19):
        shares = transformer.attention_shares(model, traced["qkv"][1], position)
        assert shares.shape == (2, 20, 16) and not shares[:, position + 1 :].any()
        assert torch.allclose(shares.sum((0, 1)), traced["attn_out"][1, position], atol=1e-12)
        pattern = transformer.attention_pattern(model, traced["qkv"][1], position)
        assert torch.allclose(pattern.sum(1), torch.ones(2, dtype=torch.float64))
        brought = einsum(pattern, model.ov[0], traced["attn_in"][1], "head seq, head out d, seq d -> head seq out")
        assert torch.allclose(shares, brought, atol=1e-12)
    with pytest.raises(ValueError, match=r"0\.\.19, got 20"):
        transformer.attention_shares(model, traced["qkv"][1], 20)


# ---- interventions


def orthonormal(k: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.linalg.qr(torch.randn(16, k, generator=generator, dtype=torch.float64))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_holding_is_what_the_written_forward_pass_gives(kind, ids):
    """In the first layer, two directions at once; the residual stream keeps what the MLP no longer reads."""
    model, v, at = make(KINDS[kind]), orthonormal(2), torch.tensor([0.7, -1.2], dtype=torch.float64)
    expected = written_forward(model.state_dict(), KINDS[kind], ids, {0: list(zip(v.T, at, strict=True))})
    found = transformer.hold(model, ids, v, at)
    assert torch.allclose(found, expected, atol=1e-6) and not torch.allclose(found, model(ids), atol=1e-2)


def test_a_projection_held_where_it_is_changes_nothing_and_all_held_leave_the_bias_of_the_text(model, ids):
    v = orthonormal(1)
    (at,) = (transformer.trace(model, ids[:1])["mlp_in"][0, 4] @ v).tolist()
    held = transformer.hold(model, ids[:1], v, torch.tensor([at], dtype=torch.float64))
    assert torch.allclose(held[0, 4], model(ids[:1])[0, 4]) and not torch.allclose(held[0, 5], model(ids[:1])[0, 5])
    everything = torch.eye(16, dtype=torch.float64)
    silent = transformer.hold(model, ids, everything, torch.zeros(16, dtype=torch.float64))
    assert torch.allclose(silent, transformer.trace(model, ids)["mlp_in"] @ model.w_u.T)  # the MLP reads 0
    with pytest.raises(ValueError, match="needs orthonormal columns"):
        transformer.hold(model, ids, 2 * v, torch.zeros(1, dtype=torch.float64))


def test_the_change_at_positions_is_that_of_holding_in_the_whole_model(model, ids):
    x, upcoming = transformer.trace(model, ids)["mlp_in"][:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    v, at = orthonormal(3), torch.tensor([0.3, -0.5, 2.0], dtype=torch.float64)
    found = transformer.changes_by_holding(model, x, upcoming, v, at)
    together = transformer.changes_by_holding(model, x, upcoming, v[:, None], at[None])
    for change, held in (*zip(found, ([0], [1], [2]), strict=True), (together[0], [0, 1, 2])):
        log_p = [f.log_softmax(-1)[:, :-1] for f in (transformer.hold(model, ids, v[:, held], at[held]), model(ids))]
        expected = (log_p[0] - log_p[1]).gather(2, ids[:, 1:, None]).flatten()
        assert torch.allclose(change, expected, atol=1e-6)
    with pytest.raises(ValueError, match="changes_by_holding: needs orthonormal columns"):
        transformer.changes_by_holding(model, x, upcoming, v[:, None, [0, 0]], at[None, :2])
    with pytest.raises(ValueError, match="needs one layer without norms"):
        transformer.changes_by_holding(make(KINDS["rms"]), x, upcoming, v, at)


FIRST = torch.eye(16, dtype=torch.float64)[0]


def squares(model: BilinearTransformer, *scales: float) -> BilinearTransformer:
    """A form with these eigenvalues in direction FIRST: hidden unit i computes x_i^2, written to output 0."""
    with torch.no_grad():
        for weight in (model.transformer.h[0].mlp.w.weight, model.transformer.h[0].mlp.o.weight):
            weight.zero_()
        for unit, scale in enumerate(scales):
            model.transformer.h[0].mlp.w.weight[[unit, 24 + unit], unit] = 1.0
            model.transformer.h[0].mlp.o.weight[0, unit] = scale
    return model


def test_the_effect_of_holding_is_the_mean_change_right_before_each_verb(model, ids):
    """One position before verb 0, the rest before verb 1, verb 2 never said; each half has one text of the two."""
    x, upcoming = transformer.trace(model, ids)["mlp_in"][:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    before = torch.zeros(len(x), 3, dtype=bool)
    before[:, 1], before[4] = True, torch.tensor([True, False, False])
    v = orthonormal(2)
    changes = transformer.changes_by_holding(model, x, upcoming, v, x.mean(0) @ v)
    found = transformer.effects_of_holding(model, x, upcoming, before, v, x.mean(0))
    assert torch.equal(found[:, 0], changes[:, 4]) and found[:, 2].isnan().all()
    others = torch.arange(len(x)) != 4
    assert torch.allclose(found[:, 1], changes[:, others].mean(1), atol=1e-6)


def test_a_direction_is_fitted_to_one_half_and_held_in_the_other(model, ids):
    x, upcoming = transformer.trace(model, ids)["mlp_in"][:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    odd = torch.arange(len(x)) % 2 == 1
    before = torch.zeros(len(x), 3, dtype=bool)
    before[2:6, 0], before[6:, 1], before[1, 2] = True, True, True  # verb 2 in one half only
    found = transformer.effects_of_fitted(model, x, upcoming, before, odd, x.mean(0))
    total = 0
    for fit in (odd, ~odd):
        unit = x[fit & before[:, 0]].mean(0) - x[fit & ~before[:, 0]].mean(0)
        unit = (unit / unit.norm())[:, None]
        held = ~fit & before[:, 0]
        total += transformer.changes_by_holding(model, x[held], upcoming[held], unit, x.mean(0) @ unit).sum()
    assert found[0, 0].item() == pytest.approx(total.item() / 4, abs=1e-6) and found[2].isnan().all()


def test_topic_and_gate_multiply_to_both_ends_of_the_form(model):
    """Of x_0^2 - 4 x_1^2 = (x_0 + 2 x_1)(x_0 - 2 x_1), the factor that stays near 10 is the gate."""
    squares(model, 1.0, -4.0)
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = torch.zeros(16, dtype=torch.float64)
    along[:2] = torch.tensor([1.0, -2.0])
    topic, gate = transformer.topic_and_gate(model, FIRST, x + 10 * along).T
    assert gate.abs()[:2].tolist() == pytest.approx([5**-0.5, 2 * 5**-0.5]) and gate[0] * gate[1] < 0
    form = 5 * (x @ topic) * (x @ gate)
    expected = x[:, 0] ** 2 - 4 * x[:, 1] ** 2
    assert torch.allclose(form.abs(), expected.abs(), atol=1e-9)
    with pytest.raises(ValueError, match="needs eigenvalues of both signs"):
        transformer.topic_and_gate(squares(model, 1.0, 2.0), FIRST, x)


def test_auc_counts_the_pairs_in_order():
    score = torch.tensor([3.0, 1.0, 2.0, 0.0])
    assert transformer.auc(score, torch.tensor([True, False, False, True])) == pytest.approx(0.5)
    assert transformer.auc(score, torch.tensor([True, False, True, False])) == 1


def test_the_strongest_eigenvector_is_the_one_of_largest_absolute_eigenvalue(model):
    found = transformer.strongest_eigenvector(squares(model, 1.0, -2.0), FIRST)
    assert found.abs().tolist() == pytest.approx([0, 1, *[0] * 14], abs=1e-9)


# ---- the published format


@pytest.fixture
def folder(tmp_path):
    BilinearTransformer(TINY, seed=3).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_again_it_is_the_same_model(kind, tmp_path):
    model = make(KINDS[kind]).float()
    model.save_pretrained(tmp_path)
    again = BilinearTransformer.from_pretrained(tmp_path)
    assert again.config == KINDS[kind] and not again.training
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_half_precision_keeps_the_frequencies_whole(tmp_path):
    model = BilinearTransformer(TINY, seed=0)
    model.save_pretrained(tmp_path, torch.float16)
    again = BilinearTransformer.from_pretrained(tmp_path)
    assert torch.equal(again.transformer.h[0].attn.rotary.inv_freq, model.transformer.h[0].attn.rotary.inv_freq)
    assert again.w_u.dtype == torch.float32 and torch.allclose(again.w_u, model.w_u, atol=1e-3)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.2 * sum(p.numel() for p in model.parameters()) + 2000


REFUSED = {  # complaint: the file, and what it holds or what changes in it
    r"Missing key.* \"lm_head.weight\"": ("model.safetensors", {"lm_head.weight": None}),
    r"Unexpected key.* \"lm_head.bias\"": ("model.safetensors", {"lm_head.bias": torch.zeros(48)}),
    r"Unexpected key.* \"transformer.n_f.norm": ("model.safetensors", {"transformer.n_f.norm.weight": torch.ones(16)}),
    r"size mismatch.*\[24, 16\].*\[48, 16\]": ("model.safetensors", {"lm_head.weight": torch.zeros(24, 16)}),
    "no safetensors file": ("model.safetensors", b"\x80\x04 a pickle is never opened."),
    "mlp must be 'blp', got 'glu'": ("config.json", {"mlp": "glu"}),
    "'layer'": ("config.json", {"normalization": "layer"}),
    "config.json: d_model must be of type .*int.*got None": ("config.json", {"d_model": None}),
    "config.json: n_head must be of type .*int.*got '8'": ("config.json", {"n_head": "8"}),
    "config.json: n_layer must be of type .*int.*got True": ("config.json", {"n_layer": True}),
    "config.json: mlp_bias must be of type .*bool.*got 1": ("config.json", {"mlp_bias": 1}),
    "config.json: noise must be of type .*float.*got 'a third'": ("config.json", {"noise": "a third"}),
    "config.json: norm_bias must be false": ("config.json", {"norm_bias": True}),
    r"config.json: .*n_head=3.*d_model must be": ("config.json", {"n_head": 3}),
    "config.json is no valid JSON": ("config.json", b"{"),
    "config.json: needs mlp, n_layer, d_model": ("config.json", b'{"mlp": "blp"}'),
    "tokenizer.json is damaged": ("tokenizer.json", b"{"),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_what_does_not_fit_is_named(folder, complaint):
    name, change = REFUSED[complaint]
    if isinstance(change, bytes):
        (folder / name).write_bytes(change)
    elif name == "config.json":
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    else:
        state = load_file(folder / name) | change
        save_file({k: v for k, v in state.items() if v is not None}, folder / name)
    with pytest.raises(ValueError, match=complaint):
        BilinearTransformer.from_pretrained(folder)


@pytest.mark.parametrize("said", ['"noise": null', '"modifier": null'])
def test_a_member_of_the_family_without_noise_has_null_or_nothing_in_its_config(folder, ids, said):
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"noise": 0.33', said))
    model = BilinearTransformer.from_pretrained(folder)
    assert model.config.noise == 0.0
    assert torch.equal(model.train()(ids), model.eval()(ids))


def test_a_file_cut_short_or_missing_is_named(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        BilinearTransformer.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        BilinearTransformer.from_pretrained(folder)
    with pytest.raises(FileNotFoundError, match="owner/name@commit"):
        BilinearTransformer.from_pretrained("no/such/folder")


def test_from_the_hub_at_a_commit_with_the_published_familys_tokenizer(folder, tmp_path, monkeypatch):
    """The tokenizer comes from the data folder where it lies there, else from the hub, at the commit the hub names."""
    vocabulary = {token: i for i, token in enumerate([*transformer.SPECIALS, *(f"w{i}" for i in range(45))])}
    tokenizer, asked = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")), []

    def download(name, files, commit):
        asked.append((name, commit))
        return tmp_path if name == transformer.PUBLISHED_TOKENIZER else folder

    monkeypatch.setenv("PAPER_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(hub, "latest_commit", lambda name: "c" * 40)
    monkeypatch.setattr(hub, "download", download)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = BilinearTransformer.from_pretrained("someone/model")
    assert model.name == "someone/model@cccccccccccc" and model.token_ids(["w7"]) == [10]
    (tmp_path / "data" / "tinystories").mkdir(parents=True)
    (tmp_path / "tokenizer.json").rename(tmp_path / "data" / "tinystories" / "tokenizer-4096.json")
    model = BilinearTransformer.from_pretrained("someone/model@abcdef")
    assert model.name == "someone/model@abcdef" and model.token_ids(["w7"]) == [10]
    published = (transformer.PUBLISHED_TOKENIZER, "c" * 40)
    assert asked == [("someone/model", "c" * 40), published, ("someone/model", "abcdef")]


# ---- text


@pytest.fixture(scope="session")
def released() -> BilinearTransformer:
    return BilinearTransformer.from_pretrained(transformer.RELEASED)


def test_the_released_checkpoint_is_small_and_alive(released):
    assert sum(path.stat().st_size for path in transformer.RELEASED.iterdir()) < 12e6
    assert released.name == "checkpoints/tinystories"
    assert all(parameter.abs().max() > 1e-3 for parameter in released.parameters())


def test_the_released_logits_are_those_of_the_written_forward_pass(released):
    ids = torch.tensor(released.encode(["Once upon a time, there was a fish who could swim in the big pond."]))
    state = {k: v.double() for k, v in released.state_dict().items()}
    assert torch.allclose(released(ids).double(), written_forward(state, released.config, ids), atol=1e-5)


def test_encode_and_decode(released):
    (ids,) = released.encode(["The café cat's 12 fish “swim”."])
    tokens = [released.vocabulary[i] for i in ids]
    assert ids[0] == BOS and ids[-1] == EOS and tokens.index("1") + 1 == tokens.index("2")
    assert "".join(tokens[1:-1]).replace("##", "") == "thecafcat's12fishswim."
    assert released.decode(ids) == "the caf cat ' s 1 2 fish swim ."
    assert len(released.encode(["word " * 500])[0]) == released.config.n_ctx
    with pytest.raises(ValueError, match="text 1 is empty"):
        released.encode(["a", " é "])


@pytest.mark.parametrize("token, near", [("swimm", ".*swim"), ("qqqqqqqq", "none")])
def test_a_token_that_is_not_there_gets_near_spellings(released, token, near):
    with pytest.raises(ValueError, match=f"'{token}' is not one of the 4096 tokens; near ones: {near}"):
        released.token_ids(["run", token])


def test_output_direction(released):
    one, run, see = (released.w_u[released.token_ids([t])[0]] for t in ("swim", "run", "see"))
    assert torch.allclose(transformer.output_direction(released, "swim", ["run", "see"]), one - (run + see) / 2)
    assert torch.equal(transformer.output_direction(released, "swim"), one)


def test_sampling_is_seeded(released):
    texts = [released.sample(2, seed, "Once upon a time", n_tokens=12) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("once upon a time") and 4 < len(text.split()) <= 16 for text in texts[0])
    with pytest.raises(ValueError, match="temperature above 0"):
        released.sample(1, 0, temperature=0.0)


def test_a_model_without_tokenizer_says_so(model):
    with pytest.raises(ValueError, match=r"tokenizer.json beside config.json"):
        model.encode(["a"])
    with pytest.raises(ValueError, match=r"another|needs 48 tokens"):
        transformer.read_tokenizer(transformer.RELEASED / "tokenizer.json", 48)


def test_mlp_inputs_are_those_of_each_story_alone_in_their_order(model):
    """Though they run in batches of like length."""
    rng = torch.Generator().manual_seed(0)
    texts = [[*torch.randint(3, 48, (n,), generator=rng).tolist(), EOS] for n in (9, 2, 17, 5, 11)]
    alone = [transformer.trace(model, torch.tensor([text]))["mlp_in"][0] for text in texts]
    assert torch.allclose(transformer.mlp_inputs(model, texts, batch_size=2), torch.cat(alone))


def test_a_planted_list_is_found_in_its_path():
    paths = torch.randn(3, 12, 400, generator=torch.Generator().manual_seed(0))
    paths[1, 4, :30] += 3.0  # the list stands at one end of coordinate 4 of path 1
    found = transformer.list_scores(torch.eye(12)[:, [4, 7]], paths, range(30))
    assert found.shape == (3, 2) and found[1, 0] > 2 and found.flatten().abs().topk(2).values[1] < 0.5
    with pytest.raises(ValueError, match="at least two words"):
        transformer.list_scores(torch.eye(12), paths, [3])


def test_scores_are_standardised_over_the_vocabulary():
    paths = torch.randn(2, 5, 60, generator=torch.Generator().manual_seed(3))
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    raw = einsum(vectors, paths, "d v, path d vocab -> path v vocab")
    z = (raw - raw.mean(2, keepdim=True)) / raw.std(2, keepdim=True, correction=0)
    found = transformer.list_scores(vectors, paths, [2, 9, 30])
    assert torch.allclose(found, z[:, :, [2, 9, 30]].mean(2), atol=1e-5)


# ---- the released checkpoints: numbers that a change of code must not move


NUMBERS = {  # ends of the spectrum of swim, its participation ratio, the swimming words' score and its path, own effect
    "tinystories": (-2.1280, 1.3582, 88.79, 2.913, 1, -0.947),
    "tinystories_muon": (-1.4233, 0.9849, 124.77, 3.305, 3, -0.855),
}


@pytest.fixture(scope="session", params=NUMBERS)
def one(request) -> tuple:
    model = BilinearTransformer.from_pretrained(transformer.RELEASED.with_name(request.param))
    contrast = transformer.output_direction(model, "swim", transformer.VERBS[1:])
    return model, contrast, transformer.strongest_eigenvector(model, contrast), NUMBERS[request.param]


def test_the_released_spectra_of_swim_against_nine_verbs(one):
    model, contrast, _, (lowest, highest, participation, *_) = one
    values, _ = bilinear.eigendecompose(model.interaction(contrast))
    assert sum(p.numel() for p in model.parameters()) == 2_949_120
    assert (values[0].item(), values[-1].item()) == pytest.approx((lowest, highest), abs=1e-3)
    assert effective_rank(values).item() == pytest.approx(participation, abs=0.1)


def test_the_released_models_swimming_words_stand_at_one_end_of_their_strongest_eigenvector(one):
    """Over the tokens that stand 50 times in training; the notebook compares the score with its nulls."""
    model, _, strongest, (_, _, _, score, path, _) = one
    counts = torch.tensor(json.loads((ROOT / model.name / "token_counts.json").read_text()))
    common = (counts >= 50).nonzero().flatten()
    words = [(common == i).nonzero().item() for i in model.token_ids(transformer.SWIMMING.split())]
    paths = transformer.virtual_tokens(model)[:, :, common]
    found = transformer.list_scores(strongest[:, None], paths, words).abs()[:, 0]
    assert found.argmax() == path and found.max().item() == pytest.approx(score, abs=0.01)


def test_the_released_models_losses_and_interventions_on_validation_stories(one):
    """On 300 stories: nats, bits, and what holding the strongest eigenvector of swim does to log p(swim)."""
    if not (data_folder() / "tinystories" / "validation.txt").exists():
        pytest.skip("needs TinyStories: set PAPER_DATA to a folder with tinystories/validation.txt")
    model, _, strongest, (*_, effect) = one
    texts = load_stories("validation", 300).texts
    encoded = model.encode(texts)
    nats, n_tokens = transformer.evaluate(model, encoded), sum(len(story) - 1 for story in encoded)
    assert nats == pytest.approx(2.25, abs=0.2)
    bits = nats * n_tokens / transformer.characters_covered(model, texts) / math.log(2)
    assert bits == pytest.approx(0.8, abs=0.1)
    x = transformer.mlp_inputs(model, encoded)
    (swim,) = model.token_ids(["swim"])
    upcoming = torch.tensor([token for ids in encoded for token in (*ids[1:], EOS)])
    at = (upcoming == swim).nonzero().flatten()
    held = x.mean(0) @ strongest
    changes = transformer.changes_by_holding(model, x[at], upcoming[at], strongest[:, None], held[None])
    assert changes.mean().item() == pytest.approx(effect, abs=0.02)
