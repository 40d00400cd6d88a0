"""The spectra of 4,096 tokens of the released model in one pass, on one thread: seconds and memory.

The pass contracts each direction with the MLP's weights first; the original's way builds the whole tensor b and
contracts it afterwards. Bars are ratios within one run. Exits with 1 where ours takes more than 1.5 times as long as
the original's way, or needs more than half the memory of all matrices together.
"""

import resource
import sys
import time

import torch
from einops import einsum

from paper_utils import transformer
from paper_utils.transformer import BilinearTransformer

TIME_BAR, MEMORY_BAR = 1.5, 0.5


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> int:
    torch.set_num_threads(1)
    model = BilinearTransformer.from_pretrained(transformer.RELEASED)
    n, width = model.w_u.shape
    before, began = peak_mb(), time.process_time()
    values = transformer.token_spectra(model, torch.arange(n))
    ours, grown = time.process_time() - began, peak_mb() - before
    sample, began = torch.arange(0, n, 64), time.process_time()
    b = model.b[0]
    built, began = time.process_time() - began, time.process_time()
    original = torch.linalg.eigvalsh(einsum(model.w_u[sample], b, "token out, out in1 in2 -> token in1 in2"))
    time_ratio = ours / (built + (time.process_time() - began) / len(sample) * n)
    assert torch.allclose(values[sample], original, atol=1e-3)
    memory_ratio = grown / (n * width**2 * 4 / 1e6)
    print(f"transformer: {n} spectra of width {width} take {ours:.1f} s and {grown:.0f} MB more at peak")
    print(f"transformer: that is {time_ratio:.2f} times the original's way, measured on every 64th (bar {TIME_BAR})")
    print(f"transformer: the pass needs {memory_ratio:.2f} times all matrices together (bar {MEMORY_BAR})")
    return int(time_ratio > TIME_BAR or memory_ratio > MEMORY_BAR)


if __name__ == "__main__":
    sys.exit(main())
