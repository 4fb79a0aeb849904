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

Everything is float64: sums over any split of the data over batches or processes agree to the last digits.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from errors import UserError


class Moments:
    """First and second moments of both modalities, additive over batches and over processes.

    Holds the sums (m_x,), (m_y,), the squares ``Phi_x^T Phi_x`` and ``Phi_y^T Phi_y``, and the cross moment
    ``Phi_x^T P Phi_y`` (m_x, m_y) of the positives, each positive weighted by
    ``1 / (2 n_x |P(i)|) + 1 / (2 n_y |P(j)|)``: minus the constant part, the contrastive weights S of CLIP
    at equal similarities.
    """

    def __init__(self, m_x: int, m_y: int, n_x: int, n_y: int, device: torch.device | str):
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.n_x, self.n_y = n_x, n_y
        self.sum_x, self.sum_y = zeros(m_x), zeros(m_y)
        self.square_x, self.square_y = zeros(m_x, m_x), zeros(m_y, m_y)
        self.cross = zeros(m_x, m_y)
        self.weighted_x, self.weighted_y = zeros(m_x), zeros(m_y)

    def add(self, phi_x: Tensor, phi_y: Tensor, positives: Tensor) -> None:
        """Add a batch (b, m_x), (c, m_y) that holds whole groups; ``positives`` (b, c) bool."""
        positives = positives.to(phi_x)
        weights = positives / positives.sum(1, keepdim=True) / self.n_x
        weights = (weights + positives / positives.sum(0, keepdim=True) / self.n_y) / 2
        self.sum_x += phi_x.sum(0)
        self.sum_y += phi_y.sum(0)
        self.square_x.addmm_(phi_x.T, phi_x)
        self.square_y.addmm_(phi_y.T, phi_y)
        self.cross.addmm_(phi_x.T, weights @ phi_y)
        self.weighted_x += weights.sum(1) @ phi_x
        self.weighted_y += weights.sum(0) @ phi_y

    def tensors(self) -> list[Tensor]:
        """All sums, to be added over processes in place."""
        return [
            self.sum_x, self.sum_y, self.square_x, self.square_y,
            self.cross, self.weighted_x, self.weighted_y,
        ]  # fmt: skip

    @property
    def mean_square_x(self) -> float:
        return float(self.square_x.diagonal().mean() / self.n_x)

    @property
    def mean_square_y(self) -> float:
        return float(self.square_y.diagonal().mean() / self.n_y)

    @property
    def mean_x(self) -> Tensor:
        return self.sum_x / self.n_x

    @property
    def mean_y(self) -> Tensor:
        return self.sum_y / self.n_y

    @property
    def covariance_x(self) -> Tensor:
        return self.square_x / self.n_x - torch.outer(self.mean_x, self.mean_x)

    @property
    def covariance_y(self) -> Tensor:
        return self.square_y / self.n_y - torch.outer(self.mean_y, self.mean_y)

    @property
    def cross_covariance(self) -> Tensor:
        """``(Phi_x - mean)^T P (Phi_y - mean)`` (m_x, m_y); the weights of all positives sum to 1."""
        return (
            self.cross
            - torch.outer(self.weighted_x, self.mean_y)
            - torch.outer(self.mean_x, self.weighted_y)
            + torch.outer(self.mean_x, self.mean_y)
        )


def whitening(covariance: Tensor, mean_square: float, lam: float) -> Tensor:
    r"""W (m, m) with :math:`W^T (\Sigma + \lambda \frac{\mathrm{tr} \Sigma}{m} I) W = I`.

    The inverse Cholesky factor, transposed: the symmetric inverse root up to a rotation, which the SVD that
    follows undoes, at a tenth of an eigendecomposition's cost. ``mean_square`` is the mean of the squared
    features, centre included: a variance that is nothing beside it is rounding.

    Raises:
        UserError: a covariance that is zero (constant features), or singular at this ``lam``.
    """
    m = len(covariance)
    mean_variance = covariance.diagonal().mean()
    if not mean_variance > 1e-12 * mean_square:
        raise UserError("whitening needs features that vary, got the same features for every training item")
    ridged = covariance + lam * mean_variance * torch.eye(m, dtype=covariance.dtype, device=covariance.device)
    factor, failed = torch.linalg.cholesky_ex(ridged)
    if failed:
        raise UserError(f"the features' covariance is singular at lam={lam}: take a larger aligner.lam")
    identity = torch.eye(m, dtype=covariance.dtype, device=covariance.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False).T


