"""Structure: heads trained on a contrastive loss, held to the neighbourhoods of the features."""

from typing import Any

from torch import Tensor

from aligners.base.of_cosines import OfCosines
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.structure import structure
from datamodules.pairs.pairs import PairBatch
from ground.ranges import Count, Natural, NonNegative, Positive


@defaults_from("structure")
class Structure(OfCosines):
    r"""CLIP's loss and STRUCTURE's regulariser (Gröger et al., NeurIPS 2025), on the joined batch of all processes.

    .. math:: L + w_t \frac{R(X, f(X)) + R(Y, g(Y))}{2}, \quad w_t = w \min(1, t / T)

    R is ``aligners.objectives.structure.structure``: how far the embeddings of a batch's items are from the
    neighbourhoods of what the heads are given. Its weight w grows over the first T = ``warm_up`` steps of the
    optimizer, from 0. At weight 0 it is ``OfCosines``, and with CLIP's loss ``SGDCLIP``, bit for bit.

    Raises:
        UserError: what ``OfCosines`` refuses, or an argument out of its range.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> Structure(rank=4, levels=2).fit(x, x.flip(1), max_epochs=2).encode_x(x).shape
        torch.Size([50, 4])
    """

    def __init__(self, *, weight: NonNegative, levels: Count, structure_tau: Positive, warm_up: Natural, **common: Any):
        super().__init__(**common)
        self.weight = weight
        self.levels = levels
        self.structure_tau = structure_tau
        self.warm_up = warm_up

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        loss = super().loss(x, y, batch)
        weight = self.weight * min(1.0, self.global_step / self.warm_up) if self.warm_up else self.weight
        if not weight:
            return loss
        kept = [structure(rows, z, self.levels, self.structure_tau) for rows, z in ((batch.x, x), (batch.y, y))]
        return loss + weight * (kept[0] + kept[1]) / 2
