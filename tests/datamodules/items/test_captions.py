"""Which captions of an item are its y."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.items.captions import captions_per_item, chosen, mean_of_captions
from datamodules.items.items import Texts
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.pairs import Pairs

OWNERS = st.integers(1, 9).flatmap(
    lambda n_x: st.tuples(st.just(n_x), st.lists(st.integers(0, n_x - 1), min_size=1, max_size=40))
)


def raw(owner: list[int], n_x: int) -> RawPairs:
    """n_x texts, and a text for each owner that says its row and its owner."""
    x = Texts([f"x{i}" for i in range(n_x)], "x")
    y = Texts([f"{row} of {x}" for row, x in enumerate(owner)], "y")
    return RawPairs(x, y, torch.tensor(owner), torch.arange(n_x))


def strings(pairs: RawPairs) -> list[str]:
    return [pairs.y[i] for i in range(pairs.n_y)]


@given(OWNERS, st.sampled_from(["all", "mean"]))
def test_all_are_left(owners: tuple[int, list[int]], captions: str) -> None:
    pairs = raw(owners[1], owners[0])
    assert chosen(pairs, captions, 0) is pairs


@settings(max_examples=50)
@given(OWNERS, st.integers(0, 2**40))
def test_one_of_each(owners: tuple[int, list[int]], seed: int) -> None:
    n_x, owner = owners
    pairs = raw(owner, n_x)
    of_x = [[row for row, x in enumerate(owner) if x == i] for i in range(n_x)]
    first, some = chosen(pairs, "first", seed), chosen(pairs, "random", seed)
    assert strings(first) == [f"{rows[0]} of {i}" for i, rows in enumerate(of_x) if rows]
    assert some.x_of_y.tolist() == first.x_of_y.tolist() == sorted(set(owner))
    for text, x in zip(strings(some), some.x_of_y.tolist(), strict=True):
        assert int(text.split(" ")[0]) in of_x[x]
    assert strings(chosen(pairs, "random", seed)) == strings(some)
    assert some.n_x == n_x


def test_random_is_uniform_and_its_seed_counts() -> None:
    n_x, each = 4000, 5
    pairs = raw([i // each for i in range(n_x * each)], n_x)
    places = [
        torch.tensor([int(text.split(" ")[0]) % each for text in strings(chosen(pairs, "random", s))]) for s in (0, 1)
    ]
    counts = torch.bincount(places[0], minlength=each)
    # 5 standard deviations of a binomial count
    assert (counts - n_x / each).abs().max() < 5 * (n_x * 0.2 * 0.8) ** 0.5
    # two independent draws agree for one in five
    assert abs(int((places[0] == places[1]).sum()) - n_x / each) < 5 * (n_x * 0.2 * 0.8) ** 0.5


@settings(max_examples=50)
@given(OWNERS, st.integers(1, 5), st.integers(0, 100))
def test_the_mean_is_the_mean_by_hand(owners: tuple[int, list[int]], block_size: int, seed: int) -> None:
    n_x, owner = owners
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(len(owner), 3, generator=generator).half()
    x = torch.randn(n_x, 2, generator=generator)
    label = torch.arange(n_x) + 7
    mean = mean_of_captions(Pairs(x, y, torch.tensor(owner), torch.arange(n_x) // 2, label, label), block_size)
    with_y = sorted(set(owner))
    assert isinstance(mean.y, Tensor)
    assert mean.y.dtype == torch.float32
    by_hand = torch.stack([y[[row for row, o in enumerate(owner) if o == i]].double().mean(0) for i in with_y])
    torch.testing.assert_close(mean.y.double(), by_hand, rtol=0, atol=2e-6)
    assert mean.x_of_y.tolist() == with_y
    assert mean.x is x
    assert mean.label is mean.domain is label
    assert mean.group.tolist() == [i // 2 for i in range(n_x)]


def test_the_mean_of_one_is_itself() -> None:
    y = torch.randn(7, 4)
    assert torch.equal(
        mean_of_captions(Pairs(y, y, torch.arange(7).flip(0), torch.arange(7))).y[torch.arange(7)], y.flip(0)
    )


@pytest.mark.parametrize(
    ("owner", "n_x", "says"), [([0, 0, 1, 1], 2, "2"), ([0, 0, 0, 1], 2, "1 to 3"), ([0, 0], 2, "0 to 2")]
)
def test_captions_per_item(owner: list[int], n_x: int, says: str) -> None:
    assert captions_per_item(torch.tensor(owner), n_x) == says
