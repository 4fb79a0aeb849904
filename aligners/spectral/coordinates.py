r"""Whitened coordinates of raw feature rows: :math:`\psi(x) = W^T (\mathrm{raw}(x) - \mu)`."""

from typing import NamedTuple

import torch
from torch import Tensor

from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.whitening import Spread, Whitening, spread, unwhitened, whitening
from datamodules.pairs import PairBatch


class Projector(NamedTuple):
    """``Psi_x D_x`` (b, k) and ``Psi_y D_y`` (c, l) of rows: ``rows @ P - offset`` with P = W D."""

    P_x: Tensor
    P_y: Tensor
    offset_x: Tensor
    offset_y: Tensor

    def __call__(self, rows: PairBatch) -> tuple[Tensor, Tensor]:
        return project(rows.x, self.P_x, self.offset_x), project(rows.y, self.P_y, self.offset_y)


class Coordinates(NamedTuple):
    """The whitened coordinates of both modalities; of one and the same where they share an encoder."""

    W_x: Whitening
    W_y: Whitening
    mean_x: Tensor
    mean_y: Tensor
    shared: bool

    def projector(self, D_x: Tensor, D_y: Tensor) -> Projector:
        """On directions (m_x, k) and (m_y, l) in these coordinates."""
        P_x, P_y = self.W_x @ D_x, self.W_y @ D_y
        return Projector(P_x, P_y, self.mean_x @ P_x, self.mean_y @ P_y)

    def embedding(self, factors: Factors, weight_power: float) -> Projector:
        """On U s^p and V s^p: what embeds."""
        weights = factors.s**weight_power
        return self.projector(factors.U * weights, factors.V * weights)

    def pulled(self, raw_x: Tensor, sum_x: Tensor, raw_y: Tensor, sum_y: Tensor) -> tuple[Tensor, Tensor]:
        """``Psi^T H`` (m, r) of both from ``raw^T H`` and the column sums (r,) of H."""
        return (
            self.W_x.T @ (raw_x - torch.outer(self.mean_x, sum_x)),
            self.W_y.T @ (raw_y - torch.outer(self.mean_y, sum_y)),
        )


class Statistics(NamedTuple):
    """What the moments of the raw features come to, for any ridge."""

    x: Spread
    y: Spread
    cross: Tensor  # (m_x, m_y), the cross-covariance of the positives
    shared: bool

    def coordinates(self, lam: float | None) -> Coordinates:
        """Whitened with the ridge ``lam``, or unwhitened where it is None.

        Raises:
            UserError: a covariance that is singular at ``lam``.
        """
        W_x = unwhitened(self.x) if lam is None else whitening(self.x, lam)
        if self.shared:
            return Coordinates(W_x, W_x, self.x.mean, self.x.mean, True)
        W_y = unwhitened(self.y) if lam is None else whitening(self.y, lam)
        return Coordinates(W_x, W_y, self.x.mean, self.y.mean, False)


def statistics(
    moments: Moments, metric_factor_x: Tensor | None = None, metric_factor_y: Tensor | None = None, shared: bool = False
) -> Statistics:
    """Of both modalities, or with ``shared`` of both as one.

    Raises:
        UserError: features that do not vary.
    """
    if shared:
        moments = moments.pooled()
    x = spread(moments.covariance_x, moments.mean_x, moments.mean_square_x, metric_factor_x)
    y = x if shared else spread(moments.covariance_y, moments.mean_y, moments.mean_square_y, metric_factor_y)
    return Statistics(x, y, moments.cross_covariance, shared)


def project(rows: Tensor, P: Tensor, offset: Tensor) -> Tensor:
    """``rows @ P - offset`` (n, k) in the rows' own dtype."""
    return torch.addmm(offset.to(rows), rows, P.to(rows), beta=-1)
