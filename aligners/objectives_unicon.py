r"""The losses of UniCon (Sui, Wang, Do, ICLR 2026), and decoupled contrastive learning.

The negatives of a row i are the columns that are no positives of it; ``log N_i`` is the log-sum-exp of their
``s_ij / tau``. Everything is O(n^2) and in the log domain: finite at every temperature that the dtype can divide by.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from aligners.objectives_base import Objective

Elementwise = Callable[[Tensor], Tensor]


class UniCon(Objective):
    r"""tau times UniCon's Eq. (2) with psi = exp: every positive against the negatives and itself, both directions.

    .. math:: \ell_i = \frac{\tau}{|P(i)|} \sum_{k \in P(i)}
                       \log\Big(e^{(1-\nu) s_{ik}/\tau} + \sum_{j \notin P(i)} e^{(s_{ij} - \nu s_{ik})/\tau}\Big)
                     = \frac{1}{|P(i)|} \sum_{k \in P(i)} \tau \log(e^{s_{ik}/\tau} + N_i) - \nu s_{ik}

    With ``q_ik = sigmoid(log N_i - s_ik / tau)``, the share of the negatives beside the positive k, minus the
    derivative is ``(nu - 1 + q_ik) / |P(i)|`` at a positive and ``-(exp(s_ij / tau) / N_i) mean_k q_ik`` at a
    negative; a row sums to ``nu - 1``. One-to-one and nu = 1 it is CLIP; with several positives it is not
    (SupCon's denominator holds all positives). A row without negatives is worth ``(1 - nu)`` times its mean similarity.
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


class GeneralContrastive(Objective):
    r"""The general loss of UniCon and of Nakada et al. 2023, one-to-one, both directions; i+ is the positive of i.

    .. math:: \ell_i = \phi\Big(\sum_j \epsilon_{ij} \psi(s_{ij} - \nu s_{ii^+})\Big)

    With ``a_ij = eps_ij phi'(.) psi'(.)`` minus the derivative is ``-a_ij``, and at the positive ``nu`` times the
    row's sum of a beside it. ``phi = tau log``, ``psi = exp(. / tau)``, nu = 1 is CLIP with eps (1, 1) and DCL with
    (0, 1); ``phi`` the identity and ``psi(t) = [m + t]_+`` with (0, 1) is the triplet loss.

    ``phi``, ``psi`` work element by element; their derivatives are taken by autograd where they are not given.
    ``eps`` is a pair, at the positive and at the negatives, or a matrix (n, n): row i of it is that of the
    anchor i in both directions, and the similarities then come whole, not by blocks. The functions are
    evaluated as they are: ``exp`` overflows where ``UniCon``, ``CLIP``, and ``DCL`` do not.

    Raises:
        ValueError: from every call, positives that are not one-to-one, or a shape that is not that of ``eps``.
    """

    def __init__(
        self,
        phi: Elementwise,
        psi: Elementwise,
        nu: float,
        eps: tuple[float, float] | Tensor,
        d_phi: Elementwise | None = None,
        d_psi: Elementwise | None = None,
    ):
        self.phi = phi
        self.psi = psi
        self.nu = nu
        self.eps = eps
        self.d_phi = d_phi or _derivative(phi)
        self.d_psi = d_psi or _derivative(psi)

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        difference, eps = self._terms(similarity, positives)
        return self.phi((eps * self.psi(difference)).sum(dim=1))

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        difference, eps = self._terms(similarity, positives)
        total = (eps * self.psi(difference)).sum(dim=1, keepdim=True)
        a = eps * self.d_phi(total) * self.d_psi(difference)
        return torch.where(positives, self.nu * a.sum(dim=1, keepdim=True), 0) - a

    def _terms(self, similarity: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
        """``s_ij - nu s_ii+`` and ``eps_ij``, both (b, n)."""
        if not (positives.sum(dim=1) == 1).all():
            raise ValueError("the general loss is one-to-one: every row and every column needs exactly one positive")
        if isinstance(self.eps, Tensor):
            if self.eps.shape != similarity.shape:
                raise ValueError(
                    f"eps is {tuple(self.eps.shape)}, the similarities {tuple(similarity.shape)}: "
                    "with a matrix eps they must be whole; give a pair for blocks of rows"
                )
            eps = self.eps.to(similarity)
        else:
            at_positive, at_negatives = self.eps
            eps = torch.full_like(similarity, at_negatives).masked_fill(positives, at_positive)
        positive = torch.where(positives, similarity, 0).sum(dim=1, keepdim=True)
        return similarity - self.nu * positive, eps


def _negatives(logits: Tensor, positives: Tensor) -> Tensor:
    """The logits with the positives at the dtype's least number, which unlike -inf gives no NaN in an empty row."""
    return logits.masked_fill(positives, torch.finfo(logits.dtype).min)


def _derivative(function: Elementwise) -> Elementwise:
    def derivative(x: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(function(leaf).sum(), leaf)
        return gradient

    return derivative
