"""Objectives of transport over all pairs of some items."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.base import Objective
from aligners.objectives.streamed_coupling import StreamedCoupling
from aligners.objectives.sweep import SMALLEST_TAU_OF_TILES, Contrast, Contrasted
from aligners.objectives.transport import Transport
from ground.errors import UserError

SMALLEST_TAU = 0.05
"""exp(-2 / tau) times as much of a scaling is a normal float32 number above it; below it tiles are float64."""


class TransportContrast(Contrast):
    """A ``Transport`` over all pairs of n_x and n_y items with given groups: its value, and S B and S^T A.

    In the place of ``Contrast``: memory is some tiles, blocks of rows are dealt over processes. With t iterations the
    value takes about 2 t sweeps, the products 4 t + 1, where CLIP takes 1 and 1. S is that of the loop, where a
    tolerance ends it too; but GCA-INCE's is that of the limit where it is reached, in 2 t + 1 sweeps.

    Raises:
        UserError: a temperature that float64 does not carry.

    Example:
        >>> from aligners.objectives.transport import GCAINCE
        >>> groups = torch.arange(3)
        >>> contrast = TransportContrast(GCAINCE(tau=1.0, iterations=10), groups, groups, block_size=2**20)
        >>> at = contrast.value(torch.eye(3), torch.eye(3))
        >>> SB, StA = contrast.products(torch.eye(3), torch.eye(3), A=torch.eye(3), B=torch.eye(3), at=at)
        >>> round(at.value, 4), SB.shape
        (0.5514, torch.Size([3, 3]))
    """

    objective: Transport

    def __init__(self, objective: Transport, x_group: Tensor, y_group: Tensor, block_size: int, *shares: int):
        super().__init__(objective, x_group, y_group, block_size, *shares)
        if self.tau < SMALLEST_TAU_OF_TILES:
            raise UserError(
                f"aligner.tau={self.tau}: transport over all pairs takes temperatures from {SMALLEST_TAU_OF_TILES}"
            )

    def value(self, x: Tensor, y: Tensor) -> Contrasted:
        with torch.no_grad():
            return Contrasted(float(self.objective.of(StreamedCoupling(self, *self._unit(x, y)))))

    def products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False), torch.enable_grad():
            coupling = StreamedCoupling(self, *self._unit(x.clone(), y.clone()))
            self.objective.of(coupling).backward()
        with torch.no_grad():
            return coupling.products(A, B)

    def _unit(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.tau < SMALLEST_TAU:
            x, y = x.double(), y.double()
        return normalize(x), normalize(y)


def over_all_pairs(objective: Objective, x_group: Tensor, y_group: Tensor, block_size: int, *shares: int) -> Contrast:
    """The contrast of all x with all y under an objective; ``shares`` are this process's number and how many are."""
    if isinstance(objective, Transport):
        return TransportContrast(objective, x_group, y_group, block_size, *shares)
    return Contrast(objective, x_group, y_group, block_size, *shares)
