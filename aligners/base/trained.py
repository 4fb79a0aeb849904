"""TrainedAligner: two heads on frozen features, trained by any torch optimizer on a loss of the embeddings."""

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from aligners.base.warm_start import check_warm_start, set_head, spectral_solution
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.base import Objective
from aligners.objectives.names import chosen_objective
from datamodules.pairs.pairs import PairBatch
from ground.distributed import concatenate
from ground.errors import UserError
from ground.ranges import Count, Positive

TOTAL_STEPS = "total_steps"
"""Value of a scheduler's argument that stands for the run's number of optimizer steps."""


def head(kind: Literal["linear", "mlp"], d: int, hidden: int, rank: int, bias: bool) -> nn.Module:
    """``linear``: one matrix, ``bias`` or not; ``mlp``: one hidden layer of ``hidden`` GELU units. (n, d) to (n, r)."""
    if kind == "linear":
        return nn.Linear(d, rank, bias=bias)
    return nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, rank))


class TrainedAligner(Aligner):
    """Heads on both modalities, and a loss of a batch's embeddings, joined over all processes.

    A method is its ``loss``; what else it trains it registers in its constructor, or in ``build`` where that depends
    on the features' dimensions. ``optimizer`` and ``scheduler`` are Hydra configs (``_target_`` and arguments); the
    scheduler steps with the optimizer, ``null`` for none. Weight decay leaves one-dimensional parameters and scalars
    alone. ``warm_start`` names the solution that linear heads start from, None for torch's initialisation.

    Raises:
        UserError: an unknown head or warm start, or a warm start of heads that are not linear.

    Example:
        >>> @defaults_from("base/trained")
        ... class Distance(TrainedAligner):
        ...     def __init__(self, **common):
        ...         super().__init__(**common)
        ...
        ...     def loss(self, x, y, batch):
        ...         return torch.cdist(normalize(x), normalize(y))[batch.positives].mean()
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> Distance(rank=4).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(
        self,
        rank: Count,
        unit: bool,
        shared: bool | None,
        head: Literal["linear", "mlp"],
        hidden: Count,
        optimizer: dict[str, Any],
        scheduler: dict[str, Any] | None,
        warm_start: Literal["unicon"] | None,
    ):
        super().__init__(rank, unit, shared)
        if warm_start is not None:
            check_warm_start(warm_start, head)
        self.head_kind = head
        self.hidden = hidden
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.warm_start = warm_start

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        """The loss, a scalar.

        Args:
            x: embeddings (b, r) of the batch's x, in their own scale, with a gradient.
            y: embeddings (c, r) of its y.
            batch: what was embedded: prepared features, groups and indices of all processes.
        """

    def build(self, d_x: int, d_y: int) -> None:
        bias = self.warm_start is not None  # centred features need none, a solution has an offset
        self.head_x = head(self.head_kind, d_x, self.hidden, self.rank, bias)
        self.head_y = self.head_x if self.shared else head(self.head_kind, d_y, self.hidden, self.rank, bias)

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.warm_start is not None and self.current_epoch == 0:  # a resumed fit has its heads
            solved = spectral_solution(self)
            for linear, mean, projection, offset in (
                (self.head_x, self.mean_x, solved.P_x, solved.offset_x),
                (self.head_y, self.mean_y, solved.P_y, solved.offset_y),
            ):
                assert isinstance(linear, nn.Linear)
                set_head(linear, projection, offset, self._scale(len(mean)))

    def embed_x(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.head_x(self.scaled(x))
        return embedding

    def embed_y(self, y: Tensor) -> Tensor:
        embedding: Tensor = self.head_y(self.scaled(y))
        return embedding

    def scaled(self, rows: Tensor) -> Tensor:
        """Prepared features (n, d) in float32 and, of unit length, with entries of size 1."""
        return rows.float() * self._scale(rows.shape[1])

    def _scale(self, d: int) -> float:
        # unit rows have entries of size 1/sqrt(d): bring them to size 1, which torch's initialisation expects
        return math.sqrt(d) if self.unit else 1.0

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        mine = batch._replace(x=self.prepare_x(batch.x), y=self.prepare_y(batch.y))
        x, y = concatenate(self.embed_x(mine.x)), concatenate(self.embed_y(mine.y))
        loss = self.loss(x, y, PairBatch(*(concatenate(part) for part in mine)))
        self.log("fit/objective", loss, on_step=False, on_epoch=True, batch_size=len(x), rank_zero_only=True)
        self.log("objective", loss, prog_bar=True, logger=False, rank_zero_only=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        kept = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed}] + ([{"params": kept, "weight_decay": 0.0}] if kept else [])
        optimizer = _made("optimizer", self.optimizer_config, params=groups, _convert_="object")
        if self.scheduler_config is None:
            return optimizer  # type: ignore[no-any-return]
        steps = int(self.trainer.estimated_stepping_batches)
        config = {k: steps if v == TOTAL_STEPS else v for k, v in self.scheduler_config.items()}
        scheduler = _made("scheduler", config, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _made(key: str, config: dict[str, Any], *parts: Any, **named: Any) -> Any:
    """What torch makes of ``config``, which has ranges of its own."""
    if "_target_" not in config:
        raise UserError(f"aligner.{key} must name its class, as _target_: torch.optim.AdamW, got {dict(config)}")
    try:
        return instantiate(config, *parts, **named)
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise UserError(f"aligner.{key}: {config.get('_target_')}: {' '.join(str(cause).split())}") from error


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
