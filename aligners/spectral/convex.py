r"""The exact contrastive problem: logits that are not normalised make it convex, so its minimiser can be certified.

Features A (n_x, m_x), B (n_y, m_y) are centred and, if wished, whitened; the logits are :math:`s = A Z B^T` for
a matrix Z (m_x, m_y), and with a convex objective L of the logits

.. math:: F(Z) = L(A Z B^T; P) + \frac{\rho}{2} |Z|_F^2, \qquad \nabla F(Z) = -A^T S B + \rho Z,

S = -dL/ds the objective's weights. F is :math:`\rho`-strongly convex, so it has one minimiser, and
:math:`F(Z) - F^* \le |\nabla F(Z)|^2 / (2 \rho)` holds at every Z (Nesterov 2018, Eq. 2.1.24 of Lectures on
Convex Optimization): the certificate, which costs nothing beside the gradient.

A temperature is a scale of Z: for CLIP and InfoNCE in the scale of ``aligners.objectives``,
:math:`F(Z; \tau, \rho) = \tau F(Z / \tau; 1, \rho \tau)`, so the directions of the minimiser depend on
:math:`\rho \tau` alone (for SigLIP on :math:`\rho \tau^2`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from aligners.objectives.base import Objective
from ground.distributed import add_over_processes, rank_and_world


@dataclass(frozen=True)
class ConvexProblem:
    """F for features A (n_x, m_x), B (n_y, m_y) float64 whose positives are the pairs of equal group.

    ``objective`` is convex in the similarities. Every process holds all features and sweeps its share of the
    blocks of rows, and of columns where the objective is symmetric. Beside matrices of the features' size, memory
    is one block of ``block_size`` rows by the other modality's whole length; the cost of an evaluation is
    ``4 n_x n_y m_y`` flops, twice that where the objective is symmetric.
    """

    objective: Objective
    A: Tensor
    B: Tensor
    x_group: Tensor
    y_group: Tensor
    rho: float
    block_size: int

    def evaluate(self, Z: Tensor) -> tuple[Tensor, Tensor]:
        """F(Z), a scalar tensor, and its gradient (m_x, m_y): the same in every process."""
        rank, world = rank_and_world()
        loss, pulled = self._share(self.A @ Z, rank, world)
        gradient = -(self.A.T @ pulled)
        add_over_processes(loss, gradient)
        return loss + self.rho / 2 * Z.square().sum(), gradient.add_(Z, alpha=self.rho)

    def gap(self, gradient: Tensor) -> float:
        """The certificate ``|grad F(Z)|^2 / (2 rho)``: F(Z) is above the minimum by no more."""
        return float(gradient.square().sum()) / (2 * self.rho)

    def _share(self, left: Tensor, share: int, shares: int) -> tuple[Tensor, Tensor]:
        """One share of L at the logits ``left B^T``, and of S B (n_x, m_y)."""
        loss, pulled = left.new_zeros(()), torch.zeros_like(left)
        directions = 2 if self.objective.symmetric else 1
        for of_x in (True, False)[:directions]:
            one, other = (left, self.B) if of_x else (self.B, left)
            group, other_group = (self.x_group, self.y_group) if of_x else (self.y_group, self.x_group)
            factor = 1 / (directions * len(group))
            for rows in torch.arange(len(group), device=left.device).split(self.block_size)[share::shares]:
                logits, positives = one[rows] @ other.T, group[rows, None] == other_group
                loss += factor * self.objective.rows(logits, positives).sum()
                weights = self.objective.row_weights(logits, positives).mul_(factor)
                if of_x:
                    pulled[rows] += weights @ self.B
                else:
                    pulled.addmm_(weights.T, self.B[rows])
        return loss, pulled


@dataclass(frozen=True)
class Iterate:
    """An accepted iterate: F, and the certificate of how far F is above its minimum."""

    objective: float
    gap: float


@dataclass(frozen=True)
class ConvexSolution:
    """Z (m_x, m_y) and how it was found: ``iterates`` from the start Z = 0 to this Z, F falling."""

    Z: Tensor
    iterates: list[Iterate]
    evaluations: int
    converged: bool

    @property
    def objective(self) -> float:
        """F(Z)."""
        return self.iterates[-1].objective

    @property
    def gap(self) -> float:
        return self.iterates[-1].gap


def gap_of_another(problem: ConvexProblem, solution: ConvexSolution, Z: Tensor) -> float:
    """A bound of ``F(Z) - F*`` for another Z (m_x, m_y), of low rank say: ``F(Z) - F(solution.Z) + solution.gap``.

    Tighter than Z's own ``|grad F|^2 / (2 rho)``, which is large away from the minimum.
    """
    value, _ = problem.evaluate(Z)
    return float(value) - solution.objective + solution.gap


def solve(problem: ConvexProblem, tolerance: float, max_iterations: int) -> ConvexSolution:
    """Minimise F from Z = 0 by L-BFGS with a strong Wolfe line search: F falls at every iterate.

    Stops when the certificate is at most ``tolerance |F|``, after ``max_iterations``, or when rounding leaves no
    descent; ``converged`` says whether it was the first. All processes take the same steps.
    """
    A, B = problem.A, problem.B
    shape = (A.shape[1], B.shape[1])
    iterates: list[Iterate] = []
    Z = torch.zeros(shape, dtype=A.dtype, device=A.device)
    evaluated = (0.0, 0.0)  # F and certificate where F was evaluated last

    def matrix(z: NDArray[np.float64]) -> Tensor:
        return torch.tensor(z, dtype=A.dtype, device=A.device).view(shape)

    def value_and_gradient(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal evaluated
        value, gradient = problem.evaluate(matrix(z))
        evaluated = (float(value), problem.gap(gradient))
        if not iterates:
            iterates.append(Iterate(*evaluated))
        return evaluated[0], gradient.flatten().double().cpu().numpy()

    def accept(intermediate_result: OptimizeResult) -> None:
        nonlocal Z
        Z = matrix(intermediate_result.x)
        iterates.append(Iterate(*evaluated))  # a line search ends at the point that it evaluated last
        if certified():
            raise StopIteration

    def certified() -> bool:
        return iterates[-1].gap <= tolerance * abs(iterates[-1].objective)

    # its own criteria are off: only the certificate says that it is done
    options = {"maxiter": max_iterations, "maxfun": np.inf, "ftol": 0, "gtol": 0}
    result = minimize(
        value_and_gradient, np.zeros(Z.numel()), jac=True, method="L-BFGS-B", callback=accept, options=options
    )
    return ConvexSolution(Z, iterates, int(result.nfev), certified())
