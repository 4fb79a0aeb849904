"""Whitening by a Cholesky factor; features that are not whitened yet are called raw."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from aligners.features.metric import Metric
from ground.errors import UserError

ROUNDING = 1e-12
"""A variance below this share of the mean square is rounding of float64 sums."""

PROBES = 256
"""Random vectors that tell the trace of a large matrix; smaller ones are inverted."""

JITTERS = (0.0, 1e-9, 1e-8, 1e-7)
"""Shares of the mean diagonal, added one after the other until the factorisation stands against float32 rounding."""


class Whitening:
    r"""W (m, m) with :math:`W^T (\Sigma + \lambda t M) W = I`, t the mean variance, as a linear operator.

    M is the metric of the raw features: the identity, or the landmarks' kernel matrix, in which case raw kernel
    rows take the place of Nystrom features and no root of the kernel matrix is ever applied to a row. W is the
    inverse Cholesky factor, transposed: the symmetric inverse root up to a rotation, which the SVD that follows
    undoes, at a tenth of an eigendecomposition's cost. ``W @ A`` and ``W.T @ A`` are triangular solves.

    ``factor`` (m, m) is the lower Cholesky factor of what is inverted, None for the identity; ``metric_factor``
    that of M. Both may be float32, in which the solves are then taken, of what has any dtype.

    Example:
        >>> covariance = torch.diag(torch.tensor([4.0, 1.0]))
        >>> W = whitening(spread(covariance, torch.zeros(2), mean_square=2.5), lam=0.0)
        >>> W.T @ covariance @ (W @ torch.eye(2))
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(self, factor: Tensor | None, metric_factor: Tensor | None = None, transposed: bool = False):
        self.factor = factor
        self.metric_factor = metric_factor
        self._transposed = transposed

    @property
    def T(self) -> "Whitening":  # noqa: N802
        """W^T, as an operator too."""
        return Whitening(self.factor, self.metric_factor, not self._transposed)

    def __matmul__(self, matrix: Tensor) -> Tensor:
        if self.factor is None:
            return matrix
        right = matrix.to(self.factor)
        if self._transposed:
            return torch.linalg.solve_triangular(self.factor, right, upper=False).to(matrix)
        return torch.linalg.solve_triangular(self.factor.T, right, upper=True).to(matrix)

    def undone(self, matrix: Tensor) -> Tensor:
        """``W^{-1} A`` of the matrix A (m, k): what ``W @`` makes A of."""
        if self.factor is None:
            return matrix
        return ((self.factor if self._transposed else self.factor.T) @ matrix.to(self.factor)).to(matrix)

    @property
    def condition(self) -> float:
        r"""The condition number of :math:`M^{-1/2} (\Sigma + \lambda t M) M^{-1/2}`, from below."""
        if self.factor is None:
            return 1.0
        L, K = self.factor, self.metric_factor
        ridged = _largest(lambda v: _inverse(K, L @ (L.T @ v)), L)
        inverse = _largest(lambda v: _inverse(L, v if K is None else K @ (K.T @ v)), L)
        return ridged * inverse


class Spread(NamedTuple):
    """The second moment of one modality's raw features.

    Example:
        >>> spread(torch.diag(torch.tensor([4.0, 1.0])), torch.zeros(2), mean_square=2.5).mean_variance
        tensor(2.5000)
    """

    covariance: Tensor  # (m, m)
    mean: Tensor  # (m,)
    metric: Metric | None
    """M in the covariance's dtype, None for the identity."""
    mean_variance: Tensor
    r"""t = :math:`\mathrm{tr}(M^{-1} \Sigma)/m`."""


def smoothed(of: Spread, laplacian: float, roughness: Tensor) -> Spread:
    r""":math:`\Sigma + \mu c R` in the place of the covariance, R the ``roughness`` (m, m).

    c makes the mean variances of both equal; t, which a ridge is relative to, stays that of the covariance.
    """
    roughness = roughness.to(of.covariance)
    size = roughness.diagonal().mean() if of.metric is None else _mean_variance(roughness, of.metric.factor)
    if not size > 0:  # no row differs from its neighbours
        return of
    share = float(laplacian * of.mean_variance / size)
    return of._replace(covariance=torch.add(of.covariance, roughness, alpha=share))


