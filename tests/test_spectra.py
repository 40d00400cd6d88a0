import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paper_utils.spectra import effective_rank


@settings(deadline=None)
@given(n=st.integers(1, 20), zeros=st.integers(0, 20), scale=st.floats(0.01, 100))
def test_n_equal_values_have_effective_rank_n_whatever_their_size_sign_and_order(n, zeros, scale):
    values = scale * torch.tensor([1.0, -1.0] * n)[:n]
    torch.testing.assert_close(effective_rank(torch.cat([values, torch.zeros(zeros)])), torch.tensor(float(n)))


def test_one_rank_for_each_row_or_column():
    values = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    assert effective_rank(values).tolist() == [1.6000000238418579, 2.0]
    torch.testing.assert_close(effective_rank(values, dim=0), torch.tensor([1.6, 2.0]))
