"""The augmentation of SimCLR, and the extreme ones of GCA, as seeded transforms of PIL images."""

import threading
from functools import lru_cache

import torch
from PIL import Image, ImageOps
from torch import nn
from torchvision.transforms import v2

from datamodules.images.shift.corruptions import Corruption
from datamodules.images.views import Transform

BLUR_FROM = 65  # px: views of smaller images are not blurred, as SimCLR's of CIFAR-10 are not
_DRAWING = threading.Lock()  # torch's global generator serves one thread at a time


class SimCLR:
    """SimCLR's augmentation (Chen et al., ICML 2020, appendices A and B.9), with colour strength 0.5.

    A square crop of 8 to 100 % of the area is resized to the side of the view, flipped (p = 0.5), jittered in
    brightness, contrast and saturation by 0.4 and hue by 0.1 (p = 0.8), and turned grey (p = 0.2). Views with a
    side above 64 px are blurred too (p = 0.5), with a sigma of 0.1 to 2 and a kernel of a tenth of the side.

    Args:
        size: side of the views in pixels, to which the middle of the image is resized first; None: the short side
            of the image, which is not resized.

    Example:
        >>> view = SimCLR(32)(Image.new("RGB", (40, 48)), seed=0)
        >>> view.size
        (32, 32)
    """

    def __init__(self, size: int | None) -> None:
        self.size = size

    @property
    def description(self) -> str:
        side = "own size" if self.size is None else f"size {self.size}"
        return f"simclr {side} crop 0.08-1 flip 0.5 jitter 0.4 0.4 0.4 0.1 p 0.8 grey 0.2 blur 0.1-2 from {BLUR_FROM}"

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        if self.size is not None:
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BICUBIC)
        return seeded(self._steps(min(image.size)), image, seed)

    def _steps(self, side: int) -> v2.Compose:
        return _simclr(side)


class TwiceCropped(SimCLR):
    """What GCA trains on as ``large_erase`` (github.com/nerdslab/gca, ssl_pretrain.py): a view, most of it taken away.

    After SimCLR's crop a second one of a fifth of the area (p = 0.8), then its flip and colours, and a blur of 3 px of
    every view.

    Example:
        >>> TwiceCropped(32)(Image.new("RGB", (40, 48)), seed=0).size
        (32, 32)
    """

    @property
    def description(self) -> str:
        return f"{super().description}; second crop 0.2 p 0.8, blur of 3"

    def _steps(self, side: int) -> v2.Compose:
        return _twice_cropped(side)


@lru_cache(maxsize=64)
def _simclr(side: int) -> v2.Compose:
    steps: list[nn.Module] = [v2.RandomResizedCrop(side, scale=(0.08, 1.0)), *_flip_and_colours()]
    if side >= BLUR_FROM:
        steps.append(v2.RandomApply([v2.GaussianBlur(side // 20 * 2 + 1, (0.1, 2.0))], p=0.5))
    return v2.Compose(steps)


@lru_cache(maxsize=64)
def _twice_cropped(side: int) -> v2.Compose:
    first, second = (v2.RandomResizedCrop(side, scale=scale) for scale in ((0.08, 1.0), (0.2, 0.2)))
    return v2.Compose([first, v2.RandomApply([second], p=0.8), *_flip_and_colours(), v2.GaussianBlur(3, (0.1, 2.0))])


def _flip_and_colours() -> list[nn.Module]:
    return [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
    ]


class LargeErasing:
    """GCA's ``large_erase``: a rectangle of 10 to 33 % of the area is black; its sides' ratio is 0.3 to 3.3."""

    description = "large erasing 0.1-0.33"

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        erase = v2.Compose([v2.PILToTensor(), v2.RandomErasing(p=1.0, scale=(0.10, 0.33)), v2.ToPILImage()])
        return seeded(erase, image, seed)


class StrongCrop:
    """GCA's ``strong_crop``: a random square with 96/224 of the short side, resized to the image's size."""

    description = "strong crop 96/224"

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        width, height = image.size
        kept = max(1, min(width, height) * 96 // 224)
        crop = v2.Compose([v2.RandomCrop(kept), v2.Resize((height, width))])
        return seeded(crop, image, seed)


# The extreme augmentations that GCA is evaluated on (Chen et al., NeurIPS 2024; github.com/nerdslab/gca,
# linear_evaluation.py).
EXTREME: dict[str, Transform] = {
    "large_erase": LargeErasing(),
    "strong_crop": StrongCrop(),
    "brightness": Corruption("brightness", 5),
}


def seeded(transform: nn.Module, image: Image.Image, seed: int) -> Image.Image:
    """torchvision draws from torch's global generator: seeded for this image, and then put back."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        changed: Image.Image = transform(image)
    return changed
