r"""Coordinates within the span of some whitened directions, where a pass costs no row of the raw features."""

import torch
from torch import Tensor

from aligners.spectral.coordinates import Coordinates, Projector
from aligners.spectral.factors import Factors, orthonormal
from datamodules.pairs.pairs import PairBatch


class Span:
    r"""The span of k directions of each modality in whitened coordinates, orthonormal: U (m_x, k) and V (m_y, l).

    They are the ``directions``, and beside them the span of further columns ``beside_x`` (m_x, r) and ``beside_y``
    (m_y, r) where there are such. A row is :math:`U^T \psi(x)` (k,) there, as ``rows`` makes it once, and passes go on
    in the place of ``Coordinates`` with these: the solver then minimises over the heads whose directions lie in the
    span.

    Example:
        >>> from aligners.spectral.whitening import Whitening
        >>> eye, zero = torch.eye(3), torch.zeros(3)
        >>> whole = Coordinates(Whitening(None), Whitening(None), zero, zero, shared=False)
        >>> span = Span(whole, Factors(eye[:, 1:], torch.ones(2), eye[:, :2], gap=1.0))
        >>> index = torch.arange(1)
        >>> rows = span.rows(PairBatch(torch.tensor([[1.0, 2, 3]]), torch.tensor([[1.0, 2, 3]]), *4 * [index]))
        >>> rows.x, rows.y
        (tensor([[2., 3.]]), tensor([[1., 2.]]))
        >>> inside = Factors(torch.eye(2)[:, :1], torch.ones(1), torch.eye(2)[:, 1:], gap=1.0)
        >>> span.lifted(inside).U.flatten(), span.lifted(inside).V.flatten()
        (tensor([0., 1., 0.]), tensor([0., 1., 0.]))
    """

    def __init__(
        self, whole: Coordinates, directions: Factors, beside_x: Tensor | None = None, beside_y: Tensor | None = None
    ):
        self.U, self.V = directions.U, directions.V
        if beside_x is not None and beside_y is not None:
            if whole.shared:
                beside_x = beside_y = beside_x + beside_y
            self.U, self.V = _extended(self.U, beside_x), _extended(self.V, beside_y)
        self.onto = self._onto_rows = whole.projector(self.U, self.V)
        self.shared = whole.shared

    def rows(self, batch: PairBatch) -> PairBatch:
        """A batch of raw feature rows, before whitening, to the same batch of rows within, (b, k) and (c, k)."""
        if self._onto_rows.P_x.dtype != batch.x.dtype:
            self._onto_rows = self.onto.to(batch.x.dtype)
        x, y = self._onto_rows(batch)
        return batch._replace(x=x, y=y)

    def projector(self, D_x: Tensor, D_y: Tensor) -> Projector:
        """The projector of rows within on directions (k, q) and (k, l)."""
        return Projector(D_x, D_y, D_x.new_zeros(D_x.shape[1]), D_y.new_zeros(D_y.shape[1]))

    def pulled(self, raw_x: Tensor, sum_x: Tensor, raw_y: Tensor, sum_y: Tensor) -> tuple[Tensor, Tensor]:
        """``Psi^T H`` (k, r) of both modalities: rows within are whitened and centred already."""
        return raw_x, raw_y

    def embedding(self, factors: Factors, weight_power: float) -> Projector:
        """The projector of raw feature rows on the factors within, weighted: what embeds."""
        weights = factors.s**weight_power
        D_x, D_y = factors.U * weights, factors.V * weights
        P_x, P_y, offset_x, offset_y = self.onto
        return Projector(P_x @ D_x, P_y @ D_y, offset_x @ D_x, offset_y @ D_y)

    def lifted(self, factors: Factors) -> Factors:
        """Factors within to those of the whitened coordinates, (m_x, r) and (m_y, r)."""
        return Factors(self.U @ factors.U, factors.s, self.V @ factors.V, factors.gap)

    def within(self, factors: Factors) -> Factors:
        """Factors of the whitened coordinates, in the span, to those within, (k, r)."""
        return Factors(self.U.T @ factors.U, factors.s, self.V.T @ factors.V, factors.gap)

    def leading(self, s: Tensor, gap: float) -> Factors:
        """The first r directions of the span, with singular values s (r,)."""
        one, other = (torch.eye(side.shape[1], len(s), dtype=s.dtype, device=s.device) for side in (self.U, self.V))
        return Factors(one, s, other, gap)


def _extended(basis: Tensor, target: Tensor) -> Tensor:
    """An orthonormal basis of a basis and a target, the basis first."""
    beside = orthonormal(target - basis @ (basis.T @ target), scale=float(target.norm()))
    beside = orthonormal(beside - basis @ (basis.T @ beside))  # once more: the first projection leaves rounding behind
    return torch.cat([basis, beside], 1)
