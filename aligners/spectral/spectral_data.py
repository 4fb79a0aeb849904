"""What a spectral fit works on: raw feature rows of both splits, their moments, and first solutions from these."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aligners.features.maps import RawFeatures
from aligners.spectral.choice import Problem, Trial, first_solution
from aligners.spectral.coordinates import Coordinates, Statistics, statistics
from aligners.spectral.factors import Factors, uniform_solution
from aligners.spectral.moments import Moments
from aligners.spectral.rows import Rows
from aligners.spectral.settings import SpectralSettings
from aligners.spectral.training_rows import drawn
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.distributed import add_over_processes
from ground.errors import UserError


@dataclass(frozen=True)
class SpectralData:
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

    def raw(self, batch: PairBatch) -> Rows:
        """The raw feature rows of a batch on the device."""
        return Rows(self.features.x(self.prepare_x(batch.x)), self.features.y(self.prepare_y(batch.y)), *batch[2:])

    def sample(self) -> Rows:
        """The training rows that choices are tried on, the same in every process."""
        return drawn(self.train, self.settings.choice_items, self.raw, self.device)

    def moments(self, n_x: int, n_y: int, square_rows: int | None = None) -> Moments:
        """Empty, for rows of these features."""
        return Moments(*self.features.dims, n_x, n_y, self.device, square_rows)

    def statistics(self, moments: Moments) -> Statistics:
        """Of the moments of all processes, which are added in place."""
        add_over_processes(*moments.tensors())
        return statistics(moments, *self.features.metric_factors, self.settings.shared)

    def coordinates(self, found: Statistics, lam: float) -> Coordinates:
        """Whitened with the ridge ``lam``, if the settings whiten."""
        return found.coordinates(lam if self.settings.whiten else None)

    def solved(self, found: Statistics, lam: float) -> tuple[Coordinates, Factors]:
        """Coordinates and the solution for the uniform weights at a ridge.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        frame = self.coordinates(found, lam)
        settings = self.settings
        return frame, uniform_solution(found.cross, frame.W_x, frame.W_y, settings.rank, settings.factorise)

    def problem(self, found: Statistics) -> Problem:
        """What settings are chosen from.

        Raises:
            UserError: no validation split.
        """
        if self.validation is None:
            raise UserError("settings that are lists are chosen on a validation split, and the data has none")
        return Problem(
            start=lambda lam: self.solved(found, lam),
            objective=self.settings.objective_at,
            rows=self.sample,
            validation=drawn(self.validation, self.validation.n_x, self.raw, self.device),
            damping=self.settings.damping,
            block_size=self.settings.block_size,
        )

    def trial(self, moments: Moments) -> Trial:
        """The first solution from these moments at the first of all candidates, on validation."""
        return first_solution(self.problem(self.statistics(moments)), self.settings.candidates.first)
