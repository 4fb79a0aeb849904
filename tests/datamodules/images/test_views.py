"""Views of images: which image, which numbers, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.images.augmentations import SimCLR
from datamodules.images.views import Views
from datamodules.items.image_arrays import ImageArrays
from datamodules.items.items import ImageFiles, Unreadable
from tests.datamodules.image_layouts import cifar_pixels, class_folders, noisy

NOISE = np.stack([np.asarray(noisy(i)) for i in range(4)])


class Marked:
    """Keeps the image, and the seeds that it was called with."""

    description = "marked"

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        self.seeds.append(seed)
        return image


def test_rows_are_views_of_their_images() -> None:
    images = ImageArrays(cifar_pixels(range(5)), "images")
    image, number = torch.tensor([4, 0, 4, 2]), torch.tensor([0, 0, 1, 3])
    marked = Marked()
    views = Views(images, marked, 0, "views", image, number)
    assert len(views) == 4
    assert [views[i].tobytes() for i in range(4)] == [images[i].tobytes() for i in image.tolist()]
    taken = views.take(torch.tensor([3, 1]))
    assert [taken[i].tobytes() for i in range(2)] == [images[2].tobytes(), images[0].tobytes()]
    assert marked.seeds[4:] == [marked.seeds[3], marked.seeds[1]]
    assert len(set(marked.seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in marked.seeds)
    default = Views(images, marked, 0, "views")
    assert default.image.tolist() == list(range(5))
    assert default.number.tolist() == [0] * 5


def test_a_view_depends_on_seed_image_and_number_alone() -> None:
    images = ImageArrays(NOISE, "images")
    image, number = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([0, 0, 0, 0, 1])
    views = Views(images, SimCLR(None), 7, "views", image, number)
    forth = [views[i].tobytes() for i in range(5)]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = Views(images, SimCLR(None), 7, "other name", image, number)
    assert [again[i].tobytes() for i in reversed(range(5))] == forth[::-1]
    assert torch.equal(torch.get_rng_state(), state)
    assert len(set(forth)) == 5
    assert Views(images, SimCLR(None), 8, "views")[0].tobytes() != forth[0]
    # the same picture at another place is another image
    twice = Views(ImageArrays(NOISE[[0, 0]], "images"), SimCLR(None), 7, "views")
    assert twice[0].tobytes() == forth[0] != twice[1].tobytes()


def test_the_fingerprint_sees_all_that_views_depend_on() -> None:
    images, zero, one = ImageArrays(NOISE, "images"), torch.zeros(4).long(), torch.ones(4).long()
    image = torch.arange(4)
    same = [Views(images, SimCLR(None), 0, name, image, zero).fingerprint for name in "ab"]
    same.append(Views(ImageArrays(NOISE.copy(), "copy"), SimCLR(None), 0, "c").fingerprint)
    assert len(set(same)) == 1
    others = [
        Views(images, SimCLR(32), 0, "a"),
        Views(images, SimCLR(None), 1, "a"),
        Views(images, SimCLR(None), 0, "a", image, one),
        Views(images, SimCLR(None), 0, "a", image.flip(0), zero),
        Views(images, SimCLR(None), 0, "a").take(torch.arange(3)),
        Views(ImageArrays(NOISE[::-1], "images"), SimCLR(None), 0, "a"),
    ]
    assert len({same[0], *(views.fingerprint for views in others)}) == 7


def test_files_are_known_and_a_damaged_one_has_no_view(tmp_path: Path) -> None:
    files = class_folders(tmp_path, {"cat": 3})
    image = torch.tensor([0, 0, 1, 1, 2, 2])
    views = Views(ImageFiles(files, "cats"), SimCLR(None), 0, "views", image, torch.arange(2).repeat(3))
    assert views.paths == [files[i] for i in image.tolist()]
    assert views.take(torch.tensor([5, 0])).paths == [files[2], files[0]]
    assert Views(ImageArrays(NOISE, "images"), SimCLR(None), 0, "views").paths is None
    files[1].write_bytes(files[1].read_bytes()[:40])
    for row in range(6):
        if row in (2, 3):
            with pytest.raises(Unreadable, match=r"0001\.png"):
                views[row]
        else:
            assert views[row].size == (32, 32)


def test_any_mode_is_seen_as_rgb(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")  # all transparent: white
    views = Views(ImageFiles([tmp_path / "a.png"], "a"), Marked(), 0, "views")
    assert views[0].mode == "RGB"
    assert views.show(0).getpixel((3, 3)) == (255, 255, 255)


def test_arrays() -> None:
    images = ImageArrays(cifar_pixels(range(3)), "images")
    assert images.take(torch.tensor([2, 0]))[0].tobytes() == images[2].tobytes()
    assert images.take(torch.tensor([1, 0, 2])).fingerprint != images.fingerprint
    assert images.take(torch.arange(3)).fingerprint == images.fingerprint
    assert images.show(1).getpixel((0, 0)) == tuple(images.pixels[1, 0, 0])
    # the same bytes as images of another shape
    assert ImageArrays(images.pixels.reshape(3, 16, 64, 3), "images").fingerprint != images.fingerprint
    with pytest.raises(ValueError, match=r"images: pixels must be uint8 \(n, height, width, 3\), got float64 \(3, 2\)"):
        ImageArrays(np.zeros((3, 2)), "images")  # type: ignore[arg-type]
