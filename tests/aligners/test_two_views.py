"""Methods of two views: what is theirs beside their losses; two processes follow the joined batch's gradient."""

import logging
import math
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.arrays import fit_arrays
from aligners.gradient import SGDCLIP
from aligners.two_views import BYOL, BarlowTwins, CyCLIP, SimCLR, VICReg
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import PairBatch, Pairs
from tests.aligners.made import make
from tests.aligners.processes import all_fits_by_two, fit
from tests.problems import random_features

RATES = {
    "simclr": 0.3, "byol": 0.3, "vicreg": 0.003, "barlow_twins": 0.1, "cyclip": 0.03, "spectral_contrastive": 0.001,
    "supcon": 0.03, "dcl": 0.03,
}  # fmt: skip
"""Of plain gradient descent, a step whose length is the gradient's."""


def test_the_gradient_of_two_processes_is_that_of_the_joined_batch(pairs: Pairs, tmp_path: Path) -> None:
    fits: dict[str, tuple[Any, ...]] = {}
    for name, lr in RATES.items():
        optimizer = {"_target_": "torch.optim.SGD", "lr": lr, "weight_decay": 0.0}
        fits[name] = ({"rank": 5, "optimizer": optimizer, "scheduler": None}, pairs, 2)
    many = all_fits_by_two(tmp_path, fits)
    for name, (changed, _, epochs) in fits.items():
        start = fit(name, changed | {"optimizer": {**changed["optimizer"], "lr": 0.0}}, pairs, 1)
        one = fit(name, changed, pairs, epochs)
        for key, value in one.items():
            assert torch.equal(many[name][0][key], many[name][1][key]), (name, key)
            if key.startswith("head"):
                moved = (value - start[key]).norm()
                assert moved > 0.02 * value.norm(), (name, key)
                assert (many[name][0][key] - value).norm() < 1e-4 * moved, (name, key)
            torch.testing.assert_close(many[name][0][key], value, rtol=1e-4, atol=1e-5)


def fitted(aligner: Any, pairs: Pairs, max_epochs: int = 3) -> Any:
    fit_arrays(
        aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=31, max_epochs=max_epochs, seed=0
    )
    return aligner


def test_cyclip_without_consistencies_is_clip(pairs: Pairs) -> None:
    plain = fitted(SGDCLIP(rank=4), pairs)
    alike = fitted(CyCLIP(rank=4, in_modal=0.0, cross_modal=0.0), pairs)
    assert torch.equal(alike.encode_x(pairs.x), plain.encode_x(pairs.x))
    other = fitted(CyCLIP(rank=4), pairs)
    assert not torch.allclose(other.encode_x(pairs.x), plain.encode_x(pairs.x), atol=1e-3)


def test_supcon_is_clip_by_its_other_name(pairs: Pairs) -> None:
    plain, alike = fitted(SGDCLIP(rank=4), pairs), fitted(make("supcon", rank=4), pairs)
    assert torch.equal(alike.encode_y(pairs.y), plain.encode_y(pairs.y))


def batch_of(x: Tensor, y: Tensor) -> PairBatch:
    index = torch.arange(len(x))
    return PairBatch(x, y, index, index, index, index)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (SimCLR, "tau"), (VICReg, "invariance"), (VICReg, "variance"), (VICReg, "covariance"),
        (BarlowTwins, "off_diagonal"), (CyCLIP, "in_modal"), (CyCLIP, "cross_modal"),
    ],
)  # fmt: skip
def test_every_weight_reaches_the_loss(kind: type, option: str) -> None:
    x, y, _ = random_features(12, 1, 5, 5, seed=0)
    x, y = 0.2 * x, 0.2 * y
    losses = [kind(**{option: value}).loss(x, y, batch_of(x, y)).item() for value in (0.5, 1.0, 1.5)]
    assert len(set(losses)) == 3
    if option != "tau":  # a weight: the loss is linear in it
        assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)


# BYOL


def test_byol_predicts_what_targets_make_of_the_other_side(pairs: Pairs) -> None:
    aligner = fitted(BYOL(rank=4, momentum=0.5), pairs, max_epochs=2)
    batch = PairBatch(
        aligner.prepare_x(pairs.x[:9]), aligner.prepare_y(pairs.y[:27:3]), *4 * [torch.arange(9)]
    )  # one-to-one
    scale_x, scale_y = 24**0.5, 17**0.5
    x, y = aligner.embed_x(batch.x), aligner.embed_y(batch.y)
    target_x = scale_x * batch.x.float() @ aligner.target_x.weight.T
    target_y = scale_y * batch.y.float() @ aligner.target_y.weight.T
    assert not torch.allclose(target_x, x, atol=1e-3)
    assert not torch.allclose(aligner.predictor_x.weight, torch.eye(4), atol=1e-3)
    cosines = (normalize(x @ aligner.predictor_x.weight.T) * normalize(target_y)).sum(1)
    cosines = cosines + (normalize(y @ aligner.predictor_y.weight.T) * normalize(target_x)).sum(1)
    loss = aligner.loss(x, y, batch)
    torch.testing.assert_close(loss, 4 - 2 * cosines.mean())
    loss.backward()
    for name, parameter in aligner.named_parameters():
        assert (parameter.grad is None) == name.startswith("target")


