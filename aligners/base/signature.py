"""The signature of a class whose defaults stand in a YAML: what ``help`` and an editor show."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any


class KeywordDefaults:
    """``__signature__`` of ``cls``: each of its ``values`` as a keyword with this default, read when it is asked for.

    Annotations are those of the constructors of ``cls`` and its bases. A child of ``cls`` has its own signature.
    """

    def __init__(self, cls: type, values: Callable[[], dict[str, Any]]):
        self.cls, self.values = cls, values

    def __get__(self, instance: Any, owner: type) -> Signature:
        if instance is not None or owner is not self.cls:
            raise AttributeError("__signature__")
        hints: dict[str, Any] = {}
        for base in reversed(owner.__mro__):
            hints |= getattr(vars(base).get("__init__"), "__annotations__", {})
        return Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=value, annotation=hints.get(name, Parameter.empty))
                for name, value in self.values().items()
            ]
        )
