"""The fit of solved aligners under Trainers that do more than ours, and of children of our classes."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from aligners.closed_form import CCA
from aligners.unicon import UniConSpectral
from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs
from ground.distributed import add_over_processes
from ground.errors import UserError

FIXED = {"rank": 4, "feature_map": "identity", "lam": 1.0, "tau": 0.1, "weight_power": 1.0, "passes": 3}


def run(aligner: lightning.LightningModule, pairs: Pairs, checkpoint: Path | None = None, **trainer: Any) -> Any:
    data = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    data.splits = {"train": pairs}
    common = {"max_epochs": 10, "limit_val_batches": 0, "enable_model_summary": False, "enable_progress_bar": False}
    settings = common | {"accelerator": "cpu", "logger": False, "enable_checkpointing": False} | trainer
    runner = lightning.Trainer(use_distributed_sampler=False, **settings)
    torch.manual_seed(0)
    runner.fit(aligner, datamodule=data, ckpt_path=checkpoint, weights_only=checkpoint is not None or None)
    return runner


@pytest.mark.parametrize(
    "changed", [{"passes": 2}, {"passes": 0}, {"passes": 30, "tolerance": 0.2}], ids=["passes", "none", "stopped"]
)
def test_a_finished_fit_that_is_resumed_stays_as_it_is(pairs: Pairs, tmp_path: Path, changed: dict[str, Any]) -> None:
    whole, again = (UniConSpectral(**FIXED | changed) for _ in range(2))
    run(whole, pairs).save_checkpoint(tmp_path / "last.ckpt")
    run(again, pairs, tmp_path / "last.ckpt")
    assert again.solution == whole.solution
    torch.testing.assert_close(again.projection_x, whole.projection_x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changed", [{}, {"negatives": "batch", "memory_mb": 0}])
@pytest.mark.parametrize("trainer", [{"reload_dataloaders_every_n_epochs": 1}, {"min_epochs": 8}])
def test_a_trainer_that_reloads_or_goes_on_changes_nothing(
    pairs: Pairs, changed: dict[str, Any], trainer: dict[str, Any]
) -> None:
    plain, other = (UniConSpectral(**FIXED | changed) for _ in range(2))
    run(plain, pairs)
    run(other, pairs, **trainer)
    assert other.solution == plain.solution
    assert torch.equal(other.projection_y, plain.projection_y)


def test_a_pass_over_a_part_of_the_batches_is_refused(pairs: Pairs) -> None:
    for aligner in (CCA(rank=4), UniConSpectral(**FIXED)):
        with pytest.raises(UserError, match="a pass needs every training batch, got 2 of 4"):
            run(aligner, pairs, limit_train_batches=2)


def test_other_dimensions_are_refused_by_a_trainer(pairs: Pairs) -> None:
    aligner = CCA(rank=4).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    narrow = Pairs(pairs.x[:, :9], pairs.y, pairs.x_of_y, pairs.group)
    with pytest.raises(UserError, match=r"fitted on features of dimensions \(24, 17\), the data has \(9, 17\)"):
        run(aligner, narrow)


def test_what_is_added_over_processes_is_contiguous(pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        add_over_processes(torch.zeros(3, 2).T)
    for changed in ({"svd": "exact"}, {"svd": "randomised"}, {"negatives": "batch"}):
        run(UniConSpectral(**FIXED | changed), pairs)  # each sum of each pass is looked at


class Narrow(CCA):
    """A constructor of its own, without a YAML."""

    def __init__(self, *, width: int):
        super().__init__(rank=width)


def test_a_child_with_a_constructor_of_its_own(pairs: Pairs) -> None:
    aligner = Narrow(width=3).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
    assert aligner.encode_x(pairs.x).shape == (61, 3)
    with pytest.raises(UserError, match="Narrow has a constructor of its own: decorate it with defaults_from"):
        aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y)
