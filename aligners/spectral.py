r"""The mathematics of the spectral solver, without Lightning.

Modality features :math:`\Phi_x` (n_x, m_x), :math:`\Phi_y` (n_y, m_y) are centred and whitened,
:math:`\Psi = (\Phi - \mu) W`. The solver looks for a rank-r :math:`Z = U \mathrm{diag}(s) V^T` (m_x, m_y) whose
embeddings :math:`\Psi_x U s^p`, :math:`\Psi_y V s^p` minimise a contrastive objective of their cosines.

Start: :math:`C_0 = \Psi_x^T S_0 \Psi_y` at the uniform weights :math:`S_0`, from one stream of moments. Without
whitening its truncated SVD is PLS-SVD, with it regularised CCA.

Pass: :math:`Z \leftarrow P_r((1 - \eta) Z + \eta T(C)/|T(C)|)` with :math:`C = \Psi_x^T S \Psi_y` at the current
similarities and T its projection on the tangent space of the rank-r matrices at Z. T(C) needs only
:math:`C V = \Psi_x^T (S B)` and :math:`C^T U = \Psi_y^T (S^T A)` with the projections :math:`A = \Psi_x U` (n_x, r),
:math:`B = \Psi_y V` (n_y, r), so a pass streams the features, holds O((n_x + n_y) r) numbers, and never the
(n_x, n_y) weights nor the (m_x, m_y) matrix C.

What has the size of the data is in the features' own dtype, what has the size of their dimensions in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aligners.whitening import Whitening
from errors import UserError


@dataclass(frozen=True)
class Factors:
    """``Z = U diag(s) V^T``: U (m_x, r) and V (m_y, r) orthonormal, s (r,) falling."""

    U: Tensor
    s: Tensor
    V: Tensor
    gap: float
    """s_r / s_{r+1} of the matrix that was truncated: how well the r directions are told from the rest."""


def truncated_svd(matrix: Tensor, rank: int) -> Factors:
    """The best approximation of ``matrix`` (m_x, m_y) of rank r, signs fixed.

    By the eigenvectors of the smaller Gram matrix, which costs a third of an SVD. A direction whose singular
    value is below 1e-7 of the largest is lost in the Gram matrix's rounding.

    Raises:
        UserError: fewer than r such directions.
    """
    m_x, m_y = matrix.shape
    tall = m_x >= m_y
    small = matrix if tall else matrix.T
    values, vectors = torch.linalg.eigh(small.T @ small)
    s = values.flip(0).clamp_min(0).sqrt()
    _check_rank(s, rank)
    right = vectors.flip(1)[:, :rank]
    left = small @ right / s[:rank]
    U, V = (left, right) if tall else (right, left)
    return _signed(U, s[:rank], V, _gap(s, rank))


def randomised_svd(matrix: Tensor, rank: int) -> Factors:
    """``truncated_svd`` in a random block Krylov space (Musco and Musco 2015), where it is the faster of the two.

    The range of ``[A G, (A A^T) A G, ..., (A A^T)^q A G]``, all powers kept: power iterations, which keep the last
    alone, need many more for singular values that hardly fall. Costs (4q + 2) w m_x m_y multiplications with the
    block's width w.

    Raises:
        UserError: fewer than r directions.
    """
    Q = _krylov_basis(matrix, rank)
    if Q is None:
        return truncated_svd(matrix, rank)
    inside = truncated_svd(Q.T @ matrix, rank)
    return _signed(Q @ inside.U, inside.s, inside.V, inside.gap)


def _krylov_basis(matrix: Tensor, rank: int) -> Tensor | None:
    """(m_x, k) orthonormal, the range that ``randomised_svd`` works in; None where it is over half the matrix."""
    width = max(16, -(-rank // 2))
    if 2 * width * (KRYLOV_STEPS + 1) >= min(matrix.shape):
        return None
    generator = torch.Generator().manual_seed(0)  # a fixed start: the same solution for every seed
    start = torch.randn(matrix.shape[1], width, dtype=matrix.dtype, generator=generator).to(matrix.device)
    blocks = [torch.linalg.qr(matrix @ start).Q]
    for _ in range(KRYLOV_STEPS):
        block = matrix @ (matrix.T @ blocks[-1])
        for _ in range(2):  # once more: the first projection leaves rounding behind
            for former in blocks:
                block -= former @ (former.T @ block)
        blocks.append(torch.linalg.qr(block).Q)
    return torch.cat(blocks, 1)


def positive_part(matrix: Tensor, rank: int) -> Factors:
    """The best positive semidefinite approximation of rank r of a symmetric matrix (m, m): U = V.

    Raises:
        UserError: fewer than r positive eigenvalues.
    """
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    s = values.flip(0).clamp_min(0)
    _check_rank(s, rank)
    U = vectors.flip(1)[:, :rank]
    return _signed(U, s[:rank], U, _gap(s, rank))


def randomised_positive_part(matrix: Tensor, rank: int) -> Factors:
    """``positive_part`` in the block Krylov space of ``randomised_svd``, where it is the faster of the two.

    Raises:
        UserError: fewer than r positive eigenvalues.
    """
    symmetric = (matrix + matrix.T) / 2
    Q = _krylov_basis(symmetric, rank)
    if Q is None:
        return positive_part(symmetric, rank)
    inside = positive_part(Q.T @ symmetric @ Q, rank)
    U = Q @ inside.U
    return _signed(U, inside.s, U, inside.gap)


SVD = {"exact": truncated_svd, "randomised": randomised_svd}
POSITIVE_PART = {"exact": positive_part, "randomised": randomised_positive_part}
KRYLOV_STEPS = 8


def _check_rank(s: Tensor, rank: int) -> None:
    found = int((s > 1e-7 * s[0]).sum())
    if found < rank:
        raise UserError(
            f"rank {rank} is above what the data allows: its cross-covariance has rank {found}; "
            f"set aligner.rank={found} or less"
        )


def _gap(s: Tensor, rank: int) -> float:
    following = float(s[rank]) if len(s) > rank else 0.0
    return float(s[rank - 1]) / following if following else float("inf")


def uniform_solution(
    cross: Tensor, W_x: Whitening, W_y: Whitening, rank: int, svd: Callable[[Tensor, int], Factors] = truncated_svd
) -> Factors:
    """``P_r(C_0 / |C_0|)`` of the cross-covariance (m_x, m_y): the solution for the uniform weights.

    PLS or CCA by the whitening.

    Raises:
        UserError: a rank above the data's.
    """
    C = W_x.T @ (W_y.T @ cross.T).T
    factors = svd(C, rank)
    return replace(factors, s=factors.s / C.norm())


def _signed(U: Tensor, s: Tensor, V: Tensor, gap: float) -> Factors:
    """Signs such that the largest entry of each column of U is positive: the same on every machine."""
    sign = torch.sign(U.gather(0, U.abs().argmax(0, keepdim=True)))
    return Factors(U * sign, s, V * sign, gap)


@dataclass(frozen=True)
class Step:
    """The plane in which a pass moves: new directions beside U and V, and the tangent in these bases.

    ``Q_x`` (m_x, q_x) and ``Q_y`` (m_y, q_y) are orthonormal and orthogonal to U and V; ``tangent``
    (r + q_x, r + q_y) is T(C) / |T(C)| in the bases [U, Q_x] and [V, Q_y]. ``shared``: both sides are one.
    """

    Q_x: Tensor
    Q_y: Tensor
    tangent: Tensor
    shared: bool

    def take(self, s: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor, float]:
        """Truncated SVD of ``(1 - eta) Z + eta T(C)/|T(C)|`` in these bases.

        u (r + q_x, r), s (r,), v (r + q_y, r), and the gap.
        """
        rank = len(s)
        core = eta * self.tangent  # a new tensor
        core[:rank, :rank] += (1 - eta) * torch.diag(s)
        if self.shared:
            values, vectors = torch.linalg.eigh((core + core.T) / 2)
            values, u = values.flip(0).clamp_min(0), vectors.flip(1)
            return u[:, :rank], values[:rank], u[:, :rank], _gap(values, rank)
        u, values, vt = torch.linalg.svd(core)
        return u[:, :rank], values[:rank], vt[:rank].T, _gap(values, rank)


def tangent_step(factors: Factors, CV: Tensor, CtU: Tensor, shared: bool = False) -> Step:
    """The projection of C on the tangent space at Z, from ``C V`` (m_x, r) and ``C^T U`` (m_y, r).

    With ``shared``, U = V and C stands for its symmetric part.
    """
    if shared:
        CV = CtU = (CV + CtU) / 2
    core = factors.U.T @ CV
    scale = CV.norm()
    Q_x, R_x = _directions_beside(factors.U, CV, scale)
    Q_y, R_y = (Q_x, R_x) if shared else _directions_beside(factors.V, CtU, scale)
    rank, q_x, q_y = len(core), Q_x.shape[1], Q_y.shape[1]
    tangent = core.new_zeros(rank + q_x, rank + q_y)
    tangent[:rank, :rank] = core
    tangent[rank:, :rank] = R_x
    tangent[:rank, rank:] = R_y.T
    return Step(Q_x, Q_y, tangent / tangent.norm(), shared)


def _directions_beside(basis: Tensor, target: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Q (m, q) orthonormal, orthogonal to ``basis``, and R (q, r): the part of ``target`` outside it is Q R.

    Directions below 1e-10 of ``scale`` are rounding, and there are none where the basis spans everything.
    """
    residual = target - basis @ (basis.T @ target)
    residual -= basis @ (basis.T @ residual)  # once more: the first projection leaves rounding behind
    left, s, right = torch.linalg.svd(residual, full_matrices=False)
    kept = s > 1e-10 * scale
    return left[:, kept], s[kept, None] * right[kept]


def rotated(factors: Factors, step: Step, u: Tensor, s: Tensor, v: Tensor, gap: float) -> Factors:
    """The factors of the matrix that ``Step.take`` found."""
    return Factors(torch.cat([factors.U, step.Q_x], 1) @ u, s, torch.cat([factors.V, step.Q_y], 1) @ v, gap)
