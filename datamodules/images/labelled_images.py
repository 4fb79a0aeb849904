"""Images with classes, before any backbone has seen them."""

from dataclasses import dataclass

from torch import Tensor

from datamodules.items.items import Items


@dataclass(frozen=True)
class LabelledImages:
    """n images and the class of each, ``label`` (n,) int64."""

    items: Items
    label: Tensor
