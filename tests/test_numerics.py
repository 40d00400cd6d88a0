"""Exact numerics: which mode a process is in, and that other processors give the same bits (by emulation)."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paper_utils import numerics
from paper_utils.files import ROOT

BITS = Path(__file__).with_name("first_steps.py")


def mode(code: str = "import paper_utils; import torch", **env: str) -> str:
    """The mode that a fresh process says it is in, after running `code`."""
    words = [sys.executable, "-c", f"{code}; from paper_utils import numerics; print(numerics.mode())"]
    env = numerics.environment("free", 1) | {"PYTHONPATH": str(ROOT)} | env
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()


avx2 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="this processor has no AVX2"
)


@avx2
def test_the_mode_is_exact_only_where_the_pins_came_before_torch() -> None:
    assert mode() == "free"
    assert mode(PAPER_NUMERICS="exact") == "exact"
    assert mode("import torch; import paper_utils", PAPER_NUMERICS="exact") == "free"
    assert mode("import paper_utils; import torch; torch.set_num_threads(2)", PAPER_NUMERICS="exact") == "free"


def test_another_word_than_the_two_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPER_NUMERICS", "fast")
    with pytest.raises(ValueError, match="PAPER_NUMERICS=fast: must be exact or free"):
        numerics.chosen()


def test_a_free_process_is_started_without_the_pins_and_an_exact_one_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in numerics.PINS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(numerics, "_BEFORE", {"OPENBLAS_CORETYPE": "SkylakeX", "MKL_CBWR": None})
    free = numerics.environment("free", 3)
    assert "MKL_CBWR" not in free and free["OPENBLAS_CORETYPE"] == "SkylakeX" and free["OMP_NUM_THREADS"] == "3"
    assert numerics.PINS.items() <= numerics.environment("exact", 3).items()
    assert numerics.environment("exact", 3)["PAPER_PROCESSES"] == "3"


@pytest.mark.slow
@avx2
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-user: apt-get install qemu-user")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates one x86-64 processor on another")
@pytest.mark.parametrize("processor", ["Haswell-v2", "EPYC-Rome-v2"])
def test_another_processor_gives_the_same_bits(processor: str) -> None:
    python = os.path.realpath(sys.executable)
    paths = [str(ROOT), str(BITS.parent), *(path for path in sys.path if path.endswith("site-packages"))]
    env = numerics.environment("free", 1) | {"PYTHONPATH": os.pathsep.join(paths)}

    def bits(*before: str) -> dict[str, str]:
        done = subprocess.run([*before, python, str(BITS)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    here, there = bits(), bits("qemu-x86_64", "-cpu", processor)
    assert here["numerics"] == there["numerics"] == "exact"
    assert {name: (here[name], there[name]) for name in here if here[name] != there[name]} == {}
