"""The types of a composed config, checked before anything is built."""

import inspect
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError, nearest

TOP_LEVEL: dict[str, Any] = {
    "name": str, "aligner_name": str, "seed": int, "threads": int | None, "run_dir": str,
    "data_dir": str, "cache_dir": str, "tags": list[str], "resume": str | None,
}  # fmt: skip
COUNTS = (
    "threads",
    "max_epochs",
    "batch_size",
    "eval_batch_size",
    "block_size",
    "choice_items",
    "covariance_rows",
    "train_items",
    "shard_size",
)
"""Keys, wherever they stand, that must be at least 1."""
WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", NoneType: "null"}


def check(config: DictConfig) -> None:
    """Check every value against the annotation of the argument that takes it, before anything is built.

    Raises:
        UserError: a value of a wrong type, a count below 1, an argument or a ``_target_`` that does not exist.
    """
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    for key, hint in TOP_LEVEL.items():
        _check_value(key, values[key], hint)
    if not 0 <= values["seed"] < 2**32:
        raise UserError(f"seed must be from 0 to {2**32 - 1}, got {values['seed']}")
    _check_node("", values, typed=True)


def _check_node(prefix: str, node: dict[str, Any], typed: bool) -> None:
    hints: dict[str, Any] = {}
    if "_target_" in node:
        hints = _arguments(prefix, node)
    for key, value in node.items():
        name = f"{prefix}{key}"
        if typed and key in hints:
            _check_value(name, value, hints[key])
        if key in COUNTS and isinstance(value, int) and value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
        if isinstance(value, dict):
            # what is taken as a dict is built by its taker, which may fill in placeholders
            _check_node(f"{name}.", value, typed and not _fits({}, hints.get(key, str)))


def _arguments(prefix: str, node: dict[str, Any]) -> dict[str, Any]:
    """The annotations of the target's arguments."""
    try:
        target: Any = get_object(node["_target_"])
    except Exception as error:  # an import runs foreign code
        reason = " ".join(str(error).split())
        raise UserError(f"{prefix}_target_ '{node['_target_']}' cannot be imported: {reason}") from error
    parameters = _parameters(target)
    if parameters is not None:
        for key in node:
            if key not in parameters and not key.startswith("_"):
                raise UserError(f"unknown key '{prefix}{key}': {nearest(key, parameters)}")
    owners = reversed(target.__mro__) if isinstance(target, type) else [target]
    hints: dict[str, Any] = {}
    for owner in owners:
        function = vars(owner).get("__init__") if isinstance(owner, type) else owner
        try:
            hints |= get_type_hints(function) if inspect.isfunction(function) else {}
        except (NameError, TypeError):  # annotations that only a type checker can read
            continue
    return hints


def _parameters(target: Any) -> set[str] | None:
    """Names of what the target takes, through ``**common`` of its bases too; None where it takes anything."""
    known: set[str] = set()
    inits = [vars(owner).get("__init__") for owner in target.__mro__] if isinstance(target, type) else [target]
    for init in inits:
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        known |= {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}
        if not any(each.kind == each.VAR_KEYWORD for each in parameters):
            return known - {"self"}
    return None


def _check_value(name: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise UserError(f"{name} must be {_words(hint)}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value of a YAML may stand for an annotated argument; unclear annotations take anything."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    kind = origin or (NoneType if hint is None else hint)
    if kind is Any or not isinstance(kind, type):
        return True
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if kind in (bool, str, NoneType):
        return isinstance(value, kind)
    if isinstance(value, dict):  # of any other class it is the config
        return kind is not list
    if isinstance(value, list):
        (each_hint,) = get_args(hint) if kind is list and get_args(hint) else (Any,)
        return (isinstance(value, kind) or issubclass(kind, tuple | set)) and all(_fits(v, each_hint) for v in value)
    return isinstance(value, kind) or (isinstance(value, str) and issubclass(Path, kind))


def _words(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in get_args(hint))
    if get_origin(hint) is list:
        return f"a list, each {_words(get_args(hint)[0])}"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))
