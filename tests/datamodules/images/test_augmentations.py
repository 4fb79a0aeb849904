"""SimCLR's augmentation by its statistics, GCA's by what they must leave alone."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datamodules.images.augmentations import EXTREME, SimCLR, _simclr
from datamodules.images.shift.corruptions import Corruption
from tests.datamodules.image_layouts import noisy

N = 400
RED = (200, 60, 60)


def ramp(side: int = 32) -> Image.Image:
    """Red tells the column, green the row, blue is 100."""
    pixels = np.full((side, side, 3), 100, dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, side)
    pixels[..., 1] = np.linspace(0, 255, side)[:, None]
    return Image.fromarray(pixels)


def test_shares_of_grey_and_of_unchanged_colours() -> None:
    red = Image.new("RGB", (32, 32), RED)
    colours = [SimCLR(None)(red, seed).getpixel((0, 0)) for seed in range(N)]
    grey = sum(r == g == b for r, g, b in colours) / N
    assert grey == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / N) ** 0.5)
    unchanged = sum(colour == RED for colour in colours) / N
    assert unchanged == pytest.approx(0.2 * 0.8, abs=4 * (0.16 * 0.84 / N) ** 0.5)


def test_crops_and_flips() -> None:
    areas, flips = [], []
    for seed in range(2 * N):
        view = np.asarray(SimCLR(None)(ramp(), seed)).astype(float)
        if (view[..., 2] == 100).all():  # the colours are as they were
            left, right = view[:, 0, 0].mean(), view[:, -1, 0].mean()
            flips.append(left > right)
            areas.append(abs(right - left) / 255 * (view[-1, :, 1].mean() - view[0, :, 1].mean()) / 255)
    assert len(areas) > 80
    assert np.mean(flips) == pytest.approx(0.5, abs=0.2)
    assert 0.03 < min(areas) < 0.2  # interpolation takes something off the edges
    assert 0.7 < max(areas) <= 1
    # of areas evenly from 0.08 to 1, less than 0.54: a crop that does not fit is drawn again
    assert np.mean(areas) == pytest.approx(0.46, abs=0.08)


@pytest.mark.parametrize(("size", "expected"), [(None, 30), (16, 16), (80, 80)])
def test_sizes(size: int | None, expected: int) -> None:
    view = SimCLR(size)(noisy().resize((40, 30)), 0)
    assert (view.size, view.mode) == ((expected, expected), "RGB")


def test_the_middle_is_resized_first() -> None:
    wide = Image.new("RGB", (96, 32), "white")
    wide.paste(Image.new("RGB", (32, 32), "black"), (32, 0))
    assert all(np.asarray(SimCLR(32)(wide, seed)).max() == 0 for seed in range(10))


def test_large_views_alone_are_blurred() -> None:
    def kernels(side: int) -> list[list[int]]:
        steps = [step.transforms[0] for step in _simclr(side).transforms if isinstance(step, v2.RandomApply)]
        return [list(step.kernel_size) for step in steps if isinstance(step, v2.GaussianBlur)]

    assert kernels(64) == []
    assert kernels(65) == [[7, 7]]
    assert kernels(224) == [[23, 23]]


def test_descriptions_differ() -> None:
    transforms = [SimCLR(None), SimCLR(32), SimCLR(64), *EXTREME.values()]
    assert len({transform.description for transform in transforms}) == len(transforms)


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_augmentations_are_seeded(name: str) -> None:
    image, state = noisy(), torch.get_rng_state()
    views = [EXTREME[name](image, seed).tobytes() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert views[0] == views[1]
    assert (views[0] == views[2]) == (name == "brightness")
    assert EXTREME[name](image, 0).size == (32, 32)


def test_large_erasing() -> None:
    white, shares = Image.new("RGB", (32, 32), "white"), []
    for seed in range(200):
        view = np.asarray(EXTREME["large_erase"](white, seed))
        rows, columns = np.nonzero(view[..., 0] == 0)
        assert (view[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 0).all()
        shares.append(len(rows) / 1024)
        assert (view == 0).sum() + (view == 255).sum() == view.size
    assert 0.08 < min(shares) < 0.13
    assert 0.28 < max(shares) < 0.36


def test_strong_crop() -> None:
    step = 255 / 31
    corners = set()
    for seed in range(50):
        view = np.asarray(EXTREME["strong_crop"](ramp(), seed)).astype(float)
        for channel, along in ((0, view[0]), (1, view[:, 0])):
            assert along[-1, channel] - along[0, channel] == pytest.approx(12 * step, abs=step)  # 13 px
        corners.add((view[0, 0, 0], view[0, 0, 1]))
    assert len(corners) > 30
    assert EXTREME["strong_crop"](noisy(side=64).resize((64, 40)), 0).size == (64, 40)


def test_extreme_brightness_is_that_of_the_corruption() -> None:
    assert EXTREME["brightness"](noisy(), 0).tobytes() == Corruption("brightness", 5)(noisy(), 1).tobytes()
