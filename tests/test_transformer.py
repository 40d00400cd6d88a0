"""The bilinear transformer: exact identities on a tiny model, the published format, and the released checkpoint."""

import json

import pytest
import torch
from einops import einsum
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from paper_utils import bilinear, hub, transformer
from paper_utils.transformer import BOS, EOS, BilinearTransformer, TransformerConfig

TINY = TransformerConfig(d_model=16, d_hidden=24, n_head=2, n_ctx=32, n_vocab=48)
KINDS = {
    "published": TINY,
    "rms": TransformerConfig(**{**vars(TINY), "normalization": "rms"}),
    "bias": TransformerConfig(**{**vars(TINY), "mlp_bias": True}),
    "three layers": TransformerConfig(**{**vars(TINY), "n_layer": 3, "normalization": "rms", "mlp_bias": True}),
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


def written_forward(state: dict, c: TransformerConfig, ids: torch.Tensor) -> torch.Tensor:
    """The forward pass as the format's description writes it: complex rotations, loops over heads, masks by hand."""

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
                later = torch.ones(len(row), len(row)).triu(1).bool()
                heads.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v)
            x = x + torch.cat(heads, -1) @ state[f"{p}.attn.o.weight"].T
            n = norm(x, f"{p}.n2")
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
    assert names == {
        "transformer.wte.weight",
        "transformer.h.0.attn.qkv.weight",
        "transformer.h.0.attn.o.weight",
        "transformer.h.0.attn.rotary.inv_freq",
        "transformer.h.0.mlp.w.weight",
        "transformer.h.0.mlp.o.weight",
        "lm_head.weight",
    }
    extra = set(BilinearTransformer(KINDS["three layers"], 0).state_dict()) - names
    assert {"transformer.h.2.n1.norm.weight", "transformer.h.0.n2.norm.weight", "transformer.n_f.norm.weight"} <= extra
    assert "transformer.h.1.mlp.w.bias" in extra


def test_the_future_does_not_matter(model, ids):
    other = ids.clone()
    other[:, 12:] = (other[:, 12:] + 1) % 48
    assert torch.equal(model(ids)[:, :12], model(other)[:, :12])
    assert not torch.allclose(model(ids)[:, 12:], model(other)[:, 12:])


def test_attention_sees_distances_not_positions(model):
    """Rotary embeddings: the same text behind a longer prefix that nobody attends to would give the same scores."""
    q = torch.randn(1, 1, 1, 8, dtype=torch.float64).expand(1, 1, 6, 8)
    rotated = model.transformer.h[0].attn.rotary(q)[0, 0]
    products = rotated @ rotated.T
    assert torch.allclose(products.diagonal(1), products[0, 1].expand(5))
    assert torch.allclose(products.diagonal(3), products[0, 3].expand(3))


