"""The pass that a run keeps: the best one on validation, or the last."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from ground.errors import UserError, nearest

LOWER = ("median_rank",)
"""Metrics whose lowest value is the best."""

SETTINGS = ("linear_probe/strength",)
"""What stands among the metrics and is none."""


class Keeping:
    """Offered the metrics and the weights of every pass, it holds on to those of the best (the earliest of equals).

    Args:
        keep: ``best``, or ``last``, which holds on to none.
        select: the metric that says which pass is the best.

    Attributes:
        number: of the pass that is held, or None.

    Example:
        >>> keeping = Keeping("best", "mean_recall")
        >>> for number, recall in enumerate((20.0, 40.0, 30.0)):
        ...     keeping.offer(number, {"mean_recall": recall}, {"w": torch.tensor(recall)})
        >>> keeping.number, keeping.rule, keeping.taken()
        (1, 'best on validation', {'w': tensor(40.)})
    """

    def __init__(self, keep: Literal["best", "last"], select: str):
        self.keep = keep
        self.select = select
        self.number: int | None = None
        self._value = -torch.inf
        self._chosen_by = select
        self._weights: dict[str, Tensor] | None = None

    def begin(self) -> None:
        """Before a fit, or before one goes on.

        Raises:
            UserError: what is held was the best by another metric.
        """
        if self.keep == "best" and self._chosen_by != self.select:
            raise UserError(
                f"the checkpoint was made with evaluation.select={self._chosen_by}, this run has {self.select}: "
                "values of two metrics cannot be compared"
            )

    def refuse_setting(self) -> None:
        """Refuse a metric that says what was chosen, and not how good a pass is.

        Raises:
            UserError: naming it.
        """
        if self.select.endswith(SETTINGS):
            raise UserError(f"evaluation.select={self.select} is a setting that the probe chose: select by a rate")

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse a ``select`` that is none of the metrics ``names``.

        Raises:
            UserError: with the nearest of them.
        """
        known = [name for name in names if not name.endswith(SETTINGS)]
        if self.select not in known:
            raise UserError(f"evaluation.select: no validation metric '{self.select}': {nearest(self.select, known)}")

    def offer(self, number: int, metrics: dict[str, float], weights: dict[str, Tensor]) -> None:
        """A pass; its weights are copied where they are the best.

        Raises:
            UserError: there is no metric of the name ``select``.
        """
        self.refuse_unknown(metrics)
        value = metrics[self.select] * (-1 if self.select.endswith(LOWER) else 1)
        if self.keep == "best" and value > self._value:
            self.number, self._value = number, value
            self._weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def taken(self) -> dict[str, Tensor] | None:
        """The weights that are held, which are let go; None where there are none."""
        weights, self._weights = self._weights, None
        return weights

    @property
    def rule(self) -> str:
        """What ``protocol/pass`` says."""
        if self.keep == "last":
            return "last"
        return "best on validation" if self.select == "mean_recall" else f"best {self.select} on validation"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._weights, "best_value": self._value, "kept_pass": self.number, "select": self.select}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._chosen_by = state_dict.get("select", "mean_recall")
        self._weights, self.number = state_dict["best"], state_dict["kept_pass"]
        # a checkpoint of a time when mean recall alone was selected by
        self._value = state_dict["best_value"] if "best_value" in state_dict else state_dict["best_recall"]
