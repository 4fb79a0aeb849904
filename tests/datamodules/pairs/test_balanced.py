"""Batches with equal numbers of each class, over any number of processes."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules.pairs.balanced import BalancedBatches
from tests.datamodules.pairs.simulated import simulated

WORLDS = (1, 2, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    views=st.integers(1, 3),
    batch_size=st.integers(1, 30),
    epoch=st.integers(0, 99),
    seed=st.sampled_from([0, 3, 2**32 - 1]),
)
def test_every_x_once_and_classes_even(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], views: int, batch_size: int, epoch: int, seed: int
) -> None:
    of_group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    mixed = torch.randperm(len(of_group) * views, generator=torch.Generator().manual_seed(seed % 97))
    group = torch.arange(len(of_group)).repeat_interleave(views)[mixed]
    label = of_group[group]
    sampler = BalancedBatches(group * 10 - 7, label, batch_size, seed)
    sampler.set_epoch(epoch)
    batches = []
    for world in WORLDS:
        parts = simulated(monkeypatch, sampler, world)
        assert sorted(row for batches in parts for part in batches for row in part) == list(range(len(group)))
        places: dict[int, set[tuple[int, int]]] = {}
        for rank, process in enumerate(parts):
            for number, part in enumerate(process):
                for row in part:
                    places.setdefault(int(group[row]), set()).add((rank, number))
        assert all(len(each) == 1 for each in places.values())  # groups whole, on one process
        batches.append([{row for part in batch for row in part} for batch in zip(*parts, strict=True)])
    assert batches[1] == batches[2] == batches[0]
    counts = torch.stack([torch.bincount(label[list(batch)], minlength=len(sizes)) for batch in batches[0]]) // views
    assert (counts.amax(0) - counts.amin(0)).max() <= 1
    assert counts.sum(1).max() - counts.sum(1).min() <= 1
    assert counts.sum(1).min() >= 1
    assert len(batches[0]) == min(-(-len(group) // batch_size), len(of_group))
    if views == 1:
        assert max(map(len, batches[0])) <= batch_size


def test_orders() -> None:
    label = torch.arange(60) % 3

    def order(sampler: BalancedBatches, epoch: int) -> list[list[int]]:
        sampler.set_epoch(epoch)
        return [part.tolist() for part in sampler]

    orders = [order(BalancedBatches(torch.arange(60), label, 9, seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({str(each) for each in orders}) == 4
    still = BalancedBatches(torch.arange(60), label, 9, 0)
    still.reshuffles = False
    assert order(still, 0) == order(still, 5) == orders[0]


def test_the_rest_of_a_class_is_not_always_in_the_same_place() -> None:
    label = torch.tensor([0] * 5 + [1] * 4)
    sampler = BalancedBatches(torch.arange(9), label, 5, 0)  # two batches: of 5 and 4
    firsts, sizes = set(), set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        first, second = sampler
        firsts.add(int((label[first] == 0).sum()))
        sizes.add((len(first), len(second)))
    assert firsts == {2, 3}
    assert sizes == {(4, 5), (5, 4)}
