"""A pass's step: the plane it moves in, and how far along it, halved until the objective does not rise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from aligners.objectives.base import Objective
from aligners.spectral.factors import Factors, singular_gap


@dataclass(frozen=True)
class Step:
    """The plane in which a pass moves: new directions beside U and V, and where to in these bases.

    ``Q_x`` (m_x, q_x) and ``Q_y`` (m_y, q_y) are orthonormal and orthogonal to U and V; ``direction``
    (r + q_x, r + q_y) is T(C) / |T(C)|, or C / |C| of a full step, in the bases [U, Q_x] and [V, Q_y].
    0 where there is nowhere to go. ``shared``: both sides are one.

    Example:
        >>> C = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
        >>> e_1 = torch.eye(2)[:, :1]
        >>> step = tangent_step(Factors(e_1, torch.ones(1), e_1, gap=2.0), C @ e_1, C.T @ e_1)
        >>> step.Q_x.shape, step.Q_y.shape, step.direction
        (torch.Size([2, 0]), torch.Size([2, 1]), tensor([[0.9487, 0.3162]]))
    """

    Q_x: Tensor
    Q_y: Tensor
    direction: Tensor
    shared: bool

    @property
    def stands(self) -> bool:
        """Whether there is nowhere to go."""
        return not self.direction.any()

    def trial(self, s: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor, float]:
        """Truncated SVD of ``(1 - eta) Z + eta direction`` in these bases.

        u (r + q_x, r), s (r,), v (r + q_y, r), and the gap.
        """
        rank = len(s)
        core = eta * self.direction  # a new tensor
        core[:rank, :rank] += (1 - eta) * torch.diag(s)
        if self.shared:
            values, vectors = torch.linalg.eigh((core + core.T) / 2)
            values, u = values.flip(0).clamp_min(0), vectors.flip(1)
            return u[:, :rank], values[:rank], u[:, :rank], singular_gap(values, rank)
        u, values, vt = torch.linalg.svd(core, full_matrices=False)
        return u[:, :rank], values[:rank], vt[:rank].T, singular_gap(values, rank)


def tangent_step(factors: Factors, CV: Tensor, CtU: Tensor, shared: bool = False) -> Step:
    """The projection of C on the tangent space at Z (Vandereycken 2013), from ``C V`` (m_x, r) and ``C^T U`` (m_y, r).

    ``T(C) = U U^T C + C V V^T - U U^T C V V^T``, divided by its length. With ``shared``, U = V and C stands for its
    symmetric part.
    """
    if shared:
        CV = CtU = (CV + CtU) / 2
    core = factors.U.T @ CV
    scale = CV.norm()
    Q_x, R_x = directions_beside(factors.U, CV, scale)
    Q_y, R_y = (Q_x, R_x) if shared else directions_beside(factors.V, CtU, scale)
    rank, q_x, q_y = len(core), Q_x.shape[1], Q_y.shape[1]
    tangent = core.new_zeros(rank + q_x, rank + q_y)
    tangent[:rank, :rank] = core
    tangent[rank:, :rank] = R_x
    tangent[:rank, rank:] = R_y.T
    return Step(Q_x, Q_y, of_length_1(tangent), shared)


def of_length_1(core: Tensor) -> Tensor:
    """``core`` divided by its norm; 0 where the weights vanish: nothing is left to tell apart."""
    length = core.norm()
    return core / length if length > 0 else core


def directions_beside(basis: Tensor, target: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Q (m, q) orthonormal, orthogonal to ``basis``, and R (q, r): the part of ``target`` outside it is Q R.

    Directions below 1e-10 of ``scale`` are rounding, and there are none where the basis spans everything.
    """
    residual = target - basis @ (basis.T @ target)
    residual -= basis @ (basis.T @ residual)  # once more: the first projection leaves rounding behind
    left, s, right = torch.linalg.svd(residual, full_matrices=False)
    kept = s > 1e-10 * scale
    return left[:, kept], s[kept, None] * right[kept]


def rotated(factors: Factors, step: Step, u: Tensor, s: Tensor, v: Tensor, gap: float) -> Factors:
    """The factors, U (m_x, r) and V (m_y, r), of the matrix that ``Step.trial`` gives in the bases of its plane."""
    return Factors(torch.cat([factors.U, step.Q_x], 1) @ u, s, torch.cat([factors.V, step.Q_y], 1) @ v, gap)


class Damping(NamedTuple):
    """How far a pass moves.

    ``eta`` is the length of the first trial; it is halved at most ``max_halvings`` times until the objective
    does not rise, unless there is no ``safeguard``. A pass that lowers it by less than the share ``tolerance``
    is the last.
    """

    eta: float
    safeguard: bool
    max_halvings: int
    tolerance: float

    def stops(self, before: float, after: float) -> bool:
        """Whether a pass from one objective to the other is the last."""
        return self.safeguard and before - after <= self.tolerance * abs(after)


class Rule(NamedTuple):
    """What every pass of a fit does alike.

    ``step`` is ``tangent`` or ``full``; ``exact``: a full step takes as many sweeps as it needs.
    """

    objective: Objective
    weight_power: float
    damping: Damping
    block_size: int
    step: str
    exact: bool

    def weighted(self, s: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """A s^p (n_x, r) and B s^p (n_y, r) of projections A and B: the embeddings that are contrasted."""
        weights = (s**self.weight_power).to(A)
        return A * weights, B * weights


class Valued(Protocol):
    """What an objective comes to at some embeddings."""

    @property
    def value(self) -> float: ...


V = TypeVar("V", bound=Valued)


class Accepted(NamedTuple, Generic[V]):
    """The step that was accepted, in the bases of its plane."""

    u: Tensor
    s: Tensor
    v: Tensor
    gap: float
    eta: float
    contrasted: V
    last: bool


def line_search(
    step: Step, s: Tensor, value: float, damping: Damping, contrasted: Callable[[Tensor, Tensor, Tensor], V]
) -> Accepted[V] | None:
    """The first trial step from s (r,) that does not raise the objective above ``value``; None when each of them does.

    ``contrasted`` gives the objective at the u, s and v of ``Step.trial``. The lengths tried are ``damping.eta`` and
    its halves; without the safeguard the first one stands.
    """
    eta = damping.eta
    for _ in range(damping.max_halvings + 1):
        u, new_s, v, gap = step.trial(s, eta)
        at = contrasted(u, new_s, v)
        if at.value <= value or not damping.safeguard:
            last = damping.stops(value, at.value)
            return Accepted(u, new_s, v, gap, eta, at, last)
        eta /= 2
    return None
