"""ASIF: an item is what training items of its own modality it is like."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.on_features import OnSolvedFeatures
from aligners.base.solved import SolvedAligner
from aligners.base.yaml_defaults import defaults_from
from aligners.features.steps import Step
from aligners.spectral.coordinates import Projector
from aligners.spectral.factors import Factors
from aligners.spectral.passes import KnownPasses, Pass, Solved
from datamodules.pairs.pairs import Pairs
from ground.ranges import Count, Positive

BLOCK = 4_194_304
"""Similarities to anchors in memory at once, beside the embeddings themselves."""

TIE = 1e-6
"""Similarities that are less than the k-th largest by no more than this are kept too: anchors with one x are alike."""


@defaults_from("asif")
class ASIF(OnSolvedFeatures, SolvedAligner):
    r"""ASIF (Norelli et al., NeurIPS 2023): relative representations by the same pairs on both sides.

    .. math:: f(x)_a = \mathrm{top}_k(c_a) |c_a|^{p - 1} c_a, \quad c_a = \cos(x, x_a)

    and the same of y: one number for each anchor, a training pair :math:`(x_a, y_a)`, where all but the k largest
    similarities are 0. Anchors are all pairs of a y with its x, an x with five y in five of them, or ``anchors`` of
    them drawn with the seed. Nothing is learned: what is kept is the anchors' features. Embeddings (n, anchors) are
    scaled such that their largest entry is 1. The rank is the number of anchors.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = ASIF(neighbours=5).fit(x, x[:, :6])
        >>> embeddings = aligner.encode_x(x)
        >>> embeddings.shape, int((embeddings != 0).sum(1).max()), torch.allclose(embeddings.diag(), torch.ones(50))
        (torch.Size([50, 50]), 5, True)
    """

    def __init__(
        self,
        *,
        centre: bool,
        neighbours: Count | Literal["all"],
        power: Positive,
        anchors: Count | Literal["all"],
        features: Literal["raw", "kernel"],
        **common: Any,
    ):
        # the rank is the data's, and only directions are compared
        super().__init__(rank=1, unit=True, shared=False, features=features, **common)
        self.centre = centre
        self.neighbours = neighbours
        self.power = power
        self.anchors = anchors

    def rank_bound(self, train: Pairs) -> None:
        """None: the rank is the data's."""

    def first_pass(self) -> Pass:
        self.fit_features()
        train = self.train_pairs
        index = torch.arange(len(train.x_of_y))
        if not isinstance(self.anchors, str) and self.anchors < len(index):
            draws = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
            index = torch.randperm(len(index), generator=draws)[: self.anchors].sort().values
        rows = [(train.x[train.x_of_y[part]], train.y[part]) for part in index.split(self._block(*train.dims))]
        x = torch.cat([normalize(self.prepare_x(of_x.to(self.device))).float() for of_x, _ in rows])
        y = torch.cat([normalize(self.prepare_y(of_y.to(self.device))).float() for _, of_y in rows])
        zero = x.new_zeros(len(x))
        return KnownPasses([Solved(Projector(x.T, y.T, zero, zero), Factors(x.T, zero + 1, y.T, gap=1.0))])

    def hold(self, solved: Solved) -> None:
        super().hold(solved)
        self.rank = self.projection_x.shape[1]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.rank = self.projection_x.shape[1]

    def embed_x(self, x: Tensor) -> Tensor:
        return self._relative(x, self.projection_x)

    def embed_y(self, y: Tensor) -> Tensor:
        return self._relative(y, self.projection_y)

    def _relative(self, rows: Tensor, anchors: Tensor) -> Tensor:
        anchors = anchors.to(rows)
        embeddings = rows.new_empty(len(rows), anchors.shape[1])
        size = self._block(anchors.shape[1])
        for part, of_part in zip(embeddings.split(size), rows.split(size), strict=True):
            part.copy_(nearest(normalize(of_part) @ anchors, self._nearest, self.power))
        return embeddings

    @property
    def _nearest(self) -> int:
        return self.rank if isinstance(self.neighbours, str) else min(self.neighbours, self.rank)

    @staticmethod
    def _block(*widths: int) -> int:
        return max(1, BLOCK // max(widths))

    def embedding_steps(self, side: str) -> list[Step]:
        anchors, zero = self.projection_x if side == "x" else self.projection_y, self.offset_x
        kept = Step("nearest", values={"k": self._nearest, "power": self.power, "tie": TIE})
        return [Step("unit", values={"layers": 1}), Step("linear", {"weight": anchors, "bias": zero}), kept]


def nearest(similarities: Tensor, k: int, power: float) -> Tensor:
    """The k largest of each row (n, A), raised to a power with their signs; all others 0.

    Those that equal the k-th stay too, since which of equals is the k-th is chance. Each row is divided by its largest
    before, and so underflows at no power.

    Example:
        >>> nearest(torch.tensor([[0.4, -0.8, 0.2]]), k=2, power=2.0)
        tensor([[1.0000, 0.0000, 0.2500]])
    """
    least = similarities.topk(k, dim=1).values[:, -1:] - TIE
    kept = torch.where(similarities >= least, similarities, 0)
    scaled = kept / kept.abs().amax(1, keepdim=True).clamp_min(torch.finfo(kept.dtype).tiny)
    return scaled.sign() * scaled.abs() ** power