def whitenings(moments: Moments, lam: float) -> tuple[Tensor, Tensor]:
    """``whitening`` of both modalities."""
    return (
        whitening(moments.covariance_x, moments.mean_square_x, lam),
        whitening(moments.covariance_y, moments.mean_square_y, lam),
    )


def identities(moments: Moments) -> tuple[Tensor, Tensor]:
    """In the place of ``whitenings`` where nothing is whitened."""
    return (
        torch.eye(len(moments.sum_x), dtype=torch.float64, device=moments.sum_x.device),
        torch.eye(len(moments.sum_y), dtype=torch.float64, device=moments.sum_y.device),
    )


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
    found = int((s > 1e-7 * s[0]).sum())
    if found < rank:
        raise UserError(
            f"rank {rank} is above what the data allows: its cross-covariance has rank {found}; "
            f"set aligner.rank={found} or less"
        )
    right = vectors.flip(1)[:, :rank]
    left = small @ right / s[:rank]
    U, V = (left, right) if tall else (right, left)
    following = s[rank] if len(s) > rank else s.new_zeros(())
    return _signed(U, s[:rank], V, float(s[rank - 1] / following))


def uniform_solution(moments: Moments, W_x: Tensor, W_y: Tensor, rank: int) -> Factors:
    """``P_r(C_0 / |C_0|)``: the solution for the uniform weights, PLS or CCA by the whitening.

    Raises:
        UserError: a rank above the data's.
    """
    C = W_x.T @ moments.cross_covariance @ W_y
    factors = truncated_svd(C, rank)
    return replace(factors, s=factors.s / C.norm())


def _signed(U: Tensor, s: Tensor, V: Tensor, gap: float) -> Factors:
    """Signs such that the largest entry of each column of U is positive: the same on every machine."""
    sign = torch.sign(U.gather(0, U.abs().argmax(0, keepdim=True)))
    return Factors(U * sign, s, V * sign, gap)


@dataclass(frozen=True)
class Step:
    """The plane in which a pass moves: new directions beside U and V, and the tangent in these bases.

    ``Q_x`` (m_x, q_x) and ``Q_y`` (m_y, q_y) are orthonormal and orthogonal to U and V; ``tangent``
    (r + q_x, r + q_y) is T(C) / |T(C)| in the bases [U, Q_x] and [V, Q_y].
    """

    Q_x: Tensor
    Q_y: Tensor
    tangent: Tensor

    def take(self, s: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor, float]:
        """Truncated SVD of ``(1 - eta) Z + eta T(C)/|T(C)|`` in these bases.

        u (r + q_x, r), s (r,), v (r + q_y, r), and the gap.
        """
        rank = len(s)
        core = eta * self.tangent  # a new tensor
        core[:rank, :rank] += (1 - eta) * torch.diag(s)
        u, values, vt = torch.linalg.svd(core)
        following = values[rank] if len(values) > rank else values.new_zeros(())
        return u[:, :rank], values[:rank], vt[:rank].T, float(values[rank - 1] / following)


def tangent_step(factors: Factors, CV: Tensor, CtU: Tensor) -> Step:
    """The projection of C on the tangent space at Z, from ``C V`` (m_x, r) and ``C^T U`` (m_y, r)."""
    core = factors.U.T @ CV
    scale = CV.norm()
    Q_x, R_x = _directions_beside(factors.U, CV, scale)
    Q_y, R_y = _directions_beside(factors.V, CtU, scale)
    rank, q_x, q_y = len(core), Q_x.shape[1], Q_y.shape[1]
    tangent = core.new_zeros(rank + q_x, rank + q_y)
    tangent[:rank, :rank] = core
    tangent[rank:, :rank] = R_x
    tangent[:rank, rank:] = R_y.T
    return Step(Q_x, Q_y, tangent / tangent.norm())


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
