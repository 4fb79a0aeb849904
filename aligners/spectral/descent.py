"""The passes of the spectral solver, without Lightning: pull by every batch, then one safeguarded step."""

import torch

from aligners.spectral import step as steps
from aligners.spectral.coordinates import Coordinates
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import Negatives
from aligners.spectral.rows import Rows
from aligners.spectral.step import Damping
from ground.distributed import add_over_processes


class Descent:
    """Damped passes from ``factors`` (see ``aligners.spectral``), each over all rows of ``negatives``' stream.

    A pass is ``open``, ``pull`` with every batch of rows, ``step``. The objective never rises (with the
    safeguard), whatever the temperature; ``step`` is False when it cannot fall further.

    Attributes:
        factors: the current solution.
        length: eta of the last step, 0 where none was taken.
    """

    def __init__(self, coordinates: Coordinates, factors: Factors, negatives: Negatives, damping: Damping):
        self.coordinates = coordinates
        self.factors = factors
        self.negatives = negatives
        self.damping = damping
        self.length = 0.0
        negatives.start(factors)

    @property
    def value(self) -> float:
        """The objective at the current solution."""
        return self.negatives.at.value

    def open(self) -> None:
        self.negatives.open(self.factors)
        U, V = self.factors.U, self.factors.V
        self._pulled = [torch.zeros_like(U), torch.zeros_like(U[0]), torch.zeros_like(V), torch.zeros_like(V[0])]

    def pull(self, rows: Rows) -> None:
        SB, StA = self.negatives.pull(rows)
        for total, part in zip(self._pulled, (rows.x.T @ SB, SB.sum(0), rows.y.T @ StA, StA.sum(0)), strict=True):
            total += part

    def step(self, add: bool = True) -> bool:
        """One damped step, halved until the objective does not rise. ``add``: the pulls over processes."""
        if add:
            add_over_processes(*self._pulled)
        step = steps.tangent_step(self.factors, *self.coordinates.pulled(*self._pulled), shared=self.coordinates.shared)
        taken = self.negatives.search(self.factors, step, self.damping)
        self.length = taken.eta if taken else 0.0
        if taken is None:
            return False
        self.factors = steps.rotated(self.factors, step, taken.u, taken.s, taken.v, taken.gap)
        return not taken.last
