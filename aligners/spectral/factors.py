"""Truncated factorisations of a cross-covariance: ``Z = U diag(s) V^T``."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ground.errors import UserError


@dataclass(frozen=True)
class Factors:
    """``Z = U diag(s) V^T``: U (m_x, r) and V (m_y, r) orthonormal, s (r,) falling.

    Example:
        >>> factors = truncated_svd(torch.diag(torch.tensor([3.0, 2.0, 1.0])), rank=2)
        >>> factors.U.shape, [round(s, 4) for s in factors.s.tolist()], round(factors.gap, 4)
        (torch.Size([3, 2]), [3.0, 2.0], 2.0)
    """

    U: Tensor
    s: Tensor
    V: Tensor
    gap: float
    """s_r / s_{r+1} of the matrix that was truncated: how well the r directions are told from the rest."""

    def leading(self, rank: int) -> "Factors":
        """The first ``rank`` directions alone."""
        return Factors(self.U[:, :rank], self.s[:rank], self.V[:, :rank], self.gap)


Factorise = Callable[[Tensor, int, int], Factors]
"""A matrix, a rank r, and how many directions to give at most where there are more than r, to its factors."""


def truncated_svd(matrix: Tensor, rank: int, most: int = 0) -> Factors:
    """The best approximation of ``matrix`` (m_x, m_y) of rank r, signs fixed.

    By the eigenvectors of the smaller Gram matrix in float64, which costs a third of an SVD. A direction whose singular
    value is below ``SMALLEST`` of the largest is lost in the Gram matrix's rounding, or the matrix's own. Where there
    are more than r, up to ``most`` are given.

    Raises:
        UserError: fewer than r such directions.
    """
    least, matrix = SMALLEST[matrix.dtype], matrix.double()
    m_x, m_y = matrix.shape
    tall = m_x >= m_y
    small = matrix if tall else matrix.T
    values, vectors = torch.linalg.eigh(small.T @ small)
    s = values.flip(0).clamp_min(0).sqrt()
    k = _checked_rank(s, rank, most, least)
    right = vectors.flip(1)[:, :k]
    left = small @ right / s[:k]
    U, V = (left, right) if tall else (right, left)
    return _signed(U, s[:k], V, singular_gap(s, rank))


def randomised_svd(matrix: Tensor, rank: int, most: int = 0) -> Factors:
    """``truncated_svd`` in a random block Krylov space (Musco and Musco 2015), where it is the faster of the two.

    The range of ``[A G, (A A^T) A G, ..., (A A^T)^q A G]``, all powers kept: power iterations, which keep the last
    alone, need many more for singular values that hardly fall. Costs (4q + 2) w m_x m_y multiplications with the
    block's width w. The r leading directions are exact to rounding's square root; those beside them, up to ``most``,
    are the best of the space.

    Raises:
        UserError: fewer than r directions.
    """
    Q = _krylov_basis(matrix, rank, most)
    if Q is None:
        return truncated_svd(matrix, rank, most)
    inside = truncated_svd(Q.T.to(matrix) @ matrix, rank, most)
    return _signed(Q @ inside.U, inside.s, inside.V, inside.gap)


def _krylov_basis(matrix: Tensor, rank: int, most: int) -> Tensor | None:
    """(m_x, k) orthonormal in float64, the range that ``randomised_svd`` works in; None if over half the matrix.

    The space is built in float32: it is a start for what is then solved in the matrix's own dtype.
    """
    width = max(16, -(-rank // 2))
    steps = max(KRYLOV_STEPS, -(-most // width) - 1)
    if 2 * width * (steps + 1) >= min(matrix.shape):
        return None
    generator = torch.Generator().manual_seed(0)  # a fixed start: the same solution for every seed
    start = torch.randn(matrix.shape[1], width, generator=generator).to(matrix.device)
    single = matrix.float()
    blocks = [orthonormal(single @ start).float()]
    for _ in range(steps):
        block = single @ (single.T @ blocks[-1])
        for _ in range(2):  # once more: the first projection leaves rounding behind
            for former in blocks:
                block -= former @ (former.T @ block)
        blocks.append(orthonormal(block).float())
    return orthonormal(torch.cat(blocks, 1))


def orthonormal(columns: Tensor, scale: float = 0.0) -> Tensor:
    """An orthonormal basis (m, k) in float64 of what columns (m, l), l small, span.

    Directions below 1e-6 of the longest, or of ``scale`` where that is longer, are rounding. By their Gram matrix,
    twice, in products: a Householder QR of tall columns takes its time one column after the other, and many times as
    long where its threads wait for a processor.
    """
    basis, least = columns.double(), 1e-12 * scale**2
    for _ in range(2):
        values, vectors = torch.linalg.eigh(basis.T @ basis)
        kept = values > (1e-12 * values[-1:]).clamp_min(least)
        basis, least = basis @ (vectors[:, kept] / values[kept].sqrt()), 0.0
    return basis


def positive_part(matrix: Tensor, rank: int, most: int = 0) -> Factors:
    """The best positive semidefinite approximation of rank r of a symmetric matrix (m, m): U = V.

    Where there are more than r positive directions, up to ``most`` are given.

    Raises:
        UserError: fewer than r positive eigenvalues.
    """
    least, matrix = SMALLEST[matrix.dtype], matrix.double()
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    s = values.flip(0).clamp_min(0)
    k = _checked_rank(s, rank, most, least)
    U = vectors.flip(1)[:, :k]
    return _signed(U, s[:k], U, singular_gap(s, rank))


def randomised_positive_part(matrix: Tensor, rank: int, most: int = 0) -> Factors:
    """``positive_part`` in the block Krylov space of ``randomised_svd``, where it is the faster of the two.

    Raises:
        UserError: fewer than r positive eigenvalues.
    """
    symmetric = (matrix + matrix.T) / 2
    Q = _krylov_basis(symmetric, rank, most)
    if Q is None:
        return positive_part(symmetric, rank, most)
    single = Q.to(symmetric)
    inside = positive_part(single.T @ symmetric @ single, rank, most)
    U = Q @ inside.U
    return _signed(U, inside.s, U, inside.gap)


SVD = {"exact": truncated_svd, "randomised": randomised_svd}
POSITIVE_PART = {"exact": positive_part, "randomised": randomised_positive_part}
KRYLOV_STEPS = 8
SMALLEST = {torch.float64: 1e-7, torch.float32: 1e-5}
"""Singular values of a matrix of this dtype that are below this share of the largest are rounding."""


def _checked_rank(s: Tensor, rank: int, most: int, least: float) -> int:
    """How many directions to give, of those that singular values s (m,) tell from rounding."""
    rank_of_data = int((s > least * s[0]).sum())
    if rank_of_data < rank:
        raise UserError(
            f"rank {rank} is above what the data allows: its cross-covariance has rank {rank_of_data}; "
            f"set aligner.rank={rank_of_data} or less"
        )
    return min(max(rank, most), rank_of_data)


def singular_gap(s: Tensor, rank: int) -> float:
    """``s_r / s_{r+1}`` of falling singular values s (m,); infinite where there are no more than r."""
    following = float(s[rank]) if len(s) > rank else 0.0
    return float(s[rank - 1]) / following if following else float("inf")


def _signed(U: Tensor, s: Tensor, V: Tensor, gap: float) -> Factors:
    """Signs such that the largest entry of each column of U is positive: the same on every machine."""
    sign = torch.sign(U.gather(0, U.abs().argmax(0, keepdim=True)))
    return Factors(U * sign, s, V * sign, gap)
