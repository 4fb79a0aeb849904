r"""Contrastive alignment as transport (GCA: Chen et al., NeurIPS 2024, arXiv 2502.20141; IOT: Shi et al., ICML 2023).

The kernel of cosines c is ``K_ij = exp((c_ij - 1) / eps)``, the temperature eps is ``tau``. A plan P is K scaled by
Sinkhorn's iteration, and the loss compares it with a target plan T (n_x, n_y), by default ``positive_plan``. Values
are in the papers' own scale, without a leading tau, over the sum of T.
"""

from abc import abstractmethod
from copy import copy

import torch
from torch import Tensor

from aligners.objectives.base import check_pairs
from aligners.objectives.coupling import Coupling, DenseCoupling
from aligners.objectives.plans import positive_plan, uniform_marginals
from aligners.objectives.sinkhorn import BALANCED, Damping, converged, plan, sinkhorn
from aligners.objectives.whole import WholeObjective
from ground.ranges import Count, NonNegative


def log_kernel(similarity: Tensor, eps: float | Tensor) -> Tensor:
    """``log K``, (n_x, n_y): minus the cost ``1 - c`` over eps."""
    return (similarity - 1) / eps


def gca_ince(
    similarity: Tensor, target: Tensor, eps: float | Tensor, iterations: int, tolerance: float = 0.0
) -> Tensor:
    r"""``KL(T || P)`` of a target and the plan with its marginals, over the sum of T; a scalar (GCA-INCE).

    .. math:: KL(T || P) = \sum_{ij} T_{ij} \log(T_{ij} / P_{ij}) - T_{ij} + P_{ij}

    With an identity for T, one step over rows alone in the place of ``iterations`` makes it InfoNCE. The gradient is
    that of the loop; where a ``tolerance`` above 0 is reached it is that of the limit, ``(P - T) / (eps sum(T))``.

    Args:
        similarity: cosines (n_x, n_y).
        target: T (n_x, n_y), not negative, none of its rows or columns all 0. Its row and column sums are P's.
        eps: the temperature, above 0.
        iterations: steps of rows and columns, at most where there is a tolerance.
        tolerance: by how much row sums may miss those of T, as a share; 0 for the fixed number of iterations.

    Example:
        >>> gca_ince(torch.eye(3), torch.eye(3), eps=1.0, iterations=10)  # by symmetry, here InfoNCE's value
        tensor(0.5514)
    """
    return GCAINCE(eps, iterations, tolerance).of_plan(similarity, target)


class Transport(WholeObjective):
    """A loss of a kernel's plan beside a target: ``of`` is the loss, of any target and however K is formed.

    Where a ``tolerance`` above 0 is reached within ``iterations``, the gradient is that of the fixed point; else that
    of the loop.

    Example:
        >>> class Potential(Transport):
        ...     def of(self, coupling):
        ...         f, g = self.scalings(coupling, coupling.mu.log(), coupling.nu.log())
        ...         return coupling.mu @ f + coupling.nu @ g
        >>> Potential(1.0, iterations=1)(torch.ones(2, 2), torch.eye(2).bool())
        tensor(-1.3863)
    """

    def __init__(self, tau: float | Tensor, iterations: Count, tolerance: NonNegative = 0.0):
        self.tau = tau
        self.iterations = iterations
        self.tolerance = tolerance

    @abstractmethod
    def of(self, coupling: Coupling) -> Tensor:
        """The loss, a scalar."""

    def of_plan(self, similarity: Tensor, target: Tensor) -> Tensor:
        """The loss of cosines and a target plan, both (n_x, n_y)."""
        return self.of(DenseCoupling(log_kernel(similarity, self.tau), target.to(similarity)))

    def whole(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return self.of_plan(similarity, positive_plan(positives, similarity))

    def of_cosines(self, cosines: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
        check_pairs(cosines, positives)
        tempered = copy(self)  # in the kernel, and in what weighs terms beside each other
        tempered.tau = 1 / scale
        return tempered.whole(cosines, positives)

    def scalings(
        self, coupling: Coupling, log_mu: Tensor, log_nu: Tensor, damping: Damping = BALANCED
    ) -> tuple[Tensor, Tensor]:
        """The log-scalings f (n_x,), g (n_y,) of the plan with these marginals."""
        fixed = converged(coupling, log_mu, log_nu, self.iterations, damping, self.tolerance)
        if fixed is not None and isinstance(coupling, DenseCoupling):
            return coupling.implicit(log_mu, log_nu, fixed, damping)
        return sinkhorn(coupling, log_mu, log_nu, self.iterations, damping, self.tolerance)


class GCAINCE(Transport):
    """``KL(T || P)`` over the sum of T, P the plan with T's marginals (Chen et al., NeurIPS 2024); see ``gca_ince``.

    At convergence ``S = (T - P) / (eps sum(T))``, whose rows and columns all sum to 0.

    Example:
        >>> GCAINCE(tau=1.0, iterations=10)(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    streamed = True

    def of(self, coupling: Coupling) -> Tensor:
        mu, nu = coupling.mu, coupling.nu
        fixed = converged(coupling, mu.log(), nu.log(), self.iterations, BALANCED, self.tolerance)
        if fixed is not None:
            f, g = fixed  # constants: at the fixed point they move the sum below by nothing
            excess = (f + coupling.rows(g)).exp().sum() - coupling.mass
        else:
            f, g = sinkhorn(coupling, mu.log(), nu.log(), self.iterations)
            excess = torch.zeros_like(coupling.mass)  # T and P have one sum, by the last step
        return (coupling.entropy - coupling.matched() - mu @ f - nu @ g + excess) / coupling.mass


class IOT(Transport):
    """The plan's negative log-likelihood of the positives, ``-sum T log P / sum(T)`` (Shi et al., ICML 2023).

    The plan has uniform marginals: 1 for each row, ``n_x / n_y`` for each column. One-to-one it is GCA-INCE; else the
    target has other marginals than the plan, and its gradient at convergence is that of ``potentials``.

    Example:
        >>> IOT(tau=1.0, iterations=10)(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    streamed = True

    def of(self, coupling: Coupling) -> Tensor:
        f, g = self.scalings(coupling, *uniform_marginals(coupling.mu, coupling.nu))
        return -(coupling.matched() + coupling.mu @ f + coupling.nu @ g) / coupling.mass


class IOTUni(IOT):
    r"""IOT with ``uniformity`` times ``KL(Q || P) / sum(T)``: Q is P with its mean in the place of its negatives.

    As the released code of GCA has IOT-uni. It draws all negatives' shares to one size; where there are no negatives
    it is 0.

    Example:
        >>> IOTUni(tau=1.0, iterations=10, uniformity=0.2)(torch.eye(3), torch.eye(3).bool())
        tensor(0.5514)
    """

    streamed = False

    def __init__(self, tau: float | Tensor, iterations: Count, uniformity: NonNegative, tolerance: NonNegative = 0.0):
        super().__init__(tau, iterations, tolerance)
        self.uniformity = uniformity

    def of(self, coupling: Coupling) -> Tensor:
        assert isinstance(coupling, DenseCoupling)
        f, g = self.scalings(coupling, *uniform_marginals(coupling.mu, coupling.nu))
        likelihood = coupling.matched() + coupling.mu @ f + coupling.nu @ g
        negatives = coupling.target == 0
        if not negatives.any():
            return -likelihood / coupling.mass
        mean = plan(coupling, f, g)[negatives].mean()
        log_P = (coupling.log_K + f[:, None] + g)[negatives]
        return (-likelihood + self.uniformity * (mean * (mean.log() - log_P)).sum()) / coupling.mass
