r"""First solutions at other ridges, from the directions at one.

Whitened at the ridge :math:`\lambda_0`, a modality's covariance at :math:`\lambda` is
:math:`I + (\lambda - \lambda_0) t \, W^T M W`. Within the span of k leading directions U that is a (k, k) matrix, and
so is the cross-covariance: each further ridge costs O(k^3), no kernel row and no (m, m) factorisation.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from aligners.spectral.coordinates import Projector, Statistics
from aligners.spectral.factors import Factorise, Factors
from aligners.spectral.span import Span
from aligners.spectral.whitening import Spread


class Ridges:
    """The best solutions of rank r for the uniform weights within ``span``, whose directions are those at ``lam``.

    Example:
        >>> from aligners.spectral.coordinates import statistics, uniform_solution
        >>> from aligners.spectral.factors import truncated_svd
        >>> from aligners.spectral.moments import Moments
        >>> from datamodules.pairs.pairs import PairBatch
        >>> rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
        >>> moments = Moments(3, 3, n_x=50, n_y=50, device="cpu", batches_in_block=1)
        >>> moments.add(PairBatch(rows, rows.flip(1).exp(), *4 * [torch.arange(50)]))
        >>> told = statistics(moments)
        >>> def solved(lam, most):
        ...     at = told.coordinates(lam)
        ...     return at, uniform_solution(told.cross, at.W_x, at.W_y, 1, most=most)
        >>> at_1, directions = solved(1.0, most=3)
        >>> here = Ridges(told, 1.0, Span(at_1, directions), directions, truncated_svd).at(0.1, rank=1)(1.0)
        >>> at, there = solved(0.1, most=1)
        >>> cosine = torch.nn.functional.cosine_similarity(here.P_x, at.embedding(there, 1.0).P_x, dim=0)
        >>> round(float(cosine.abs()), 6)
        1.0
    """

    def __init__(self, statistics: Statistics, lam: float, span: Span, directions: Factors, factorise: Factorise):
        self.lam, self.span, self.factorise = lam, span, factorise
        self.cross = torch.diag(directions.s)
        self.metric_x = _metric_within(statistics.x, span.onto.P_x)
        self.metric_y = self.metric_x if span.shared else _metric_within(statistics.y, span.onto.P_y)

    def at(self, lam: float, rank: int) -> Callable[[float], Projector]:
        """What embeds at a ridge, by the weight power."""
        W_x = _root(self.metric_x, lam - self.lam)
        W_y = W_x if self.span.shared else _root(self.metric_y, lam - self.lam)
        factors = self.factorise(W_x.T @ self.cross @ W_y, rank, 0)
        U, V = W_x @ factors.U, W_y @ factors.V
        return lambda power: self.span.embedding(Factors(U, factors.s, V, factors.gap), power)


def _metric_within(of: Spread, P: Tensor) -> Tensor:
    """``t U^T W^T M W U`` (k, k) of the directions' projector ``P = W U`` (m, k)."""
    half = P if of.metric is None else of.metric.factor.T @ P.to(of.metric.factor)
    metric: Tensor = of.mean_variance * (half.T @ half)
    return metric.to(P)


def _root(metric: Tensor, difference: float) -> Tensor:
    """W (k, k) with ``W^T (I + difference metric) W = I``."""
    ridged = difference * metric
    ridged.diagonal().add_(1)
    factor, failed = torch.linalg.cholesky_ex(ridged)
    if not failed:
        inverse: Tensor = torch.linalg.solve_triangular(factor, torch.eye(len(factor)).to(factor), upper=False)
        return inverse.T
    # rounding has taken a direction that is all ridge below 0
    values, vectors = torch.linalg.eigh(ridged)
    root: Tensor = vectors / values.clamp_min(torch.finfo(values.dtype).eps * values[-1]).sqrt()
    return root
