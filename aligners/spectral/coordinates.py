r"""Whitened coordinates of raw feature rows, those before whitening: :math:`\psi(x) = W^T (\mathrm{raw}(x) - \mu)`."""

from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from aligners.features.metric import Metric
from aligners.spectral.factors import Factorise, Factors, truncated_svd
from aligners.spectral.moments import Moments
from aligners.spectral.whitening import Spread, Whitening, smoothed, spread, unwhitened, whitening
from datamodules.pairs.pairs import PairBatch


class Projector(NamedTuple):
    """``Psi_x D_x`` (b, k) and ``Psi_y D_y`` (c, l) of rows: ``rows @ P - offset`` with P = W D.

    Example:
        >>> eye, zero = torch.eye(2), torch.zeros(1)
        >>> projector = Projector(eye[:, :1], eye[:, 1:], offset_x=zero, offset_y=zero + 1)
        >>> x, y = projector(PairBatch(eye, eye, *4 * [torch.arange(2)]))
        >>> x.flatten(), y.flatten()
        (tensor([1., 0.]), tensor([-1., 0.]))
    """

    P_x: Tensor
    P_y: Tensor
    offset_x: Tensor
    offset_y: Tensor

    def to(self, dtype: torch.dtype) -> "Projector":
        """The same in another precision: rows of it are projected without a copy of P for each batch."""
        return Projector(*(each.to(dtype) for each in self))

    def __call__(self, rows: PairBatch) -> tuple[Tensor, Tensor]:
        return project(rows.x, self.P_x, self.offset_x), project(rows.y, self.P_y, self.offset_y)


class Frame(Protocol):
    """Where passes move: all whitened coordinates, or the span of some directions of them."""

    @property
    def shared(self) -> bool:
        """Whether both modalities have one encoder."""

    def projector(self, D_x: Tensor, D_y: Tensor) -> Projector:
        """The projector of the passes' rows on directions."""

    def embedding(self, factors: Factors, weight_power: float) -> Projector:
        """The projector of raw rows, before whitening, on weighted factors: what embeds."""

    def pulled(self, raw_x: Tensor, sum_x: Tensor, raw_y: Tensor, sum_y: Tensor) -> tuple[Tensor, Tensor]:
        """``Psi^T H`` of both modalities from the passes' rows' ``rows^T H`` and H's column sums."""

    def lifted(self, factors: Factors) -> Factors:
        """Factors of the passes to those of the whitened coordinates."""


class Coordinates(NamedTuple):
    """The whitened coordinates of both modalities; of one and the same where they share an encoder.

    Example:
        >>> rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
        >>> batch, eye = PairBatch(rows, rows, *4 * [torch.arange(50)]), torch.eye(3).double()
        >>> moments = Moments(3, 3, n_x=50, n_y=50, device="cpu", batches_in_block=1)
        >>> moments.add(batch)
        >>> psi, _ = statistics(moments).coordinates(lam=0.0).projector(eye, eye)(batch)
        >>> torch.allclose(psi.T.cov(correction=0), eye)  # white
        True
    """

    W_x: Whitening
    W_y: Whitening
    mean_x: Tensor
    mean_y: Tensor
    shared: bool

    def projector(self, D_x: Tensor, D_y: Tensor) -> Projector:
        """The projector on directions (m_x, k) and (m_y, l) in these coordinates."""
        P_x, P_y = self.W_x @ D_x, self.W_y @ D_y
        return Projector(P_x, P_y, self.mean_x @ P_x, self.mean_y @ P_y)

    def embedding(self, factors: Factors, weight_power: float) -> Projector:
        """The projector on U s^p (m_x, r) and V s^p (m_y, r): what embeds."""
        weights = factors.s**weight_power
        return self.projector(factors.U * weights, factors.V * weights)

    def lifted(self, factors: Factors) -> Factors:
        """Factors in these coordinates: the same."""
        return factors

    def pulled(self, raw_x: Tensor, sum_x: Tensor, raw_y: Tensor, sum_y: Tensor) -> tuple[Tensor, Tensor]:
        """``Psi^T H`` (m, r) of both modalities from ``raw^T H`` (m, r) of unwhitened rows and H's column sums (r,)."""
        return (
            self.W_x.T @ (raw_x - torch.outer(self.mean_x, sum_x)),
            self.W_y.T @ (raw_y - torch.outer(self.mean_y, sum_y)),
        )


class Statistics(NamedTuple):
    """What the moments of the raw features, before whitening, come to, for any ridge.

    Example:
        >>> rows = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
        >>> moments = Moments(3, 3, n_x=3, n_y=3, device="cpu", batches_in_block=1)
        >>> moments.add(PairBatch(rows, -rows, *4 * [torch.arange(3)]))
        >>> torch.allclose(statistics(moments).cross, -statistics(moments).x.covariance)
        True
    """

    x: Spread
    y: Spread
    cross: Tensor  # (m_x, m_y), the cross-covariance of the positives
    shared: bool

    def smoothed(self, laplacian: float, roughness: tuple[Tensor, Tensor]) -> "Statistics":
        """With so much of what differs between neighbours added to the covariances."""
        x, y = (smoothed(of, laplacian, each) for of, each in zip((self.x, self.y), roughness, strict=True))
        return self._replace(x=x, y=y)

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
    moments: Moments,
    metric_x: Metric | None = None,
    metric_y: Metric | None = None,
    shared: bool = False,
    centre: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Statistics:
    """The statistics of both modalities, or with ``shared`` of both as one.

    ``moments`` hold the sums of all processes. A metric is the feature map's, None for the identity. Without ``centre``
    the means are 0 and the covariances second moments. Matrices are of ``dtype``.

    Raises:
        UserError: features that do not vary.
    """
    if shared:
        moments = moments.pooled()
    mean_x, mean_y = moments.mean_x, moments.mean_y
    cross, covariance_x = moments.cross_covariance(centre, dtype), moments.covariance_x(centre, dtype)
    if not centre:
        mean_x, mean_y = torch.zeros_like(mean_x), torch.zeros_like(mean_y)
    x = spread(covariance_x, mean_x, moments.mean_square_x, metric_x)
    if shared:
        return Statistics(x, x, cross, shared)
    y = spread(moments.covariance_y(centre, dtype), mean_y, moments.mean_square_y, metric_y)
    return Statistics(x, y, cross, shared)


def uniform_solution(
    cross: Tensor, W_x: Whitening, W_y: Whitening, rank: int, svd: Factorise = truncated_svd, most: int = 0
) -> Factors:
    """``P_r(C_0 / |C_0|)`` of the cross-covariance (m_x, m_y): the solution for the uniform weights.

    PLS or CCA by the whitening. Up to ``most`` directions are given where there are more than r.

    Raises:
        UserError: a rank above the data's.
    """
    C = W_x.T @ (W_y.T @ cross.T).T
    factors = svd(C, rank, most)
    return replace(factors, s=factors.s / C.norm())


def project(rows: Tensor, P: Tensor, offset: Tensor) -> Tensor:
    """``rows @ P - offset`` (n, k) in the rows' own dtype."""
    return torch.addmm(offset.to(rows), rows, P.to(rows), beta=-1)
