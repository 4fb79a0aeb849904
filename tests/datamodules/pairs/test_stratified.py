"""Draws of a share of every class."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from datamodules.pairs.stratified import drawn

LABELS = st.lists(st.integers(-3, 6), min_size=1, max_size=80).map(torch.tensor)


@given(label=LABELS, share=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
def test_every_class_gives_its_share(label: Tensor, share: float, seed: int) -> None:
    chosen = drawn(label, share, seed)
    assert chosen.shape == label.shape
    assert torch.equal(chosen, drawn(label, share, seed))
    kept_back = 0
    for c in label.unique():
        n, taken = int((label == c).sum()), int(chosen[label == c].sum())
        assert taken <= n - 1
        kept_back += int(taken == n - 1)
        assert abs(taken - share * n) < 1 or taken == n - 1
    assert int(chosen.sum()) == round(share * len(label)) or kept_back


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([5000] * 10, 0.1, [500] * 10),
        ([7, 5, 3], 0.5, [4, 3, 1]),  # 3.5, 2.5, 1.5: 8 of 15 in all
        ([1, 1, 8], 0.5, [0, 0, 4]),  # a class of one keeps it
        ([3, 3, 3], 0.1, [1, 0, 0]),
    ],
)
def test_counts(counts: list[int], share: float, expected: list[int]) -> None:
    label = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    label = label[torch.randperm(len(label), generator=torch.Generator().manual_seed(1))]
    chosen = drawn(label, share, 0)
    assert torch.bincount(label[chosen], minlength=len(counts)).tolist() == expected


def test_another_seed_draws_others() -> None:
    label = torch.zeros(100).long()
    draws = [drawn(label, 0.3, seed) for seed in range(5)]
    assert len({tuple(each.tolist()) for each in draws}) == 5
    assert sum(draws).max() < 5  # type: ignore[union-attr]
