"""Ranges of arguments, declared once, as annotations; ``ground.values`` checks them wherever a value comes from.

def __init__(self, rank: Count, tau: Positive, eta: Annotated[float, above(0), at_most(1)]): ...
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, TypeAlias, TypeVar


@dataclass(frozen=True)
class Rule:
    """What values of an annotation ``Annotated[type, rule, ...]`` must satisfy.

    ``words`` say it after "must be". Numbers that are not finite satisfy no rule.

    Example:
        >>> odd = Rule("odd", lambda value: value % 2 == 1)
        >>> odd.words, odd.holds(3), above(0).holds(inf)
        ('odd', True, False)
    """

    words: str
    holds: Callable[[Any], bool]
    names: Collection[str] = ()
    """The names that a rule chooses from: a message tells the nearest."""


def above(low: float) -> Rule:
    """Numbers in (low, inf)."""
    return Rule(f"above {low}", lambda value: low < value < inf)


def at_least(low: float) -> Rule:
    """Numbers in [low, inf)."""
    return Rule(f"at least {low}", lambda value: low <= value < inf)


def below(high: float) -> Rule:
    """Numbers in (-inf, high)."""
    return Rule(f"below {high}", lambda value: -inf < value < high)


def at_most(high: float) -> Rule:
    """Numbers in (-inf, high]."""
    return Rule(f"at most {high}", lambda value: -inf < value <= high)


def between(low: float, high: float) -> Rule:
    """Numbers in [low, high]."""
    return Rule(f"from {low} to {high}", lambda value: low <= value <= high)


def one_of(names: Collection[str]) -> Rule:
    """One of ``names``: for those that are the keys of a table; others are a ``Literal``."""
    return Rule(f"one of {', '.join(sorted(names))}", lambda value: value in names, tuple(names))


even = Rule("even", lambda value: value % 2 == 0)
finite = Rule("finite", lambda value: -inf < value < inf)
not_empty = Rule("a list of at least one", lambda values: len(values) > 0)

Count = Annotated[int, at_least(1)]
Natural = Annotated[int, at_least(0)]
Seed = Annotated[int, between(0, 2**32 - 1)]
Finite = Annotated[float, finite]
Positive = Annotated[float, above(0)]
NonNegative = Annotated[float, at_least(0)]
Share = Annotated[float, above(0), below(1)]
Part = Annotated[float, at_least(0), below(1)]
"""A share that may be none."""

T = TypeVar("T")
Choosable: TypeAlias = T | Annotated[list[T], not_empty]
"""``Choosable[Positive]``: a value, or a list that it is chosen from, each of the same range."""