def test_the_same_seed_gives_the_same_weights_and_another_others():
    one, same, other = (BilinearTransformer(TINY, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_noise_is_there_in_training_only_and_in_units_of_each_position(ids):
    torch.manual_seed(0)
    norm = transformer.Norm(TransformerConfig(**{**vars(TINY), "noise": 0.33, "d_model": 4096, "n_head": 1}))
    x = torch.randn(2, 1, 4096) * torch.tensor([1.0, 100.0])[:, None, None]
    assert torch.equal(norm.eval()(x), x)
    added = norm.train()(x) - x
    assert (added.std(-1) / x.std(-1)).flatten().tolist() == pytest.approx([0.33, 0.33], rel=0.05)


@pytest.mark.parametrize(
    "wrong", [{"d_model": 15}, {"n_head": 3}, {"n_layer": 0}, {"noise": -1.0}, {"normalization": "layer"}]
)
def test_a_config_that_cannot_be_says_so(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TransformerConfig(**{**vars(TINY), **wrong})


def test_texts_of_no_or_too_many_tokens_are_refused(model):
    for length in (0, 33):
        with pytest.raises(ValueError, match=f"1 to n_ctx = 32 tokens, got {length}"):
            model(torch.zeros(1, length, dtype=torch.long))


# ---- the paper's letters


def test_b_contracted_twice_is_the_mlp(model):
    x = torch.randn(5, 16, dtype=torch.float64)
    out = einsum(model.b[0].double(), x, x, "out in1 in2, n in1, n in2 -> n out")
    assert torch.allclose(out, model.transformer.h[0].mlp(x[None])[0], atol=1e-5)
    assert torch.equal(model.b, model.b.mT)


def test_interaction_is_b_contracted_with_the_direction_and_bilinears_own(model):
    d = torch.randn(16, dtype=torch.float64)
    q = model.interaction(d)
    full = bilinear.interaction_tensor(d[None] @ model.w_p[0], model.w_l[0], model.w_r[0])[0]
    assert torch.allclose(q, full)
    assert torch.allclose(model.interaction(torch.stack([d, 2 * d])), torch.stack([q, 2 * q]))


def test_letters_are_views_of_the_weights(model):
    attn, mlp = model.transformer.h[0].attn, model.transformer.h[0].mlp
    assert torch.equal(torch.cat([model.w_l[0], model.w_r[0]]), mlp.w.weight)
    assert torch.equal(torch.cat([model.w_q[0], model.w_k[0], model.w_v[0]]).reshape(48, 16), attn.qkv.weight)
    assert model.w_e.shape == (16, 48) and model.w_u.shape == (48, 16) and model.w_p.shape == (1, 16, 24)
    x = torch.randn(16, dtype=torch.float64)
    by_head = model.ov[0] @ x
    _, _, v = attn.split(attn.qkv(x)[None, None])
    assert torch.allclose(by_head.sum(0), attn.o(v.reshape(16)))


def test_virtual_tokens_by_path(model):
    paths = transformer.virtual_tokens(model)
    assert paths.shape == (3, 16, 48)
    assert torch.equal(paths[0], model.w_e) and torch.allclose(paths[2], model.ov[0, 1] @ model.w_e)


@pytest.mark.parametrize("layer, width, bias", [(1, 16, False), (-1, 16, False), (0, 8, False), (0, 16, True)])
def test_interaction_refuses_what_has_no_matrix(layer, width, bias):
    model = make(TransformerConfig(**{**vars(TINY), "mlp_bias": bias}))
    with pytest.raises(ValueError, match=r"interaction: needs a layer in 0\.\.0, a direction of width 16"):
        model.interaction(torch.zeros(width), layer)


def test_an_eigenvector_out_of_range_is_named():
    vectors = torch.eye(4)
    assert torch.equal(transformer.eigenvector(vectors, -1), vectors[:, 3])
    assert torch.equal(transformer.eigenvector(vectors, 0), vectors[:, 0])
    for index in (4, -5):
        with pytest.raises(ValueError, match=rf"the indices are -4\.\.3, got {index}"):
            transformer.eigenvector(vectors, index)


def test_token_spectra_are_those_of_one_matrix_at_a_time(model):
    tokens = torch.tensor([3, 40, 7])
    spectra = transformer.token_spectra(model, tokens, chunk=2)
    for token, spectrum in zip(tokens, spectra, strict=True):
        assert torch.allclose(spectrum, torch.linalg.eigvalsh(model.interaction(model.w_u[token])))


# ---- activations


def test_traced_activations_are_those_of_a_plain_forward_pass(model, ids):
    seen = {}
    block = model.transformer.h[0]
    hooks = [
        block.attn.register_forward_hook(lambda m, args, out: seen.update(attn_in=args[0], attn_out=out)),
        block.attn.qkv.register_forward_hook(lambda m, args, out: seen.update(qkv=out)),
        block.mlp.register_forward_pre_hook(lambda m, args: seen.update(mlp_in=args[0])),
    ]
    model(ids)
    for hook in hooks:
        hook.remove()
    traced = transformer.trace(model, ids)
    assert traced.keys() == seen.keys()
    for name, value in seen.items():
        assert torch.equal(traced[name], value), name


def test_shares_add_up_to_the_attention_output(model, ids):
    traced = transformer.trace(model, ids)
    for position in (0, 7, 19):
        shares = transformer.attention_shares(model, traced["qkv"][1], position)
        assert shares.shape == (20, 16) and not shares[position + 1 :].any()
        assert torch.allclose(shares.sum(0), traced["attn_out"][1, position], atol=1e-12)
        total = shares.sum(0) + traced["attn_in"][1, position]
        assert torch.allclose(total, traced["mlp_in"][1, position], atol=1e-12)
    with pytest.raises(ValueError, match=r"0\.\.19, got 20"):
        transformer.attention_shares(model, traced["qkv"][1], 20)


# ---- the published format


@pytest.fixture
def folder(tmp_path):
    BilinearTransformer(TINY, seed=3).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def rewrite(folder, change) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_written_and_read_again_it_is_the_same_model(kind, tmp_path, ids):
    model = make(KINDS[kind]).float()
    model.save_pretrained(tmp_path)
    again = BilinearTransformer.from_pretrained(tmp_path)
    assert again.config == KINDS[kind] and not again.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert torch.allclose(
        again(ids), written_forward(load_file(tmp_path / "model.safetensors"), KINDS[kind], ids), atol=1e-4
    )


def test_half_precision_keeps_the_frequencies_whole(tmp_path):
    model = BilinearTransformer(TINY, seed=0)
    model.save_pretrained(tmp_path, torch.float16)
    again = BilinearTransformer.from_pretrained(tmp_path)
    assert torch.equal(again.transformer.h[0].attn.rotary.inv_freq, model.transformer.h[0].attn.rotary.inv_freq)
    assert again.w_u.dtype == torch.float32 and torch.allclose(again.w_u, model.w_u, atol=1e-3)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.2 * sum(p.numel() for p in model.parameters()) + 2000


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda s: s.pop("lm_head.weight"), "missing lm_head.weight"),
        (lambda s: s.update({"lm_head.bias": torch.zeros(48)}), "surplus lm_head.bias"),
        (
            lambda s: s.update({"transformer.h.0.n1.norm.weight": torch.ones(16)}),
            "surplus transformer.h.0.n1.norm.weight",
        ),
        (
            lambda s: s.update({"transformer.h.0.mlp.o.weight": torch.zeros(24, 16)}),
            r"transformer.h.0.mlp.o.weight is \[24, 16\], must be \[16, 24\]",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(folder, change, complaint):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=complaint):
        BilinearTransformer.from_pretrained(folder)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"mlp": "glu"}, "mlp must be 'blp' .* got 'glu'"),
        ({"normalization": "layer"}, "'layer'"),
        ({"d_model": None}, "config.json"),
        ({"n_head": 5}, "d_head"),
    ],
)
def test_a_config_of_another_kind_is_refused(folder, change, complaint):
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=complaint):
        BilinearTransformer.from_pretrained(folder)


