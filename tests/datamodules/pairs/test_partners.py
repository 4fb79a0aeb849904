"""Partners: other items of the class, each once, in a random circle."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules.pairs.partners import partners, x_of_partners
from ground.errors import UserError


@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=5),
    numbers=st.integers(1, 12),
    seed=st.sampled_from([0, 3, 2**32 - 1]),
)
def test_each_item_is_another_ones_partner(sizes: list[int], numbers: int, seed: int) -> None:
    label = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)) * 10 - 7
    label = label[torch.randperm(len(label), generator=torch.Generator().manual_seed(seed % 97))]
    found = torch.stack([partners(label, number, seed) for number in range(numbers)])
    for partner in found:
        assert torch.equal(label[partner], label)
        assert (partner != torch.arange(len(label))).all()
        assert partner.sort().values.tolist() == list(range(len(label)))
    different = min(numbers, min(sizes) - 1)
    assert all(len(set(column)) == different for column in found[:different].T.tolist())
    x_of_y = x_of_partners(label, numbers, seed)
    assert x_of_y.sort().values.tolist() == list(range(len(label) * numbers))
    item, number = x_of_y // numbers, x_of_y % numbers
    assert torch.equal(number, torch.arange(numbers).repeat(len(label)))
    assert torch.equal(found[number, item], torch.arange(len(label)).repeat_interleave(numbers))


def test_a_partner_of_any_class_is_of_each_by_its_share() -> None:
    classes = torch.arange(10).repeat_interleave(600)
    partner = partners(torch.zeros(6000, dtype=torch.int64), number=0, seed=0)
    counts = torch.bincount(classes * 10 + classes[partner], minlength=100)
    # 60 in each cell, binomial: 5 standard deviations
    assert (counts - 60).abs().max() < 5 * 60**0.5
    chi_square = float(((counts - 60) ** 2 / 60).sum())
    assert 35 < chi_square < 150  # 81 degrees of freedom
    other = partners(torch.zeros(6000, dtype=torch.int64), number=0, seed=1)
    assert (other == partner).float().mean() < 0.01


def test_a_class_of_one_has_no_partner() -> None:
    with pytest.raises(UserError, match="1 of 2 classes to draw from have a single training image"):
        partners(torch.tensor([0, 0, 1]), number=0, seed=0)
