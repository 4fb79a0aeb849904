"""What a spectral fit is given: the splits seen through feature maps, and solutions from their moments."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aligners.features.maps import RawFeatures
from aligners.spectral.coordinates import Coordinates, Statistics, statistics, uniform_solution
from aligners.spectral.factors import Factors
from aligners.spectral.moments import Moments
from aligners.spectral.rows import ItemSample
from aligners.spectral.settings import KernelMap, SpectralSettings
from aligners.spectral.smoothness import nearest, roughness
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.distributed import add_over_processes
from ground.errors import UserError

LEAST_RIDGES = 1e-5
"""A ridge of the whitening times that of the landmarks below it needs products of kernel rows in float64: what both
leave is divided by, and float32's rounding of the products is some 1e-7 of the largest variance."""

SAMPLES = 2
"""How many samples of redrawn items passes contrast in turn: each of them is kept in memory."""


def raw_features(settings: SpectralSettings, d_x: int, d_y: int, feature_map: str, of: KernelMap) -> RawFeatures:
    """The feature maps of a kind, to be fitted; kernel maps are made as ``of`` says.

    Raises:
        UserError: a kernel that has no such map, or a number out of its range.
    """
    return RawFeatures(
        feature_map, d_x, d_y, settings.shared, settings.centre,
        **of._asdict(), landmark_selection=settings.landmark_selection, landmark_ridge=settings.landmark_ridge,
    )  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The training and validation splits seen through feature maps.

    ``prepare_x`` and ``prepare_y`` centre (and scale) features on ``device``, as the aligner does before it embeds.
    ``shows``: long work has a progress bar.

    Example:
        >>> from aligners import UniConSpectral
        >>> from datamodules.pairs import pairs_of_tensors
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> pairs, settings = pairs_of_tensors(x, x[:, :6]), UniConSpectral(rank=4, feature_map="identity").settings
        >>> features = raw_features(settings, *pairs.dims, "identity", settings.kernel_maps[0])
        >>> training = Training(settings, features, pairs, None, torch.clone, torch.clone, torch.device("cpu"), False)
        >>> training.mapped(pairs[torch.arange(5)]).y.shape
        torch.Size([5, 6])
    """

    settings: SpectralSettings
    features: RawFeatures
    train: Pairs
    validation: Pairs | None
    prepare_x: Callable[[Tensor], Tensor]
    prepare_y: Callable[[Tensor], Tensor]
    device: torch.device
    shows: bool

    def mapped(self, batch: PairBatch) -> PairBatch:
        """The raw feature rows (b, m_x), (c, m_y) of a batch, before any whitening, on the device."""
        return batch._replace(
            x=self.features.x(self.prepare_x(batch.x)),
            y=self.features.y(self.prepare_y(batch.y)),
        )

    def samples(self) -> list[ItemSample]:
        """The training items that are contrasted, the same in every process: by all passes, or by every other one."""
        items, train = self.settings.contrasted, self.train
        if items is None or not self.settings.contrast_redraw or items >= train.n_x:
            return [ItemSample(train, items)]
        passes = max(1, *self.settings.candidates.passes)
        made = [ItemSample(train, items, start) for start in range(0, train.n_x, items)[: min(SAMPLES, passes)]]
        return [sample for sample in made if sample.n_x]  # a group may be larger than a sample

    def validation_rows(self) -> PairBatch:
        """The raw rows of the whole validation split, in every process.

        Raises:
            UserError: no validation split.
        """
        if self.validation is None:
            raise UserError("settings that are lists are chosen on a validation split, and the data has none")
        return self._mapped_at_once(self.validation[torch.arange(self.validation.n_x)])

    def sampled_rows(self) -> PairBatch:
        """The raw rows of the items that the first pass contrasts, in every process."""
        return self._mapped_at_once(self.samples()[0].rows())

    def _mapped_at_once(self, batch: PairBatch) -> PairBatch:
        return self.mapped(self._on_device(batch))

    def _on_device(self, batch: PairBatch) -> PairBatch:
        return PairBatch(*(part.to(self.device) for part in batch))

    def moments(self, n_x: int, n_y: int, square_rows: int | None = None, block: int | None = None) -> Moments:
        """Empty moments of n_x and n_y rows of these features, multiplied by ``block`` batches at once."""
        exact = self.features.has_metric and not self._ridges_carried_by_float32
        return Moments(*self.features.dims, n_x, n_y, self.device, square_rows, block, exact=exact)

    @property
    def _ridges_carried_by_float32(self) -> bool:
        """Whether products of float32 kernel rows may be float32."""
        settings = self.settings
        return min(settings.candidates.lam) * settings.landmark_ridge >= LEAST_RIDGES

    def statistics(self, moments: Moments) -> Statistics:
        """What the moments of all processes, added in place, come to.

        Raises:
            UserError: features that do not vary.
        """
        add_over_processes(*moments.tensors())
        settings, metrics = self.settings, self.features.metrics
        # what is made of the rows is float32 where their metric is too: a flat kernel needs more of the ridge
        single = self._ridges_carried_by_float32 and all(
            metric is not None and metric.matrix.dtype == torch.float32 for metric in metrics
        )
        dtype = torch.float32 if single else torch.float64
        return statistics(moments, *metrics, shared=settings.shared, centre=settings.centre, dtype=dtype)

    def roughness(self) -> tuple[Tensor, Tensor]:
        """How much the raw features of either modality differ between neighbours, of the first contrasted items."""
        batch = self._on_device(self.samples()[0].rows())
        prepared, raw = (self.prepare_x(batch.x), self.prepare_y(batch.y)), self.mapped(batch)
        x, y = (roughness(rows, nearest(of)) for rows, of in zip(raw[:2], prepared, strict=True))
        return ((x + y) / 2,) * 2 if self.settings.shared else (x, y)

    def smoothed(
        self, statistics: Statistics, laplacian: float, roughness: tuple[Tensor, Tensor] | None = None
    ) -> Statistics:
        """Statistics with so much of the ``roughness``, or as they are with none of it."""
        return statistics.smoothed(laplacian, roughness or self.roughness()) if laplacian else statistics

    def coordinates(self, statistics: Statistics, lam: float) -> Coordinates:
        """Coordinates whitened with the ridge ``lam``, if the settings whiten.

        Raises:
            UserError: a covariance that is singular at ``lam``.
        """
        return statistics.coordinates(lam if self.settings.whiten else None)

    def solved(self, statistics: Statistics, lam: float) -> tuple[Coordinates, Factors]:
        """Coordinates and the solution for the uniform weights at a ridge, with the directions of the span beside it.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        coordinates, settings = self.coordinates(statistics, lam), self.settings
        W_x, W_y = coordinates.W_x, coordinates.W_y
        most = settings.span_directions or settings.rank
        return coordinates, uniform_solution(statistics.cross, W_x, W_y, settings.rank, settings.factorise, most)
