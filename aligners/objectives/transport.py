r"""Contrastive alignment as transport (GCA: Chen et al., NeurIPS 2024, arXiv 2502.20141; IOT: Shi et al., ICML 2023).

The kernel of cosines c is ``K_ij = exp((c_ij - 1) / eps)``, the temperature eps is ``tau``. A plan P is K scaled by
Sinkhorn's iteration, and the loss compares it with a target plan T (n_x, n_y), by default ``positive_plan``. All are
divided by the sum of T, so its scale changes nothing but where a loss says so.
"""

import torch
from torch import Tensor

from aligners.objectives.plans import positive_plan
from aligners.objectives.sinkhorn import DenseKernel, converged, sinkhorn


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
    target = target.to(similarity)
    kernel, mu, nu = DenseKernel(log_kernel(similarity, eps)), target.sum(1), target.sum(0)
    marginals = mu.log(), nu.log()
    fixed = converged(kernel, *marginals, iterations, (1.0, 1.0), tolerance)
    entropy = torch.special.xlogy(target, target).sum()
    matched = (target * kernel.log_K).sum()
    if fixed is not None:
        # the envelope: at the fixed point f and g move the sum below by nothing
        f, g = fixed
        mass = (kernel.log_K + f[:, None] + g).exp().sum() - target.sum()
        return (entropy - matched - mu @ f - nu @ g + mass) / target.sum()
    f, g = sinkhorn(kernel, *marginals, iterations)
    return (entropy - matched - mu @ f - nu @ g) / target.sum()  # T and P have one sum, by the last step
