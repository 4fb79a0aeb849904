"""A mistake in the command line or in a YAML, told in one line with the nearest names."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import get_object
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from errors import UserError, nearest

CONFIGS = Path(__file__).parent / "configs"
TOP_LEVEL: dict[str, Any] = {
    "name": str, "aligner_name": str, "seed": int, "threads": int | None, "run_dir": str,
    "data_dir": str, "cache_dir": str, "tags": list[str],
}  # fmt: skip
COUNTS = ("threads", "max_epochs", "batch_size", "eval_batch_size", "block_size")
"""Keys, wherever they stand, that must be at least 1."""
WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", NoneType: "null"}


def user_line(error: BaseException, overrides: list[str]) -> str | None:
    """The line that tells a user's mistake, or None where the error is ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, InstantiationException):
        cause = error.__cause__
        if isinstance(cause, UserError):
            return str(cause)
        if not isinstance(cause, TypeError | ValueError | ImportError | MisconfigurationException):
            return None
        key = re.search(r"full_key: (\S+)", str(error))
        return f"{key[1] if key else str(error).split(':')[0]}: {_one_line(cause)}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error, overrides)
    if isinstance(error, MisconfigurationException):
        return _one_line(error)
    if type(error).__module__.startswith("wandb.errors"):
        return f"Weights & Biases: {_one_line(error)}; WANDB_MODE=offline goes without the service"
    return None


def explain(error: BaseException, overrides: list[str]) -> str:
    """One line for what Hydra or OmegaConf raised at the user's ``overrides``."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"unknown {group} '{name}': {nearest(name, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': write key=value, with quotes around a value that holds ',' or '='"
    text = _one_line(error)
    key = re.search(r"Could not override '([^']+)'", text)
    if key and key[1] not in (known := _known_keys(overrides)):
        return f"unknown key '{key[1]}': {nearest(key[1], known)}"
    return text


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def refuse_additions(overrides: list[str], config: DictConfig) -> None:
    """Refuse keys that are added with ``+`` where nothing would read them.

    Raises:
        UserError: naming the key and the nearest known ones.
    """
    for override in overrides:
        key = override.lstrip("+").split("=")[0]
        if not override.startswith("+") or key.split("@")[0] in _groups():
            continue
        owner = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else None
        known = _known_keys(overrides)
        if key not in known and not (isinstance(owner, DictConfig) and "_target_" in owner):
            raise UserError(f"unknown key '{key}': {nearest(key, known)}")


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
        raise UserError(f"{prefix}_target_ '{node['_target_']}' cannot be imported: {_one_line(error)}") from error
    parameters = inspect.signature(target).parameters
    if not any(each.kind == each.VAR_KEYWORD for each in parameters.values()):
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
        return isinstance(value, kind) or issubclass(kind, tuple | set)
    return isinstance(value, kind) or (isinstance(value, str) and issubclass(Path, kind))


def _words(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in get_args(hint))
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _known_keys(overrides: list[str]) -> list[str]:
    """All keys of the config that the user's choices of group files compose."""
    chosen = [o.split(",")[0] for o in overrides if o.split("=")[0].split("@")[0] in _groups()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return list(_leaves(compose("train", overrides=chosen)))


def _groups() -> list[str]:
    return [entry.name for entry in CONFIGS.iterdir() if entry.is_dir()]


def _leaves(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        name = f"{prefix}{key!s}"
        yield name
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _leaves(node, f"{name}.")
