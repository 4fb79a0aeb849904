"""How a split is cut into batches, over any number of processes."""

from typing import Any

import lightning
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Sampler

from aligners.base.ddp import AlignerDDP
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs import batches
from datamodules.pairs.batches import GroupBatches, ShareInOrder
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError

WORLDS = (1, 2, 3, 4)
GROUPS = st.lists(st.integers(-5, 12), min_size=1, max_size=40).map(torch.tensor)
SIZES = st.integers(1, 50)


def simulated(monkeypatch: pytest.MonkeyPatch, sampler: Sampler[Tensor], world: int) -> list[list[list[int]]]:
    """``[process][batch]`` rows, as each of ``world`` processes gets them; ``len`` is right in each."""
    parts = []
    for rank in range(world):
        monkeypatch.setattr(batches, "rank_and_world", lambda rank=rank: (rank, world))
        parts.append([part.tolist() for part in sampler])
        assert len(sampler) == len(parts[-1])  # type: ignore[arg-type]
    assert len({len(batches) for batches in parts}) == 1
    return parts


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0), "datamodule.batch_size must be at least 1, got 0"),
        ((1, -4, 0), "datamodule.eval_batch_size must be at least 1, got -4"),
        ((2.5, 1, 0), "datamodule.batch_size must be an integer, got 2.5"),
        ((1, 1, -1), "datamodule.seed must be from 0 to 4294967295, got -1"),
        ((1, 1, 2**32), "datamodule.seed must be from 0 to 4294967295, got 4294967296"),
        ((1, 1, None), "datamodule.seed must be an integer, got None"),
    ],
)
def test_sizes_and_seeds_out_of_range(arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairsDataModule(*arguments)


class Recorder(lightning.LightningModule):
    """Records the rows that it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(24, 1)
        self.trained: dict[int, list[list[int]]] = {}
        self.validated: list[int] = []
        self.y_count = 0

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        assert isinstance(batch, PairBatch)
        self.trained.setdefault(self.current_epoch, []).append(batch.x_index.tolist())
        loss: Tensor = self.head(batch.x).sum()
        return loss

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        self.validated += batch.x_index.tolist()
        self.y_count += len(batch.y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


@pytest.mark.parametrize("distributed", [False, True])
def test_lightning_sets_the_epoch_of_our_own_sampler(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch, distributed: bool
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "0")  # what Lightning sets is taken back after the test
        monkeypatch.delenv(name)
    datamodule = PairsDataModule(batch_size=16, eval_batch_size=25, seed=5)
    datamodule.splits = {"train": pairs, "val": pairs}
    module = Recorder()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        strategy=AlignerDDP(process_group_backend="gloo") if distributed else "auto",
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    try:
        trainer.fit(module, datamodule=datamodule)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    expected = GroupBatches(pairs.group, 16, 5)
    for epoch in range(2):
        expected.set_epoch(epoch)
        assert module.trained[epoch] == [part.tolist() for part in expected]
    assert module.trained[0] != module.trained[1]
    assert isinstance(trainer.train_dataloader.sampler, GroupBatches)
    assert module.validated == list(range(61)) * 2
    assert module.y_count == 2 * pairs.n_y


def test_what_a_datamodule_says_where_it_knows_no_better(pairs: Pairs) -> None:
    datamodule = PairsDataModule(1, 1, 0)
    datamodule.splits = {"train": pairs}
    assert datamodule.dims == (24, 17)
    assert datamodule.protocol == {}
    assert datamodule.describe_x("train", 3) == "x 3"
    assert datamodule.describe_y("train", 4) == "y 4"
