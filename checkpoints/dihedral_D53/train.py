"""Train the networks beside this file: `python -m checkpoints.dihedral_D53.train`, behind `make train-dihedral_D53`.

Seed 1 goes to this folder, seed N to seed_N below it. An interrupted training goes on from its last thousand epochs
when the same command is given again.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from paper_utils import groups, training
from paper_utils.files import ROOT, replacing
from paper_utils.groups import DihedralGroup, Group, GroupMLP, GroupTraining

RECIPE = GroupTraining(epochs=60_000)  # the paper's own schedule has 100,000


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a GroupMLP on D_n; write model.safetensors and card.json. The seed decides weights and training pairs."""
    parser = argparse.ArgumentParser(prog="python -m checkpoints.dihedral_D53.train", description=main.__doc__)
    parser.add_argument("--n", type=int, default=53)
    for field in dataclasses.fields(RECIPE):
        default = getattr(RECIPE, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, help="default: %(default)s")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a folder; default: this one, or seed_N in it")
    options = parser.parse_args(arguments)
    training.check_device(options.device)
    group = DihedralGroup(options.n)
    config = GroupTraining(**{field.name: getattr(options, field.name) for field in dataclasses.fields(RECIPE)})
    key = hashlib.sha256(repr((group, config)).encode()).hexdigest()[:12]
    began = time.monotonic()
    model = GroupMLP(group.order, seed=config.seed).to(options.device)
    history = groups.train(model, group, config, resume=ROOT / "build" / "weights" / f"group-{key}-resume.safetensors")
    about = {"minutes": round((time.monotonic() - began) / 60, 1), "device": options.device}
    write(options.output or folder(config.seed), model, group, config, history, about)


def folder(seed: int) -> Path:
    return Path(__file__).parent / ("" if seed == 1 else f"seed_{seed}")


def write(
    where: Path, model: GroupMLP, group: Group, config: GroupTraining, history: training.History, about: dict
) -> None:
    """Write the weights as they are in float32, and a card with the recipe, the final numbers and thinned curves."""
    training.save_weights(where / "model.safetensors", model.state_dict(), {"recipe": repr(config)})
    # Every logged epoch of the first thousand or so, where the phase change is; then every fifth.
    wide = 5 * config.log_every
    kept = [
        i for i, epoch in enumerate(history["epoch"]) if epoch <= wide or epoch % wide == 0 or epoch == config.epochs
    ]
    card = {
        "model": f"GroupMLP on {group}: W_E_a, W_E_b, W, W_U",
        "recipe": {"optimizer": "AdamW, full batch"}
        | dict(zip(("d_embed", "d_hidden"), (model.W_E_a.shape[1], len(model.W_U)), strict=True))
        | dataclasses.asdict(config),
        **about,
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "final": groups.measure(model.double(), group, groups.train_pairs(group.order, config.fraction, config.seed)),
        "irreps": list(group.irreps())[1:],
        # Six digits: the curves are for drawing, and float32's own noise is larger.
        "curves": json.loads(
            json.dumps({name: [values[i] for i in kept] for name, values in history.items()}),
            parse_float=lambda digits: float(f"{float(digits):.6g}"),
        ),
    }
    # One line per entry, so that the card of another training shows as a readable diff.
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in card.items()]
    with replacing(where / "card.json") as beside:
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    with training.exit_on_interrupt():
        main()
