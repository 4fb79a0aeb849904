"""Whether a plain value may stand for an annotated argument, and the line that says why not."""

from collections.abc import Iterable
from math import inf
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from ground.errors import nearest
from ground.ranges import Rule

WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", NoneType: "null", dict: "a dict"}


def problem(name: str, value: Any, hint: Any) -> str | None:
    """What is wrong with ``value`` as the argument ``name``, in one line; None where it fits type and range.

    A list is checked item by item, a ``TypedDict`` key by key.

    Example:
        >>> from ground.ranges import Positive
        >>> problem("aligner.tau", -1.0, Positive)
        'aligner.tau must be above 0, got -1.0'
    """
    suited = [each for each in _alternatives(hint) if fits(value, each)]
    if not suited:
        names = _names(hint)
        if names and isinstance(value, str):
            return f"unknown {name} '{value}': {nearest(value, names)}"
        return f"{name} must be {_words(hint)}, got {value!r}"
    problems = [_out_of_range(name, value, each) for each in suited]
    return None if None in problems else problems[0]


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of an annotation, whatever its range; unclear annotations take anything."""
    hint, _ = _split(hint)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in get_args(hint))
    kind = origin or (NoneType if hint is None else hint)
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    if is_typeddict(kind):
        return isinstance(value, dict)
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str | PathLike)
    if kind in (bool, NoneType):
        return isinstance(value, kind)
    if isinstance(value, dict):  # of any other class it is the config
        return kind is not list
    if isinstance(value, list | tuple):
        (each_hint,) = get_args(hint) if kind is list and get_args(hint) else (Any,)
        return (kind is list or isinstance(value, kind) or issubclass(kind, tuple | set)) and all(
            fits(each, each_hint) for each in value
        )
    return isinstance(value, kind) or (isinstance(value, str) and issubclass(Path, kind))


def takes_dict(hint: Any) -> bool:
    """Whether a dict is wanted as it is, where a class would be built from it."""
    return any(each is Any or is_typeddict(each) or (get_origin(each) or each) is dict for each in _alternatives(hint))


def _out_of_range(name: str, value: Any, hint: Any) -> str | None:
    """The rule that a value of the right type breaks."""
    hint, rules = _split(hint)
    if is_typeddict(hint) and isinstance(value, dict):
        return _keys(name, value, get_type_hints(hint, include_extras=True))
    if get_origin(hint) is list and isinstance(value, list | tuple) and get_args(hint):
        lines = [problem(name, each, get_args(hint)[0]) for each in value]
        if found := [line for line in lines if line is not None]:
            return found[0]
    if hint in (int, float) and isinstance(value, int) and abs(value) >= 2**63:  # no tensor holds it
        return f"{name} must be of 64 bits, got {value!r:.40}"
    for rule in rules:
        if not rule.holds(value):
            if rule.names:
                return f"unknown {name} '{value}': {nearest(str(value), rule.names)}"
            words = [each.words for each in rules] + ["finite"] * (value in (inf, -inf))
            return f"{name} must be {' and '.join(words)}, got {value!r}"
    return None


def _keys(name: str, values: dict[str, Any], hints: dict[str, Any]) -> str | None:
    for key in values:
        if key not in hints:
            return f"unknown key '{name}.{key}': {nearest(key, hints)}"
    if missing := [key for key in hints if key not in values]:
        return f"{name} needs a value for: {', '.join(missing)}"
    lines = (problem(f"{name}.{key}", value, hints[key]) for key, value in values.items())
    return next((line for line in lines if line is not None), None)


def _split(hint: Any) -> tuple[Any, list[Rule]]:
    """The annotation without its rules, and these."""
    if get_origin(hint) is not Annotated:
        return hint, []
    return hint.__origin__, [each for each in hint.__metadata__ if isinstance(each, Rule)]


def _alternatives(hint: Any) -> Iterable[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _names(hint: Any) -> list[str]:
    """The names of an annotation that takes nothing but names, or null."""
    others = [each for each in _alternatives(hint) if each is not NoneType]
    names = [name for each in others if get_origin(each) is Literal for name in get_args(each)]
    only = all(get_origin(each) is Literal for each in others) and all(isinstance(name, str) for name in names)
    return names if only else []


def _words(hint: Any) -> str:
    hint, _ = _split(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in get_args(hint))
    if get_origin(hint) is list:
        return f"a list, each {_words(get_args(hint)[0])}"
    if is_typeddict(hint) or get_origin(hint) is dict:
        return WORDS[dict]
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))
