"""Objectives that are sums over pairs, or over pairs of pairs: the sigmoid loss and the hinge."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from aligners.objectives.base import Objective
from ground.ranges import NonNegative


class SigLIP(Objective):
    r"""Sigmoid loss of every pair (Zhai et al. 2023).

    .. math:: \ell_i = -\sum_j \log \sigma(z_{ij} (s_{ij}/\tau + b)), \quad z = \pm 1

    ``S = (P - sigmoid(s / tau + b)) / (tau n_x)``. Its value is in the logits' own scale, so that tau and b can be
    learned together.

    Example:
        >>> SigLIP(tau=1.0, bias=0.0)(torch.eye(2), torch.eye(2).bool())
        tensor(1.0064)
    """

    symmetric = False
    learned = ("bias",)

    def __init__(self, tau: float, bias: float | Tensor):
        self.tau = tau
        self.bias = bias

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        logits = similarity / self.tau + self.bias
        return -logsigmoid(torch.where(positives, logits, -logits)).sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return (positives.to(similarity) - torch.sigmoid(similarity / self.tau + self.bias)) / self.tau


class Triplet(Objective):
    r"""Hinge of every negative against the positives, both directions, margin m.

    .. math:: \ell_i = \frac{1}{|P(i)|} \sum_{k \in P(i)} \sum_{j \notin P(i)} [m + s_{ij} - s_{ik}]_+

    One-to-one, S off the diagonal is ``-(T + U) / (2n)`` with the active triplets T of the rows and U of the
    columns, and on it their sums (the Clarke subgradient). Memory is (number of positives, n), not cubic.

    Example:
        >>> Triplet(margin=0.2)(torch.zeros(3, 3), torch.eye(3).bool())
        tensor(0.4000)
    """

    def __init__(self, margin: NonNegative):
        self.margin = margin

    def _hinges(self, similarity: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        row, column = positives.nonzero(as_tuple=True)
        hinges = self.margin + similarity[row] - similarity[row, column, None]
        return row, column, hinges, (hinges > 0) & ~positives[row]

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, _, hinges, active = self._hinges(similarity, positives)
        of_pair = torch.where(active, hinges, 0).sum(dim=1)
        total = of_pair.new_zeros(len(similarity)).index_add(0, row, of_pair)
        return total / positives.sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, column, _, active = self._hinges(similarity, positives)
        share = active.to(similarity) / positives.sum(dim=1)[row, None]
        weights = torch.zeros_like(similarity).index_add_(0, row, -share)
        return weights.index_put_((row, column), share.sum(dim=1), accumulate=True)
