"""The weights after the first steps of every training, against those of the code that made the committed sweeps."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from first_steps import trainings

from paper_utils import runs
from sweeps.__main__ import sweeps

OWN = Path(__file__).with_name("golden_sweeps.json")
GOLDEN = Path(__file__).with_name("golden.json")
# The sweeps that train so, by the file they stand in.
USED_BY = {"bilinear": "mnist_bilinear", "sae": "mnist_sae", "groups": "dihedral_fourier", "transformer": "tinystories"}


def told(tensors: list[torch.Tensor]) -> list[list[float]]:
    """Of each tensor three entries and the mean size: few numbers that any other training would miss."""
    flat = [t.detach().flatten().double() for t in tensors]
    return [[round(v, 7) for v in (*t[[0, len(t) // 2, -1]].tolist(), t.abs().mean().item())] for t in flat]


def test_every_training_gives_the_weights_that_the_committed_rows_come_from() -> None:
    golden, now = json.loads(GOLDEN.read_text()), {name: told(tensors) for name, tensors in trainings()}
    assert now.keys() == golden.keys(), "a training came or went: python tests/test_golden.py writes golden.json anew"
    for name, numbers in now.items():
        try:
            torch.testing.assert_close(torch.tensor(numbers), torch.tensor(golden[name]), atol=1e-5, rtol=0)
        except AssertionError as error:
            file = USED_BY.get(name.partition(".")[0].partition(",")[0], "toy_superposition")
            cure = f"raise `version` of the sweeps of sweeps/{file}.py that train so, and run them, or undo the change"
            pytest.fail(f"{name} gives other weights ({str(error).splitlines()[0]}): {cure}")


def own_code() -> dict[str, str]:
    """A hash of each sweep's own build and train, with the recipes and functions of ours that they name.

    The package's code, which they call, is left out: the weights above speak for it. So is `measure`, which is taken
    again from kept weights.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_sources", lambda module: "")
        told = {each.name: f"{each.version} {runs.identity([each.build, each.train])}" for each in sweeps()}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in told.items()}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="a function's bytecode is that of one version of Python")
def test_a_sweeps_own_training_is_the_one_that_its_rows_come_from() -> None:
    golden, now = json.loads(OWN.read_text()), own_code()
    changed = [name for name in now if golden.get(name) != now[name]]
    cure = "raise `version` and run them (`make sweeps`), then `python tests/test_golden.py`; or undo the change"
    assert changed == [], f"build or train of {', '.join(changed)} changed: {cure}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    OWN.write_text(json.dumps(own_code(), indent=1) + "\n")
    GOLDEN.write_text(json.dumps({name: told(tensors) for name, tensors in trainings()}, indent=1) + "\n")
