"""OfCosines: heads trained on an objective that the spectral solver knows too."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners.base.trained import TrainedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.base import Objective
from aligners.objectives.names import chosen_objective
from datamodules.pairs.pairs import PairBatch
from ground.ranges import Positive


@defaults_from("base/of_cosines")
class OfCosines(TrainedAligner):
    r"""Heads trained on any objective of the cosines, :math:`L(\cos(f(x), g(y)) / \tau; P)`.

    ``objective`` and ``objective_options`` are as under the spectral solver, and the same objectives run. ``tau`` is
    the temperature at the start, ``tau_min`` its lower bound (CLIP: 0.01), ``learn_tau`` whether it moves; an
    objective without a temperature reads none of them. Options that the objective says are learned are parameters of
    their name, and move from the values given.

    Raises:
        UserError: what ``TrainedAligner`` and ``chosen_objective`` refuse, or a temperature that is not positive.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = OfCosines(rank=4, objective="dcl", learn_tau=False).fit(x, x.flip(1), max_epochs=2)
        >>> type(aligner.fitted_objective).__name__, round(aligner.fitted_objective.tau, 2)
        ('DCL', 0.07)
    """

    log_scale: nn.Parameter

    def __init__(
        self,
        *,
        objective: str,
        objective_options: dict[str, Any],
        tau: Positive,
        learn_tau: bool,
        tau_min: Positive,
        **common: Any,
    ):
        super().__init__(**common)
        self.objective = chosen_objective(objective, objective_options)
        self.tau_min = tau_min
        if self.objective.has_tau:
            self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)), requires_grad=learn_tau)
        for name in self.objective.kind.learned:
            self.register_parameter(name, nn.Parameter(torch.tensor(float(self.objective.options[name]))))

    @property
    def scale(self) -> Tensor:
        """1 / tau, a scalar."""
        return self.log_scale.clamp(max=-math.log(self.tau_min)).exp()

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        return self.loss_of_cosines(normalize(x) @ normalize(y).T, batch.positives)

    def loss_of_cosines(self, cosines: Tensor, positives: Tensor) -> Tensor:
        """The objective of cosines and positives (n_x, n_y) at the temperature and options as they are learned."""
        objective = self.objective.at(1.0, **{name: getattr(self, name) for name in self.objective.kind.learned})
        if self.objective.has_tau:
            return objective.of_cosines(cosines, positives, self.scale)
        return objective(cosines, positives)

    @property
    def fitted_objective(self) -> Objective:
        learned = {name: float(getattr(self, name).detach()) for name in self.objective.kind.learned}
        return self.objective.at(1 / float(self.scale.detach()) if self.objective.has_tau else 1.0, **learned)
