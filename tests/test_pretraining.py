"""Training the transformer on text: hand-solvable batches, exact gradients, resume, several processes, the command."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from paper_utils import pretraining, training, transformer
from paper_utils.files import ROOT
from paper_utils.pretraining import LinearCrossEntropy, PretrainingRecipe
from paper_utils.transformer import EOS, BilinearTransformer, TransformerConfig

CONFIG = TransformerConfig(d_model=16, d_hidden=24, n_head=2, n_ctx=32, n_vocab=48)
RECIPE = PretrainingRecipe(epochs=2.5, batch_size=4, lr=1e-2, warmup=4)


def stories(n: int, seed: int) -> list[list[int]]:
    """Texts with a rule to learn: each token is its predecessor plus one."""
    rng = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        start, length = (int(torch.randint(high, (1,), generator=rng)) for high in (20, 12))
        out.append([1, *range(3 + start, 5 + start + length), EOS])
    return out


TRAIN, VALIDATION = stories(42, 0), stories(10, 1)


def test_every_story_stands_in_one_batch_and_batches_are_of_like_length():
    lengths = [len(story) for story in stories(300, 2)]
    epoch = pretraining.batches(lengths, 8, seed=0, epoch=0)
    assert sorted(i for batch in epoch for i in batch) == list(range(300)) and len(epoch) == 38
    padding = sum(max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in epoch)
    assert padding < 0.05 * sum(lengths)
    assert epoch == pretraining.batches(lengths, 8, 0, 0) != pretraining.batches(lengths, 8, 0, 1)
    assert epoch != pretraining.batches(lengths, 8, 1, 0)


def test_padded_counts_the_end_once():
    ids, real = transformer.padded([[1, 5, EOS], [1, 5, 6, 7, EOS]])
    assert ids.tolist() == [[1, 5, 2, 2, 2], [1, 5, 6, 7, 2]]
    assert real.tolist() == [[True, True, False, False], [True] * 4]


def test_linear_cross_entropy_is_cross_entropy_with_its_gradients():
    generator = torch.Generator().manual_seed(0)
    h, w = (torch.randn(n, 7, generator=generator, dtype=torch.float64, requires_grad=True) for n in (2500, 11))
    targets = torch.randint(11, (2500,), generator=generator)
    own = torch.autograd.grad(3 * LinearCrossEntropy.apply(h.float(), w.float(), targets), (h, w))
    plain = torch.autograd.grad(3 * F.cross_entropy(h @ w.T, targets, reduction="sum"), (h, w))
    for a, b in zip(own, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    assert LinearCrossEntropy.apply(h.float(), w.float(), targets).item() == pytest.approx(
        F.cross_entropy(h @ w.T, targets, reduction="sum").item(), rel=1e-5
    )


def test_evaluate_is_the_mean_over_real_tokens():
    model = BilinearTransformer(CONFIG, 0).eval()
    total = count = 0.0
    for story in VALIDATION:
        logits = model(torch.tensor([story[:-1]]))[0]
        total += F.cross_entropy(logits, torch.tensor(story[1:]), reduction="sum").item()
        count += len(story) - 1
    assert transformer.evaluate(model, VALIDATION, batch_size=3) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("muon", [True, False])
def test_training_learns_and_the_seed_decides(muon):
    runs = []
    for seed in (0, 0, 1):
        model = BilinearTransformer(CONFIG, seed)
        recipe = PretrainingRecipe(epochs=8.0, batch_size=4, lr=1e-2, warmup=4, muon=muon, seed=seed)
        runs.append((model, pretraining.pretrain(model, TRAIN, VALIDATION, recipe, every=44)))
    (model, history), (same, _), (other, _) = runs
    assert history["step"] == [44, 88] and history["validation_loss"][-1] < 0.6 * transformer.evaluate(
        BilinearTransformer(CONFIG, 0), VALIDATION
    )
    assert torch.equal(model.w_u, same.w_u) and not torch.equal(model.w_u, other.w_u)
    assert not model.training


def test_a_resumed_run_repeats_the_uninterrupted_one(tmp_path, monkeypatch):
    whole = BilinearTransformer(CONFIG, 0)
    history = pretraining.pretrain(whole, TRAIN, VALIDATION, RECIPE, every=8)
    path, save = tmp_path / "state.safetensors", training.save_run

    def interrupt(*arguments):
        save(*arguments)
        if arguments[4] == 16:  # in the middle of the second epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pretraining.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, RECIPE, path, every=8)
    monkeypatch.setattr(training, "save_run", save)
    with pytest.raises(ValueError, match="same recipe"):
        other = PretrainingRecipe(**{**vars(RECIPE), "lr": 1.0})
        pretraining.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, other, path)
    resumed = BilinearTransformer(CONFIG, 5)
    again = pretraining.pretrain(resumed, TRAIN, VALIDATION, RECIPE, path, every=8)
    assert not path.exists()
    for name in ("step", "loss", "validation_loss"):
        assert again[name] == history[name]
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_a_diverging_run_names_its_step():
    recipe = PretrainingRecipe(epochs=4.0, batch_size=4, lr=1e12, warmup=1, muon=False)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        pretraining.pretrain(BilinearTransformer(CONFIG, 0), TRAIN, VALIDATION, recipe, every=5)


def test_no_stories_is_an_error():
    with pytest.raises(ValueError, match="got 0 stories"):
        pretraining.pretrain(BilinearTransformer(CONFIG, 0), [], VALIDATION, RECIPE)


WORKER = """
import json, os, pathlib, sys, torch
import torch.distributed as dist
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import test_pretraining as t
if "RANK" in os.environ:
    dist.init_process_group("gloo")
