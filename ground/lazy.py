"""Names that a package exports without importing their modules before they are asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, modules: dict[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that exports ``modules``: names by their module (PEP 562).

    It answers to ``__all__`` with all of them.

    Example:
        >>> lazy("aligners", {"closed_form": ("CCA", "PLS")})("PLS").__name__
        'PLS'
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(module_of)
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return get
