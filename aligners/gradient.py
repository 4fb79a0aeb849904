"""Gradient aligners: two heads on frozen features, trained by any torch optimizer on a contrastive objective."""

import math
from abc import abstractmethod
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners import objectives
from aligners.base.aligner import Aligner
from aligners.base.warm_start import check_warm_start, set_head, spectral_solution
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.base import Objective
from datamodules.pairs.pairs import PairBatch
from ground.distributed import concatenate
from ground.errors import UserError, nearest

HEADS = ("linear", "mlp")
TOTAL_STEPS = "total_steps"
"""Where a scheduler's argument has this value, the run's number of optimizer steps takes its place."""


def head(kind: str, d: int, hidden: int, rank: int, bias: bool) -> nn.Module:
    """``linear``: one matrix, ``bias`` or not; ``mlp``: one hidden layer of ``hidden`` GELU units. (n, d) to (n, r)."""
    if kind == "linear":
        return nn.Linear(d, rank, bias=bias)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, rank))
    raise UserError(f"unknown aligner.head '{kind}': {nearest(kind, HEADS)}")


class GradientAligner(Aligner):
    """Heads on both modalities, and the loss of the cosines of a batch, joined over all processes.

    ``optimizer`` and ``scheduler`` are Hydra configs (``_target_`` and arguments); the scheduler steps with
    the optimizer, ``null`` for none. Weight decay leaves one-dimensional parameters and the temperature alone.
    ``warm_start`` names the solution that linear heads start from, None for torch's initialisation.

    Raises:
        UserError: an unknown head or warm start, or a warm start of heads that are not linear.
    """

    def __init__(
        self,
        rank: int,
        unit: bool,
        shared: bool | None,
        head: str,
        hidden: int,
        optimizer: dict[str, Any],
        scheduler: dict[str, Any] | None,
        warm_start: str | None,
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
    def loss(self, cosines: Tensor, positives: Tensor) -> Tensor:
        """Scalar loss of cosines (n_x, n_y) and positives (n_x, n_y) bool."""

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
        x = normalize(concatenate(self.embed_x(self.prepare_x(batch.x))))
        y = normalize(concatenate(self.embed_y(self.prepare_y(batch.y))))
        positives = concatenate(batch.x_group)[:, None] == concatenate(batch.y_group)[None, :]
        loss = self.loss(x @ y.T, positives)
        self.log("fit/objective", loss, on_step=False, on_epoch=True, batch_size=len(x), rank_zero_only=True)
        self.log("objective", loss, prog_bar=True, logger=False, rank_zero_only=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        kept = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed}] + ([{"params": kept, "weight_decay": 0.0}] if kept else [])
        optimizer = instantiate(self.optimizer_config, params=groups, _convert_="object")
        if self.scheduler_config is None:
            return optimizer  # type: ignore[no-any-return]
        steps = int(self.trainer.estimated_stepping_batches)
        config = {k: steps if v == TOTAL_STEPS else v for k, v in self.scheduler_config.items()}
        scheduler = instantiate(config, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class TemperatureAligner(GradientAligner):
    """A gradient aligner with a learned temperature of the cosines.

    ``tau`` is the temperature at the start, ``tau_min`` its lower bound (CLIP: 0.01), ``learn_tau`` whether it moves.

    Raises:
        UserError: what ``GradientAligner`` refuses, or a temperature that is not positive.
    """

    def __init__(self, *, tau: float, learn_tau: bool, tau_min: float, **common: Any):
        super().__init__(**common)
        if not tau > 0:
            raise UserError(f"aligner.tau must be above 0, got {tau}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)), requires_grad=learn_tau)
        self.tau_min = tau_min

    @property
    def scale(self) -> Tensor:
        """1 / tau, a scalar."""
        return self.log_scale.clamp(max=-math.log(self.tau_min)).exp()

    @property
    def tau(self) -> float:
        """The temperature as it is learned so far."""
        return 1 / float(self.scale.detach())


class CLIPAligner(TemperatureAligner):
    """CLIP's loss (Radford et al. 2021), SupCon-out where there are several positives."""

    def loss(self, cosines: Tensor, positives: Tensor) -> Tensor:
        return objectives.CLIP(tau=1.0)(self.scale * cosines, positives)

    @property
    def fitted_objective(self) -> Objective:
        return objectives.CLIP(self.tau)


@defaults_from("sgd_clip")
class SGDCLIP(CLIPAligner):
    """Heads trained on CLIP's loss with a learned temperature."""


@defaults_from("sgd_siglip")
class SGDSigLIP(TemperatureAligner):
    """The sigmoid loss of every pair (Zhai et al. 2023) with a learned temperature and bias.

    ``tau`` and ``bias`` are their values at the start (SigLIP: 0.1 and -10).
    """

    def __init__(self, *, bias: float, **common: Any):
        super().__init__(**common)
        self.bias = nn.Parameter(torch.tensor(bias))

    def loss(self, cosines: Tensor, positives: Tensor) -> Tensor:
        return objectives.SigLIP(tau=1.0, bias=0.0)(self.scale * cosines + self.bias, positives)

    @property
    def fitted_objective(self) -> Objective:
        return objectives.SigLIP(self.tau, float(self.bias.detach()))


@defaults_from("triplet")
class Triplet(GradientAligner):
    """The hinge of every negative of the batch against the positives, both directions."""

    def __init__(self, *, margin: float, **common: Any):
        super().__init__(**common)
        self.objective = objectives.Triplet(margin)

    def loss(self, cosines: Tensor, positives: Tensor) -> Tensor:
        return self.objective(cosines, positives)

    @property
    def fitted_objective(self) -> Objective:
        return self.objective
