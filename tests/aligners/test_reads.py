"""How often a fit reads the training split."""

import lightning
import pytest
import torch
from torch import Tensor

from aligners.unicon import UniConSpectral
from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs


class Counted:
    """Feature rows that count how many of them are read."""

    def __init__(self, rows: Tensor):
        self.rows, self.read = rows, 0

    @property
    def shape(self) -> torch.Size:
        return self.rows.shape

    def __getitem__(self, index: Tensor) -> Tensor:
        self.read += len(index)
        return self.rows[index]


# kept: for the means and the first pass. Not kept: also for the projections and the sums that the span is made of, for
# the projections at the start, in each of three passes for its sums and for the projections on its new directions, and
# at the end for the exact gradient
@pytest.mark.parametrize(("memory_mb", "streams"), [(2048, 2), (0, 2 + 2 + 1 + 3 * 2 + 1)])
def test_rows_that_are_kept_are_read_once_for_all_passes(pairs: Pairs, memory_mb: int, streams: int) -> None:
    x, y = Counted(pairs.x[:]), Counted(pairs.y[:])
    data = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    data.splits = {"train": Pairs(x, y, pairs.x_of_y, pairs.group)}
    aligner = UniConSpectral(
        rank=4, feature_map="identity", lam=1.0, tau=0.1, weight_power=1.0, passes=3, tolerance=0.0, memory_mb=memory_mb
    )
    trainer = lightning.Trainer(
        max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(aligner, datamodule=data)
    assert len(aligner.solution.passes) == 4
    assert trainer.global_step == 4 * 4
    assert (x.read, y.read) == (
        streams * pairs.n_x + 1,
        streams * pairs.n_y + 1,
    )  # and the row that means are taken from