def spread(covariance: Tensor, mean: Tensor, mean_square: float, metric: Metric | None = None) -> Spread:
    """The spread of raw features with this covariance (m, m) and mean (m,).

    ``mean_square`` is the mean of their squares, centre included: a variance that is nothing beside it is rounding.

    Raises:
        UserError: a covariance that is zero (constant features).
    """
    if not covariance.diagonal().mean() > ROUNDING * mean_square:
        raise UserError("whitening needs features that vary, got the same features for every training item")
    if metric is None:
        return Spread(covariance, mean, None, covariance.diagonal().mean())
    metric = metric.to(covariance.dtype)
    return Spread(covariance, mean, metric, _mean_variance(covariance, metric.factor))


def _mean_variance(covariance: Tensor, metric_factor: Tensor) -> Tensor:
    r""":math:`\mathrm{tr}(M^{-1} \Sigma)/m`, beyond ``PROBES`` directions by random signs (Hutchinson 1990).

    The inverse would cost more than the whitening itself, and a ridge needs no third digit: the standard error is
    below sqrt(2 / PROBES) over the square root of the spectrum's effective rank.
    """
    m = len(covariance)
    if m <= PROBES:
        return (torch.cholesky_inverse(metric_factor) * covariance).sum() / m
    signs = torch.randint(2, (m, PROBES), generator=torch.Generator().manual_seed(0)).to(covariance).mul_(2).sub_(1)
    probes = torch.linalg.solve_triangular(metric_factor.T, signs, upper=True)
    return (probes * (covariance @ probes)).sum() / (m * PROBES)


def whitening(of: Spread, lam: float) -> Whitening:
    """The whitening with the ridge ``lam``, relative to the mean variance.

    Raises:
        UserError: a covariance that is singular at this ``lam``.
    """
    ridge = float(lam * of.mean_variance)
    if of.metric is None:
        ridged = of.covariance.clone()
        ridged.diagonal().add_(ridge)
    else:
        ridged = torch.add(of.covariance, of.metric.matrix, alpha=ridge)
    single = ridged.dtype == torch.float32
    for jitter in JITTERS if lam > 0 and not single else JITTERS[:1]:
        ridged.diagonal().add_(jitter * ridged.diagonal().mean())
        factor, failed = torch.linalg.cholesky_ex(ridged)
        if not failed:
            break
    else:
        if single:  # float64 decides
            metric = of.metric and of.metric.to(torch.float64)
            return whitening(of._replace(covariance=of.covariance.double(), metric=metric), lam)
        raise UserError(f"the features' covariance is singular at lam={lam}: take a larger aligner.lam")
    return Whitening(factor, of.metric.factor if of.metric else None)


def unwhitened(of: Spread) -> Whitening:
    """The features' own inner product, in the place of ``whitening`` where nothing is whitened."""
    factor = of.metric.factor if of.metric else None
    return Whitening(factor, factor)


def _inverse(factor: Tensor | None, v: Tensor) -> Tensor:
    """``(L L^T)^{-1} v``, by two solves of a vector: ``cholesky_solve`` takes ten times as long for one."""
    if factor is None:
        return v
    half = torch.linalg.solve_triangular(factor, v, upper=False)
    return torch.linalg.solve_triangular(factor.T, half, upper=True)


def _largest(operator: Callable[[Tensor], Tensor], like: Tensor, steps: int = 8) -> float:
    """The largest eigenvalue of a positive operator, from a start without chance."""
    v = torch.linspace(1, 2, len(like), dtype=like.dtype, device=like.device)[:, None]
    for _ in range(steps):
        v = operator(v / v.norm())
    return float(v.norm())
