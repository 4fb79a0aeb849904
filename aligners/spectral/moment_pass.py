"""The pass of a method that starts from moments alone."""

from collections.abc import Callable

from aligners.spectral.moments import Moments
from aligners.spectral.passes import Pass, Solved
from aligners.spectral.rows import RowMap
from datamodules.pairs.pairs import PairBatch
from ground.distributed import add_over_processes


class MomentPass:
    """``moments`` of the mapped rows of all batches, and what ``solve`` makes of those of all processes.

    ``solve`` gives the solution, and the pass after it or None.

    Example:
        >>> import torch
        >>> batch = PairBatch(torch.eye(3), torch.eye(3), *4 * [torch.arange(3)])
        >>> moments = Moments(3, 3, n_x=3, n_y=3, device="cpu")
        >>> first = MomentPass(moments, mapped=lambda batch: batch, solve=lambda moments: (moments.count_x, None))
        >>> first.add(batch)
        >>> first.end()
        (tensor([3.], dtype=torch.float64), None)
    """

    reads = True

    def __init__(self, moments: Moments, mapped: RowMap, solve: Callable[[Moments], tuple[Solved, Pass | None]]):
        self.moments, self.mapped, self.solve = moments, mapped, solve

    def add(self, batch: PairBatch) -> None:
        self.moments.add(self.mapped(batch))

    def end(self) -> tuple[Solved, Pass | None]:
        add_over_processes(*self.moments.tensors())
        return self.solve(self.moments)
