"""What a spectral fit has to say about itself."""

from dataclasses import asdict, dataclass, field
from typing import Any

ILL_CONDITIONED = 1e7
"""Float32 features leave no digits beyond it."""


@dataclass
class Solution:
    """The record of a fit: saved in the checkpoint, logged, plotted, and in part in ``metrics.json``.

    Attributes:
        passes: objective, step and rank-r gap after each pass; the first entry is the start.
        chosen: the settings in use, given or chosen.
        trials: each setting tried on validation, with its mean recall.
        conditions: condition numbers of the whitened covariances, ridge included, by modality.
        warnings: what a user should know, in words.
    """

    passes: list[dict[str, float]] = field(default_factory=list)
    chosen: dict[str, float] = field(default_factory=dict)
    trials: list[dict[str, float]] = field(default_factory=list)
    conditions: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, items: dict[str, int], directions: dict[str, int]) -> None:
        """Note where there is less data than directions, and where whitening is close to singular."""
        for side, n in items.items():
            if n <= directions[side]:
                self.warnings.append(
                    f"rank deficient: {n} {side} span at most {n - 1} of {directions[side]} directions, "
                    "the ridge fills the others"
                )
            if self.conditions[side] > ILL_CONDITIONED:
                self.warnings.append(
                    f"the whitening of {side} has the condition number {self.conditions[side]:.1e}: "
                    "a larger aligner.lam makes it stable"
                )

    def plain(self) -> dict[str, Any]:
        """As plain values, which a checkpoint loads with ``weights_only``."""
        return asdict(self)

    @property
    def facts(self) -> dict[str, float]:
        """For ``metrics.json``; the passes that were run are counted by the evaluation."""
        chosen = {key: value for key, value in self.chosen.items() if key != "passes"}
        return {**chosen, **{f"condition_{side}": value for side, value in self.conditions.items()}}
