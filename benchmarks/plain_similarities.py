"""UniCon with plain similarities in its weights S, in the place of a softmax of them: rows of an ablation."""

import torch
from torch import Tensor

from aligners.objectives import Objective


class PlainSimilarities(Objective):
    r"""The weights are the similarities themselves, :math:`S = s / (n_x n_y)`, without any pair.

    .. math:: \ell_i = -\frac{1}{2 n} \sum_j s_{ij}^2

    Pairs have their say in the first solution alone; each pass then strengthens what is alike already.

    Example:
        >>> PlainSimilarities().weights(torch.eye(2), torch.eye(2).bool())
        tensor([[0.2500, 0.0000],
                [0.0000, 0.2500]])
    """

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return -similarity.square().mean(dim=1) / 2

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return similarity / similarity.shape[1]


class PlainNegatives(Objective):
    r"""Positives less plain similarities: :math:`S = (P_r - s/(n_y \tau))/(2 n_x) + (P_c - s/(n_x \tau))/(2 n_y)`.

    .. math:: \ell_i = \frac{1}{2 n \tau} \sum_j s_{ij}^2 - \frac{1}{|P(i)|} \sum_{k \in P(i)} s_{ik}

    CLIP's softmax :math:`Q` to first order in :math:`s / \tau`, less its constant part, which centred rows do not see.

    Example:
        >>> PlainNegatives(tau=0.5).weights(torch.eye(2), torch.eye(2).bool())
        tensor([[0., 0.],
                [0., 0.]])
    """

    def __init__(self, tau: float):
        self.tau = tau

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        positive = torch.where(positives, similarity, 0).sum(dim=1) / positives.sum(dim=1)
        return similarity.square().mean(dim=1) / (2 * self.tau) - positive

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        positive = positives.to(similarity)
        positive /= positive.sum(dim=1, keepdim=True)
        return positive - similarity / (self.tau * similarity.shape[1])
