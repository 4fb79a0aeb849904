"""A fitted aligner as one file: safetensors, which hold no code."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import lightning
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aligners.base.named_classes import check_calls, class_at
from ground.errors import UserError
from ground.former import arguments_of_today
from ground.home import path_at_home

HEADER = "unicon-align"
FORMAT = 1
HYPER_PARAMETERS = lightning.LightningModule.CHECKPOINT_HYPER_PARAMS_KEY


class Saved(lightning.LightningModule):
    """Saving an aligner as one file, and loading it; a mixin.

    The file has the tensors of the state dict. Its header has, as JSON: the class, the hyper-parameters and what
    ``on_save_checkpoint`` adds; the order of axes in memory, by which products are rounded; a hash of it all.
    """

    dims: tuple[int, int] | None

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted aligner to ``path``, in one stroke: a former file is there whole until the new one is.

        Raises:
            UserError: no fit, or a file that cannot be written.
        """
        if self.dims is None:
            raise UserError(f"this {type(self).__name__} is not fitted, there is nothing to save: call fit(x, y)")
        tensors, axes, same = _packed(self.state_dict())
        record: dict[str, Any] = {}
        self.on_save_checkpoint(record)
        record = {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "axes": axes,
            "same": same,
            "checkpoint": record | {HYPER_PARAMETERS: dict(self.hparams)},
        }
        # in one entry: safetensors writes several in any order
        header = {"format": FORMAT, "version": _version(), "sha256": _digest(record, tensors), "record": record}
        whole = path_at_home(path)
        part = whole.with_name(f".{whole.name}.{uuid4().hex}.tmp")
        try:
            save_file(tensors, part, metadata={HEADER: json.dumps(header)})
            part.replace(whole)
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot write the aligner to {path}: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | PathLike[str], *, trust: bool = False) -> Self:
        """The aligner that ``save`` wrote to ``path``: it encodes to the same bits.

        A file names its class, and importing a module runs it: a class outside this project is imported with
        ``trust`` alone, and is not when it is this very class, as in ``MyAligner.load(path)``.

        Raises:
            UserError: a file that is missing, damaged, of something else or of a newer version; a class that is not
                trusted, cannot be imported, or is not one of these.
        """
        file = str(path)
        record, tensors = _read(path_at_home(path))
        try:
            checkpoint = record["checkpoint"] | {"state_dict": _unpacked(tensors, record["axes"], record["same"])}
            name, own = record["class"], f"{cls.__module__}.{cls.__qualname__}"
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(f"{file} holds no aligner that this version can read: {error}") from error
        kind: type[Self] = cls if name == own else class_at(name, cls, trust, file)
        return restored(kind, checkpoint, trust, file)


Kind = TypeVar("Kind", bound=Saved)


def restored(kind: type[Kind], checkpoint: dict[str, Any], trust: bool, file: str) -> Kind:
    """The aligner of a checkpoint, ready to encode.

    Raises:
        UserError: hyper-parameters or tensors that this version of the class does not have, or that name code.
    """
    if not trust:
        check_calls(checkpoint.get(HYPER_PARAMETERS), file)
    try:
        aligner = kind(**arguments_of_today(checkpoint[HYPER_PARAMETERS]))
        aligner.on_load_checkpoint(checkpoint)
        aligner.load_state_dict(checkpoint["state_dict"])
    except (UserError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{file} does not fit {kind.__name__}: {' '.join(str(error).split())}") from error
    return aligner.eval()


def _packed(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]], dict[str, str]]:
    """Tensors of their own in the order of memory, how to permute their axes back, and which name stands for which."""
    tensors: dict[str, Tensor] = {}
    axes: dict[str, list[int]] = {}
    same: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        if first.setdefault(key, name) != name:
            same[name] = first[key]
            continue
        if not tensor.is_contiguous():
            strides = tensor.stride()
            order = sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
            axes[name] = [order.index(axis) for axis in range(tensor.ndim)]
            tensor = tensor.permute(order)
        tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors, axes, same


def _unpacked(tensors: dict[str, Tensor], axes: dict[str, list[int]], same: dict[str, str]) -> dict[str, Tensor]:
    state = {name: tensor.permute(axes[name]) if name in axes else tensor for name, tensor in tensors.items()}
    return state | {name: state[first] for name, first in same.items()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(f"there is no file {path}" if not path.exists() else f"{path} is no file")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged, or no safetensors file: {error}") from error
    if not header:
        raise UserError(f"{path} holds no aligner: aligner.save(path) writes one")
    if header.get("format") != FORMAT:
        raise UserError(f"{path} was written by a newer unicon-align, {header.get('version')}: update this one")
    record: dict[str, Any] = header.get("record")
    if header.get("sha256") != _digest(record, tensors):
        raise UserError(f"{path} is damaged: its content has another hash than its header says")
    return record, tensors


def _digest(record: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """sha256 (hex) of the record and the tensors with their names."""
    digest = hashlib.sha256(json.dumps(record).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _version() -> str:
    try:
        return version("unicon-align")
    except PackageNotFoundError:  # on the path, not installed
        return "of a checkout"
