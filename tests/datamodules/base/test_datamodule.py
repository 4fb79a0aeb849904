"""The datamodule of pairs: its arguments, its loaders under a Trainer, and what it says of itself."""

from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from aligners.base.ddp import AlignerDDP
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError


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
