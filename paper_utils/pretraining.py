"""Training the released transformer on TinyStories: its tokenizer, its batches, a loop that can be resumed and shared.

`python -m paper_utils.pretraining`, behind `make train-tinystories`; under torchrun each process takes its share of
every batch.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist

# Here, before a group is joined: imported later (optimizers do), its functions' defaults hold the group, whose threads
# then outlive destroy_process_group and can abort the process at its exit (torch 2.13, gloo).
import torch.distributed.nn
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from paper_utils import data, training
from paper_utils.files import ROOT, replacing
from paper_utils.transformer import (
    RELEASED,
    SPECIALS,
    BilinearTransformer,
    TransformerConfig,
    ascii_only,
    characters_covered,
    evaluate,
    padded,
)


@dataclass(frozen=True)
class PretrainingRecipe:
    """How the released transformer is trained; the published one: batch 128, lr 1e-3, weight decay 1, 5 epochs."""

    epochs: float = 6.0
    batch_size: int = 16  # stories a step, over all processes: 24,675 stories make few steps otherwise
    lr: float = 8e-3
    warmup: int = 200  # steps in which the learning rate rises linearly; from there it falls linearly to 0
    weight_decay: float = 0.5
    muon: bool = True  # for the matrices of the block; AdamW for embedding and unembedding, or for all
    seed: int = 0
    bf16: bool = False  # products in bfloat16, sums and weights in float32


def train_tokenizer(texts: Sequence[str], n_vocab: int = 4096) -> Tokenizer:
    """A WordPiece tokenizer by the published recipe, trained on `texts`.

    Lower case without accents; punctuation and single digits stand alone; [UNK] 0, [BOS] 1 (put first), [EOS] 2.

    Raises:
        ValueError: the texts do not yield `n_vocab` tokens.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIALS[0]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 1)])
    trainer = trainers.WordPieceTrainer(vocab_size=n_vocab, special_tokens=list(SPECIALS), show_progress=False)
    tokenizer.train_from_iterator([ascii_only(text) for text in texts], trainer)
    if tokenizer.get_vocab_size() != n_vocab:
        raise ValueError(
            f"train_tokenizer: {len(texts)} texts yield {tokenizer.get_vocab_size()} tokens, not {n_vocab}: "
            "give more text or a smaller n_vocab"
        )
    return tokenizer


def batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The stories of each step of one epoch: shuffled, then grouped by length, so that little of a batch is padding.

    Every story stands in exactly one batch.
    """
    rng = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(len(lengths), generator=rng).tolist()
    pool, grouped = 32 * batch_size, []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda i: lengths[i])
        grouped += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [grouped[i] for i in torch.randperm(len(grouped), generator=rng).tolist()]


class LinearCrossEntropy(torch.autograd.Function):
    """The sum of cross_entropy(h @ w.T, targets), both gradients made on the way forward, 1024 positions at a time.

    The logits are a step's largest arrays. Autograd passes over them eight times and keeps two copies; here each piece
    stays in the cache, which takes a quarter off a training step on the CPU (torch's own chunked linear_cross_entropy
    was slower than none there). Products run in the dtype that autocast would choose, sums in float32.
    """

    @staticmethod
    def forward(ctx, h: Float[Tensor, "n d_model"], w: Float[Tensor, "vocab d_model"], targets: Int[Tensor, " n"]):
        kind = h.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else h.dtype
        w_low = w.to(dtype)
        loss, d_h, d_w = h.new_zeros((), dtype=torch.float32), [], torch.zeros_like(w)
        for rows, labels in zip(h.to(dtype).split(1024), targets.split(1024), strict=True):
            p = (rows @ w_low.T).float()
            p -= p.amax(1, keepdim=True)
            hit = (torch.arange(len(p), device=p.device), labels)
            loss -= p[hit].sum()
            total = p.exp_().sum(1, keepdim=True)
            loss += total.log().sum()
            p /= total
            p[hit] -= 1
            p = p.to(dtype)
            d_h.append(p @ w_low)
            d_w += p.T @ rows
        ctx.save_for_backward(torch.cat(d_h).to(h.dtype), d_w)
        return loss

    @staticmethod
    def backward(ctx, scale: Tensor):
        d_h, d_w = ctx.saved_tensors
        return scale * d_h, scale * d_w, None


class Objective(nn.Module):
    """The summed cross entropy of a batch, in nats: what a training step differentiates."""

    def __init__(self, model: BilinearTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int[Tensor, "batch seq"], real: Bool[Tensor, "batch next"]) -> Float[Tensor, ""]:
        h = self.model.residual(ids[:, :-1])[real]
        return LinearCrossEntropy.apply(h, self.model.lm_head.weight, ids[:, 1:][real])


def pretrain(
    model: BilinearTransformer,
    stories: Sequence[Sequence[int]],
    validation: Sequence[Sequence[int]],
    recipe: PretrainingRecipe,
    resume: Path | None = None,
    every: int = 500,
) -> dict[str, list]:
    """Train in place; every `every` steps and at the end the validation loss is taken and the run is saved.

    Under torch.distributed, process r of n takes every n-th story of each batch, from the r-th; gradients are of the
    whole batch's mean. The noise differs from process to process; without noise the curve is that of one process.

    Args:
        resume: a safetensors file for the state of an interrupted run: read where it exists, removed at the end. The
            resumed run repeats the uninterrupted one.

    Returns:
        "step", "loss" (mean since the last entry, nats per token), "validation_loss" and "seconds" of training.

    Raises:
        ValueError: no story, a batch smaller than the number of processes, or the file to resume from is of another
            recipe.
        FloatingPointError: the loss is no longer finite.
    """
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if not stories or recipe.batch_size < size:
        raise ValueError(
            f"pretrain: needs stories and a batch of at least one story a process, got {len(stories)} stories, batches "
            f"of {recipe.batch_size} and {size} processes"
        )
    device = model.lm_head.weight.device
    objective = Objective(model)
    if size > 1:
        objective = nn.parallel.DistributedDataParallel(objective)
    optimizers = _optimizers(model, recipe)
    lengths = [len(story) for story in stories]
    per_epoch = -(-len(stories) // recipe.batch_size)
    total = math.ceil(recipe.epochs * per_epoch)
    key = json.dumps([asdict(model.config), asdict(recipe), len(stories)])
    step, history = 0, {"step": [], "loss": [], "validation_loss": [], "seconds": []}
    if resume is not None and resume.exists():
        step, history = training.load_run(resume, key, model, optimizers)
    report = training.progress(total, "pretraining") if rank == 0 else lambda *_, **__: None
    model.train()
    losses, tokens, began = [], 0, time.monotonic()
    earlier = history["seconds"][-1] if history["seconds"] else 0.0
    with training.seeded(recipe.seed):
        for epoch in range(step // per_epoch, math.ceil(recipe.epochs)):
            # An epoch's first steps are skipped where a resumed run had done them.
            for rows in batches(lengths, recipe.batch_size, recipe.seed, epoch)[step - epoch * per_epoch :]:
                if step == total:
                    break
                # Noise by step and process, so that a resumed run draws what the uninterrupted one drew.
                torch.manual_seed((recipe.seed * 1_000_003 + step) * size + rank)
                for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                    group["lr"] = recipe.lr * min((step + 1) / recipe.warmup, 1 - step / total)
                n_tokens = sum(lengths[i] - 1 for i in rows)
                # An epoch's last batch can be smaller than the number of processes: who has nothing adds nothing.
                own = rows[rank::size]
                ids, real = padded([stories[i] for i in own or rows[:1]])
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                    loss = objective(ids.to(device), real.to(device)) / n_tokens * bool(own)
                (loss * size).backward()  # DistributedDataParallel takes the mean over processes
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
                losses.append(loss.detach())
                tokens, step = tokens + n_tokens, step + 1
                if step % every == 0 or step == total:
                    _log(history, model, validation, losses, step, size)
                    history["seconds"].append(round(earlier + time.monotonic() - began, 1))
                    losses = []
                    if resume is not None and rank == 0 and step < total:
                        training.save_run(resume, key, model, optimizers, step, history)
                if step % 10 == 0 or step == total:
                    speed = tokens / (time.monotonic() - began)
                    left = (total - step) * recipe.batch_size * sum(lengths) / len(lengths) / speed / 60
                    latest = {"loss": losses[-1].item() * size} if losses else {}
                    seen = {"validation": history["validation_loss"][-1]} if history["step"] else {}
                    report(step, **latest, **seen, **{"tokens/s": speed, "minutes left": left})
    if resume is not None and rank == 0:
        resume.unlink(missing_ok=True)
    model.eval()
    return history


def _optimizers(model: BilinearTransformer, recipe: PretrainingRecipe) -> list[torch.optim.Optimizer]:
    decay = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    matrices = [p for p in model.transformer.h.parameters() if p.ndim == 2] if recipe.muon else []
    rest = [p for p in model.parameters() if all(p is not m for m in matrices)]
    adamw = torch.optim.AdamW(rest, betas=(0.9, 0.99), fused=True, **decay)
    # Jordan et al. 2024, "Muon"; scaled so that one learning rate and weight decay serve both (arXiv 2502.16982).
    return [adamw, torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **decay)] if matrices else [adamw]


def _log(history, model, validation, losses, step, size):
    mean = torch.stack(losses).mean()
    if size > 1:
        dist.all_reduce(mean)
    if not math.isfinite(mean.item()):
        raise FloatingPointError(f"pretrain: the loss is {mean.item()} at step {step}: lower the learning rate")
    history["step"].append(step)
    history["loss"].append(mean.item())
    history["validation_loss"].append(evaluate(model, validation))


# What was compared before the released recipe was chosen: each against the first, one thing changed.
COMPARED: dict[str, tuple[dict, dict]] = {
    "width 256": ({}, {}),
    "width 384": ({"d_model": 384, "d_hidden": 1152, "n_head": 6}, {}),
    "no noise": ({"noise": 0.0}, {}),
    "AdamW for all": ({}, {"muon": False}),
    "weight decay 2": ({}, {"weight_decay": 2.0}),
}
RELEASED_CONFIG = TransformerConfig(d_model=256, d_hidden=768, n_head=4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the tokenizer and the transformer, write <output>/; an interrupted run is taken up again."""
    parser = argparse.ArgumentParser(prog="python -m paper_utils.pretraining", description=main.__doc__)
    base = PretrainingRecipe()
    parser.add_argument("--epochs", type=float, default=base.epochs)
    parser.add_argument("--batch-size", type=int, default=base.batch_size)
    parser.add_argument("--lr", type=float, default=base.lr)
    parser.add_argument("--weight-decay", type=float, default=base.weight_decay)
    parser.add_argument("--noise", type=float, default=RELEASED_CONFIG.noise)
    parser.add_argument("--width", type=int, default=RELEASED_CONFIG.d_model)
    parser.add_argument("--hidden", type=int, help="rows of L and of R (three times the width)")
    parser.add_argument("--heads", type=int, default=RELEASED_CONFIG.n_head)
    parser.add_argument("--adamw", action="store_true", help="AdamW for the block's matrices too")
    parser.add_argument("--seed", type=int, default=base.seed)
    parser.add_argument("--vocabulary", type=int, default=RELEASED_CONFIG.n_vocab)
    parser.add_argument("--limit", type=int, help="train on so many stories only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=RELEASED)
    parser.add_argument("--compare", action="store_true", help="instead: the compared settings, a quarter epoch each")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = _device()
    config = TransformerConfig(
        d_model=options.width,
        d_hidden=options.hidden or 3 * options.width,
        n_head=options.heads,
        n_vocab=options.vocabulary,
        noise=options.noise,
    )
    recipe = PretrainingRecipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        weight_decay=options.weight_decay,
        seed=options.seed,
        muon=not options.adamw,
        bf16=bf16_is_faster(device),
    )
    texts = {split: data.load_stories(split, options.limit) for split in ("train", "validation")}
    tokenizer = train_tokenizer(texts["train"].texts, options.vocabulary)
    if options.compare:
        compare(tokenizer, texts, dataclasses.replace(recipe, epochs=0.25), options.output, device)
    else:
        model, card = _train(config, recipe, tokenizer, texts, device)
        if _is_first():
            release(model, card, texts, options.output)
    if dist.is_initialized():
        dist.destroy_process_group()


