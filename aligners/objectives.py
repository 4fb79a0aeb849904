r"""Contrastive objectives as pure functions of the similarities and the positives.

Every objective here is a mean over rows, and most are symmetric: the mean of the same function of the rows
and of the columns,

.. math:: L(s; P) = \frac{1}{2 n_x} \sum_i \ell(s_{i\cdot}, P_{i\cdot})
                  + \frac{1}{2 n_y} \sum_j \ell(s_{\cdot j}, P_{\cdot j}).

So an objective is written as its row losses and their derivative, and a solver can sweep blocks of rows and
of columns without ever holding the whole matrix. Called with ``similarity`` (n_x, n_y) and ``positives``
(n_x, n_y) bool, rectangular and many-to-many, an objective is a scalar loss; ``weights`` is the contrastive
similarity weight matrix S = -dL/ds (n_x, n_y) of UniCon (Sui, Wang, Do, ICLR 2026, Eq. 3-6).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from errors import UserError, nearest


class Objective(ABC):
    """A contrastive loss that is a sum over rows (and, if ``symmetric``, the same over columns)."""

    symmetric = True

    @abstractmethod
    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """Loss of each row: (b, n) similarities and positives to (b,)."""

    @abstractmethod
    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """Minus the derivative of ``rows(...).sum()``: (b, n)."""

    def __call__(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """The loss, a scalar.

        Raises:
            ValueError: shapes that differ, or a row or column without a positive.
        """
        _check(similarity, positives)
        loss = self.rows(similarity, positives).mean()
        if self.symmetric:
            loss = (loss + self.rows(similarity.T, positives.T).mean()) / 2
        return loss

    def weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        """S = -dL/ds, (n_x, n_y).

        Raises:
            ValueError: shapes that differ, or a row or column without a positive.
        """
        _check(similarity, positives)
        n_x, n_y = similarity.shape
        weights = self.row_weights(similarity, positives) / n_x
        if self.symmetric:
            weights = (weights + self.row_weights(similarity.T, positives.T).T / n_y) / 2
        return weights


class InfoNCE(Objective):
    r"""tau times the cross-entropy from x to y (van den Oord et al. 2018), mean over the positives.

    .. math:: \ell_i = -\tau \frac{1}{|P(i)|} \sum_{k \in P(i)} \log \frac{\exp(s_{ik}/\tau)}{\sum_j \exp(s_{ij}/\tau)}

    With one positive a row it is InfoNCE; with several the positives stand in the denominator as well,
    SupCon-out of Khosla et al. 2020, Eq. 2. ``S = (Pr - Qr) / n_x`` in the scale of UniCon.
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
    """

    symmetric = True


class SigLIP(Objective):
    r"""Sigmoid loss of every pair (Zhai et al. 2023).

    .. math:: \ell_i = -\sum_j \log \sigma(z_{ij} (s_{ij}/\tau + b)), \quad z = \pm 1

    ``S = (P - sigmoid(s / tau + b)) / (tau n_x)``.
    """

    symmetric = False

    def __init__(self, tau: float, bias: float):
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
    """

    def __init__(self, margin: float):
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


OBJECTIVES: dict[str, type[InfoNCE]] = {"info_nce": InfoNCE, "clip": CLIP}
"""The smooth objectives with a temperature alone, by the name that a config gives."""


def smooth_objective(name: str, tau: float) -> Objective:
    """The objective ``name`` of ``OBJECTIVES`` at temperature ``tau`` > 0.

    Raises:
        UserError: an unknown name, or a temperature that is not positive.
    """
    if name not in OBJECTIVES:
        raise UserError(f"unknown objective '{name}': {nearest(name, OBJECTIVES)}")
    if not tau > 0:
        raise UserError(f"tau must be above 0, got {tau}")
    return OBJECTIVES[name](tau)


def _check(similarity: Tensor, positives: Tensor) -> None:
    if similarity.shape != positives.shape:
        raise ValueError(
            f"similarity and positives must have one shape, got {tuple(similarity.shape)} and {tuple(positives.shape)}"
        )
    if not (positives.any(dim=1).all() and positives.any(dim=0).all()):
        raise ValueError("every row and every column needs at least one positive")