config = t.TransformerConfig(**{{**vars(t.CONFIG), "noise": 0.0}})
model = t.BilinearTransformer(config, 0)
history = t.pretraining.pretrain(model, t.TRAIN, t.VALIDATION, t.RECIPE, every=5)
if not dist.is_initialized() or dist.get_rank() == 0:
    print("HISTORY" + json.dumps([history["loss"], history["validation_loss"], model.w_u.sum().item()]))
if dist.is_initialized():
    dist.destroy_process_group()
    left = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in left if "gloo" in name], f"threads that can abort the process at its exit: {{left}}"
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def test_two_processes_make_the_curve_of_one(tmp_path):
    """torchrun with gloo on the CPU, without noise: 42 stories in batches of 4, so that each epoch ends with two."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(ROOT / "tests")))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = []
    for command in ([], TORCHRUN):
        done = subprocess.run(
            [sys.executable, *command, str(script)], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout.split("HISTORY")[1].splitlines()[0]))
    (loss, validation, total), (loss2, validation2, total2) = found
    assert len(loss) == 6  # 28 steps in all, one entry every 5 and one at the end
    assert loss2 == pytest.approx(loss, rel=1e-4) and validation2 == pytest.approx(validation, rel=1e-4)
    assert total2 == pytest.approx(total, rel=1e-3, abs=1e-3)


TEXTS = [
    f"the {a} {b} can swim in the {c} ." for a in ("big", "red", "old") for b in ("cat", "dog") for c in ("sea", "bay")
]


def test_the_tokenizer_follows_the_recipe():
    tokenizer = pretraining.train_tokenizer(TEXTS * 3, n_vocab=40)
    assert [tokenizer.id_to_token(i) for i in range(3)] == ["[UNK]", "[BOS]", "[EOS]"]
    assert tokenizer.encode("Thé SEA!").tokens[0] == "[BOS]"
    assert "the" in tokenizer.get_vocab() and "The" not in tokenizer.get_vocab()
    with pytest.raises(ValueError, match="not 4000: give more text"):
        pretraining.train_tokenizer(TEXTS, n_vocab=4000)


def test_our_tokenizer_is_built_like_the_published_one(released_tokenizer):
    from paper_utils.data import data_folder

    path = data_folder() / "tinystories" / "tokenizer-4096.json"
    if not path.exists():
        pytest.skip("needs the published tokenizer: set PAPER_DATA to a folder with tinystories/tokenizer-4096.json")
    published = json.loads(path.read_text())
    for part in ("normalizer", "pre_tokenizer", "post_processor", "added_tokens", "truncation", "padding"):
        assert released_tokenizer[part] == published[part], part
    own, theirs = released_tokenizer["model"], published["model"]
    assert {k: v for k, v in own.items() if k != "vocab"} == {k: v for k, v in theirs.items() if k != "vocab"}
    assert len(own["vocab"]) == len(theirs["vocab"]) == 4096
    assert own["vocab"] != theirs["vocab"]  # trained on our stories, not copied


@pytest.fixture
def released_tokenizer():
    return json.loads((transformer.RELEASED / "tokenizer.json").read_text())


@pytest.mark.parametrize("launcher", [[], TORCHRUN], ids=["alone", "torchrun"])
def test_the_command_trains_and_releases(tmp_path, launcher):
    """The whole path on a few invented stories: tokenizer, training, card, counts, and a folder that loads again."""
    rng = torch.Generator().manual_seed(0)
    words = ["".join(map(chr, row)) for row in torch.randint(97, 123, (1400, 5), generator=rng).tolist()]
    picks = torch.randint(len(words), (60, 60), generator=rng).tolist()
    text = "".join(" ".join(words[i] for i in row) + ".\n<|endoftext|>\n" for row in picks)
    folder = tmp_path / "data" / "tinystories"
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        (folder / f"{split}.txt").write_text(text)
    options = ["--width", "16", "--epochs", "1", "--threads", "1", "--vocabulary", "1000"]
    env = {**os.environ, "PAPER_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "paper_utils.pretraining", *options, "--output", str(tmp_path / "out")],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tokens/s" in done.stderr and "minutes left" in done.stderr
    model = BilinearTransformer.from_pretrained(tmp_path / "out")
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    counts = json.loads((tmp_path / "out" / "token_counts.json").read_text())
    assert model.config.d_model == 16 and card["steps"] == 4 and card["recipe"]["seed"] == 0
    assert sum(counts) == sum(len(story) for story in model.encode(text.split("\n<|endoftext|>\n")[:-1]))
    assert card["final"]["nats_per_token"] > 0 and card["final"]["bits_per_character"] > 0
