"""The spectral contrastive loss: a factorisation of the matrix of pairs, as a loss of cosines."""

import torch
from torch import Tensor

from aligners.objectives.base import Objective


class SpectralContrastive(Objective):
    r"""tau times the spectral contrastive loss (HaoChen et al. 2021, Eq. 6) of embeddings of squared length 1/tau.

    .. math:: \ell_i = -\frac{2}{|P(i)|} \sum_{k \in P(i)} s_{ik} + \frac{1}{\tau n} \sum_j s_{ij}^2

    With W the weights of the pairs, ``(Pr / n_x + Pc / n_y) / 2``, and F, G the embeddings divided by the roots of
    n_x, n_y, it is a low-rank factorisation: :math:`L/\tau = |\sqrt{n_x n_y} W - F G^T|_F^2` up to a constant. Row i
    has n similarities, its positives among them, as the paper's expectation is over independent draws. Minus the
    derivative is ``2 / |P(i)|`` at a positive, less ``2 s_ij / (tau n)`` everywhere.

    Example:
        >>> SpectralContrastive(tau=0.5)(torch.eye(2), torch.eye(2).bool())
        tensor(-1.)
    """

    def __init__(self, tau: float):
        self.tau = tau

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        positive = torch.where(positives, similarity, 0).sum(dim=1) / positives.sum(dim=1)
        return similarity.square().mean(dim=1) / self.tau - 2 * positive

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        share = positives.to(similarity)
        share /= share.sum(dim=1, keepdim=True)
        return 2 * (share - similarity / (self.tau * similarity.shape[1]))
