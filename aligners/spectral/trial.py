"""A setting, tried on validation."""

from typing import NamedTuple

from torch import Tensor

from aligners.spectral.settings import Chosen


class Trial(NamedTuple):
    """A setting, and what it does on validation."""

    chosen: Chosen
    hits: tuple[Tensor, Tensor]
    """Means of the hits at 1, 5 and 10 in percent, of each x (n_x,) and of each y (n_y,) as a query."""

    @property
    def recall(self) -> float:
        """Mean recall in percent."""
        return float(sum(side.mean() for side in self.hits)) / 2

    def beats(self, other: "Trial", errors: float = 1.0) -> bool:
        """Better than ``other`` by more than so many standard errors of their difference on the same queries."""
        differences = [mine - theirs for mine, theirs in zip(self.hits, other.hits, strict=True)]
        error: float = sum(float(d.var() / len(d)) if len(d) > 1 else 0.0 for d in differences) ** 0.5 / 2
        return self.recall - other.recall > errors * error
