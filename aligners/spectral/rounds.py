"""Rounds of batch aggregation, as passes (UniCon, Algorithms 1 and 2)."""

from collections.abc import Callable

from aligners.spectral.coordinates import Coordinates
from aligners.spectral.passes import Pass, Solved
from datamodules.pairs.pairs import PairBatch

Aggregated = Callable[[Coordinates, Solved], Solved]
"""The aggregate of all batches' solutions, in these coordinates, at the embeddings of a former one."""


class Round:
    """A round of the loop: all batches are solved at the current embeddings and aggregated, when it ends.

    ``left`` rounds are left, this one included.

    Example:
        >>> aggregated = lambda coordinates, former: former + 1
        >>> solved, following = Round(aggregated, coordinates=None, former=0, left=2).end()
        >>> solved, following.end()
        (1, (2, None))
    """

    reads = False

    def __init__(self, aggregated: Aggregated, coordinates: Coordinates, former: Solved, left: int):
        self.aggregated, self.coordinates, self.former, self.left = aggregated, coordinates, former, left

    def add(self, batch: PairBatch) -> None:
        """Nothing is read: the aggregate reads the batches by their numbers."""

    def end(self) -> tuple[Solved, Pass | None]:
        solved = self.aggregated(self.coordinates, self.former)
        return solved, Round(self.aggregated, self.coordinates, solved, self.left - 1) if self.left > 1 else None
