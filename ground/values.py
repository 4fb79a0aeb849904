"""Types and ranges of arguments, from the command line before anything is built, and of a constructor's call."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from ground.annotations import problem, takes_dict
from ground.errors import UserError, nearest
from ground.ranges import Count, Positive, Seed, at_least, at_most

DECLARED: dict[str, Any] = {
    "name": str, "aligner_name": str, "seed": Seed, "run_dir": str,
    "threads": Annotated[int, at_least(1), at_most(2**31 - 1)] | None,
    "matmul_precision": Literal["highest", "high", "medium"],
    "data_dir": str, "cache_dir": str, "tags": list[str], "resume": str | None, "test": str | None,
    "aligner.scheduler.T_max": Count | Literal["total_steps"],
    "trainer.max_epochs": Count | None, "trainer.check_val_every_n_epoch": Count | None,
    "trainer.val_check_interval": Positive | None, "trainer.accumulate_grad_batches": Count,
}  # fmt: skip
"""Keys of a config that reach no annotated argument of ours."""

Function = TypeVar("Function", bound=Callable[..., Any])


def check(config: DictConfig) -> None:
    """Check every value against the annotation of the argument that takes it, before anything is built.

    Raises:
        UserError: a value of a wrong type or out of its range, an argument or a ``_target_`` that does not exist.
    """
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    _check_node("", values, typed=True)


def check_arguments(target: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Check ``values`` by name against the annotations of the arguments of ``target``, a class or a function.

    Messages call an argument ``prefix`` and its name: ``aligner.tau``. Names that ``target`` does not have are not
    looked at.

    Raises:
        UserError: a value of a wrong type or out of its range.
    """
    hints = _hints(target)
    for name, value in values.items():
        if name in hints:
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            _refuse(problem(f"{prefix}{name}", plain, hints[name]))


def plain(value: Any) -> Any:
    """A scalar of numpy's as Python's number, which ranges and checkpoints know; also in lists and dicts.

    Example:
        >>> import numpy as np
        >>> plain(np.int64(3)), plain([np.float32(0.5)]), plain({"bias": np.float64(-10)})
        (3, [0.5], {'bias': -10.0})
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if type(value) is dict:
        return {plain(key): plain(each) for key, each in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def checked(prefix: str) -> Callable[[Function], Function]:
    """Decorator of a constructor or a function: every call is checked as ``check_arguments`` does.

    Example:
        >>> from ground.ranges import Count
        >>> @checked("aligner.")
        ... def half(rank: Count) -> int:
        ...     return rank // 2
        >>> try:
        ...     half(0)
        ... except UserError as error:
        ...     print(error)
        aligner.rank must be at least 1, got 0
    """

    def decorate(function: Function) -> Function:
        names = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            args, given = tuple(map(plain, args)), {name: plain(value) for name, value in given.items()}
            check_arguments(function, dict(zip(names, args, strict=False)) | given, prefix)
            return function(*args, **given)

        return call  # type: ignore[return-value]

    return decorate


def check_constructor(cls: type, prefix: str) -> None:
    """``checked`` for the ``__init__`` that ``cls`` has of its own, if any; for the ``__init_subclass__`` of a base."""
    if "__init__" in vars(cls):
        cls.__init__ = checked(prefix)(cls.__init__)  # type: ignore[misc]


def _check_node(prefix: str, node: dict[str, Any], typed: bool) -> None:
    hints: dict[str, Any] = {}
    if "_target_" in node:
        target = _target(prefix, node)
        hints = _hints(target) if typed else {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        hint = DECLARED.get(name, hints.get(key))
        if hint is not None:
            _refuse(problem(name, value, hint))
        if isinstance(value, dict):
            # what is taken as a dict is built by its taker, which may fill in placeholders
            _check_node(f"{name}.", value, typed and not (hint is not None and takes_dict(hint)))


def _refuse(line: str | None) -> None:
    if line is not None:
        raise UserError(line)


def _target(prefix: str, node: dict[str, Any]) -> Any:
    """What a ``_target_`` names, which takes all keys of its node."""
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
    return target


@functools.cache
def _hints(target: Any) -> dict[str, Any]:
    """The annotations of the target's arguments, through ``**common`` of its bases too."""
    owners = reversed(target.__mro__) if isinstance(target, type) else [target]
    hints: dict[str, Any] = {}
    for owner in owners:
        function = vars(owner).get("__init__") if isinstance(owner, type) else owner
        try:
            hints |= get_type_hints(function, include_extras=True) if inspect.isfunction(function) else {}
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