def compare(
    tokenizer: Tokenizer,
    texts: Mapping[str, data.Stories],
    recipe: PretrainingRecipe,
    output: Path,
    device: torch.device,
) -> None:
    """Train every setting of COMPARED on a short schedule; put what became of each into <output>/card.json."""
    rows = []
    for name, (sizes, changes) in COMPARED.items():
        config = dataclasses.replace(RELEASED_CONFIG, **sizes)
        _, card = _train(config, dataclasses.replace(recipe, **changes), tokenizer, texts, device)
        rows.append(
            {"setting": name, "weights": card["weights"], "epochs": recipe.epochs, **sizes, **changes, **card["final"]}
        )
        if _is_first():
            print(rows[-1])
            _write_card(output, {**_read_card(output), "comparison": rows})


def _train(config, recipe, tokenizer, texts, device):
    model = BilinearTransformer(config, recipe.seed).to(device)
    model.tokenizer = tokenizer
    stories = {split: model.encode(texts[split].texts) for split in texts}
    key = hashlib.sha256(repr((config, recipe, len(stories["train"]))).encode()).hexdigest()[:12]
    path = ROOT / "build" / "weights" / f"tinystories-{key}-resume.safetensors"
    history = pretrain(model, stories["train"], stories["validation"][::4], recipe, path)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    nats = evaluate(model, stories["validation"])
    tokens = {split: sum(len(story) - 1 for story in stories[split]) for split in stories}
    characters = characters_covered(model, texts["validation"].texts)
    card = {
        "model": f"bilinear transformer of {config.n_layer} layer(s) on TinyStories",
        "weights": sum(p.numel() for p in model.parameters()),
        "data": {split: {"stories": len(s.texts), **s.files} for split, s in texts.items()},
        "config": asdict(config),
        "recipe": asdict(recipe),
        "steps": history["step"][-1],
        "tokens": tokens,
        "minutes": round(history["seconds"][-1] / 60, 1),
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {device.type}",
        "commit": commit,
        "final": {
            "nats_per_token": round(nats, 4),
            "bits_per_character": round(nats * tokens["validation"] / characters / math.log(2), 4),
        },
        "curves": {name: [round(v, 4) for v in values] for name, values in history.items()},
    }
    return model, card


