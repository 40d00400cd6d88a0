"""Training the transformer on text: hand-solvable batches, resume, several processes, the command and its cards."""

import functools
import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
import yaml
from torch.nn import functional as F

from checkpoints.tinystories import train
from checkpoints.tinystories.train import PretrainingRecipe
from paper_utils import runs, training, transformer
from paper_utils.data import Stories
from paper_utils.files import ROOT, data_folder, read_json
from paper_utils.transformer import EOS, BilinearTransformer, TransformerConfig
from sweeps import tinystories as sweep

CONFIG = TransformerConfig(d_model=16, d_hidden=24, n_head=2, n_ctx=32, n_vocab=48)
RECIPE = PretrainingRecipe(epochs=2.5, batch_size=4, lr=1e-2, warmup=4)


def stories(n: int, seed: int) -> list[list[int]]:
    """Texts with a rule to learn: each token is its predecessor plus one."""
    rng = torch.Generator().manual_seed(seed)
    draws = [[int(torch.randint(high, (1,), generator=rng)) for high in (20, 12)] for _ in range(n)]
    return [[1, *range(3 + start, 5 + start + length), EOS] for start, length in draws]


TRAIN, VALIDATION = stories(42, 0), stories(10, 1)


def test_every_story_stands_in_one_batch_and_batches_are_of_like_length():
    lengths = [len(story) for story in stories(300, 2)]
    epoch = train.batches(lengths, 8, seed=0, epoch=0)
    assert sorted(i for batch in epoch for i in batch) == list(range(300)) and len(epoch) == 38
    padding = sum(max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in epoch)
    assert padding < 0.05 * sum(lengths)
    assert epoch == train.batches(lengths, 8, 0, 0) != train.batches(lengths, 8, 0, 1)
    assert epoch != train.batches(lengths, 8, 1, 0)


def test_evaluate_is_the_mean_over_real_tokens_and_the_summed_loss_their_sum():
    ids, real = transformer.padded([[1, 5, EOS], [1, 5, 6, 7, EOS]])
    assert ids.tolist() == [[1, 5, 2, 2, 2], [1, 5, 6, 7, 2]]  # the end counts once
    assert real.tolist() == [[True, True, False, False], [True] * 4]
    model, texts = BilinearTransformer(CONFIG, 0).eval(), [torch.tensor(story) for story in VALIDATION]
    total = sum(F.cross_entropy(model(t[None, :-1])[0], t[1:], reduction="sum").item() for t in texts)
    assert transformer.summed_loss(model, VALIDATION).item() == pytest.approx(total, rel=1e-5)
    mean = total / sum(len(story) - 1 for story in VALIDATION)
    assert transformer.evaluate(model, VALIDATION, batch_size=3) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("muon", [True, False])
def test_training_learns_and_the_seed_decides(muon):
    model, same, other = (BilinearTransformer(CONFIG, seed) for seed in (0, 0, 1))
    before = transformer.evaluate(model, VALIDATION)
    for trained, seed in ((other, 1), (same, 0), (model, 0)):
        recipe = replace(RECIPE, epochs=8.0, muon=muon, seed=seed)
        history = train.pretrain(trained, TRAIN, VALIDATION, recipe, every=44)
    assert history["step"] == [44, 88] and history["validation_loss"][-1] < 0.6 * before
    assert torch.equal(model.w_u, same.w_u) and not torch.equal(model.w_u, other.w_u) and not model.training


def test_a_resumed_run_repeats_the_uninterrupted_one(tmp_path, monkeypatch):
    whole = BilinearTransformer(CONFIG, 0)
    history = train.pretrain(whole, TRAIN, VALIDATION, RECIPE, every=8)
    path, save = tmp_path / "state.safetensors", training.save_run

    def interrupt(*arguments):
        save(*arguments)
        if arguments[4] == 16:  # in the middle of the second epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, RECIPE, path, every=8)
    monkeypatch.setattr(training, "save_run", save)
    with pytest.raises(ValueError, match="same recipe"):
        train.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, replace(RECIPE, lr=1.0), path)
    resumed = BilinearTransformer(CONFIG, 5)
    again = train.pretrain(resumed, TRAIN, VALIDATION, RECIPE, path, every=8)
    assert not path.exists() and {**again, "seconds": 0} == {**history, "seconds": 0}
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