def test_damaged_files_are_named(folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        BilinearTransformer.from_pretrained(folder)
    weights.write_bytes(whole)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer.json is damaged"):
        BilinearTransformer.from_pretrained(folder)
    config.write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        BilinearTransformer.from_pretrained(folder)
    config.write_text('{"mlp": "blp"}')
    with pytest.raises(ValueError, match=r"config.json: needs mlp, n_layer, d_model"):
        BilinearTransformer.from_pretrained(folder)
    config.unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        BilinearTransformer.from_pretrained(folder)


def test_a_pickle_is_never_opened(folder):
    torch.save({"lm_head.weight": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        BilinearTransformer.from_pretrained(folder)


def test_from_the_hub_at_a_commit(folder, monkeypatch):
    asked = []
    (folder / "tokenizer.json").write_text(small_tokenizer().to_str())
    monkeypatch.setattr(hub, "latest_commit", lambda name: "c" * 40)
    monkeypatch.setattr(hub, "download", lambda name, files, commit: asked.append((name, commit)) or folder)
    assert BilinearTransformer.from_pretrained("someone/model").name == "someone/model@cccccccccccc"
    assert BilinearTransformer.from_pretrained("someone/model@abcdef").name == "someone/model@abcdef"
    assert asked == [("someone/model", "c" * 40), ("someone/model", "abcdef")]


def small_tokenizer() -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate([*transformer.SPECIALS, *(f"w{i}" for i in range(45))])}
    return Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))


