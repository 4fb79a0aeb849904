"""The one pass of a method that is solved from moments alone."""

from collections.abc import Callable

from aligners.spectral.moments import Moments
from aligners.spectral.passes import Pass, Solved
from aligners.spectral.rows import RowMap
from datamodules.pairs import PairBatch
from ground.distributed import add_over_processes


class MomentPass:
    """``moments`` of the mapped rows of all batches, and what ``solve`` makes of those of all processes."""

    reads = True

    def __init__(self, moments: Moments, mapped: RowMap, solve: Callable[[Moments], Solved]):
        self.moments, self.mapped, self.solve = moments, mapped, solve

    def add(self, batch: PairBatch) -> None:
        self.moments.add(self.mapped(batch))

    def end(self) -> tuple[Solved, Pass | None]:
        add_over_processes(*self.moments.tensors())
        return self.solve(self.moments), None
