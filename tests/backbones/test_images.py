"""Any image as RGB, and as a square."""

import numpy as np
import pytest
from PIL import Image

from backbones.images import square, to_rgb


def colour(image: Image.Image) -> tuple[int, ...]:
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    return tuple(int(v) for v in np.asarray(rgb)[0, 0])


def test_transparent_is_white() -> None:
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([9, 9, 9])
    palette.info["transparency"] = 0
    keyed = Image.new("RGB", (2, 2), (9, 9, 9))
    keyed.info["transparency"] = (9, 9, 9)
    for image in (Image.new("RGBA", (2, 2)), Image.new("LA", (2, 2)), palette, keyed):
        assert colour(image) == (255, 255, 255)
    assert colour(Image.new("RGBA", (2, 2), (0, 0, 0, 51))) == (204, 204, 204)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = Image.fromarray(np.full((2, 2), 128 * 257, np.uint16))
    assert deep.mode == "I;16"
    assert colour(deep) == (128, 128, 128)
    assert colour(Image.fromarray(np.full((2, 2), 128 * 257, np.int32))) == (128, 128, 128)
    assert colour(Image.fromarray(np.full((2, 2), 128, np.int32))) == (128, 128, 128)


def test_cmyk_and_grey() -> None:
    assert colour(Image.new("CMYK", (2, 2), (0, 255, 255, 0))) == (255, 0, 0)
    assert colour(Image.new("L", (2, 2), 77)) == (77, 77, 77)
    assert colour(Image.new("1", (2, 2), 1)) == (255, 255, 255)


def test_pad_keeps_all_and_crop_keeps_the_middle() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :4] = (255, 0, 0)
    image = Image.fromarray(wide)
    padded, cropped = (np.asarray(square(image, 40, fit)) for fit in ("pad", "crop"))
    assert padded.shape == cropped.shape == (40, 40, 3)
    assert padded[20, 1].tolist() == [255, 0, 0]
    assert padded[2, 20].tolist() == [255, 255, 255]
    assert (cropped == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_extreme_shapes(size: tuple[int, int], fit: str) -> None:
    assert square(Image.new("RGB", size), 32, fit).size == (32, 32)
