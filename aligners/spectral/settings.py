"""The settings of the spectral aligner, checked, and what they stand for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from aligners.features.maps import RawFeatures
from aligners.objectives.base import Objective
from aligners.objectives.names import named_objective
from aligners.spectral import factors as spectral
from aligners.spectral.choice import Candidates
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import NEGATIVES
from aligners.spectral.step import Damping
from ground.errors import UserError, nearest


@dataclass(frozen=True)
class SpectralSettings:
    """The arguments of ``UniConSpectral``, whose meaning stands in ``configs/aligner/unicon.yaml``.

    Raises:
        UserError: an argument out of its range.
    """

    rank: int
    feature_map: str
    kernel: str
    bandwidth: float | list[float]
    landmarks: int
    landmark_selection: str
    landmark_ridge: float
    whiten: bool
    lam: float | list[float]
    svd: str
    objective: str
    objective_options: dict[str, Any]
    tau: float | list[float]
    negatives: str
    eta: float
    safeguard: bool
    passes: int | list[int]
    tolerance: float
    max_halvings: int
    weight_power: float | list[float]
    choice_items: int
    sample: float | str
    covariance_rows: int
    block_size: int
    memory_mb: int
    shared: bool  # what the argument and the data come to

    def __post_init__(self) -> None:
        for name, choice, known in (("negatives", self.negatives, NEGATIVES), ("svd", self.svd, spectral.SVD)):
            if choice not in known:
                raise UserError(f"unknown aligner.{name} '{choice}': {nearest(choice, known)}")
        for name, values in self.candidates._asdict().items():
            if not values:
                raise UserError(f"aligner.{name} is an empty list: give a value, or some to choose from")
        for passes in self.candidates.passes:
            if not (isinstance(passes, int) and passes >= 0):
                raise UserError(f"aligner.passes must be at least 0, got {passes}")
        for lam in self.candidates.lam:
            if self.whiten and not lam >= 0:
                raise UserError(f"aligner.lam must be at least 0, got {lam}")
        if not (self.sample == "enough" if isinstance(self.sample, str) else 0 < self.sample <= 1):
            raise UserError(f"aligner.sample must be a share in (0, 1] or 'enough', got {self.sample}")
        if not 0 < self.eta <= 1:
            raise UserError(f"aligner.eta must be in (0, 1], got {self.eta}")
        for bandwidth in self.bandwidths:
            self.features(1, 1, bandwidth)
        for tau in self.candidates.tau:
            self.objective_at(tau)

    @property
    def candidates(self) -> Candidates:
        """What is given, or chosen from by trial solutions."""
        return Candidates(*map(_as_tuple, (self.lam, self.tau, self.weight_power, self.passes)))

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """What is given, or chosen from before the others: each is a feature map of its own."""
        return _as_tuple(self.bandwidth)

    @property
    def chooses(self) -> bool:
        """Whether settings are left to the validation split."""
        return self.candidates.open or len(self.bandwidths) > 1 or self.sample == "enough"

    @property
    def damping(self) -> Damping:
        return Damping(self.eta, self.safeguard, self.max_halvings, self.tolerance)

    @property
    def factorise(self) -> Callable[[Tensor, int], Factors]:
        """The truncated factorisation of the cross-covariance."""
        return (spectral.POSITIVE_PART if self.shared else spectral.SVD)[self.svd]

    def features(self, d_x: int, d_y: int, bandwidth: float) -> RawFeatures:
        """The feature maps, to be fitted."""
        return RawFeatures(
            self.feature_map, d_x, d_y, self.shared,
            kernel=self.kernel, bandwidth=bandwidth, landmarks=self.landmarks,
            landmark_selection=self.landmark_selection, landmark_ridge=self.landmark_ridge,
        )  # fmt: skip

    def objective_at(self, tau: float) -> Objective:
        return named_objective(self.objective, tau, **self.objective_options)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """A fixed value is the only candidate; a list are those that validation chooses from."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
