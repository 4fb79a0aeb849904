"""Methods of self-supervised learning from two views, where the views are the two modalities of a pair."""

import logging
import math
from copy import deepcopy
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from aligners.base.of_cosines import OfCosines
from aligners.base.trained import TrainedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.embeddings import (
    barlow_twins,
    consistencies,
    nt_xent,
    participation_ratio,
    regression,
    vicreg,
)
from datamodules.pairs.pairs import PairBatch
from ground.ranges import NonNegative, Positive, between

logger = logging.getLogger(__name__)


@defaults_from("simclr")
class SimCLR(TrainedAligner):
    """Heads trained on NT-Xent of all views (Chen et al. 2020): negatives on a view's own side as well.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> SimCLR(rank=4, tau=0.1).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, tau: Positive, **common: Any):
        super().__init__(**common)
        self.tau = tau

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        return nt_xent(x, y, batch.x_group, batch.y_group, self.tau)


@defaults_from("vicreg")
class VICReg(TrainedAligner):
    """Heads trained on VICReg (Bardes, Ponce, LeCun 2022): pairs alike, dimensions of variance 1 and uncorrelated.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> VICReg(rank=4, covariance=2.0).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, invariance: NonNegative, variance: NonNegative, covariance: NonNegative, **common: Any):
        super().__init__(**common)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        return vicreg(x, y, batch.positives, self.invariance, self.variance, self.covariance)


@defaults_from("barlow_twins")
class BarlowTwins(TrainedAligner):
    """Heads trained on Barlow Twins (Zbontar et al. 2021): the dimensions' correlations between the sides the identity.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> BarlowTwins(rank=4).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, off_diagonal: NonNegative, **common: Any):
        super().__init__(**common)
        self.off_diagonal = off_diagonal

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        return barlow_twins(x, y, batch.positives, self.off_diagonal)


@defaults_from("cyclip")
class CyCLIP(OfCosines):
    """Heads trained on CLIP's loss, and on cosines that agree across and within the modalities (Goel et al. 2022).

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> CyCLIP(rank=4, cross_modal=0.5).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, in_modal: NonNegative, cross_modal: NonNegative, **common: Any):
        super().__init__(objective="clip", objective_options={}, **common)
        self.in_modal, self.cross_modal = in_modal, cross_modal

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        within, across = consistencies(x, y, batch.positives)
        return super().loss(x, y, batch) + self.in_modal * within + self.cross_modal * across


@defaults_from("byol")
class BYOL(TrainedAligner):
    r"""Heads that predict, by predictors q, what slow copies of them make of the other side (Grill et al. 2020, Eq. 2).

    .. math:: L = 4 - 2 \cos(q_x(f(x)), g'(y)) - 2 \cos(q_y(g(y)), f'(x))

    The targets f', g' get no gradient: a step leaves m of them and takes 1 - m of the heads, and m rises from
    ``momentum`` to 1 by a cosine over the fit. Predictors are matrices (r, r) that start as the identity: those that
    start at random learn a map between the spaces of the two heads, whose cosines then mean nothing. Sides with one
    encoder have one target and one predictor. There are no negatives, and embeddings on one line have loss 0:
    ``facts`` has the ``participation_ratio`` of a batch's, and a fit that ends near 1 is told.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = BYOL(rank=4).fit(x, x.flip(1), max_epochs=2)
        >>> aligner.target_x.weight.requires_grad, aligner.facts["participation_ratio"] > 2
        (False, True)
    """

    participation_ratio: Tensor

    def __init__(self, *, momentum: Annotated[float, between(0, 1)], **common: Any):
        super().__init__(**common)
        self.momentum = momentum
        self.register_buffer("participation_ratio", torch.tensor(torch.nan))

    def build(self, d_x: int, d_y: int) -> None:
        super().build(d_x, d_y)
        self.predictor_x = _identity(self.rank)
        self.predictor_y = self.predictor_x if self.shared else _identity(self.rank)
        self.target_x = deepcopy(self.head_x).requires_grad_(False)
        self.target_y = self.target_x if self.shared else deepcopy(self.head_y).requires_grad_(False)

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch == 0:  # a resumed fit has its targets; a warm start has moved the heads
            self._move_targets(0.0)

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        with torch.no_grad():
            target_x, target_y = self.target_x(self.scaled(batch.x)), self.target_y(self.scaled(batch.y))
            self.participation_ratio.copy_(torch.minimum(participation_ratio(x), participation_ratio(y)))
        of_y = regression(self.predictor_x(x), target_y, batch.positives)
        return of_y + regression(self.predictor_y(y), target_x, batch.positives.T)

    def on_train_batch_end(self, outputs: Any, batch: PairBatch, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        done = self.global_step / self.trainer.estimated_stepping_batches
        self._move_targets(1 - (1 - self.momentum) * (math.cos(math.pi * done) + 1) / 2)

    @torch.no_grad()
    def _move_targets(self, kept: float) -> None:
        for head, target in {self.head_x: self.target_x, self.head_y: self.target_y}.items():
            for ours, slow in zip(head.parameters(), target.parameters(), strict=True):
                slow.lerp_(ours, 1 - kept)

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.participation_ratio < min(2, self.rank) - 0.5:
            logger.warning("the embeddings have collapsed to one line: try a lower learning rate or another momentum")

    @property
    def facts(self) -> dict[str, float]:
        told = {} if self.participation_ratio.isnan() else {"participation_ratio": float(self.participation_ratio)}
        return super().facts | told


def _identity(rank: int) -> nn.Linear:
    linear = nn.Linear(rank, rank, bias=False)
    nn.init.eye_(linear.weight)
    return linear
