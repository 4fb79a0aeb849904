"""What a spectral fit has to say about itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

ILL_CONDITIONED = 1e7
"""Float32 features leave no digits beyond it."""


@dataclass(frozen=True)
class Record:
    """The record of a fit: saved in the checkpoint, logged, plotted, and in part in ``metrics.json``.

    Attributes:
        passes: objective, step, rank-r gap, norm and angles (see ``aligners.spectral.movement``) after each pass; the
            first entry is the start. The last has the norm of the objective's exact gradient as well.
        chosen: the settings in use, given or chosen.
        trials: each setting tried on validation, with its mean recall.
        conditions: condition numbers of the whitened covariances, ridge included, by modality.
        warnings: what a user should know, in words.

    Example:
        >>> record = Record().after({"objective": 0.5}).after({"objective": 0.4})
        >>> [passed["objective"] for passed in record.passes]
        [0.5, 0.4]
        >>> record.whitened({"x": 1e9}, {"x": 100}, {"x": 8}).warnings
        ['the whitening of x has the condition number 1.0e+09: a larger aligner.lam makes it stable']
    """

    passes: list[dict[str, float]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    conditions: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def after(self, passed: dict[str, float]) -> "Record":
        """The record with what one more pass reports."""
        return replace(self, passes=[*self.passes, passed])

    def tried(self, trials: list[dict[str, Any]], chosen: Mapping[str, Any]) -> "Record":
        """The record with further trials, and the settings that were chosen."""
        return replace(self, trials=self.trials + trials, chosen={**self.chosen, **chosen})

    def warned(self, lines: list[str]) -> "Record":
        """The record with further warnings."""
        return replace(self, warnings=self.warnings + lines)

    def whitened(
        self, conditions: dict[str, float], items: Mapping[str, int], directions: Mapping[str, int]
    ) -> "Record":
        """The record with condition numbers, and warnings of fewer items than directions or an unstable whitening."""
        warnings = []
        for side, n in items.items():
            if n <= directions[side]:
                warnings.append(
                    f"rank deficient: {n} {side} span at most {n - 1} of {directions[side]} directions, "
                    "the ridge fills the others"
                )
            if conditions[side] > ILL_CONDITIONED:
                warnings.append(
                    f"the whitening of {side} has the condition number {conditions[side]:.1e}: "
                    "a larger aligner.lam makes it stable"
                )
        return replace(self, conditions=conditions, warnings=self.warnings + warnings)

    def plain(self) -> dict[str, Any]:
        """Plain values, which a checkpoint loads with ``weights_only``."""
        return asdict(self)

    @property
    def facts(self) -> dict[str, float]:
        """Numbers for ``metrics.json``; passes are counted by the evaluation, names are no numbers."""
        chosen = {k: value for k, value in self.chosen.items() if k != "passes" and not isinstance(value, str)}
        ends = {key: value for key, value in self.passes[-1].items() if key == "gradient_norm"} if self.passes else {}
        return {**chosen, **ends, **{f"condition_{side}": value for side, value in self.conditions.items()}}
