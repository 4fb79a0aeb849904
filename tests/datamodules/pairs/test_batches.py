"""How a split is cut into batches, over any number of processes."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.pairs.batches import GroupBatches, ShareInOrder
from tests.datamodules.pairs.simulated import simulated

WORLDS = (1, 2, 3, 4)
GROUPS = st.lists(st.integers(-5, 12), min_size=1, max_size=40).map(torch.tensor)
SIZES = st.integers(1, 50)


def joined(parts: list[list[list[int]]]) -> list[set[int]]:
    """The rows of each batch, of all processes."""
    return [{row for part in batch for row in part} for batch in zip(*parts, strict=True)]


# the patch is set anew for each example
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(group=GROUPS, batch_size=SIZES, epoch=st.integers(0, 1000), seed=st.sampled_from([0, 3, 2**32 - 1]))
def test_every_x_once_and_groups_whole(
    monkeypatch: pytest.MonkeyPatch, group: Tensor, batch_size: int, epoch: int, seed: int
) -> None:
    sampler = GroupBatches(group, batch_size, seed)
    sampler.set_epoch(epoch)
    batches = []
    for world in WORLDS:
        parts = simulated(monkeypatch, sampler, world)
        rows = [row for batches in parts for part in batches for row in part]
        assert sorted(rows) == list(range(len(group)))
        owners: dict[int, set[tuple[int, int]]] = {}
        for rank, process in enumerate(parts):
            for number, part in enumerate(process):
                for row in part:
                    owners.setdefault(int(group[row]), set()).add((rank, number))
        assert all(len(places) == 1 for places in owners.values())
        batches.append(joined(parts))
    assert all(each == batches[0] for each in batches)
    assert all(batches[0])  # no batch is empty over all processes
    assert len(batches[0]) == min(-(-len(group) // batch_size), len(owners))


def test_batches_of_single_x_are_of_even_size_below_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = joined(simulated(monkeypatch, GroupBatches(torch.arange(1003), 100, 0), 4))
    assert {len(batch) for batch in batches} == {91, 92}


def test_an_epoch_has_an_order_of_its_own_that_the_seed_fixes() -> None:
    def order(epoch: int, seed: int) -> list[list[int]]:
        sampler = GroupBatches(torch.arange(50), 8, seed)
        sampler.set_epoch(epoch)
        assert [part.tolist() for part in sampler] == [part.tolist() for part in sampler]
        return [part.tolist() for part in sampler]

    assert order(0, 0) == order(0, 0)
    orders = [order(epoch, seed) for epoch in range(3) for seed in range(3)]
    assert all(orders.count(each) == 1 for each in orders)


@pytest.mark.parametrize(
    ("group", "batch_size", "expected"),
    [
        ([0, 0, 0, 0, 0, 1], 2, 2),  # a group larger than the batch
        ([0, 1, 2], 100, 1),  # a batch larger than the split
        ([7, 7, 7, 7], 1, 1),  # a single group
        ([5], 1, 1),
    ],
)
def test_limits(monkeypatch: pytest.MonkeyPatch, group: list[int], batch_size: int, expected: int) -> None:
    sampler = GroupBatches(torch.tensor(group), batch_size, 0)
    for world in WORLDS:
        assert len(joined(simulated(monkeypatch, sampler, world))) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 60), batch_size=SIZES, world=st.sampled_from([*WORLDS, 7]))
def test_shares_in_order(monkeypatch: pytest.MonkeyPatch, n: int, batch_size: int, world: int) -> None:
    parts = simulated(monkeypatch, ShareInOrder(n, batch_size), world)
    assert [row for batches in parts for part in batches for row in part] == list(range(n))
    shares = [sum(map(len, batches)) for batches in parts]
    assert max(shares) - min(shares) <= 1
    assert max(len(part) for batches in parts for part in batches) <= batch_size
