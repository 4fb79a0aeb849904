"""Test images under a shift of distribution: corruptions and extreme augmentations."""

from collections.abc import Sequence

from datamodules.images.augmentations import EXTREME
from datamodules.images.labelled_images import LabelledImages
from datamodules.images.shift.corruptions import FORMULAS, Corruption
from datamodules.images.views import Views
from ground.errors import UserError, nearest


def chosen(key: str, names: Sequence[str] | str, known: list[str]) -> list[str]:
    """The names that a config lists, or ``all`` that are known.

    Raises:
        UserError: a name that is not known.
    """
    names = [names] if isinstance(names, str) else list(names)
    if names == ["all"]:
        return known
    for name in names:
        if name not in known:
            if name == "frost":
                raise UserError(
                    f"datamodule.{key}: frost cannot be generated, it needs photographs of frost; leave it out, or put "
                    "CIFAR-10-C into datamodule.path of datamodule=cifar10"
                )
            raise UserError(f"unknown name '{name}' in datamodule.{key}: {nearest(name, known)}")
    return names


def corrupted(test: LabelledImages, name: str, severity: int, seed: int) -> LabelledImages:
    """Test images of 32 x 32 under a corruption of CIFAR-10-C, one of ``GENERATED``."""
    views = Views(test.items, Corruption(name, severity), seed, f"{test.items.name}, {name} {severity}")
    return LabelledImages(views, test.label)


def extreme(test: LabelledImages, name: str, seed: int) -> LabelledImages:
    """Test images under an augmentation of ``EXTREME``."""
    return LabelledImages(Views(test.items, EXTREME[name], seed, f"{test.items.name}, extreme {name}"), test.label)


GENERATED = list(FORMULAS)
"""The corruptions that can be generated: all of CIFAR-10-C but frost."""
