"""What a fit sees of the training split: how many change or lose their y, and which."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from datamodules.pairs import SPLITS, Pairs, Training
from datamodules.pairs.training import shuffled
from ground.configs import CONFIGS
from ground.errors import UserError
from tests.datamodules.features_files import datamodule, written


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    captions=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.9, 0.99]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_share_is_exact_and_none_stays_in_its_group(
    sizes: list[int], captions: int, share: float, seed: int
) -> None:
    group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)) * 7 - 3
    x_of_y = torch.arange(len(group)).repeat_interleave(captions)
    found = shuffled(x_of_y, group, share, seed)
    assert torch.equal(found, shuffled(x_of_y, group, share, seed))
    assert torch.equal(found.sort().values, x_of_y)  # every x has as many y as before
    drawn = round(share * len(x_of_y))
    moved = group[found] != group[x_of_y]
    assert int((found != x_of_y).sum()) <= drawn
    y = torch.randperm(len(x_of_y), generator=torch.Generator().manual_seed(seed_of(seed)))[:drawn]
    of_group = torch.bincount(torch.unique(group[x_of_y[y]], return_inverse=True)[1]) if drawn else torch.zeros(1)
    stay = max(0, 2 * int(of_group.max()) - drawn)  # of the group that is more than half, the least that must
    assert int(moved.sum()) == drawn - stay


def seed_of(seed: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(3,)).generate_state(1)[0])


def test_shuffled_captions_go_to_many_x() -> None:
    x_of_y = torch.arange(400).repeat_interleave(5)
    found = shuffled(x_of_y, torch.arange(400), 0.5, seed=0).reshape(400, 5)
    moved = [set(row[row != i].tolist()) for i, row in enumerate(found)]
    # by chance two of an x's captions meet again on one x in 1 of 400
    assert sum(map(len, moved)) > 0.98 * int((found != torch.arange(400)[:, None]).sum())


def pairs_of(n: int, group: Tensor | None = None) -> Pairs:
    x_of_y = torch.arange(n).repeat_interleave(2)
    return Pairs(torch.eye(n), torch.eye(2 * n), x_of_y, torch.arange(n) if group is None else group, torch.arange(n))


def test_unpaired_x_are_left_out_but_those_of_a_group_that_has_y() -> None:
    training = Training(items=None, unpaired=0.3, noise=0.0, seed=0)
    fitted = training.of(pairs_of(20))
    assert (fitted.n_x, fitted.n_y) == (14, 28)
    assert training.facts == {"train_unpaired": 0.3, "train_x_left_out": 6}
    assert torch.equal(fitted.x[fitted.x_of_y].argmax(1), fitted.y[torch.arange(28)].argmax(1) // 2)
    grouped = Training(items=None, unpaired=0.3, noise=0.0, seed=0)
    assert (of := grouped.of(pairs_of(20, torch.zeros(20, dtype=torch.int64)))).n_x == 20
    assert of.n_y == 28
    assert grouped.facts["train_x_left_out"] == 0
    more = Training(items=None, unpaired=0.5, noise=0.0, seed=0).of(pairs_of(20))
    assert set(more.group.tolist()) < set(fitted.group.tolist())
    with pytest.raises(UserError, match=r"train_unpaired=0\.99 leaves no y in training: lower it"):
        Training(items=None, unpaired=0.99, noise=0.0, seed=0).of(pairs_of(20))


def test_items_come_first_then_unpaired_then_noise() -> None:
    training = Training(items=10, unpaired=0.2, noise=0.25, seed=3)
    fitted = training.of(pairs_of(20))
    assert (fitted.n_x, fitted.n_y) == (8, 16)
    assert training.facts == {
        "train_items": 10, "train_unpaired": 0.2, "train_x_left_out": 2, "train_noise": 0.25, "train_y_of_another_x": 4,
    }  # fmt: skip
    assert int((fitted.x[fitted.x_of_y].argmax(1) != fitted.y[torch.arange(16)].argmax(1) // 2).sum()) == 4
    everything = Training(items=None, unpaired=0.0, noise=0.0, seed=3)
    whole = pairs_of(20)
    assert everything.of(whole) is whole
    assert everything.facts == {}


def test_a_features_file_is_noisy_in_training_alone(tmp_path: Path) -> None:
    path = written(tmp_path)
    clean, noisy = datamodule(path), datamodule(path, train_noise=0.5, train_unpaired=0.25, train_items=20)
    for data in (clean, noisy):
        data.setup()
    for split in SPLITS[1:]:
        one, other = clean.splits[split], noisy.splits[split]
        assert torch.equal(one.x_of_y, other.x_of_y)
        assert torch.equal(one.y[torch.arange(one.n_y)], other.y[torch.arange(one.n_y)])
    assert (noisy.splits["train"].n_x, noisy.splits["train"].n_y) == (15, 30)
    assert noisy.training.facts["train_y_of_another_x"] == 15
    other_seed = datamodule(path, train_noise=0.5, train_unpaired=0.25, train_items=20, seed=1)
    other_seed.setup()
    assert not torch.equal(other_seed.splits["train"].group, noisy.splits["train"].group)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "datamodule").glob("*.yaml")))
def test_every_dataset_has_the_keys(name: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        data = compose("train", [f"datamodule={name}"]).datamodule
    assert (data.train_items, data.train_unpaired, data.train_noise) == (None, 0.0, 0.0)
