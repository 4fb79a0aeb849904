"""The corruptions of CIFAR-10-C against limits that are known by hand."""

import colorsys
import io
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from PIL import Image

from datamodules.images.shift import blurs, corruptions, weather
from datamodules.images.shift.corruptions import FORMULAS, Corruption
from ground.errors import UserError
from tests.datamodules.image_layouts import noisy

RNG = np.random.default_rng
SMOOTH = noisy(3, side=4).resize((32, 32), Image.Resampling.BICUBIC)  # it has no single bright or dark pixels
GREY = np.full((32, 32, 3), 0.4)
CUBE = np.asarray(SMOOTH) / 255


class Constant:
    """In the place of a generator: every uniform number is the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return self.value if size is None else np.full(size, self.value)


def point(row: int = 16, column: int = 16) -> np.ndarray[Any, Any]:
    image = np.zeros((32, 32, 3))
    image[row, column] = 1
    return image


def distortion(name: str, severity: int) -> float:
    changed = [Corruption(name, severity)(SMOOTH, seed) for seed in range(8)]
    clean = np.asarray(SMOOTH).astype(float)
    return float(np.mean([np.abs(np.asarray(each) - clean).mean() for each in changed]))


@pytest.mark.parametrize("name", FORMULAS)
def test_images_of_every_severity_are_seeded(name: str) -> None:
    assert len(FORMULAS[name][1]) == 5
    images = []
    for severity in range(1, 6):
        corruption = Corruption(name, severity)
        image = corruption(SMOOTH, 5)
        assert (image.mode, image.size) == ("RGB", (32, 32))
        assert corruption(SMOOTH, 5).tobytes() == image.tobytes()
        images.append(image.tobytes())
        for extreme in ("black", "white"):
            pixels = np.asarray(corruption(Image.new("RGB", (32, 32), extreme), 5))
            assert pixels.dtype == np.uint8
    # motion blur at 3 and 4 differs in the radius alone, far beyond its sigma
    assert len({*images, SMOOTH.tobytes()}) == (5 if name == "motion_blur" else 6)
    assert len({Corruption(name, severity).description for severity in range(1, 6)}) == 5


RANDOM = ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur", "motion_blur", "snow", "fog",
          "elastic_transform", "spatter"]  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_which_are_random(name: str) -> None:
    images = {Corruption(name, 3)(SMOOTH, seed).tobytes() for seed in range(4)}
    assert len(images) == (4 if name in RANDOM else 1)


# the constants of the others change the kind of the distortion as well; pixelate depends on how 32 px divide
@pytest.mark.parametrize(
    "name",
    ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "defocus_blur", "zoom_blur", "gaussian_blur",
     "snow", "fog", "brightness", "contrast", "jpeg_compression"],
)  # fmt: skip
def test_severity_grows(name: str) -> None:
    distortions = [distortion(name, severity) for severity in range(1, 6)]
    assert distortions == sorted(distortions)
    assert distortions[0] > 0


def test_noises_have_their_mean_and_deviation() -> None:
    normal = corruptions.gaussian_noise(GREY, 0.1, RNG(0))
    assert normal.mean() == pytest.approx(0.4, abs=0.01)
    assert normal.std() == pytest.approx(0.1, rel=0.05)
    speckle = corruptions.speckle_noise(GREY, 0.1, RNG(0))
    assert speckle.std() == pytest.approx(0.04, rel=0.05)
    shot = corruptions.shot_noise(GREY, 50, RNG(0))
    assert shot.mean() == pytest.approx(0.4, abs=0.01)
    assert shot.var() == pytest.approx(0.4 / 50, rel=0.1)  # Poisson: the variance is the mean
    assert np.allclose(shot * 50, np.round(shot * 50))
    impulse = corruptions.impulse_noise(GREY, 0.07, RNG(0))
    assert (impulse == 0).mean() == pytest.approx(0.035, abs=0.01)
    assert (impulse == 1).mean() == pytest.approx(0.035, abs=0.01)
    assert ((impulse == 0.4) | (impulse == 0) | (impulse == 1)).all()
    assert (impulse[..., 0] != impulse[..., 1]).any()


def test_hues_stay() -> None:
    bright, saturated = corruptions.brightness(CUBE, 0.2, RNG(0)), corruptions.saturate(CUBE, (0.5, 0.1), RNG(0))
    for row, column in [(0, 0), (7, 12), (31, 3)]:
        hue, saturation, value = colorsys.rgb_to_hsv(*CUBE[row, column])
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2))
        assert bright[row, column] == pytest.approx(expected)
        expected = colorsys.hsv_to_rgb(hue, saturation * 0.5 + 0.1, value)
        assert saturated[row, column] == pytest.approx(expected)
    assert Corruption("brightness", 5)(Image.new("RGB", (32, 32)), 0).getpixel((0, 0)) == (76, 76, 76)  # 0.3 * 255


def test_contrast() -> None:
    changed = corruptions.contrast(CUBE, 0.3, RNG(0))
    assert changed.mean((0, 1)) == pytest.approx(CUBE.mean((0, 1)))
    assert changed.std((0, 1)) == pytest.approx(0.3 * CUBE.std((0, 1)))


def test_pixelate_and_jpeg() -> None:
    image = np.asarray(Corruption("pixelate", 5)(noisy(), 0))  # of int(0.65 * 32) = 20 pixels
    repeated = (image[:, 1:] == image[:, :-1]).all((0, 2)).sum()
    assert 32 - repeated >= 20
    stream = io.BytesIO()
    SMOOTH.save(stream, "JPEG", quality=40)
    with Image.open(stream) as expected:
        assert Corruption("jpeg_compression", 5)(SMOOTH, 0).tobytes() == expected.tobytes()


def test_elastic_transform() -> None:
    assert corruptions.elastic_transform(CUBE, (0, 0, 0), RNG(0)) == pytest.approx(CUBE)
    # corners that all move by (2, 2) px: the image moves with them
    moved: Generator = Constant(2.0)  # type: ignore[assignment]
    shifted = corruptions.elastic_transform(CUBE, (0, 0, 0.1), moved)
    assert shifted[2:, 2:] == pytest.approx(CUBE[:-2, :-2])
    # and a field of displacements that are all the same
    shifted = corruptions.elastic_transform(CUBE, (1 / 32 / 2, 0, 0), Constant(0.0))  # type: ignore[arg-type]
    assert shifted == pytest.approx(CUBE)
    warped = corruptions.elastic_transform(CUBE, (0.1, 0.03, 0), RNG(0))
    assert 0 < np.abs(warped - CUBE).mean() < np.abs(CUBE - CUBE.mean((0, 1))).mean()


@pytest.mark.parametrize("name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"])
def test_blurs_leave_one_colour_alone(name: str) -> None:
    for severity in range(1, 6):
        image = np.asarray(Corruption(name, severity)(Image.new("RGB", (32, 32), (250, 100, 3)), 0)).astype(int)
        assert np.abs(image - [250, 100, 3]).max() <= 1  # what is cut off on the way to whole numbers


def test_defocus() -> None:
    spread = blurs.defocus(point(), (1.5, 0.1), RNG(0))
    assert spread[15:18, 15:18] == pytest.approx(np.full((3, 3, 3), 1 / 9), abs=1e-12)  # the disk of radius 1.5
    assert spread.sum() == pytest.approx(3)
    taps = np.exp(-np.array([1, 0, 1]) / (2 * 0.5**2))
    taps /= taps.sum()
    spread = blurs.defocus(point(), (0.4, 0.5), RNG(0))  # a disk of a pixel: the Gaussian alone
    assert spread[15:18, 15:18, 1] == pytest.approx(np.outer(taps, taps))


def test_glass() -> None:
    image = np.asarray(noisy()) / 255
    changed = blurs.glass(image, (0.01, 1), RNG(0))  # this sigma blurs nothing
    for up, left in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        same = np.isclose(changed[2:, 2:], image[2 - up : 32 - up, 2 - left : 32 - left], atol=1 / 255).all(2)
        assert same.mean() == pytest.approx(0.25, abs=0.06)
    assert changed[:2] == pytest.approx(image[:2], abs=1 / 255)


def test_motion() -> None:
    weights = np.exp(-(np.arange(13) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    along = blurs.moved(point(), 6, 2, 0)  # a pixel sees those to its right
    assert along[16, 4:17, 0] == pytest.approx(weights[::-1])
    assert along[:16].sum() == along[17:].sum() == 0
    up = blurs.moved(point(), 6, 2, -90)
    assert up[16:29, 16, 0] == pytest.approx(weights)
    diagonal = blurs.moved(point(), 6, 2, 45)
    assert diagonal[16, 16, 0] == pytest.approx(weights[0])
    assert diagonal[15, 15, 0] == pytest.approx(weights[1] + weights[2])  # 0.71 and 1.41 px are both 1
    ramp = np.tile(np.arange(32.0)[:, None], (1, 32))  # a direction that the image does not change along
    assert blurs.moved(ramp, 8, 3, 0) == pytest.approx(ramp)


def test_zoom() -> None:
    assert blurs.zoomed(CUBE, 1.0) == pytest.approx(CUBE)
    ramp = np.tile(np.arange(32.0), (32, 1))
    large = blurs.zoomed(ramp, 2.0)
    assert large[0] == pytest.approx(np.linspace(8, 23, 32))
    assert blurs.zoomed(CUBE, 1.25).shape == CUBE.shape


def test_fog() -> None:
    cloud = weather.plasma(32, 2.0, RNG(0))
    assert cloud.shape == (32, 32)
    assert (cloud.min(), cloud.max()) == (0, 1)
    smooth, rough = (np.abs(np.diff(weather.plasma(32, decay, RNG(1)))).mean() for decay in (3.0, 1.2))
    assert smooth < rough
    foggy = weather.fog(CUBE, (1.0, 2.0), RNG(0))
    expected = (CUBE + weather.plasma(32, 2.0, RNG(0))[..., None]) * CUBE.max() / (CUBE.max() + 1)
    assert foggy == pytest.approx(expected)
    # the first halving by hand: the middle alone, then the two midpoints of the sides, of numbers 10^4 u
    draws = RNG(4).uniform(-100, 100, 3)
    middle = 100 * draws[0]
    cells = np.array([[0, middle / 2 + 100 * draws[1]], [middle / 2 + 100 * draws[2], middle]])
    assert weather.plasma(2, 2.0, RNG(4)) == pytest.approx((cells - cells.min()) / (cells.max() - cells.min()))


def test_snow() -> None:
    dry = (-9, 0.1, 1, 0.5, 8, 3, 0.9)  # no flake is above the threshold
    grey = CUBE @ [0.299, 0.587, 0.114]
    expected = 0.9 * CUBE + 0.1 * np.maximum(CUBE, 1.5 * grey[..., None] + 0.5)
    assert weather.snow(CUBE, dry, RNG(0)) == pytest.approx(expected)
    fallen = weather.snow(CUBE, FORMULAS["snow"][1][2], RNG(0)) - weather.snow(CUBE, (-9, 0.1, 1, 1, 8, 3, 0.9), RNG(0))
    assert fallen.min() >= -1e-12
    assert fallen.max() > 0.2
    assert fallen == pytest.approx(np.rot90(fallen, 2))  # every flake has its mirror image
    assert np.ptp(fallen, axis=2) == pytest.approx(np.zeros((32, 32)), abs=1e-12)  # of no colour


@pytest.mark.parametrize("kind", ["water", "mud"])
def test_no_spatter_without_a_drop(kind: str) -> None:
    assert weather.spatter(CUBE, (0.1, 0.01, 1, 0.7, 0.5, kind), RNG(0)) == pytest.approx(CUBE)


def test_spatter() -> None:
    black = np.zeros((32, 32, 3))
    water = weather.spatter(black, (0.62, 0.1, 0.7, 0.7, 0.5, "water"), RNG(0))
    assert water.max((0, 1)) == pytest.approx(0.5 * weather.SPATTER_COLOURS["water"])
    assert 0 < (water > 0).mean() < 0.5
    mud = weather.spatter(black + 1, (0.8, 0.01, 1, 0.7, 0.6, "mud"), RNG(0))  # mud everywhere
    assert mud == pytest.approx(np.broadcast_to(weather.SPATTER_COLOURS["mud"], (32, 32, 3)))


def test_edges() -> None:
    step = np.zeros((32, 32))
    step[:, 16:] = 60  # a gradient of 4 * 60
    edges = weather._edges(step, 50, 150)
    assert edges.any(1).all()
    assert set(np.nonzero(edges)[1].tolist()) <= {15, 16}
    assert edges.sum() == 32  # one pixel wide
    assert not weather._edges(step / 5, 50, 150).any()  # 48: weak
    assert not weather._edges(step / 2, 50, 150).any()  # 120: not weak, but it touches nothing strong
    turned = weather._edges(step.T, 50, 150)
    assert (turned == edges.T).all()


def test_another_size() -> None:
    with pytest.raises(UserError, match="for images of 32 x 32; got one of 64 x 64: leave corruptions out, and"):
        Corruption("fog", 1)(noisy(side=64), 0)
