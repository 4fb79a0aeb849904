"""Losses for noisy views: RINCE (Chuang et al., CVPR 2022), and those of GCA (Chen et al., NeurIPS 2024)."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from aligners.objectives.base import Objective
from aligners.objectives.coupling import Coupling
from aligners.objectives.sinkhorn import sinkhorn
from aligners.objectives.transport import Transport
from ground.ranges import Count, NonNegative, Positive, above, at_most

Power = Annotated[float, above(0), at_most(1)]


class RINCE(Objective):
    r"""Robust InfoNCE from x to y, the mean over the positives (Chuang et al., CVPR 2022, Eq. 4).

    .. math:: \ell_i = \frac{1}{q} \Big(-\frac{1}{|P(i)|} \sum_{k \in P(i)} e^{q s_{ik}/\tau}
                       + \lambda^q \big(\sum_j e^{s_{ij}/\tau}\big)^q\Big)

    ``S = (Pr exp(q s / tau) - lam^q Z^q Qr) / (n_x tau)``, Z the row sums. As q falls to 0 it is, one-to-one, InfoNCE
    over tau plus ``log lam``. In the paper's own scale, whose size is ``e^(q / tau)``: it falls with tau alone, so tau
    is no parameter to learn.

    Example:
        >>> RINCE(tau=1.0, lam=1.0, q=1.0)(torch.zeros(3, 3), torch.eye(3).bool())
        tensor(2.)
    """

    symmetric = False

    def __init__(self, tau: float, lam: Positive, q: Power):
        self.tau = tau
        self.lam = lam
        self.q = q

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        s = similarity / self.tau
        at_positives = torch.where(positives, (self.q * s).exp(), 0).sum(1) / positives.sum(1)
        losses: Tensor = (self.lam**self.q * (self.q * s.logsumexp(1)).exp() - at_positives) / self.q
        return losses

    def row_weights(self, similarity: Tensor, positives: Tensor) -> Tensor:
        s = similarity / self.tau
        log_Z = s.logsumexp(1, keepdim=True)
        at_positives = torch.where(positives, (self.q * s).exp(), 0) / positives.sum(1, keepdim=True)
        weights: Tensor = (at_positives - self.lam**self.q * (s + (self.q - 1) * log_Z).exp()) / self.tau
        return weights


class GCARINCE(Transport):
    r"""RINCE of a kernel whose columns are scaled by v, that of Sinkhorn's iteration before its last step over rows.

    .. math:: \ell_i = \frac{1}{q} \Big(-\sum_k \frac{T_{ik}}{\mu_i} (K_{ik} v_k)^q
                       + \lambda^q \big(\sum_j K_{ij} v_j / \mu_i\big)^q\Big)

    the mean over the rows (Chen et al., NeurIPS 2024). With one iteration v is 1, and with the identity for T it is
    then RINCE times ``e^(-q / eps)``. Its value depends on the scale of v, which a fixed point leaves open: the
    iterations are a fixed number.

    Example:
        >>> GCARINCE(tau=1.0, lam=1.0, q=1.0, iterations=1)(torch.ones(3, 3), torch.eye(3).bool())
        tensor(2.)
    """

    streamed = True

    def __init__(self, tau: float | Tensor, iterations: Count, lam: Positive, q: Power):
        super().__init__(tau, iterations)
        self.lam = lam
        self.q = q

    def of(self, coupling: Coupling) -> Tensor:
        log_mu = coupling.mu.log()
        _, g = sinkhorn(coupling, log_mu, coupling.nu.log(), self.iterations - 1)
        total = (self.q * (coupling.rows(g) - log_mu)).exp()
        losses: Tensor = (self.lam**self.q * total - coupling.powers(g, self.q)) / self.q
        return losses.mean()


class GCAUOT(Transport):
    r"""``KL(T || P)`` and how far P is from T's marginals, P the plan of unbalanced transport, over the sum of T.

    .. math:: KL(T || P) + l\, KL(P 1 || \mu) + l\, KL(P^T 1 || \nu) + \sigma\, \epsilon\, H(P), \quad
              H(P) = -\sum_{ij} P_{ij} (\log P_{ij} - 1)

    (Chen et al., NeurIPS 2024). ``unbalanced`` is l, of the plan and of the loss: the plan is K at 0, and that of
    GCA-INCE as it grows. ``entropy_sign`` is sigma: 1 rewards a sharp plan, -1 a spread one.

    Example:
        >>> GCAUOT(tau=1.0, iterations=10, unbalanced=0.0, entropy_sign=1)(torch.ones(2, 2), torch.eye(2).bool())
        tensor(3.)
    """

    streamed = True

    def __init__(
        self,
        tau: float | Tensor,
        iterations: Count,
        unbalanced: NonNegative,
        entropy_sign: Literal[1, -1],
        tolerance: NonNegative = 0.0,
    ):
        super().__init__(tau, iterations, tolerance)
        self.unbalanced = unbalanced
        self.entropy_sign = entropy_sign

    def of(self, coupling: Coupling) -> Tensor:
        mu, nu, damping = coupling.mu, coupling.nu, self.unbalanced / (self.unbalanced + self.tau)
        f, g = self.scalings(coupling, mu.log(), nu.log(), (damping, damping))
        log_r, log_c = f + coupling.rows(g), g + coupling.columns(f)
        r, c = log_r.exp(), log_c.exp()
        entropy = r.sum() - coupling.energy(f, g) - r @ f - c @ g
        of_target = coupling.entropy - coupling.matched() - mu @ f - nu @ g - coupling.mass + r.sum()
        of_rows = r @ (log_r - mu.log()) - r.sum() + coupling.mass
        of_columns = c @ (log_c - nu.log()) - c.sum() + coupling.mass
        loss = of_target + self.unbalanced * (of_rows + of_columns) + self.entropy_sign * self.tau * entropy
        return loss / coupling.mass
