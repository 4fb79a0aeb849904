"""Classes that a file names: none outside this project is imported or called, unless the caller trusts the file."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from backbones.backbone import Backbone
from datamodules.base.datamodule import PairsDataModule
from ground.errors import UserError

PACKAGES = ("aligners", "backbones", "datamodules")
OPTIMIZERS = re.compile(r"torch\.optim\.(lr_scheduler\.)?[A-Z]\w*")


def class_at(name: Any, base: type, trust: bool, file: str) -> Any:
    """The class ``name``, as ``module.Class``, that ``file`` names: a ``base``, and of this project unless ``trust``.

    Raises:
        UserError: a class outside the project without ``trust``, one that cannot be imported, or that is no ``base``.
    """
    module, _, leaf = str(name).rpartition(".")
    if not trust and module.partition(".")[0] not in PACKAGES:
        raise UserError(f"{file} names {name}, from outside this project: trust=True imports it, if you trust the file")
    try:
        kind = getattr(import_module(module), leaf)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{file} needs {name}, which cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UserError(f"{file} names {name}, which is no {base.__name__}")
    return kind


def check_calls(values: Any, file: str) -> None:
    """Refuse ``values`` that would make Hydra call anything but torch's optimizers, backbones and datamodules.

    Raises:
        UserError: another ``_target_``, or an interpolation, which could become one.
    """
    for key, value in _leaves(values):
        if "${" in str(value):
            raise UserError(f"{file} holds the interpolation {value}: trust=True resolves it, if you trust the file")
        if key == "_target_" and not OPTIMIZERS.fullmatch(str(value)):
            base = PairsDataModule if str(value).startswith("datamodules.") else Backbone
            class_at(value, base, False, file)


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, each in node.items():
            yield from _leaves(each, str(name))
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _leaves(each, key)
    else:
        yield key, node
