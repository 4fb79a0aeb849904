"""ProjectedAligner: aligners that are solved, and encode by one projection of raw features."""

import torch
from torch import Tensor

from aligners.base.aligner import GradientFreeAligner
from aligners.spectral.coordinates import Projector, project


class ProjectedAligner(GradientFreeAligner):
    r"""Embeddings :math:`f(x) = \mathrm{raw}(x) P_x - o_x`: the centring, whitening, rotation and weights in one.

    A child solves, and hands its solution to ``take``; with a feature map it overrides ``raw_x`` and ``raw_y``.

    Attributes:
        projection_x: (m_x, r) float64, as ``projection_y`` (m_y, r).
        offset_x: (r,) float64, as ``offset_y``: the projected mean of the raw features.
        singular_values: (r,) float64 of the solution, falling.
    """

    projection_x: Tensor
    projection_y: Tensor
    offset_x: Tensor
    offset_y: Tensor
    singular_values: Tensor

    def build(self, d_x: int, d_y: int) -> None:
        self.register_solution(d_x, d_y)

    def register_solution(self, m_x: int, m_y: int) -> None:
        """Register the buffers of a solution, for raw features of these dimensions."""
        for side, m in (("x", m_x), ("y", m_y)):
            self.register_buffer(f"projection_{side}", torch.zeros(m, self.rank, dtype=torch.float64))
            self.register_buffer(f"offset_{side}", torch.zeros(self.rank, dtype=torch.float64))
        self.register_buffer("singular_values", torch.zeros(self.rank, dtype=torch.float64))

    def raw_x(self, x: Tensor) -> Tensor:
        """Prepared features (n, d_x) to raw features (n, m_x)."""
        return x

    def raw_y(self, y: Tensor) -> Tensor:
        """Prepared features (n, d_y) to raw features (n, m_y)."""
        return y

    def embed_x(self, x: Tensor) -> Tensor:
        return project(self.raw_x(x), self.projection_x, self.offset_x)

    def embed_y(self, y: Tensor) -> Tensor:
        return project(self.raw_y(y), self.projection_y, self.offset_y)

    def take(self, projector: Projector, singular_values: Tensor) -> None:
        """Take ``projector`` as what encodes; with a feature map, m may be less than what was registered."""
        self.projection_x, self.projection_y = projector.P_x, projector.P_y
        self.offset_x, self.offset_y = projector.offset_x, projector.offset_y
        self.singular_values = singular_values