GOLDEN = {  # of unembedding and MLP's output map after the first steps: two entries and the mean size
    True: [-0.068606, 0.219686, 0.119506, -0.133937, 0.060069, 0.095371],
    False: [-0.070131, 0.219096, 0.119529, -0.153565, 0.050154, 0.095966],
}


@pytest.mark.parametrize("muon", GOLDEN)
def test_the_first_steps_give_the_weights_that_the_released_ones_come_from(muon):
    model = BilinearTransformer(CONFIG, 0)
    train.pretrain(model, TRAIN, VALIDATION, replace(RECIPE, epochs=0.5, muon=muon))
    weights = (model.w_u, model.w_p[0])
    found = [v.item() for w in weights for v in (w[0, 0], w[-1, -1], w.abs().mean())]
    cure = "raise VERSION in checkpoints/tinystories/train.py and train the released weights again, or undo the change"
    assert found == pytest.approx(GOLDEN[muon], abs=1e-5), cure


def texts(n: int) -> sweep.Texts:
    """Sentences that differ, as both parts of a data set."""
    rng = torch.Generator().manual_seed(n)
    rows = torch.randint(97, 123, (n, 30, 5), generator=rng).tolist()
    said = [" ".join("".join(map(chr, word)) for word in row) for row in rows]
    return sweep.Texts(*(Stories(part, "tinystories", {"x.txt": str(n)}) for part in (said, said[:9])))


def test_the_sweep_sees_a_changed_optimiser(monkeypatch):
    point = {"optimiser": "AdamW", "recipe": "first", "seed": 1}

    def key() -> str:
        (call,) = [runs._Call(sweep.train, sweep.build(**point), (), point)]
        return call.path("").name

    before = key()
    assert (
        before == key() != runs._Call(sweep.train, sweep.build(**point), (), {**point, "recipe": "best"}).path("").name
    )
    changed = inspect.getsource(train._optimizers).replace("0.99", "0.95")
    monkeypatch.setattr(train, "_optimizers", train._optimizers)  # so that it comes back
    exec(changed, vars(train))
    assert key() != before


def test_released_weights_stand_only_for_the_training_that_their_card_names(monkeypatch, tmp_path):
    given, point = texts(40), {"optimiser": "AdamW", "recipe": "best", "seed": 0}
    monkeypatch.setattr(sweep, "CONFIG", replace(CONFIG, n_vocab=500))
    model = sweep.build(**point)
    BilinearTransformer(model.config, 7).save_pretrained(tmp_path)
    recipe = PretrainingRecipe(lr=0.016, weight_decay=0.25, bf16=True)
    card = {"config": asdict(model.config), "recipe": asdict(recipe), "version": train.VERSION, "curves": {"step": [3]}}
    card["data"] = {"train": {"stories": 40, "x.txt": "40"}, "validation": {"stories": 9, "x.txt": "40"}}
    monkeypatch.setitem(sweep.RELEASED, "AdamW", tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert sweep.released(model, given, recipe) == {"step": [3]}
    assert torch.equal(model.w_u, BilinearTransformer(model.config, 7).w_u)
    assert sweep.released(model, given, replace(recipe, lr=0.008)) is None
    assert sweep.released(model, texts(41), recipe) is None
    monkeypatch.setattr(sweep, "VERSION", train.VERSION + 1)
    assert sweep.released(model, given, recipe) is None


def test_a_training_of_the_sweep_goes_on_where_it_was_interrupted(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "ROOT", tmp_path)
    monkeypatch.setattr(train, "pretrain", functools.partial(train.pretrain, every=5))
    given, recipe, config = vars(texts(40)), replace(RECIPE, epochs=2.0), replace(CONFIG, n_vocab=500, n_ctx=64)
    tokenizers = [train.train_tokenizer(texts(n).train.texts, 500) for n in (40, 41)]
    paths, stop, save = [], False, training.save_run

    def saving(path, *rest):
        paths.append(path)
        save(path, *rest)
        if stop:
            raise KeyboardInterrupt

    def trained(tokenizer, seed: int = 0) -> tuple:
        model = BilinearTransformer(config, seed)
        model.tokenizer = tokenizer
        return {**train.train(model, given, recipe), "seconds": 0}, model.w_u.tolist()

    monkeypatch.setattr(training, "save_run", saving)
    whole = trained(tokenizers[0])
    stop = True
    with pytest.raises(KeyboardInterrupt):
        trained(tokenizers[0])
    stop = False
    assert len(list((tmp_path / "build" / "weights").iterdir())) == 1
    assert trained(tokenizers[0]) == whole and len(set(paths)) == 1 and not paths[0].exists()
    assert len(paths) == 6  # three of the whole run, one before it was interrupted, two after
    trained(tokenizers[1])  # the same numbers mean other words
    trained(tokenizers[0], seed=1)
    assert len(set(paths)) == 3


def test_a_diverging_run_names_its_step_and_no_stories_are_an_error():
    recipe = replace(RECIPE, epochs=4.0, lr=1e12, warmup=1, muon=False)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, recipe, every=5)
    with pytest.raises(ValueError, match="got 0 stories"):
        train.pretrain(BilinearTransformer(CONFIG, 0), [], VALIDATION, RECIPE)


