"""The numerics: "exact" gives the same bits on every x86 processor with AVX2, "free" is as fast as the machine can.

Libraries choose their instructions by the processor: products, exponentials and decompositions then differ in their
last bits, and a training of some thousand steps in its first. Exact mode holds every library to instructions that
processors of each maker carry out alike, and to one thread, since a sum by parts depends on their number.
"""

import os
import sys
from pathlib import Path

# MKL_CBWR=AVX2 still differs between Intel and AMD. What stays different is torch.sqrt, for which MKL starts from the
# processor's own approximation: take a root in double precision and round it. Fused optimisers do without MKL's.
PINS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    # numpy's names of AVX-512 from 2.4 on, then the older ones; it passes over those that it does not know.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL",
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
}
# Exact mode takes three to four times as long on a processor with AVX-512, up to twice on one without.
DEFAULT = "free"
_BEFORE = {name: os.environ.get(name) for name in PINS}


def chosen() -> str:
    """Return the mode that PAPER_NUMERICS asks for; a ValueError for another word than the two."""
    asked = os.environ.get("PAPER_NUMERICS") or DEFAULT
    if asked not in ("exact", "free"):
        raise ValueError(f"PAPER_NUMERICS={asked}: must be exact or free")
    return asked


def pin() -> None:
    """Fix the instructions of this process and its children, if exact mode is asked for and torch is not loaded."""
    if chosen() == "exact" and not {"numpy", "torch"} & sys.modules.keys():
        os.environ.update(PINS)


def environment(mode: str, threads: int) -> dict[str, str]:
    """Build the environment of a process that computes in a mode and trains so many models side by side.

    In free mode its own computations take so many threads, too.
    """
    as_it_was = {name: value for name, value in _BEFORE.items() if value is not None}
    env = {name: value for name, value in os.environ.items() if name not in PINS} | as_it_was
    env |= {"PAPER_NUMERICS": mode, "PAPER_PROCESSES": str(threads)}
    return env | (PINS if mode == "exact" else {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)})


def mode() -> str:
    """Tell the mode that this process computes in: "free" also where torch came before the pins, or has no AVX2."""
    torch = sys.modules.get("torch")
    pinned = all(os.environ.get(name) == value for name, value in PINS.items())
    able = torch is None or (torch.backends.cpu.get_cpu_capability() == "AVX2" and torch.get_num_threads() == 1)
    return "exact" if pinned and able else "free"


def processes() -> int:
    """Count the trainings to run side by side: $PAPER_PROCESSES, which the runner sets, else one a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(os.environ.get("PAPER_PROCESSES") or cores)


def processor() -> str:
    """Name the processor for people, as Linux tells it; elsewhere by its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return os.uname().machine if hasattr(os, "uname") else "unknown"
