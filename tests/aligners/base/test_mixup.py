"""Mixtures of pairs: which, in what shares, and the same in a fit that is cut off."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from aligners import SGDCLIP
from aligners.base import trained
from aligners.base.mixup import draws_of, mixed
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError


def batch_of(x_group: list[int], y_group: list[int]) -> PairBatch:
    """Every row is a coordinate of its own: a mixture tells what it is of."""
    n, m = len(x_group), len(y_group)
    index = torch.arange(n), torch.arange(m)
    return PairBatch(torch.eye(n), torch.eye(m), torch.tensor(x_group), torch.tensor(y_group), *index)


MANY = batch_of([7, 2, 2, 5, 9], [2, 7, 2, 2, 9, 5, 5, 7])


def parts(rows: torch.Tensor, group: torch.Tensor) -> list[tuple[int, int, float]]:
    """Of each mixed row its group, its partner's, and its own share."""
    told = []
    for number, row in enumerate(rows):
        (other,) = (each for each in row.nonzero()[:, 0].tolist() if each != number)
        assert row.sum().item() == pytest.approx(1)
        told.append((int(group[number]), int(group[other]), round(row[number].item(), 5)))
    return told


def test_both_sides_of_a_group_are_mixed_with_the_same_group_alike() -> None:
    circles = set()
    for seed in range(20):
        made = mixed(MANY, 1.0, draws_of(seed, 0, 0))
        told = parts(made.x, MANY.x_group) + parts(made.y, MANY.y_group)
        assert len({share for _, _, share in told}) == 1
        partner = {group: other for group, other, _ in told}
        assert len({(group, other) for group, other, _ in told}) == len(partner) == 4  # one partner of each group
        assert sorted(partner.values()) == sorted(partner)
        assert partner[partner[2]] != 2  # a circle of four, no swap
        circles.add(tuple(sorted(partner.items())))
        assert all(torch.equal(a, b) for a, b in zip(made[2:], MANY[2:], strict=True))  # positives stay
    assert len(circles) == 6


def test_rows_of_a_group_have_partners_in_turn() -> None:
    batch = batch_of([0, 0, 0, 1, 1], [0, 1, 1, 1])
    made = mixed(batch, 1.0, draws_of(0, 0, 0))
    of_x, of_y = ((rows > 0).long() - torch.eye(len(rows)).long() for rows in (made.x, made.y))
    assert of_x.argmax(1).tolist() == [3, 4, 3, 0, 1]
    assert of_y.argmax(1).tolist() == [1, 0, 0, 0]


def test_shares_are_of_the_beta_distribution() -> None:
    for alpha in (0.3, 1.0):
        shares = [
            mixed(MANY, alpha, draws_of(3, epoch, number)).x[0, 0].item() for epoch in range(20) for number in range(20)
        ]
        assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 0.01
        assert len(set(np.round(shares, 6))) > 300


def test_the_mixture_is_the_same_however_groups_are_dealt() -> None:
    x_order, y_order = torch.tensor([4, 3, 1, 2, 0]), torch.tensor([4, 1, 7, 0, 2, 3, 5, 6])
    dealt = PairBatch(*(part[y_order if number % 2 else x_order] for number, part in enumerate(MANY)))
    made, whole = mixed(dealt, 1.0, draws_of(0, 1, 2)), mixed(MANY, 1.0, draws_of(0, 1, 2))
    assert torch.equal(made.x, whole.x[x_order])
    assert torch.equal(made.y, whole.y[y_order])


def test_a_single_group_stays_as_it_is() -> None:
    batch = batch_of([3, 3], [3, 3, 3])
    made = mixed(batch, 1.0, draws_of(0, 0, 0))
    torch.testing.assert_close(made.x, batch.x)
    torch.testing.assert_close(made.y, batch.y)


class Seen(SGDCLIP):
    """Keeps the batches that its loss sees."""

    def loss(self, x: torch.Tensor, y: torch.Tensor, batch: PairBatch) -> torch.Tensor:
        torch.testing.assert_close(x, self.embed_x(batch.x))
        torch.testing.assert_close(y, self.embed_y(batch.y))
        self.seen = [*getattr(self, "seen", []), batch]
        return super().loss(x, y, batch)


def trainer_of(**more: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu", max_epochs=4, logger=False, enable_model_summary=False, enable_progress_bar=False,
        limit_val_batches=0, use_distributed_sampler=False, **more,
    )  # fmt: skip


def data_of(pairs: Pairs) -> PairsDataModule:
    data = PairsDataModule(batch_size=20, eval_batch_size=61, seed=5)
    data.splits = {"train": pairs}
    return data


def test_every_step_has_a_mixture_of_its_own(pairs: Pairs) -> None:
    aligner = Seen(rank=6, mixup=1.0)
    trainer_of(enable_checkpointing=False).fit(aligner, datamodule=data_of(pairs))
    for number, batch in enumerate(aligner.seen):
        prepared = batch._replace(
            x=aligner.prepare_x(pairs.x[batch.x_index]), y=aligner.prepare_y(pairs.y[batch.y_index])
        )
        again = mixed(prepared, 1.0, draws_of(5, number // 4, number % 4))
        assert torch.equal(batch.x, again.x)
        assert torch.equal(batch.y, again.y)
    assert len(aligner.seen) == 16


def test_without_mixup_nothing_is_drawn_and_batches_are_as_they_were(pairs: Pairs) -> None:
    with patch.object(trained, "mixed", side_effect=AssertionError):
        aligner = Seen(rank=6, mixup=0.0)
        trainer_of(enable_checkpointing=False).fit(aligner, datamodule=data_of(pairs))
    for batch in aligner.seen:
        assert torch.equal(batch.x, aligner.prepare_x(pairs.x[batch.x_index]))
        assert torch.equal(batch.y, aligner.prepare_y(pairs.y[batch.y_index]))


class Saves(lightning.Callback):
    """Keeps the checkpoint of the second epoch."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)


def test_a_fit_that_goes_on_ends_as_one_that_was_not_cut_off(pairs: Pairs, tmp_path: Path) -> None:
    def fitted(seed: int, *callbacks: lightning.Callback, **more: Any) -> SGDCLIP:
        torch.manual_seed(seed)
        aligner = SGDCLIP(rank=6, mixup=0.5)
        trainer = trainer_of(callbacks=list(callbacks), enable_checkpointing=False)
        trainer.fit(aligner, datamodule=data_of(pairs), **more)
        return aligner

    whole = fitted(0, Saves(tmp_path / "half.ckpt"))
    # no random number is the process's own
    resumed = fitted(7, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in whole.state_dict().items())


def test_a_negative_concentration_is_refused() -> None:
    with pytest.raises(UserError, match=r"aligner.mixup must be at least 0, got -1"):
        SGDCLIP(mixup=-1.0)