WORKER = """
import json, os, pathlib
import torch.distributed as dist
import test_pretraining as t
if "RANK" in os.environ:
    dist.init_process_group("gloo")
model = t.BilinearTransformer(t.replace(t.CONFIG, noise=0.0), 0)
history = t.train.pretrain(model, t.TRAIN, t.VALIDATION, t.RECIPE, every=5)
if not dist.is_initialized() or dist.get_rank() == 0:
    kept = {"loss": history["loss"], "validation": history["validation_loss"], "sum": model.w_u.sum().item()}
    print("HISTORY" + json.dumps(kept))
if dist.is_initialized():
    dist.destroy_process_group()
    left = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in left if "gloo" in name], f"threads that can abort the process at its exit: {left}"
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def run(folder, *command: str) -> subprocess.CompletedProcess:
    paths = {"PAPER_DATA": str(folder / "data"), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    how = {"env": {**os.environ, **paths, "OMP_NUM_THREADS": "1"}, "cwd": folder, "timeout": 180}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_two_processes_make_the_curve_of_one(tmp_path):
    """torchrun with gloo on the CPU, without noise: 42 stories in batches of 4, so that each epoch ends with two."""
    (tmp_path / "worker.py").write_text(WORKER)
    said = [run(tmp_path, *launcher, "worker.py").stdout for launcher in ([], TORCHRUN)]
    alone, shared = (json.loads(text.split("HISTORY")[1].splitlines()[0]) for text in said)
    assert len(alone["loss"]) == 6  # 28 steps in all, one entry every 5 and one at the end
    assert shared["loss"] + shared["validation"] == pytest.approx(alone["loss"] + alone["validation"], rel=1e-4)
    assert shared["sum"] == pytest.approx(alone["sum"], rel=1e-3, abs=1e-3)


def test_the_tokenizer_follows_the_recipe():
    texts = [f"the {a} {b} can swim in the sea ." for a in ("big", "red", "old") for b in ("cat", "dog", "seal")]
    tokenizer = train.train_tokenizer(texts * 3, n_vocab=40)
    assert [tokenizer.id_to_token(i) for i in range(3)] == ["[UNK]", "[BOS]", "[EOS]"]
    assert tokenizer.encode("Thé SEA!").tokens[:2] == ["[BOS]", "the"]
    assert list(tokenizer.get_vocab()) and [tokenizer.id_to_token(i) for i in range(3, 40)] == sorted(
        tokenizer.get_vocab().keys() - set(transformer.SPECIALS)
    )
    with pytest.raises(ValueError, match="not 4000: give more text"):
        train.train_tokenizer(texts, n_vocab=4000)


def test_our_tokenizer_is_built_like_the_published_one():
    path = data_folder() / "tinystories" / "tokenizer-4096.json"
    if not path.exists():
        pytest.skip("needs the published tokenizer: set PAPER_DATA to a folder with tinystories/tokenizer-4096.json")
    published, released = read_json(path), read_json(train.RELEASED / "tokenizer.json")
    own, theirs = (tokenizer["model"].pop("vocab") for tokenizer in (released, published))
    assert released == published and len(own) == len(theirs) == 4096
    assert own != theirs  # trained on our stories, not copied


def test_every_field_is_an_option(monkeypatch, capsys):
    _, config, recipe = train.parsed([])
    assert config == train.CONFIG and recipe == PretrainingRecipe(bf16=train.bf16_is_faster())
    given = ["--no-muon", "--lr", "2e-3", "--batch-size", "8", "--n-head", "8", "--normalization", "rms", "--no-bf16"]
    options, config, recipe = train.parsed([*given, "--limit", "7"])
    assert recipe == PretrainingRecipe(muon=False, lr=2e-3, batch_size=8) and options.limit == 7
    assert config == TransformerConfig(d_model=256, d_hidden=768, n_head=8, normalization="rms")
    with pytest.raises(SystemExit):
        train.parsed(["--d-model", "15"])
    assert "d_model must be n_head times an even d_head" in capsys.readouterr().err
    # A torch without Muon is refused before any data is read.
    monkeypatch.delattr(torch.optim, "Muon")
    monkeypatch.setattr(train.data, "load_stories", lambda *_: pytest.fail("data were read"))
    with pytest.raises(SystemExit):
        train.main(["--muon"])
    said = capsys.readouterr().err
    assert "needs torch 2.9 or newer" in said and torch.__version__ in said and "--no-muon" in said


@pytest.mark.parametrize("name, optimiser", [("tinystories", "AdamW"), ("tinystories_muon", "Muon")])
def test_the_model_card_states_what_card_json_holds(name, optimiser):
    """README.md beside the released weights is written by hand; card.json by the training."""
    folder = ROOT / "checkpoints" / name
    text, card = (folder / "README.md").read_text(), read_json(folder / "card.json")
    assert card["recipe"]["muon"] == (optimiser == "Muon") and f"**Optimiser: {optimiser}**" in text
    compared = card.get("comparison", [])
    measured = {"weights", "nats_per_token", "bits_per_character"}
    settings = [{key: value for key, value in row.items() if key not in measured} for row in compared]
    assert settings == (train.COMPARED if optimiser == "AdamW" else [])
    losses = [f"{row['nats_per_token']:.4f}" for row in compared]
    of = {tuple(setting.values()): loss for setting, loss in zip(settings, losses, strict=True)}
    if compared:
        for epochs, lr, decay in train.SEARCHED:
            both = " | ".join(of[muon, epochs, lr, decay] for muon in (False, True))
            assert f"| {epochs} | {lr} | {decay} | {both} |" in text
        assert all(loss in text for loss in losses)
        for recipe, rows in pd.read_csv(ROOT / "figures/sweeps/02_tinystories.csv").groupby("recipe"):
            line = next(line for line in text.splitlines() if line.startswith(f"| {recipe}: "))
            assert re.findall(r"2\.\d{4}", line) == [f"{nats:.4f}" for nats in rows["nats"]]
    stated = [card["final"]["nats_per_token"], card["final"]["bits_per_character"], card["weights"], card["steps"]]
    stated += [card["data"][split]["stories"] for split in ("train", "validation")] + list(card["tokens"].values())
    stated += [card["data"][split][f"tinystories/{split}.txt"] for split in ("train", "validation")]
    for value in (*stated, card["commit"]):
        assert (value if isinstance(value, str) else f"{value:,}") in text, value
    assert {"license", "language", "tags", "datasets"} <= yaml.safe_load(text.split("---\n")[1]).keys()


@pytest.mark.parametrize("launcher", [[], pytest.param(TORCHRUN, marks=pytest.mark.slow)], ids=["alone", "torchrun"])
def test_the_command_trains_and_releases(tmp_path, launcher):
    """The whole path on a few invented stories: tokenizer, training, card, counts, and a folder that loads again."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(97, 123, (60, 60, 5), generator=rng).tolist()
    text = "".join(" ".join("".join(map(chr, word)) for word in row) + ".\n<|endoftext|>\n" for row in rows)
    folder = tmp_path / "data" / "tinystories"
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        (folder / f"{split}.txt").write_text(text)
    options = ["--d-model", "16", "--d-hidden", "48", "--epochs", "1", "--threads", "1", "--n-vocab", "1000"]
    options += ["--output", str(tmp_path / "out")]
    done = run(tmp_path, *launcher, "-m", "checkpoints.tinystories.train", *options)
    assert "tokens/s" in done.stderr and "minutes left" in done.stderr
    model = BilinearTransformer.from_pretrained(tmp_path / "out")
    card, counts = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("card", "token_counts"))
    assert model.config.d_model == 16 and card["steps"] == 4 and min(card["final"].values()) > 0
    assert sum(counts) == sum(len(story) for story in model.encode(text.split("\n<|endoftext|>\n")[:-1]))
