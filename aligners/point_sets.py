"""Aligners that embed an item as a set of weighted points: KME-CLIP and WPSE."""

import math
from abc import abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from aligners.base.trained import TrainedAligner, head
from aligners.base.yaml_defaults import defaults_from
from aligners.objectives.base import Objective
from aligners.objectives.point_sets import (
    PointKernel,
    PointSets,
    kme_similarity,
    point_sets,
    scored,
    sets_of_rows,
    wpse_similarity,
)
from aligners.objectives.softmax import CLIP
from datamodules.pairs.pairs import PairBatch
from ground.ranges import Count, Positive, at_least, at_most


class PointSetAligner(TrainedAligner):
    r"""Heads that give m = ``points`` weighted unit points of ``rank`` dimensions, trained on CLIP's loss of them.

    A head of m (r + 1) outputs, linear or an mlp, makes m points of length 1 and, by a softmax, their weights. An
    embedding is the row of the points and of the logarithms of the weights, see ``aligners.objectives.point_sets``.
    It is no vector to take cosines of: pairs are ranked by ``score``, the children's ``similarity_of`` two sets. The
    loss is symmetric InfoNCE of the similarities over a temperature, many-to-many as the objective ``clip``.
    """

    log_scale: nn.Parameter

    def __init__(
        self,
        *,
        points: Count,
        point_kernel: PointKernel,
        tau: Positive,
        learn_tau: bool,
        tau_min: Positive,
        **common: Any,
    ):
        super().__init__(warm_start=None, **common)
        self.points = points
        self.point_kernel: PointKernel = point_kernel
        self.tau_min = tau_min
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)), requires_grad=learn_tau)

    @abstractmethod
    def similarity_of(self, x: PointSets, y: PointSets) -> Tensor:
        """Similarities (a, b) in [-1, 1] of the sets of a items and of b."""

    @property
    def scale(self) -> Tensor:
        """1 / tau, a scalar."""
        return self.log_scale.clamp(max=-math.log(self.tau_min)).exp()

    @property
    def embedding_width(self) -> int:
        """Numbers of an embedding: m points of r, and m weights."""
        return self.points * (self.rank + 1)

    def build(self, d_x: int, d_y: int) -> None:
        self.head_x = head(self.head_kind, d_x, self.hidden, self.embedding_width, bias=True)
        self.head_y = (
            self.head_x if self.shared else head(self.head_kind, d_y, self.hidden, self.embedding_width, bias=True)
        )

    def embed_x(self, x: Tensor) -> Tensor:
        return point_sets(super().embed_x(x), self.points).rows()

    def embed_y(self, y: Tensor) -> Tensor:
        return point_sets(super().embed_y(y), self.points).rows()

    def loss(self, x: Tensor, y: Tensor, batch: PairBatch) -> Tensor:
        similarity = self.similarity_of(sets_of_rows(x, self.points), sets_of_rows(y, self.points))
        return CLIP(tau=1.0).of_cosines(similarity, batch.positives, self.scale)

    @torch.no_grad()
    def score(self, x: Tensor, y: Tensor) -> Tensor:
        """Similarities (a, b) of embeddings (a, m (r + 1)) and (b, m (r + 1)), by which pairs are ranked."""
        return scored(x, y, self.points, self.similarity_of)

    @property
    def facts(self) -> dict[str, float]:
        return super().facts | {"points": self.points, "numbers_per_item": self.embedding_width}

    @property
    def fitted_objective(self) -> Objective:
        return CLIP(1 / float(self.scale.detach()))


@defaults_from("kme_clip")
class KMECLIP(PointSetAligner):
    r"""KME-CLIP (Yoshida et al., arXiv 2510.15508): logits are logs of inner products of kernel mean embeddings.

    .. math:: \log \sum_{k, l} w_k w'_l\, e^{(\langle v_k, v'_l \rangle - 1) / \tau}

    with no temperature beside the kernel's squared width :math:`\tau = \sigma^2`, which is learned as CLIP's
    temperature is: one point is CLIP at :math:`\tau`. The score is :math:`1 + \tau` times the logit.
    ``point_kernel`` may be ``inverse_multiquadric``, with :math:`\tau = c^2`.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = KMECLIP(rank=4, points=3).fit(x, x.flip(1), max_epochs=2)
        >>> aligner.encode_x(x).shape, aligner.similarity(x, x[:7]).shape  # 3 points of 4 numbers, and 3 weights
        (torch.Size([50, 15]), torch.Size([50, 7]))
    """

    def similarity_of(self, x: PointSets, y: PointSets) -> Tensor:
        return kme_similarity(x, y, self.point_kernel, 1 / self.scale)


@defaults_from("wpse")
class WPSE(PointSetAligner):
    r"""Weighted point set embedding (Uesaka et al., ICLR 2025): similarities are means of a kernel over both sets.

    .. math:: \sum_{k, l} w_k w'_l\, \big(\alpha \langle v_k, v'_l \rangle + (1 - \alpha)\, \kappa(v_k, v'_l)\big)

    with :math:`\alpha` = ``linear``, a Gaussian of :math:`\sigma` = ``point_width`` or an inverse
    multiquadric of c = ``point_width``, and a learned temperature between ``tau_min`` and ``tau_max``.

    Raises:
        UserError: an argument of a wrong type or out of its range.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> WPSE(rank=4, points=3).fit(x, x.flip(1), max_epochs=2).encode_y(x).shape
        torch.Size([50, 15])
    """

    def __init__(
        self,
        *,
        point_width: Positive,
        linear: Annotated[float, at_least(0), at_most(1)],
        tau_max: Positive,
        **common: Any,
    ):
        super().__init__(**common)
        self.point_width = point_width
        self.linear = linear
        self.tau_max = tau_max

    @property
    def scale(self) -> Tensor:
        return super().scale.clamp(min=1 / self.tau_max)

    def similarity_of(self, x: PointSets, y: PointSets) -> Tensor:
        return wpse_similarity(x, y, self.point_kernel, self.point_width, self.linear)
