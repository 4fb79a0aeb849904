"""Moments of all training rows, of a share of them, or of as many as validation needs."""

from collections.abc import Callable

from aligners.spectral.moments import Moments
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch


class Growth:
    """Whether moments of more items still improve the first solution: judged at 1/16, 1/8, 1/4 and 1/2 of them.

    They are enough where twice the items are not better on validation by more than a standard error.
    """

    def __init__(self) -> None:
        self.enough = False
        self._marks = [1 / 16, 1 / 8, 1 / 4, 1 / 2]
        self._last: Trial | None = None

    def due(self, share: float) -> bool:
        """Whether a trial is due now that ``share`` of the items is added."""
        passed = [mark for mark in self._marks if share >= mark]
        self._marks = [mark for mark in self._marks if share < mark]
        return bool(passed)

    def add(self, trial: Trial) -> None:
        """Compare with the trial before."""
        self.enough = self._last is not None and not trial.beats(self._last)
        self._last = trial


class SampledMoments:
    """``moments`` of those batches of a pass that are within the sample; the first always is.

    ``sample`` is a share of the ``batches``, which are as many in every process, or ``enough``: no more are added
    once ``trial``, the first solution from a copy of the moments on validation, does not improve (see ``Growth``).
    """

    def __init__(self, moments: Moments, sample: float | str, batches: int, trial: Callable[[Moments], Trial]):
        self.moments = moments
        self._sample, self._batches, self._trial = sample, batches, trial
        self._growth = Growth()
        self._number = 0

    @property
    def wants_next(self) -> bool:
        """Whether the next batch is within the sample."""
        if isinstance(self._sample, str):
            return not self._growth.enough
        return self._number == 0 or self._share <= self._sample

    @property
    def _share(self) -> float:
        return (self._number + 1) / self._batches

    def add(self, rows: PairBatch | None) -> None:
        """The mapped rows of the next batch, or None for one that is not wanted."""
        if rows is not None:
            self.moments.add(rows)
            if self._sample == "enough" and self._growth.due(self._share):
                self._growth.add(self._trial(self.moments.copy()))
        self._number += 1
