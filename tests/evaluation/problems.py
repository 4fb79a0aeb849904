"""Retrieval problems with every hard case."""

import torch
from hypothesis import strategies as st
from torch import Tensor


@st.composite
def integer_problem(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Small integer vectors, so that ties, zero rows and equal rows abound; groups many to many."""
    n_x, n_y, r, n_groups = (draw(st.integers(1, top)) for top in (12, 15, 4, 5))
    seed = draw(st.integers(0, 2**31))
    g = torch.Generator().manual_seed(seed)
    largest = draw(st.integers(0, 3))
    x = torch.randint(-largest, largest + 1, (n_x, r), generator=g)
    y = torch.randint(-largest, largest + 1, (n_y, r), generator=g)
    y_group = torch.randint(0, n_groups, (n_y,), generator=g) * 7 - 3
    x_group = y_group[torch.randint(0, n_y, (n_x,), generator=g)]
    return x, y, x_group, y_group
