"""Images with classes, before any backbone has seen them."""

from dataclasses import dataclass

from torch import Tensor

from datamodules.items.items import Items


@dataclass(frozen=True)
class LabelledImages:
    """n images and the class of each, ``label`` (n,) int64, and where they have one the ``domain`` (n,) int64.

    Example:
        >>> import torch
        >>> from datamodules.items import ImageFiles
        >>> images = LabelledImages(ImageFiles(["dog.png", "cat.png"], "pets"), torch.tensor([0, 1]))
        >>> len(images.items), images.label.tolist()
        (2, [0, 1])
    """

    items: Items
    label: Tensor
    domain: Tensor | None = None
