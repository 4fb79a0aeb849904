"""The signature of a class whose defaults stand in a YAML: what ``help`` and an editor show."""

from collections.abc import Callable
from functools import reduce
from inspect import Parameter, Signature
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin


class KeywordDefaults:
    """``__signature__`` of ``cls``: each of its ``values`` as a keyword with this default, read when it is asked for.

    Annotations are those of the constructors of ``cls`` and its bases, without their ranges. A child of ``cls`` has a
    signature of its own.
    """

    def __init__(self, cls: type, values: Callable[[], dict[str, Any]]):
        self.cls, self.values = cls, values

    def __get__(self, instance: Any, owner: type) -> Signature:
        if instance is not None or owner is not self.cls:
            raise AttributeError("__signature__")
        hints: dict[str, Any] = {}
        for base in reversed(owner.__mro__):
            hints |= getattr(vars(base).get("__init__"), "__annotations__", {})
        bare = {name: _bare(hint) for name, hint in hints.items()}
        return Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=value, annotation=bare.get(name, Parameter.empty))
                for name, value in self.values().items()
            ]
        )


def _bare(hint: Any) -> Any:
    """An annotation without its ranges: ``int`` of ``Annotated[int, at_least(1)]``."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, map(_bare, get_args(hint)))
    if get_origin(hint) is list:
        return list[_bare(get_args(hint)[0])]  # type: ignore[misc]
    return hint
