"""Synthetic features: the law they follow, and the file they are kept in."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import features_file as features_files
from benchmarks.features_file import Shape, features_file, read_splits
from benchmarks.latent import LatentFactors, caption_pairs
from benchmarks.peers import measure
from benchmarks.speed_shapes import QUICK_MODEL, QUICK_SHAPE
from datamodules.features import read_tensors
from ground.errors import UserError

MODEL = LatentFactors(
    d_x=30, d_y=20, shared=4, private=6, decay=1.0, nuisance=2.0, caption_noise=0.5, white=0.3, seed=1
)


def test_variances_are_those_of_the_model() -> None:
    x, y = MODEL.rows(20_000, 1, 0)
    assert float(x.var(0).sum()) == pytest.approx(1 + 2.0 + 0.3, rel=0.05)
    assert float(y.var(0).sum()) == pytest.approx(1.5 + 2.0 + 0.3, rel=0.05)
    assert float(x.mean(0).norm()) == pytest.approx(1, abs=0.05)


def test_the_modalities_share_a_power_law() -> None:
    x, y = MODEL.rows(50_000, 1, 0)
    cross = (x - x.mean(0)).T @ (y - y.mean(0)) / len(x)
    law = torch.tensor([1.0, 1 / 2, 1 / 3, 1 / 4])
    found = torch.linalg.svdvals(cross)
    torch.testing.assert_close(found[:4], law / law.sum(), rtol=0.05, atol=0.01)
    assert float(found[4]) < 0.04  # nothing else is shared


def test_captions_of_an_item_share_its_factor_alone() -> None:
    _, y = MODEL.rows(20_000, 2, 0)
    first, second = (y - y.mean(0)).view(-1, 2, 20).unbind(1)
    assert float((first * second).sum(1).mean()) == pytest.approx(1, abs=0.05)  # z; captions' own parts differ
    assert float((first * second.roll(1, 0)).sum(1).mean()) == pytest.approx(0, abs=0.05)


def test_a_seed_and_a_block_give_the_same_rows() -> None:
    again = dataclasses.replace(MODEL)
    for one, other in zip(MODEL.rows(5, 2, 3), again.rows(5, 2, 3), strict=True):
        assert torch.equal(one, other)
    for other in (MODEL.rows(5, 2, 4), dataclasses.replace(MODEL, seed=2).rows(5, 2, 3)):
        assert not torch.allclose(MODEL.rows(5, 2, 3)[0], other[0], atol=0.1)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 9), captions=st.integers(1, 4))
def test_each_item_is_a_group_with_its_captions(n: int, captions: int) -> None:
    x, y = MODEL.rows(n, captions, 0)
    assert x.shape == (n, 30)
    assert y.shape == (n * captions, 20)
    assert x.dtype == y.dtype == torch.float32
    batch = caption_pairs(x, y)[torch.tensor([n - 1])]
    assert torch.equal(batch.y, y[(n - 1) * captions :])
    assert batch.positives.all()


def test_factors_wider_than_the_features_are_refused() -> None:
    with pytest.raises(UserError, match="factors of 4 and 21 dimensions do not fit into features of 30 and 20"):
        dataclasses.replace(MODEL, private=21)


def test_the_file_holds_the_splits_in_order() -> None:
    shape = Shape(train=7, val=3, test=2, captions=2)
    path = features_file(MODEL, shape)
    splits = read_splits(path)
    assert {name: (pairs.n_x, pairs.n_y) for name, pairs in splits.items()} == {
        "train": (7, 14), "val": (3, 6), "test": (2, 4)
    }  # fmt: skip
    x, y = MODEL.rows(3, 2, 1)
    assert torch.equal(torch.as_tensor(splits["val"].x), x.half().float())
    assert torch.equal(torch.as_tensor(splits["val"].y), y.half().float())
    tensors, metadata = read_tensors(path)
    assert tensors["split"].tolist() == [0] * 7 + [1] * 3 + [2] * 2
    assert metadata == {"x_name": "image", "y_name": "text"}


def test_a_large_split_is_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_files, "PIECE", 3)
    splits = read_splits(features_file(MODEL, Shape(train=7, val=3, test=2, captions=2)))
    for split, row, n, block in (("train", 0, 3, 0), ("train", 3, 3, 3), ("train", 6, 1, 6), ("test", 0, 2, 2)):
        x, y = MODEL.rows(n, 2, block)
        assert torch.equal(torch.as_tensor(splits[split].x)[row : row + n], x.half().float())
        assert torch.equal(torch.as_tensor(splits[split].y)[2 * row : 2 * (row + n)], y.half().float())


def test_another_model_has_another_file() -> None:
    shape = Shape(train=3, val=2, test=2, captions=1)
    path = features_file(MODEL, shape)
    written = path.stat().st_mtime_ns
    assert features_file(MODEL, shape) == path
    assert path.stat().st_mtime_ns == written
    assert features_file(dataclasses.replace(MODEL, white=0.4), shape) != path


def test_the_small_data_is_neither_trivial_nor_hopeless() -> None:
    splits = read_splits(features_file(QUICK_MODEL, QUICK_SHAPE))
    recalls = {name: measure(name, splits, 8, 0.3)["val"] for name in ("scipy CCA", "scikit-learn PLSSVD")}
    chance = 100 * (1 + 5 + 10) / 3 / splits["val"].n_x
    assert all(1.5 * chance < recall < 80 for recall in recalls.values())