def release(
    model: BilinearTransformer, card: Mapping[str, object], texts: Mapping[str, data.Stories], output: Path
) -> None:
    """Write weights in half precision, config, tokenizer, card.json, and how often each token stands in training.

    A comparison of settings that the card holds already stays in it.
    """
    model.cpu().save_pretrained(output, torch.float16)
    ids = [i for story in model.encode(texts["train"].texts) for i in story]
    counts = torch.bincount(torch.tensor(ids), minlength=model.config.n_vocab)
    with replacing(output / "token_counts.json") as beside:
        beside.write_text(json.dumps(counts.tolist()) + "\n", encoding="utf-8")
    kept = {name: value for name, value in _read_card(output).items() if name == "comparison"}
    _write_card(output, {**card, **kept})


def _read_card(folder: Path) -> dict[str, object]:
    path = folder / "card.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_card(folder: Path, card: Mapping[str, object]) -> None:
    # One line per entry, so that a retrained card shows as a readable diff.
    entries = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in card.items()]
    with replacing(folder / "card.json") as beside:
        beside.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _device() -> torch.device:
    """This process's device; under torchrun it also joins the others."""
    cuda = torch.cuda.is_available()
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")


def _is_first() -> bool:
    """Of the processes that train together: the one that prints and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def bf16_is_faster(device: torch.device) -> bool:
    """Where the processor multiplies bfloat16 itself; elsewhere it is emulated, many times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


if __name__ == "__main__":
    with training.going_on_later():
        main()
