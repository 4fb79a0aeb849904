"""What a spectral fit is given: the splits seen through feature maps, and solutions from their moments."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aligners.features.maps import RawFeatures
from aligners.spectral.choice import Trial, Trials
from aligners.spectral.coordinates import Coordinates, Statistics, statistics
from aligners.spectral.factors import Factors, uniform_solution
from aligners.spectral.moments import Moments
from aligners.spectral.record import Record
from aligners.spectral.rows import drawn
from aligners.spectral.settings import SpectralSettings
from datamodules.pairs import PairBatch, Pairs
from ground.distributed import add_over_processes, rank_and_world
from ground.errors import UserError


@dataclass(frozen=True)
class Training:
    """The training and validation splits seen through feature maps.

    ``prepare_x`` and ``prepare_y`` centre (and scale) features on ``device``, as the aligner does before it embeds.
    """

    settings: SpectralSettings
    features: RawFeatures
    train: Pairs
    validation: Pairs | None
    prepare_x: Callable[[Tensor], Tensor]
    prepare_y: Callable[[Tensor], Tensor]
    device: torch.device

    def mapped(self, batch: PairBatch) -> PairBatch:
        """The raw feature rows of a batch on the device."""
        return batch._replace(
            x=self.features.x(self.prepare_x(batch.x)),
            y=self.features.y(self.prepare_y(batch.y)),
        )

    def sample(self) -> PairBatch:
        """The training rows that choices are tried on, the same in every process."""
        return drawn(self.train, self.settings.choice_items, self.mapped, self.device)

    def moments(self, n_x: int, n_y: int, square_rows: int | None = None, block: int | None = None) -> Moments:
        """Empty, for rows of these features, multiplied by ``block`` batches at once."""
        return Moments(*self.features.dims, n_x, n_y, self.device, square_rows, block)

    def statistics(self, moments: Moments) -> Statistics:
        """What the moments of all processes, added in place, come to."""
        add_over_processes(*moments.tensors())
        return statistics(moments, *self.features.metric_factors, self.settings.shared)

    def coordinates(self, statistics: Statistics, lam: float) -> Coordinates:
        """Whitened with the ridge ``lam``, if the settings whiten."""
        return statistics.coordinates(lam if self.settings.whiten else None)

    def solved(self, statistics: Statistics, lam: float) -> tuple[Coordinates, Factors]:
        """Coordinates and the solution for the uniform weights at a ridge.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        coordinates, settings = self.coordinates(statistics, lam), self.settings
        W_x, W_y = coordinates.W_x, coordinates.W_y
        return coordinates, uniform_solution(statistics.cross, W_x, W_y, settings.rank, settings.factorise)

    def trials(self, statistics: Statistics) -> Trials:
        """What settings are chosen from.

        Raises:
            UserError: no validation split.
        """
        if self.validation is None:
            raise UserError("settings that are lists are chosen on a validation split, and the data has none")
        return Trials(
            start=lambda lam: self.solved(statistics, lam),
            rule=self.settings.rule,
            rows=self.sample,
            validation=drawn(self.validation, self.validation.n_x, self.mapped, self.device),
        )

    def trial(self, moments: Moments) -> Trial:
        """The first solution from these moments at the first of all candidates, on validation."""
        return self.trials(self.statistics(moments)).first(self.settings.candidates.first)


def fitted(training: Training) -> tuple[Training, Record]:
    """``training`` with its feature maps fitted on training rows, the same in every process.

    Where there are several bandwidths, the trials and the one in use are noted in the record.
    """
    settings, train, size = training.settings, training.train, training.features.sample_size
    generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
    # drawn by index from the whole split: the same landmarks for any number of processes
    x, y = (
        rows[torch.randperm(int(rows.shape[0]), generator=generator)[:size]].to(training.device)
        for rows in (train.x, train.y)
    )
    x, y, state = training.prepare_x(x), training.prepare_y(y), generator.get_state()
    tried: list[tuple[float, Trial, RawFeatures]] = []
    best = 0
    for bandwidth in settings.bandwidths:
        generator.set_state(state)
        features = settings.features(*train.dims, bandwidth).to(training.device)
        features.fit(x, y, generator)
        if len(settings.bandwidths) == 1:
            return replace(training, features=features), Record()
        tried.append((bandwidth, _sample_trial(replace(training, features=features)), features))
        if tried[-1][1].beats(tried[best][1]):
            best = len(tried) - 1
    bandwidth, _, features = tried[best]
    trials = [{"bandwidth": bandwidth, "recall": trial.recall} for bandwidth, trial, _ in tried]
    return replace(training, features=features), Record().tried(trials, {"bandwidth": bandwidth})


def _sample_trial(training: Training) -> Trial:
    """The first solution from a sample of training rows."""
    rows = training.sample()
    moments = training.moments(len(rows.x), len(rows.y))
    if rank_and_world()[0] == 0:  # every process has the sample
        moments.add(rows)
    return training.trial(moments)
