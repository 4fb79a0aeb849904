"""Policies of training views: what each does to an image, by its statistics, and that they are seeded."""

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.images.augmentations import EXTREME, SimCLR
from datamodules.images.policies import AnyCorruption, Chain, Policy, policy_of
from datamodules.images.shift.corruptions import FORMULAS, Corruption
from tests.datamodules.image_layouts import noisy
from tests.datamodules.images.test_augmentations import ramp

NAMES = get_args(Policy)


@pytest.mark.parametrize("name", NAMES)
def test_policies_are_seeded_and_keep_the_size(name: Policy) -> None:
    image, state = noisy(), torch.get_rng_state()
    policy = policy_of(name, None, [1, 5])
    views = [policy(image, seed).tobytes() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert views[0] == views[1] != views[2]
    assert policy(image, 0).size == (32, 32)


def test_descriptions_differ_and_name_all_that_matters() -> None:
    described = {policy_of(name, size, [1]).description for name in NAMES for size in (None, 32)}
    assert len(described) == 2 * len(NAMES)
    assert policy_of("cifar10_c", None, [1]).description != policy_of("cifar10_c", None, [5]).description


def test_large_erase_leaves_a_fifth_of_the_crop() -> None:
    def kept(policy: str) -> list[float]:
        areas = []
        for seed in range(600):
            view = np.asarray(policy_of(policy, None, [1])(ramp(), seed)).astype(float)  # type: ignore[arg-type]
            if (abs(view[..., 2] - 100) <= 1).all():  # the colours are as they were
                wide, high = (
                    abs(view[:, -1, 0].mean() - view[:, 0, 0].mean()),
                    view[-1, :, 1].mean() - view[0, :, 1].mean(),
                )
                areas.append(wide * high / 255**2)
        return areas

    once, twice = np.array(kept("simclr")), np.array(kept("large_erase"))
    assert min(len(once), len(twice)) > 50
    # a fifth with p = 0.8: 0.36 of the area on average, less what interpolation and the blur take off the edges
    assert twice.mean() == pytest.approx(0.36 * once.mean(), rel=0.35)
    # the large ones are those without a second crop
    assert np.mean(twice > 0.2) < 0.35


def test_a_chain_is_one_after_the_other_with_seeds_of_their_own() -> None:
    class Adds:
        description = "adds"

        def __init__(self) -> None:
            self.seeds: list[int] = []

        def __call__(self, image: Image.Image, seed: int) -> Image.Image:
            self.seeds.append(seed)
            return Image.eval(image, lambda value: value + 10)

    first, second = Adds(), Adds()
    view = Chain(first, second)(Image.new("RGB", (4, 4), (5, 5, 5)), 3)
    assert view.getpixel((0, 0)) == (25, 25, 25)
    assert first.seeds != second.seeds
    assert all(0 <= seed < 2**63 for seed in first.seeds + second.seeds)
    strong = policy_of("strong_crop", None, [1])
    assert isinstance(strong, Chain)
    assert isinstance(strong.steps[0], SimCLR)
    assert strong.steps[1] is EXTREME["strong_crop"]


def test_brightness_is_added_after_the_view() -> None:
    dark = Image.new("RGB", (32, 32), (40, 40, 40))
    for seed in range(20):
        view = np.asarray(policy_of("brightness", None, [1])(dark, seed)).astype(int)
        assert 76 <= view.min() <= view.max() <= 40 * 1.4 + 78  # SimCLR changes it by 0.4 at most, severity 5 adds 0.3


def test_any_corruption_draws_all_of_them() -> None:
    image, severities = noisy(), [2, 4]
    made = {
        Corruption(name, severity)(image, 0).tobytes()
        for name in ("contrast", "pixelate", "jpeg_compression", "saturate", "brightness")  # which draw nothing more
        for severity in severities
    }
    drawn = {AnyCorruption(severities)(image, seed).tobytes() for seed in range(20 * len(FORMULAS))}
    assert made <= drawn
    assert Corruption("contrast", 3)(image, 0).tobytes() not in drawn
