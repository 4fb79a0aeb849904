"""Every kind of range, by the command line and by a constructor's call: the same values pass, in the same words."""

from collections.abc import Callable
from math import inf, isfinite, nan
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ground import ranges
from ground.errors import UserError
from ground.ranges import (
    Choosable,
    Count,
    Natural,
    NonNegative,
    Positive,
    Seed,
    Share,
    above,
    at_least,
    at_most,
    below,
    between,
    not_empty,
    one_of,
)
from ground.values import check, check_constructor, checked


class Settings(TypedDict):
    """A dict whose keys have ranges."""

    holdout: Share
    strengths: Annotated[list[Positive], not_empty]


class Method:
    """Takes an argument of every kind of range; they are named by what they are."""

    @checked("method.")
    def __init__(
        self,
        count: Count = 1,
        natural: Natural = 0,
        seed: Seed = 0,
        finite: ranges.Finite = 0,
        positive: Positive = 1,
        not_negative: NonNegative = 0,
        share: Share = 0.5,
        open_closed: Annotated[float, above(0), at_most(1)] = 1,
        closed_open: Annotated[float, at_least(0), below(1)] = 0,
        even: Annotated[int, ranges.even, at_least(2)] = 2,
        levels: list[Annotated[int, between(1, 5)]] = [],  # noqa: B006
        name: Annotated[str, one_of({"rbf": 1, "linear": 2})] = "rbf",
        literal: Literal["linear", "mlp"] | None = None,
        some: Choosable[Positive] = 1,
        none: Count | None = None,
        either: Annotated[float, above(0), at_most(1)] | Literal["enough"] = "enough",
        settings: Settings = {"holdout": 0.2, "strengths": [1]},  # noqa: B006
    ):
        self.count = count


def by_call(argument: str, value: Any) -> str | None:
    """The line of ``Method``'s constructor."""
    try:
        Method(**{argument: value})
    except UserError as error:
        return str(error)
    return None


def by_command_line(argument: str, value: Any) -> str | None:
    """The line of a config with ``Method`` in it."""
    try:
        check(OmegaConf.create({"method": {"_target_": f"{__name__}.Method", argument: value}}))
    except UserError as error:
        return str(error)
    return None


RIGHT = {
    "count": [1, 2**63 - 1], "natural": [0, 3], "seed": [0, 2**32 - 1], "finite": [-1e300, 0], "positive": [5e-324, 3],
    "not_negative": [0, 0.0, 7], "share": [1e-9, 0.999], "open_closed": [1e-9, 1], "closed_open": [0, 0.999],
    "even": [2, 64], "levels": [[], [1, 5]], "name": ["rbf", "linear"], "literal": [None, "mlp"],
    "some": [0.1, [0.1], [2, 0.5]], "none": [None, 1], "either": ["enough", 1, 0.5],
    "settings": [{"holdout": 0.5, "strengths": [0.1, 1]}],
}  # fmt: skip
WRONG = [
    ("count", 0, "method.count must be at least 1, got 0"),
    ("count", 1.0, "method.count must be an integer, got 1.0"),
    ("count", True, "method.count must be an integer, got True"),
    ("count", None, "method.count must be an integer, got None"),
    ("natural", -1, "method.natural must be at least 0, got -1"),
    ("seed", -1, "method.seed must be from 0 to 4294967295, got -1"),
    ("seed", 2**32, "method.seed must be from 0 to 4294967295, got 4294967296"),
    ("finite", nan, "method.finite must be finite, got nan"),
    ("positive", 0, "method.positive must be above 0, got 0"),
    ("positive", nan, "method.positive must be above 0, got nan"),
    ("positive", inf, "method.positive must be above 0 and finite, got inf"),
    ("positive", "x", "method.positive must be a number, got 'x'"),
    ("positive", True, "method.positive must be a number, got True"),
    ("not_negative", -0.1, "method.not_negative must be at least 0, got -0.1"),
    ("share", 0, "method.share must be above 0 and below 1, got 0"),
    ("share", 1.0, "method.share must be above 0 and below 1, got 1.0"),
    ("open_closed", 0, "method.open_closed must be above 0 and at most 1, got 0"),
    ("open_closed", 1.5, "method.open_closed must be above 0 and at most 1, got 1.5"),
    ("closed_open", -0.5, "method.closed_open must be at least 0 and below 1, got -0.5"),
    ("closed_open", 1, "method.closed_open must be at least 0 and below 1, got 1"),
    ("even", 3, "method.even must be even and at least 2, got 3"),
    ("even", 0, "method.even must be even and at least 2, got 0"),
    ("levels", [1, 6], "method.levels must be from 1 to 5, got 6"),
    ("levels", 3, "method.levels must be a list, each an integer, got 3"),
    ("name", "rfb", "unknown method.name 'rfb': did you mean 'rbf'?"),
    ("name", 3, "method.name must be text, got 3"),
    ("literal", "liner", "unknown method.literal 'liner': did you mean 'linear'?"),
    ("literal", 1, "method.literal must be 'linear' or 'mlp' or null, got 1"),
    ("some", [], "method.some must be a list of at least one, got []"),
    ("some", -1, "method.some must be above 0, got -1"),
    ("some", [1, -1], "method.some must be above 0, got -1"),
    ("some", [1, inf], "method.some must be above 0 and finite, got inf"),
    ("some", [0.1, "cold"], "method.some must be a number or a list, each a number, got [0.1, 'cold']"),
    ("count", 2**63, "method.count must be of 64 bits, got 9223372036854775808"),
    ("positive", -(10**30), "method.positive must be of 64 bits, got -1000000000000000000000000000000"),
    ("none", 0, "method.none must be at least 1, got 0"),
    ("none", "a", "method.none must be an integer or null, got 'a'"),
    ("either", 2, "method.either must be above 0 and at most 1, got 2"),
    ("either", "all", "method.either must be a number or 'enough', got 'all'"),
    ("settings", 3, "method.settings must be a dict, got 3"),
    ("settings", {"holdout": 0.5}, "method.settings needs a value for: strengths"),
    ("settings", {"holdot": 0.5}, "unknown key 'method.settings.holdot': did you mean 'holdout'?"),
    ("settings", {"holdout": 1, "strengths": [1]}, "method.settings.holdout must be above 0 and below 1, got 1"),
    ("settings", {"holdout": 0.5, "strengths": []}, "method.settings.strengths must be a list of at least one, got []"),
]


