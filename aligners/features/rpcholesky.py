"""Randomly pivoted Cholesky: the landmarks of a Nystrom map drawn by what those before them leave unexplained."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

PROPOSALS = 64
"""Rows that are drawn and measured at once."""

LEAST_RESIDUAL = 1e-7
"""A residual below this share of the row's own diagonal is the rounding of an arc-cosine between equal rows."""


def rpcholesky(
    sample: Tensor, landmarks: int, gram: Callable[[Tensor, Tensor], Tensor], diagonal: Tensor, draws: Generator
) -> tuple[Tensor, Tensor]:
    r"""Pivots and factor of accelerated, randomly pivoted Cholesky, O(k m (d + m)).

    Each pivot is drawn in proportion to the residual diagonal, :math:`k_{ii} - k_{is} K_{ss}^{-1} k_{si}` (Chen,
    Epperly, Tropp and Webber 2023, arXiv 2207.06503). Proposals are drawn many at a time by the residuals at hand, and
    each is kept with the probability by which its residual has fallen since, which is exactly the sequential draw
    (Epperly, Tropp and Webber 2024, arXiv 2410.03969).

    ``sample`` (k, d), ``gram`` its kernel, ``diagonal`` (k,) float64. Returns the pivots' places (m,) in ``sample`` in
    the order drawn, and F (k, m) with :math:`K \approx F F^T`; fewer than m where no residuals are left.

    Example:
        >>> x = torch.eye(4, dtype=torch.float64)[[0, 1, 1, 2, 3]]
        >>> pivots, factor = rpcholesky(x, 5, lambda a, b: a @ b.T, torch.ones(5), torch.Generator().manual_seed(0))
        >>> len(pivots), torch.equal(factor @ factor.T, x @ x.T)
        (4, True)
    """
    factor = sample.new_zeros(len(sample), landmarks)
    residual = diagonal.to(sample, copy=True)
    least = LEAST_RESIDUAL * residual
    chosen: list[int] = []
    while len(chosen) < landmarks and bool(residual.any()):
        places = torch.multinomial(residual.cpu(), PROPOSALS, replacement=True, generator=draws)
        at = places.to(sample.device)
        done = len(chosen)
        known = factor[:, :done]
        between = (gram(sample[at], sample[at]) - known[at] @ known[at].T).cpu()
        kept, triangle = _accept(places, between, residual[at].cpu(), least[at].cpu(), landmarks - done, draws)
        chosen += places[kept].tolist()
        new = at[kept]
        columns = gram(sample, sample[new]) - known @ known[new].T
        solved = torch.linalg.solve_triangular(triangle.T.to(sample.device), columns, upper=True, left=False)
        factor[:, done : len(chosen)] = solved
        residual -= solved.square().sum(1)
        residual[residual <= least] = 0
        residual[new] = 0
    return torch.tensor(chosen, dtype=torch.int64, device=sample.device), factor[:, : len(chosen)]


def _accept(
    places: Tensor, between: Tensor, drawn_by: Tensor, least: Tensor, most: int, draws: Generator
) -> tuple[list[int], Tensor]:
    """The proposals (b,) kept, ``most`` at the most, and the Cholesky factor (a, a) of their ``between`` (b, b)."""
    keep = torch.rand(len(places), generator=draws, dtype=torch.float64)
    left = drawn_by.clone()
    columns = torch.zeros_like(between)
    kept: list[int] = []
    for i in range(len(places)):
        if keep[i] * drawn_by[i] < left[i]:
            done = len(kept)
            column = (between[:, i] - columns[:, :done] @ columns[i, :done]) / left[i].sqrt()
            column[i] = left[i].sqrt()
            columns[:, done] = column
            left = left - column.square()
            left[(left <= least) | (places == places[i])] = 0
            kept.append(i)
            if len(kept) == most:
                break
    return kept, columns[kept, : len(kept)].tril()
