"""Spectra: how many directions a set of eigenvalues or singular values takes."""

from jaxtyping import Float
from torch import Tensor


def effective_rank(values: Float[Tensor, "*batch"], dim: int = -1) -> Float[Tensor, "*rest"]:
    """Return (sum |v|)^2 / sum v^2 along an axis, also called the participation ratio.

    It is n where n values are equally large and the others 0, and no sign or common factor changes it.

        >>> effective_rank(torch.tensor([3.0, -3.0, 0.0]))  # 2
    """
    return values.abs().sum(dim).square() / values.square().sum(dim)
