"""How training views are made: SimCLR's augmentation, or with noise, GCA's "extreme augmentations" among it.

The three of GCA (Chen et al., NeurIPS 2024) are those of its released pretraining (github.com/nerdslab/gca,
ssl_pretrain.py): there ``large_erase`` erases nothing, its erasing stands in a comment; a second crop and a blur are in
its place. ``EXTREME`` are those of its linear evaluation, where it does.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from datamodules.images.augmentations import EXTREME, SimCLR, TwiceCropped
from datamodules.images.shift.corruptions import FORMULAS, Corruption
from datamodules.images.views import Transform

Policy = Literal["simclr", "large_erase", "strong_crop", "brightness", "cifar10_c"]


class Chain:
    """One change of an image after the other, each with a seed of its own.

    Example:
        >>> view = Chain(SimCLR(32), EXTREME["strong_crop"])
        >>> view.description.endswith("then strong crop 96/224"), view(Image.new("RGB", (40, 48)), seed=0).size
        (True, (32, 32))
    """

    def __init__(self, *steps: Transform) -> None:
        self.steps = steps

    @property
    def description(self) -> str:
        return ", then ".join(step.description for step in self.steps)

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        seeds = np.random.SeedSequence(seed).generate_state(len(self.steps), np.uint64) >> 1
        for step, own in zip(self.steps, seeds.tolist(), strict=True):
            image = step(image, own)
        return image


class AnyCorruption:
    """A corruption of CIFAR-10-C that can be generated, drawn with one of the ``severities``; of images of 32 x 32.

    Example:
        >>> grey = Image.new("RGB", (32, 32), "grey")
        >>> len({AnyCorruption([3])(grey, seed).tobytes() for seed in range(8)}) > 1
        True
    """

    def __init__(self, severities: Sequence[int]) -> None:
        self.severities = list(severities)

    @property
    def description(self) -> str:
        return f"any of CIFAR-10-C {sorted(FORMULAS)} at {self.severities}"

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        drawn = np.random.default_rng(seed)
        name, severity = sorted(FORMULAS)[drawn.integers(len(FORMULAS))], int(drawn.choice(self.severities))
        return Corruption(name, severity)(image, int(drawn.integers(2**63)))


def policy_of(name: Policy, size: int | None, severities: Sequence[int]) -> Transform:
    """The transform that makes training views; ``size`` as in ``SimCLR``, ``severities`` of ``cifar10_c`` alone.

    Example:
        >>> policy_of("simclr", size=32, severities=[3]).description == SimCLR(32).description
        True
    """
    if name == "large_erase":
        return TwiceCropped(size)
    if name in ("strong_crop", "brightness"):
        return Chain(SimCLR(size), EXTREME[name])
    return Chain(AnyCorruption(severities), SimCLR(size)) if name == "cifar10_c" else SimCLR(size)
