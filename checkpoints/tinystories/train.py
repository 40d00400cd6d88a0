"""Train the released transformer: its tokenizer, its batches, a loop that resumes and that several processes share.

`python -m checkpoints.tinystories.train`, behind `make train-tinystories`; under torchrun each process takes its share
of every batch.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist

# Imported here, before this process joins a group: optimizers import it later, and the defaults of its functions then
# hold the group, whose threads outlive destroy_process_group and can abort the process at its exit (torch 2.13, gloo).
import torch.distributed.nn
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

from paper_utils import data, runs, training, transformer
from paper_utils.files import ROOT, read_json, replacing
from paper_utils.progress import progress
from paper_utils.transformer import RELEASED, SPECIALS, BilinearTransformer, TransformerConfig

CONFIG = TransformerConfig(d_model=256, d_hidden=768, n_head=4)
# Raised by hand when a change of code changes the weights: a card names the version that its weights come from, and
# the sweep of sweeps/tinystories.py takes released weights of this version only.
VERSION = 1


@dataclass(frozen=True)
class PretrainingRecipe:
    """How the released transformer is trained; the published one: batch 128, lr 1e-3, weight decay 1, 5 epochs."""

    epochs: float = 6.0
    batch_size: int = 16  # stories a step, over all processes: 24,675 stories make few steps otherwise
    lr: float = 16e-3
    warmup: int = 200  # steps in which the learning rate rises linearly; from there it falls linearly to 0
    weight_decay: float = 0.25
    muon: bool = False  # for the matrices of the block, with AdamW for embedding and unembedding; else AdamW for all
    seed: int = 0
    bf16: bool = False  # multiply in bfloat16, sum and keep weights in float32

    def __post_init__(self) -> None:
        if self.muon and not hasattr(torch.optim, "Muon"):
            here = f"this is torch {torch.__version__}: update torch, or train with muon=False (--no-muon)"
            raise ValueError(f"PretrainingRecipe: torch.optim.Muon needs torch 2.9 or newer, {here}")


# The settings that were compared, each by what it changes in CONFIG and recipe: rates and decays for both optimisers,
# over a quarter epoch and, of what was best there and its neighbours, over a whole one.
SEARCHED = [(0.25, lr, 0.5) for lr in (4e-3, 8e-3, 16e-3, 32e-3)] + [(0.25, 16e-3, 1.0)]  # epochs, rate, decay
SEARCHED += [(0.25, lr, 0.25) for lr in (8e-3, 16e-3, 32e-3)] + [(0.25, 16e-3, 0.125)]
SEARCHED += [(1.0, 16e-3, 0.25), (1.0, 8e-3, 0.25), (1.0, 16e-3, 0.0625)]
COMPARED: list[dict[str, float]] = [
    {"muon": muon, "epochs": epochs, "lr": lr, "weight_decay": weight_decay}
    for epochs, lr, weight_decay in SEARCHED
    for muon in (False, True)
]
COMPARED += [
    {"muon": True, "epochs": 0.25, "lr": 8e-3, "weight_decay": 2.0},
    {"muon": True, "epochs": 0.25, "lr": 8e-3, "weight_decay": 0.5, "noise": 0.0},
    {"muon": True, "epochs": 0.25, "lr": 8e-3, "weight_decay": 0.5, "d_model": 384, "d_hidden": 1152, "n_head": 6},
]


def train_tokenizer(texts: Sequence[str], n_vocab: int = 4096) -> Tokenizer:
    """Train a WordPiece tokenizer by the published recipe: lower case without accents.

    Punctuation and single digits stand alone; [UNK] is 0, [BOS], which is put first, 1, [EOS] 2, the rest sorted.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIALS[0]))
    cleaning = [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    cutting = [pre_tokenizers.Punctuation(), pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Sequence(cleaning), pre_tokenizers.Sequence(cutting)
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 1)])
    trainer = trainers.WordPieceTrainer(vocab_size=n_vocab, special_tokens=list(SPECIALS), show_progress=False)
    tokenizer.train_from_iterator([transformer.ascii_only(text) for text in texts], trainer)
    if (size := tokenizer.get_vocab_size()) != n_vocab:
        found = f"{len(texts)} texts yield {size} tokens, not {n_vocab}"
        raise ValueError(f"train_tokenizer: {found}: give more text or fewer tokens")
    # The trainer numbers equally frequent tokens by chance; an interrupted run needs the same numbers again.
    ordered = [*SPECIALS, *sorted(tokenizer.get_vocab().keys() - set(SPECIALS))]
    tokenizer.model = models.WordPiece({token: i for i, token in enumerate(ordered)}, unk_token=SPECIALS[0])
    return tokenizer


def batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the stories of each step of one epoch: shuffled, then grouped by length to save padding."""
    rng = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(len(lengths), generator=rng).tolist()
    pool, grouped = 32 * batch_size, []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda i: lengths[i])
        grouped += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [grouped[i] for i in torch.randperm(len(grouped), generator=rng).tolist()]


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
    The safetensors file `resume` keeps the state of a run of this recipe, until its end: interrupted and resumed, the
    run repeats the uninterrupted one. Returns "step", "loss" (mean since the last entry, nats per token),
    "validation_loss" and "seconds" of training.
    """
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if not stories or recipe.batch_size < size:
        given = f"{len(stories)} stories, batches of {recipe.batch_size} and {size} processes"
        raise ValueError(f"pretrain: needs stories and a batch of at least one story a process, got {given}")
    device = training.device_of(model)
    network = nn.parallel.DistributedDataParallel(model) if size > 1 else model
    optimizers = _optimizers(model, recipe)
    lengths, per_epoch = [len(story) for story in stories], -(-len(stories) // recipe.batch_size)
    total = math.ceil(recipe.epochs * per_epoch)
    key = json.dumps([asdict(model.config), asdict(recipe), len(stories)])
    step, history = 0, {"step": [], "loss": [], "validation_loss": [], "seconds": []}
    if resume is not None and resume.exists():
        step, history = training.load_run(resume, key, model, optimizers)
    report = progress(total, "pretraining") if rank == 0 else lambda *_, **__: None
    model.train()
    losses, tokens, began = [], 0, time.monotonic()
    earlier = history["seconds"][-1] if history["seconds"] else 0.0
    with training.seeded(recipe.seed):
        for epoch in range(step // per_epoch, math.ceil(recipe.epochs)):
            # A resumed run skips the steps of its epoch that it had done.
            for rows in batches(lengths, recipe.batch_size, recipe.seed, epoch)[step - epoch * per_epoch :]:
                if step == total:
                    break
                # Seed the noise by step and process: a resumed run then draws what the uninterrupted one drew.
                torch.manual_seed((recipe.seed * 1_000_003 + step) * size + rank)
                for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                    group["lr"] = recipe.lr * min((step + 1) / recipe.warmup, 1 - step / total)
                n_tokens = sum(lengths[i] - 1 for i in rows)
                # An epoch's last batch can be smaller than the number of processes: who has nothing adds nothing.
                own = rows[rank::size]
                part = [stories[i] for i in own or rows[:1]]
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
                    loss = transformer.summed_loss(network, part) / n_tokens * bool(own)
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
    history["validation_loss"].append(transformer.evaluate(model, validation))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the tokenizer and the transformer, write <output>/; the same command resumes an interrupted run."""
    options, config, recipe = parsed(arguments)
    torch.set_num_threads(options.threads)
    device = _device()
    texts = {split: data.load_stories(split, options.limit) for split in ("train", "validation")}
    tokenizer = train_tokenizer(texts["train"].texts, config.n_vocab)
    if options.compare:
        _compare(config, recipe, tokenizer, texts, device, options.output)
    else:
        model, card = _train(config, recipe, tokenizer, texts, device)
        if _is_first():
            _release(model, card, texts, options.output)
    if dist.is_initialized():
        dist.destroy_process_group()


def parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, TransformerConfig, PretrainingRecipe]:
    """Parse the command's options; each field of the two dataclasses is one: --batch-size 16, --muon or --no-muon."""
    parser = argparse.ArgumentParser(prog="python -m checkpoints.tinystories.train", description=main.__doc__)
    kinds = {TransformerConfig: asdict(CONFIG), PretrainingRecipe: {"bf16": bf16_is_faster()}}
    for kind, defaults in kinds.items():
        group = parser.add_argument_group(kind.__name__)
        for f in fields(kind):
            how = {"type": f.type if f.type in (int, float) else str, "metavar": f.name.upper()}
            how = {"action": argparse.BooleanOptionalAction} if f.type is bool else how
            default = defaults.get(f.name, f.default)
            group.add_argument(f"--{f.name.replace('_', '-')}", default=default, help=f"default: {default}", **how)
    parser.add_argument("--limit", type=int, help="train on so many stories only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=RELEASED)
    parser.add_argument("--compare", action="store_true", help="instead: the compared settings, 1.5 hours")
    options = parser.parse_args(arguments)
    try:
        config, recipe = (kind(**{f.name: getattr(options, f.name) for f in fields(kind)}) for kind in kinds)
    except ValueError as error:
        parser.error(str(error))
    return options, config, recipe


def _compare(config, recipe, tokenizer, texts, device, output):
    """Train every setting of COMPARED; put what became of each into <output>/card.json."""
    rows = []
    for changes in COMPARED:
        changed = [replace(x, **{k: v for k, v in changes.items() if hasattr(x, k)}) for x in (config, recipe)]
        _, card = _train(*changed, tokenizer, texts, device)
        rows.append({**changes, "weights": card["weights"], **card["final"]})
        if _is_first():
            print(rows[-1])
            _update_card(output, {"comparison": rows})


def train(model: BilinearTransformer, texts: dict[str, data.Stories], recipe: PretrainingRecipe) -> dict[str, list]:
    """Train on texts["train"] in place, with a tokenizer of those texts unless the model has one; return the history.

    The validation loss is of every fourth text of texts["validation"]. The state of a run is kept under build/weights/
    until its end, by tokenizer, recipe, texts and code: an interrupted run goes on from there when it is called again.
    """
    model.tokenizer = model.tokenizer or train_tokenizer(texts["train"].texts, model.config.n_vocab)
    key = [
        type(model),
        asdict(model.config),
        dict(model.state_dict()),
        model.tokenizer.to_str(),
        recipe,
        texts,
        pretrain,
    ]
    key = hashlib.sha256(runs.identity(key).encode()).hexdigest()[:16]
    stories, validation = (model.encode(texts[split].texts) for split in ("train", "validation"))
    resume = ROOT / "build" / "weights" / f"tinystories-{key}-resume.safetensors"
    return pretrain(model, stories, validation[::4], recipe, resume)


def token_counts(model: BilinearTransformer, texts: data.Stories) -> torch.Tensor:
    """Count how often each token stands in the texts."""
    ids = [i for story in model.encode(texts.texts) for i in story]
    return torch.bincount(torch.tensor(ids), minlength=model.config.n_vocab)


def _train(config, recipe, tokenizer, texts, device):
    model = BilinearTransformer(config, recipe.seed).to(device)
    model.tokenizer = tokenizer
    history = train(model, texts, recipe)
    stories = {split: model.encode(texts[split].texts) for split in texts}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    nats = transformer.evaluate(model, stories["validation"])
    tokens = {split: sum(len(story) - 1 for story in stories[split]) for split in stories}
    bits = nats * tokens["validation"] / transformer.characters_covered(model, texts["validation"].texts) / math.log(2)
    return model, {
        "model": f"bilinear transformer of {config.n_layer} layer(s) on TinyStories",
        "weights": sum(p.numel() for p in model.parameters()),
        "data": {split: {"stories": len(s.texts), **s.files} for split, s in texts.items()},
        "config": asdict(config),
        "recipe": asdict(recipe),
        "version": VERSION,
        "steps": history["step"][-1],
        "tokens": tokens,
        "minutes": round(history["seconds"][-1] / 60, 1),
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {device.type}",
        "commit": commit,
        "final": {"nats_per_token": round(nats, 4), "bits_per_character": round(bits, 4)},
        "curves": {name: [round(v, 4) for v in values] for name, values in history.items()},
    }


def _release(model, card, texts, output):
    """Write weights in half precision, config, tokenizer, card.json, and how often each token stands in training."""
    model.cpu().save_pretrained(output, torch.float16)
    counts = token_counts(model, texts["train"])
    with replacing(output / "token_counts.json") as beside:
        beside.write_text(json.dumps(counts.tolist()) + "\n", encoding="utf-8")
    _update_card(output, card)


def _update_card(folder, entries):
    """Put entries into card.json, a line each for readable diffs; others that it holds, as a comparison, stay."""
    path = folder / "card.json"
    card = {**(read_json(path) if path.exists() else {}), **entries}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in card.items()]
    with replacing(path) as beside:
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _device() -> torch.device:
    """Return this process's device; under torchrun it also joins the others."""
    cuda = torch.cuda.is_available()
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")


def _is_first() -> bool:
    """Tell whether this process prints and writes for all that train together."""
    return not dist.is_initialized() or dist.get_rank() == 0


def bf16_is_faster() -> bool:
    """Tell whether the processor multiplies bfloat16 itself; elsewhere bfloat16 is emulated, many times slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


if __name__ == "__main__":
    with training.exit_on_interrupt():
        main()