@pytest.mark.parametrize("argument", RIGHT)
def test_values_in_range_pass_both_ways(argument: str) -> None:
    for value in RIGHT[argument]:
        assert by_call(argument, value) is None
        assert by_command_line(argument, value) is None


@pytest.mark.parametrize(("argument", "value", "line"), WRONG)
def test_values_out_of_range_are_told_in_the_same_line(argument: str, value: Any, line: str) -> None:
    assert by_call(argument, value) == line
    assert by_command_line(argument, value) == line


def number(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and holds(value)


TRUTH: dict[str, Callable[[Any], bool]] = {
    "count": lambda v: type(v) is int and v > 0,
    "natural": lambda v: type(v) is int and v >= 0,
    "finite": lambda v: number(v, lambda v: True),
    "share": lambda v: number(v, lambda v: 0 < v < 1),
    "open_closed": lambda v: number(v, lambda v: 0 < v <= 1),
    "closed_open": lambda v: number(v, lambda v: 0 <= v < 1),
    "even": lambda v: type(v) is int and v >= 2 and v % 2 == 0,
    "levels": lambda v: isinstance(v, list) and all(type(each) is int and each in range(1, 6) for each in v),
    "name": lambda v: isinstance(v, str) and v in ("rbf", "linear"),
    "literal": lambda v: v is None or (isinstance(v, str) and v in ("linear", "mlp")),
    "some": lambda v: v != [] and all(number(each, lambda v: v > 0) for each in (v if isinstance(v, list) else [v])),
    "none": lambda v: v is None or (type(v) is int and v > 0),
    "either": lambda v: v == "enough" or number(v, lambda v: 0 < v <= 1),
}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 8), st.integers(), st.floats(-2, 2), st.floats(),
    st.sampled_from(["rbf", "linear", "mlp", "enough", "", "1", "Linear"]),
)  # fmt: skip


@example(argument="count", value=2**63)
@given(argument=st.sampled_from(list(TRUTH)), value=st.one_of(SCALARS, st.lists(SCALARS, max_size=3)))
def test_a_value_passes_one_way_exactly_when_it_passes_the_other(argument: str, value: Any) -> None:
    line = by_call(argument, value)
    assert line == by_command_line(argument, value)
    each_value = value if isinstance(value, list) else [value]
    fits = all(type(each) is not int or abs(each) < 2**63 for each in each_value)
    assert (line is None) == (fits and TRUTH[argument](value))
    assert line is None or ("\n" not in line and f"method.{argument} " in line)


def test_a_call_may_give_what_no_yaml_holds() -> None:
    Method(levels=(1, 5), count=3)  # type: ignore[arg-type]
    Method(some=OmegaConf.create([0.1, 2.0]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"method.some must be above 0, got -2.0"):
        Method(some=OmegaConf.create([0.1, -2.0]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"method.count must be at least 1, got -3"):
        Method(-3)  # by its place


def test_a_constructor_of_a_child_is_checked_and_an_inherited_one_not_twice() -> None:
    class Base:
        def __init_subclass__(cls) -> None:
            check_constructor(cls, "base.")

        def __init__(self, n: Count):
            self.n = n

    class Child(Base):
        def __init__(self, n: Count, m: Positive):
            super().__init__(n)

    class Same(Base):
        pass

    with pytest.raises(UserError, match=r"base.m must be above 0, got 0"):
        Child(1, m=0)
    assert Same.__init__ is Base.__init__