def test_targets_follow_by_a_momentum_that_rises_to_one(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[float] = []
    seen: list[dict[str, Tensor]] = []
    move = BYOL._move_targets

    def told(self: BYOL, share: float) -> None:
        before = {key: value.clone() for key, value in self.state_dict().items()}
        move(self, share)
        for side in "xy":
            expected = torch.lerp(before[f"target_{side}.weight"], before[f"head_{side}.weight"], 1 - share)
            assert torch.equal(self.state_dict()[f"target_{side}.weight"], expected)
        kept.append(share)
        seen.append(before)

    monkeypatch.setattr(BYOL, "_move_targets", told)
    fitted(BYOL(rank=4, momentum=0.6), pairs, max_epochs=2)
    steps = [1 - 0.4 * (math.cos(math.pi * k / 4) + 1) / 2 for k in range(1, 5)]
    assert kept == pytest.approx([0.0, *steps])
    assert kept[-1] == 1.0
    assert not torch.equal(seen[1]["head_x.weight"], seen[1]["target_x.weight"])  # after the optimizer's step


def test_a_warm_start_moves_the_targets_too(pairs: Pairs) -> None:
    rate = {"_target_": "torch.optim.SGD", "lr": 0.0}
    aligner = fitted(BYOL(rank=4, warm_start="unicon", optimizer=rate, scheduler=None), pairs, max_epochs=1)
    for head, target in ((aligner.head_x, aligner.target_x), (aligner.head_y, aligner.target_y)):
        assert torch.equal(head.weight, target.weight)
        assert torch.equal(head.bias, target.bias)


def test_a_shared_encoder_has_one_target_and_one_predictor() -> None:
    x, y, _ = random_features(40, 1, 8, 8, seed=0)
    aligner = BYOL(rank=3, shared=True).fit(x, y, max_epochs=2)
    assert aligner.target_x is aligner.target_y
    assert aligner.predictor_x is aligner.predictor_y
    assert not torch.equal(aligner.target_x.weight, aligner.head_x.weight)


def test_a_file_holds_predictors_and_targets(pairs: Pairs, tmp_path: Path) -> None:
    aligner = fitted(BYOL(rank=4), pairs)
    aligner.save(tmp_path / "byol.safetensors")
    loaded = BYOL.load(tmp_path / "byol.safetensors")
    assert {"predictor_x.weight", "predictor_y.weight", "target_x.weight", "target_y.weight"} <= {*loaded.state_dict()}
    for key, value in aligner.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert loaded.facts == aligner.facts


class Halfway(lightning.Callback):
    """Saves a checkpoint after the second epoch."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)


def test_a_resumed_fit_goes_on_with_its_targets(pairs: Pairs, tmp_path: Path) -> None:
    path = tmp_path / "halfway.ckpt"

    def go(resume: Path | None) -> dict[str, Tensor]:
        datamodule = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
        datamodule.splits = {"train": pairs}
        torch.manual_seed(0)
        aligner = BYOL(rank=4)
        lightning.Trainer(
            accelerator="cpu", max_epochs=4, logger=False, enable_checkpointing=False, limit_val_batches=0,
            enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
            callbacks=[Halfway(path)],
        ).fit(aligner, datamodule=datamodule, ckpt_path=resume)  # fmt: skip
        return aligner.state_dict()

    whole, resumed = go(None), go(path)
    for key, value in whole.items():
        assert torch.equal(resumed[key], value), key


def test_a_collapse_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Rows on one line leave heads nothing else."""
    line = torch.randn(40, 1, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 6.0)
    with caplog.at_level(logging.WARNING):
        aligner = BYOL(rank=3).fit(line, line, max_epochs=1)
    assert aligner.facts["participation_ratio"] == pytest.approx(1, abs=1e-4)
    assert "have collapsed to one line" in caplog.text
    caplog.clear()
    x, y, _ = random_features(40, 1, 8, 8, seed=0)
    assert BYOL(rank=3).fit(x, y, max_epochs=1).facts["participation_ratio"] > 1.5
    assert not caplog.text
