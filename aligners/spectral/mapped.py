"""What the first pass collects of one kind of feature map."""

from collections.abc import Sequence

from aligners.spectral.choice import Validation
from aligners.spectral.contrasted_rows import ContrastedRows
from aligners.spectral.coordinates import Statistics
from aligners.spectral.moments import Moments
from aligners.spectral.record import Record
from aligners.spectral.rows import ItemSample
from aligners.spectral.sampling import SampledMoments
from aligners.spectral.training import Training
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import PairBatch
from datamodules.pairs.stream import Stream


class Mapped:
    """One kind of feature map: moments of its rows, and those of the contrasted items.

    ``record`` holds how it was fitted.
    """

    def __init__(self, training: Training, record: Record, stream: Stream, samples: Sequence[ItemSample]):
        settings, train = training.settings, training.train
        self.training, self.record = training, record
        moments = training.moments(train.n_x, train.n_y, settings.covariance_rows, stream.sampler.whole_runs)
        self.sampled = SampledMoments(
            moments, settings.sample, len(stream), lambda moments: first_trial(training, moments)
        )
        memory_mb = settings.memory_mb / len(samples)
        self.contrasted = [ContrastedRows(training, stream, sample, memory_mb) for sample in samples]

    def add(self, batch: PairBatch) -> None:
        """The next batch of features."""
        rows = self.training.mapped(batch) if self.sampled.wants_next else None
        for each in self.contrasted:
            each.add(batch, rows)
        self.sampled.add(rows)

    def trial(self) -> Trial:
        """The first solution from what is added so far."""
        return first_trial(self.training, self.sampled.moments.copy())

    def statistics(self) -> Statistics:
        """Once; the sums, (m, m) matrices, are let go."""
        found = self.training.statistics(self.sampled.moments)
        del self.sampled
        return found


def first_trial(training: Training, moments: Moments) -> Trial:
    """The first solution from these moments at the first of all candidates, tried on validation.

    Raises:
        UserError: no validation split, or what ``Training.solved`` refuses.
    """
    first = training.settings.candidates.first
    coordinates, directions = training.solved(
        training.smoothed(training.statistics(moments), first.laplacian), first.lam
    )
    projector = coordinates.embedding(directions.leading(training.settings.rank), first.weight_power)
    return Validation(training.validation_rows()).trial(first._replace(passes=0), projector)
