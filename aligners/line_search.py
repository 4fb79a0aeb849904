"""One damped step of the spectral solver, safeguarded: it is halved until the objective does not rise."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from aligners.contrast import Contrasted
from aligners.spectral import Step


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


class Taken(NamedTuple):
    """The step that was taken, in the bases of its plane."""

    u: Tensor
    s: Tensor
    v: Tensor
    gap: float
    eta: float
    at: Contrasted
    last: bool


def line_search(
    step: Step, s: Tensor, value: float, damping: Damping, contrasted: Callable[[Tensor, Tensor, Tensor], Contrasted]
) -> Taken | None:
    """The first trial step that does not raise the objective above ``value``; None when each of them does."""
    eta = damping.eta
    for _ in range(damping.max_halvings + 1):
        u, new_s, v, gap = step.take(s, eta)
        at = contrasted(u, new_s, v)
        if at.value <= value or not damping.safeguard:
            last = damping.safeguard and value - at.value <= damping.tolerance * abs(at.value)
            return Taken(u, new_s, v, gap, eta, at, last)
        eta /= 2
    return None
