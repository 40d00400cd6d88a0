"""The transformer's two heavy passes, one thread; exits 1 where a ratio misses its bar.

All 4096 single-token spectra at the released width in one pass: seconds and peak memory, held against contracting a
b that was built first (the seed's way) on as many tokens as that can do in the time. And a training step against
autograd's through whole logits.
"""

import resource
import statistics
import sys
import time

import torch
from einops import einsum
from torch.nn import functional as F

from paper_utils import pretraining, transformer
from paper_utils.transformer import BilinearTransformer

SPECTRA_MB, STEP_BAR, ROUNDS = 1500, 1.1, 7


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def spectra(model: BilinearTransformer) -> bool:
    before, began = peak_mb(), time.perf_counter()
    values = transformer.token_spectra(model, torch.arange(model.config.n_vocab))
    ours, grown = time.perf_counter() - began, peak_mb() - before
    sample = torch.arange(0, model.config.n_vocab, 64)
    began = time.perf_counter()
    b = model.b[0]
    q = einsum(model.w_u[sample], b, "token out, out in1 in2 -> token in1 in2")
    theirs = torch.linalg.eigvalsh(q)
    per_token = (time.perf_counter() - began) / len(sample)
    assert torch.allclose(values[sample], theirs, atol=1e-3)
    print(
        f"transformer: {len(values)} spectra of width {model.config.d_model}: {ours:.1f} s, {grown:.0f} MB more at peak"
    )
    print(f"transformer: a token takes {1e3 * ours / len(values):.1f} ms, with b built first {1e3 * per_token:.1f} ms")
    return grown < SPECTRA_MB


def step(model: BilinearTransformer) -> bool:
    model = BilinearTransformer(model.config, seed=0)
    ids = torch.randint(3, model.config.n_vocab, (16, 200))
    real = torch.ones(16, 199, dtype=torch.bool)
    objective = pretraining.Objective(model)
    bf16 = pretraining.bf16_is_faster(torch.device("cpu"))

    def ours() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = objective(ids, real)
        loss.backward()

    def plain() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model.lm_head(model.residual(ids[:, :-1])[real])
            loss = F.cross_entropy(logits, ids[:, 1:][real], reduction="sum")
        loss.backward()

    times = {ours: [], plain: []}
    for round_ in range(ROUNDS + 2):
        for way, taken in times.items():
            model.zero_grad()
            began = time.perf_counter()
            way()
            if round_ >= 2:
                taken.append(time.perf_counter() - began)
    ratio = statistics.median(p / o for o, p in zip(times[ours], times[plain], strict=True))
    print(f"transformer: whole logits through autograd take {ratio:.2f} times our step (bar {STEP_BAR}; bf16: {bf16})")
    return ratio >= STEP_BAR


def main() -> int:
    torch.set_num_threads(1)
    model = BilinearTransformer.from_pretrained(transformer.RELEASED)
    results = [spectra(model), step(model)]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
