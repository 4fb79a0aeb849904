"""The settings of the spectral aligner, checked, and what they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, NamedTuple

from aligners.features.landmarks import LandmarkNumber
from aligners.objectives.base import Objective
from aligners.objectives.names import named_objective
from aligners.objectives.whole import WholeObjective
from aligners.spectral.factors import POSITIVE_PART, SVD, Factorise
from aligners.spectral.step import Damping, Rule
from ground.errors import UserError
from ground.ranges import one_of

STEPS = ("tangent", "full")
"""Where a pass goes: along the tangent of the rank-r matrices at Z, or towards the best rank r of the whole C."""


StepName = Annotated[str, one_of(STEPS)]


class Chosen(NamedTuple):
    """One setting."""

    lam: float
    tau: float
    weight_power: float
    passes: int
    step: str
    laplacian: float = 0.0


class KernelMap(NamedTuple):
    """What a kernel map is made of."""

    kernel: str
    landmarks: LandmarkNumber
    bandwidth: float


class Candidates(NamedTuple):
    """What may be chosen, the default first: another is taken only where validation shows it to be better."""

    lam: Sequence[float]
    tau: Sequence[float]
    weight_power: Sequence[float]
    passes: Sequence[int]
    step: Sequence[str]
    laplacian: Sequence[float] = (0.0,)

    @property
    def first(self) -> Chosen:
        """The defaults."""
        return Chosen(self.lam[0], self.tau[0], self.weight_power[0], self.passes[0], self.step[0], self.laplacian[0])

    @property
    def open_names(self) -> list[str]:
        """What there is to choose."""
        return [name for name, values in self._asdict().items() if len(values) > 1]

    @property
    def first_open(self) -> bool:
        """Whether first solutions are tried."""
        return self.first_trials > 1

    @property
    def first_trials(self) -> int:
        """How many first solutions are tried on validation, of each feature map."""
        return len(self.lam) * len(self.weight_power) * len(self.laplacian)

    @property
    def passes_trials(self) -> int:
        """How many solutions are tried at most where passes are."""
        return len(self.tau) * len(self.step) * len(set(self.passes) - {0}) + (0 in self.passes)

    @property
    def passes_open(self) -> bool:
        """Whether passes are tried."""
        return max(self.passes) > 0 and len(self.tau) + len(self.step) + len(self.passes) > 3

    @property
    def open(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.open_names)


@dataclass(frozen=True)
class SpectralSettings:
    """The arguments of ``UniConSpectral``, whose meaning stands in ``configs/aligner/unicon.yaml``.

    Raises:
        UserError: an unknown objective, or options that it does not know.

    Example:
        >>> from aligners import UniConSpectral
        >>> settings = UniConSpectral(tau=[0.1, 0.05], lam=1.0, passes=4, weight_power=1.0).settings
        >>> settings.chooses, settings.candidates.open_names, settings.kernel_maps[0].bandwidth
        (True, ['tau'], 1.0)
    """

    rank: int
    feature_map: str | list[str]
    kernel: str | list[str]
    bandwidth: float | list[float]
    landmarks: LandmarkNumber | list[LandmarkNumber]
    landmark_selection: str
    landmark_ridge: float
    whiten: bool
    lam: float | list[float]
    laplacian: float | list[float]
    svd: str
    subspace: int | str
    objective: str
    objective_options: dict[str, Any]
    tau: float | list[float]
    step: str | list[str]
    negatives: str
    eta: float
    safeguard: bool
    passes: int | list[int]
    tolerance: float
    max_halvings: int
    weight_power: float | list[float]
    contrast_items: int | str
    contrast_redraw: bool
    sample: float | str
    covariance_rows: int
    block_size: int
    memory_mb: int
    centre: bool
    shared: bool  # what the argument and the data come to

    def __post_init__(self) -> None:
        if any(self.candidates.laplacian) and not self.whiten:
            raise UserError(f"aligner.laplacian={self.laplacian} is of the whitening, and there is none: take 0")
        objective = self.objective_at(self.candidates.first.tau)  # mistakes in its options show at once
        if objective.has_rows or (isinstance(objective, WholeObjective) and objective.streamed):
            return
        if self.negatives != "batch":
            raise UserError(
                f"objective '{self.objective}' is no sum over rows, which a sweep over all pairs needs: "
                "take aligner.negatives=batch, or a gradient aligner"
            )
        if self.candidates.passes_open:
            raise UserError(
                f"objective '{self.objective}' is no sum over rows, and trial passes sweep all pairs of a sample: "
                "give one aligner.tau, one aligner.step and one aligner.passes"
            )

    @property
    def candidates(self) -> Candidates:
        """What is given, or chosen from by trial solutions."""
        given = self.lam, self.tau, self.weight_power, self.passes, self.step, self.laplacian
        return Candidates(*map(_as_tuple, given))

    @property
    def feature_maps(self) -> tuple[str, ...]:
        """What is given, or chosen from by the first solutions of each."""
        return _as_tuple(self.feature_map)

    @property
    def kernel_maps(self) -> tuple[KernelMap, ...]:
        """What is given, or chosen from before the others: each is a feature map of its own."""
        listed = map(_as_tuple, (self.kernel, self.landmarks, self.bandwidth))
        return tuple(KernelMap(*each) for each in product(*listed))

    def told_of(self, kernel_map: KernelMap) -> dict[str, Any]:
        """What of a kernel map there is to choose."""
        listed = (self.kernel, self.landmarks, self.bandwidth)
        every = zip(kernel_map._asdict().items(), listed, strict=True)
        return {name: value for (name, value), values in every if len(_as_tuple(values)) > 1}

    @property
    def chooses(self) -> bool:
        """Whether settings are left to the validation split."""
        several = len(self.kernel_maps) > 1 or len(self.feature_maps) > 1
        return self.candidates.open or several or self.sample == "enough"

    @property
    def contrasted(self) -> int | None:
        """How many x passes contrast at most; None for all, as within batches."""
        return None if self.negatives == "batch" or isinstance(self.contrast_items, str) else self.contrast_items

    @property
    def damping(self) -> Damping:
        """How far a pass moves."""
        return Damping(self.eta, self.safeguard, self.max_halvings, self.tolerance)

    @property
    def factorise(self) -> Factorise:
        """The truncated factorisation of the cross-covariance."""
        return (POSITIVE_PART if self.shared else SVD)[self.svd]

    @property
    def span_directions(self) -> int | None:
        """Directions of the span that passes move in; None where they move in all."""
        return None if isinstance(self.subspace, str) else self.subspace * self.rank

    def rule(self, at: Chosen) -> Rule:
        """What every pass does, at one setting."""
        exact = self.svd == "exact"
        return Rule(self.objective_at(at.tau), at.weight_power, self.damping, self.block_size, at.step, exact)

    def objective_at(self, tau: float) -> Objective:
        """The objective at a temperature."""
        return named_objective(self.objective, tau, **self.objective_options)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """A fixed value is the only candidate; a list are those that validation chooses from."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