def test_a_model_of_the_hub_gets_the_published_familys_tokenizer(folder, tmp_path, monkeypatch):
    """From the data folder where it lies there, else from the hub, at the commit the hub names."""
    tokenizer, asked = small_tokenizer(), []
    monkeypatch.setenv("PAPER_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(hub, "latest_commit", lambda name: "c" * 40)

    def download(name, files, commit):
        asked.append(name)
        if name == transformer.PUBLISHED_TOKENIZER:
            tokenizer.save(str(tmp_path / "tokenizer.json"))
            return tmp_path
        return folder

    monkeypatch.setattr(hub, "download", download)
    assert BilinearTransformer.from_pretrained("someone/model").token_ids(["w7"]) == [10]
    assert asked == ["someone/model", transformer.PUBLISHED_TOKENIZER]
    (tmp_path / "data" / "tinystories").mkdir(parents=True)
    tokenizer.save(str(tmp_path / "data" / "tinystories" / "tokenizer-4096.json"))
    assert BilinearTransformer.from_pretrained("someone/model").token_ids(["w7"]) == [10]
    assert asked[2:] == ["someone/model"]


def test_neither_a_folder_nor_a_hub_id():
    with pytest.raises(FileNotFoundError, match="owner/name@commit"):
        BilinearTransformer.from_pretrained("no/such/folder")


# ---- text


@pytest.fixture(scope="session")
def released() -> BilinearTransformer:
    return BilinearTransformer.from_pretrained(transformer.RELEASED)


def test_the_released_checkpoint_is_small_and_alive(released):
    sizes = [path.stat().st_size for path in transformer.RELEASED.iterdir()]
    assert sum(sizes) < 12e6
    assert released.name == "checkpoints/tinystories"
    assert all(parameter.abs().max() > 1e-3 for parameter in released.parameters())
    assert {p.name for p in transformer.RELEASED.iterdir()} >= {"card.json", "token_counts.json"}
    assert len(json.loads((transformer.RELEASED / "card.json").read_text())["comparison"]) >= 4


def test_the_released_logits_are_those_of_the_written_forward_pass(released):
    ids = torch.tensor(released.encode(["Once upon a time, there was a fish who could swim in the big pond."]))
    state = {k: v.double() for k, v in released.state_dict().items()}
    assert torch.allclose(released(ids).double(), written_forward(state, released.config, ids), atol=1e-4)
    assert torch.allclose(released.double()(ids), written_forward(state, released.config, ids), atol=1e-5)
    released.float()


def test_encode_and_decode(released):
    (ids,) = released.encode(["The café cat's 12 fish “swim”."])
    tokens = [released.vocabulary[i] for i in ids]
    assert ids[0] == BOS and ids[-1] == EOS and tokens.index("1") + 1 == tokens.index("2")
    assert "".join(tokens[1:-1]).replace("##", "") == "thecafcat's12fishswim."
    assert released.decode(ids) == "the caf cat ' s 1 2 fish swim ."
    assert len(released.encode(["word " * 500])[0]) == released.config.n_ctx
    with pytest.raises(ValueError, match="text 1 is empty"):
        released.encode(["a", " é "])


def test_a_token_that_is_not_there_gets_near_spellings(released):
    assert [released.vocabulary[i] for i in released.token_ids(["swim", "run"])] == ["swim", "run"]
    with pytest.raises(ValueError, match=r"'swimm' is not one of the 4096 tokens; near ones: .*swim"):
        released.token_ids(["run", "swimm"])
    with pytest.raises(ValueError, match="near ones: none"):
        released.token_ids(["qqqqqqqq"])


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


# ---- top inputs and word lists


def test_top_inputs_are_the_best_positions_of_different_stories(model):
    """Against all activations held at once, over batches of unlike length."""
    texts = [
        [*torch.randint(3, 48, (n,), generator=torch.Generator().manual_seed(n)).tolist(), EOS] for n in range(2, 20)
    ]
    vectors = torch.linalg.qr(torch.randn(16, 4, dtype=torch.float64)).Q
    top = transformer.TopInputs(vectors, n=5)
    for rows, x, real in transformer.mlp_inputs(model, texts, batch_size=4):
        top.update(rows, x, real)
    for v in range(4):
        activations = [
            (transformer.trace(model, torch.tensor([t]))["mlp_in"][0] @ vectors[:, v]).square() for t in texts
        ]
        best = sorted((a.max().item() for a in activations), reverse=True)[:5]
        assert top.values[v].tolist() == pytest.approx(best)
        assert len(set(top.story[v].tolist())) == 5
        at = [activations[i][p].item() for i, p in zip(top.story[v].tolist(), top.position[v].tolist(), strict=True)]
        assert at == pytest.approx(best)


def test_fewer_stories_than_asked_for(model):
    top = transformer.TopInputs(torch.eye(16, dtype=torch.float64)[:, :2], n=3)
    for batch in transformer.mlp_inputs(model, [[BOS, 5, 6]]):
        top.update(*batch)
    assert top.story.tolist() == [[0, -1, -1]] * 2 and (top.values[:, 1:] == -1).all()


def test_a_planted_list_is_found():
    generator = torch.Generator().manual_seed(0)
    paths = torch.randn(3, 12, 400, generator=generator)
    words = list(range(30))
    paths[1, 4, :30] += 3.0  # the list stands at one end of coordinate 4 of path 1
    found = transformer.word_list_test(torch.eye(12)[:, [4, 7]], paths, words, n_random=300)
    assert found.scores.shape == (3, 2) and found.scores[1, 0] > 2 and found.scores[1].abs().argmax() == 0
    assert found.p_vector[0] < 0.01 < found.p_vector[1] and found.p_all < 0.02
    again = transformer.word_list_test(torch.eye(12)[:, [4, 7]], paths, words, n_random=300)
    assert torch.equal(found.p_vector, again.p_vector) and found.p_all == again.p_all
    with pytest.raises(ValueError, match="at least two words"):
        transformer.word_list_test(torch.eye(12), paths, [3])


def test_p_values_of_lists_that_mean_nothing_are_uniform():
    generator = torch.Generator().manual_seed(1)
    p = []
    for _ in range(60):
        paths, vectors = torch.randn(2, 8, 100, generator=generator), torch.randn(8, 3, generator=generator)
        p.append(transformer.word_list_test(vectors, paths, list(range(10)), n_random=100).p_all)
    assert 0.35 < sum(p) / len(p) < 0.65 and 0.05 < sum(q < 0.25 for q in p) / len(p) < 0.45


def test_scores_are_standardised_over_the_vocabulary():
    paths = torch.randn(2, 5, 60, generator=torch.Generator().manual_seed(3))
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    raw = einsum(vectors, paths, "d v, path d vocab -> path v vocab")
    z = (raw - raw.mean(2, keepdim=True)) / raw.std(2, keepdim=True, correction=0)
    found = transformer.word_list_test(vectors, paths, [2, 9, 30], n_random=2)
    assert torch.allclose(found.scores, z[:, :, [2, 9, 30]].mean(2), atol=1e-5)
