r"""The losses of UniCon (Sui, Wang, Do, ICLR 2026), and decoupled contrastive learning.

The negatives of a row i are the columns that are no positives of it; ``log N_i`` is the log-sum-exp of their
``s_ij / tau``. Everything is O(n^2) and in the log domain: finite at every temperature that the dtype can divide by.
"""

import torch
from torch import Tensor

from aligners.objectives.base import Objective


class UniCon(Objective):
    r"""tau times UniCon's Eq. (2) with psi = exp: every positive against the negatives and itself, both directions.

    .. math:: \ell_i = \frac{\tau}{|P(i)|} \sum_{k \in P(i)}
                       \log\Big(e^{(1-\nu) s_{ik}/\tau} + \sum_{j \notin P(i)} e^{(s_{ij} - \nu s_{ik})/\tau}\Big)
                     = \frac{1}{|P(i)|} \sum_{k \in P(i)} \tau \log(e^{s_{ik}/\tau} + N_i) - \nu s_{ik}

    With ``q_ik = sigmoid(log N_i - s_ik / tau)``, the share of the negatives beside the positive k, minus the
    derivative is ``(nu - 1 + q_ik) / |P(i)|`` at a positive and ``-(exp(s_ij / tau) / N_i) mean_k q_ik`` at a
    negative; a row sums to ``nu - 1``. One-to-one and nu = 1 it is CLIP; with several positives it is not
    (SupCon's denominator holds all positives). A row without negatives is worth ``(1 - nu)`` times its mean similarity.

    Example:
        >>> UniCon(tau=1.0, nu=1.0)(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    def __init__(self, tau: float, nu: float):
        self.tau = tau
        self.nu = nu

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, column = positives.nonzero(as_tuple=True)
        log_N = _negatives(similarity / self.tau, positives).logsumexp(dim=1)
        positive = similarity[row, column]
        of_pair = self.tau * torch.logaddexp(positive / self.tau, log_N[row]) - self.nu * positive
        return log_N.new_zeros(len(similarity)).index_add(0, row, of_pair) / positives.sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        row, column = positives.nonzero(as_tuple=True)
        negatives = _negatives(similarity / self.tau, positives)
        share = positives.sum(dim=1).to(similarity).reciprocal()[row]
        q = share * torch.sigmoid(negatives.logsumexp(dim=1)[row] - similarity[row, column] / self.tau)
        mean_q = q.new_zeros(len(similarity)).index_add(0, row, q)
        weights = -torch.softmax(negatives, dim=1) * mean_q[:, None]
        weights[row, column] = (self.nu - 1) * share + q
        return weights


class DCL(Objective):
    r"""tau times decoupled contrastive learning (Yeh et al. 2022): negatives alone in the denominator, both directions.

    .. math:: \ell_i = \tau \log \sum_{j \notin P(i)} e^{s_{ij}/\tau} - \frac{1}{|P(i)|} \sum_{k \in P(i)} s_{ik}

    Minus the derivative is ``1 / |P(i)|`` at a positive and minus the softmax over the negatives at a negative.
    A row without negatives has nothing to be told from: its loss and weights are 0, which keeps that a shift
    of the similarities changes nothing and every row of the derivative sums to 0.

    Example:
        >>> DCL(tau=1.0)(torch.eye(3), torch.eye(3).bool())
        tensor(-0.3069)
    """

    def __init__(self, tau: float):
        self.tau = tau

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        log_N = _negatives(similarity / self.tau, positives).logsumexp(dim=1)
        mean_positive = torch.where(positives, similarity, 0).sum(dim=1) / positives.sum(dim=1)
        return torch.where(positives.all(dim=1), 0, self.tau * log_N - mean_positive)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        softmax = torch.softmax(_negatives(similarity / self.tau, positives), dim=1)
        share = positives.to(similarity)
        share /= share.sum(dim=1, keepdim=True)
        return share - softmax  # in a row without negatives both are uniform


def _negatives(logits: Tensor, positives: Tensor) -> Tensor:
    """The logits with the positives at the dtype's least number, which unlike -inf gives no NaN in an empty row."""
    return logits.masked_fill(positives, torch.finfo(logits.dtype).min)


class InfoNCE(Objective):
    r"""tau times the cross-entropy from x to y (van den Oord et al. 2018), mean over the positives.

    .. math:: \ell_i = -\tau \frac{1}{|P(i)|} \sum_{k \in P(i)} \log \frac{\exp(s_{ik}/\tau)}{\sum_j \exp(s_{ij}/\tau)}

    With one positive a row it is InfoNCE; with several the positives stand in the denominator as well,
    SupCon-out of Khosla et al. 2020, Eq. 2. ``S = (Pr - Qr) / n_x`` in the scale of UniCon.

    Example:
        >>> InfoNCE(tau=1.0)(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    symmetric = False

    def __init__(self, tau: float):
        self.tau = tau

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        log_softmax = torch.log_softmax(similarity / self.tau, dim=1)
        total = torch.where(positives, log_softmax, 0).sum(dim=1)
        return -self.tau * total / positives.sum(dim=1)

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        softmax = torch.softmax(similarity / self.tau, dim=1)
        positives = positives.to(similarity)  # in its dtype: bool by int would divide in float32
        return positives / positives.sum(dim=1, keepdim=True) - softmax


class CLIP(InfoNCE):
    """InfoNCE in both directions (Radford et al. 2021); many-to-many it is SupCon-out.

    ``S = (Pr - Qr) / (2 n_x) + (Pc - Qc) / (2 n_y)``; one-to-one ``(2 I - Qr - Qc) / (2 n)``.

    Example:
        >>> clip = CLIP(tau=1.0)
        >>> clip(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
        >>> clip.weights(torch.zeros(2, 2), torch.eye(2).bool())
        tensor([[ 0.2500, -0.2500],
                [-0.2500,  0.2500]])
    """

    symmetric = True
