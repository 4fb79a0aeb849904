"""Whether an aligner of one dataset may be tested on another."""

from typing import Any

from datamodules.base.datamodule import PairsDataModule
from ground.errors import UserError


def check_transfer(datamodule: PairsDataModule, other: PairsDataModule) -> None:
    """Both have the same modalities in the same places, and the same features of them.

    Raises:
        UserError: they differ.
    """
    names, others = (datamodule.x_name, datamodule.y_name), (other.x_name, other.y_name)
    if names != others:
        hint = "; eval_datamodule.pairs=names makes images and texts of it" if other.one_modality else ""
        raise UserError(f"eval_datamodule has {others[0]} and {others[1]}, datamodule {names[0]} and {names[1]}{hint}")
    for name, here, there in zip(names, _backbones(datamodule), _backbones(other), strict=True):
        if here != there:
            raise UserError(
                f"the {name} backbones of datamodule and eval_datamodule differ: an aligner is of the features that it "
                f"was fitted on; set eval_datamodule.{name}_backbone as datamodule.{name}_backbone"
            )
    if datamodule.splits and other.splits and datamodule.dims != other.dims:
        raise UserError(f"eval_datamodule has features of dimensions {other.dims}, datamodule {datamodule.dims}")


def _backbones(datamodule: PairsDataModule) -> list[Any]:
    """What the features of x and of y depend on, None where somebody else extracted them."""
    return [
        backbone.fingerprint if (backbone := getattr(datamodule, key, None)) else None
        for key in ("x_backbone", "y_backbone")
    ]
