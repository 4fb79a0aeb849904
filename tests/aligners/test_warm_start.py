"""Gradient aligners that start from the spectral solution."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.functional import normalize

import aligners.base.trained
from aligners.base.aligner import Aligner
from aligners.base.arrays import fit_arrays
from aligners.base.warm_start import first_settings, set_head
from aligners.gradient import SGDCLIP
from aligners.objectives.softmax import CLIP
from aligners.unicon import UniConSpectral
from datamodules.base.datamodule import PairsDataModule
from datamodules.features import FeaturesDataModule
from datamodules.pairs.pairs import Pairs
from ground.configs import CONFIGS
from ground.errors import UserError
from tests.aligners.made import make
from tests.aligners.processes import fit, fit_by_two
from tests.problems import CLIPART_FEATURES

RANK = 6
STANDING = {"optimizer": {"lr": 0.0}, "scheduler": None}
WARM = {"rank": RANK, "warm_start": "unicon"}


def fitted(aligner: Aligner, pairs: Pairs, **changed: Any) -> Aligner:
    arguments = {"x_of_y": pairs.x_of_y, "group": pairs.group, "batch_size": 61, "max_epochs": 1, "seed": 0}
    return aligner.fit(pairs.x, pairs.y, **{**arguments, **changed})


def cosines(aligner: Aligner, pairs: Pairs) -> Tensor:
    return normalize(aligner.encode_x(pairs.x)) @ normalize(aligner.encode_y(pairs.y)).T


@pytest.mark.parametrize("name", ["sgd_clip", "sgd_siglip", "triplet"])
@pytest.mark.parametrize("unit", [True, False])
def test_before_any_step_the_cosines_are_the_spectral_ones(pairs: Pairs, name: str, unit: bool) -> None:
    spectral = fitted(
        UniConSpectral(rank=RANK, unit=unit, **first_settings() | {"feature_map": "identity"}), pairs, max_epochs=None
    )
    standing = fitted(make(name, unit=unit, **WARM, **STANDING), pairs)
    torch.testing.assert_close(cosines(standing, pairs), cosines(spectral, pairs), rtol=0, atol=1e-5)


def test_the_first_loss_is_that_of_the_spectral_solution(pairs: Pairs) -> None:
    spectral = fitted(
        UniConSpectral(rank=RANK, **first_settings() | {"feature_map": "identity"}), pairs, max_epochs=None
    )
    trainer = fit_arrays(
        make("sgd_clip", tau=0.2, **WARM, **STANDING), pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group,
        batch_size=61, max_epochs=1,
    )  # fmt: skip
    expected = CLIP(tau=1.0)(cosines(spectral, pairs) / 0.2, pairs.group[:, None] == pairs.y_group)
    assert trainer.callback_metrics["fit/objective"].item() == pytest.approx(expected.item(), abs=1e-5)


def test_it_learns_from_there(pairs: Pairs) -> None:
    def loss(aligner: Aligner) -> float:
        return CLIP(0.07)(cosines(aligner, pairs), pairs.group[:, None] == pairs.y_group).item()

    start = loss(fitted(make("sgd_clip", **WARM, **STANDING), pairs))
    after = loss(fitted(make("sgd_clip", optimizer={"lr": 1e-2}, **WARM), pairs, max_epochs=30))
    assert after < 0.9 * start


def test_a_head_is_the_solution_up_to_length() -> None:
    x, projection, offset = torch.randn(20, 9), torch.randn(9, 4).double() * 1e4, torch.randn(4).double() * 1e4
    head = nn.Linear(9, 4)
    set_head(head, projection, offset, scale=3.0)
    expected = (x.double() @ projection - offset).float()
    torch.testing.assert_close(normalize(head(3 * x)), normalize(expected), rtol=0, atol=1e-6)
    assert head.weight.square().mean().sqrt().item() == pytest.approx((3 * 9) ** -0.5, rel=1e-6)
    assert head.weight.requires_grad


def test_a_resumed_fit_keeps_its_heads(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datamodule = PairsDataModule(batch_size=61, eval_batch_size=61, seed=0)
    datamodule.splits = {"train": pairs}
    common = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    common |= {"enable_progress_bar": False, "use_distributed_sampler": False, "limit_val_batches": 0}
    first = lightning.Trainer(max_epochs=1, **common)
    begun = make("sgd_clip", **WARM, **STANDING)
    first.fit(begun, datamodule=datamodule)
    first.save_checkpoint(tmp_path / "last.ckpt")

    def again(_: Any) -> None:
        raise AssertionError("solved again")

    monkeypatch.setattr(aligners.base.trained, "spectral_solution", again)
    resumed = make("sgd_clip", **WARM, **STANDING)
    lightning.Trainer(max_epochs=2, **common).fit(
        resumed, datamodule=datamodule, ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert resumed.trainer.global_step == 2
    assert torch.equal(begun.head_x.weight, resumed.head_x.weight)


def test_heads_that_start_at_random_have_no_bias(pairs: Pairs) -> None:
    cold = fitted(make("sgd_clip", rank=RANK), pairs)
    assert set(cold.state_dict()) == {"mean_x", "mean_y", "log_scale", "head_x.weight", "head_y.weight"}


def test_mlp_heads_are_refused() -> None:
    with pytest.raises(UserError, match=r"starts linear heads, got aligner.head=mlp: set aligner.head=linear or"):
        SGDCLIP(head="mlp", warm_start="unicon")


def test_an_unknown_start_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown aligner.warm_start 'unicorn': did you mean 'unicon'"):
        SGDCLIP(warm_start="unicorn")


def test_what_the_solver_refuses_is_refused(pairs: Pairs) -> None:
    with pytest.raises(UserError, match="rank 18 is above what the data allows"):
        fitted(SGDCLIP(rank=18, warm_start="unicon"), pairs)


def test_two_processes_have_the_heads_of_one(pairs: Pairs, tmp_path: Path) -> None:
    changed = WARM | {"optimizer": {"lr": 1e-3}}
    one = fit("sgd_clip", changed, pairs, 2)
    states = fit_by_two(tmp_path, "sgd_clip", changed, pairs, 2)
    for key, value in one.items():
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=0, atol=1e-5)


@pytest.mark.skipif(not CLIPART_FEATURES.is_file(), reason="no clip-art features file")
def test_it_needs_a_quarter_of_the_epochs() -> None:
    def recalls(max_epochs: int, **changed: Any) -> list[float]:
        evaluation = instantiate(OmegaConf.load(CONFIGS / "evaluation" / "default.yaml"))
        evaluation.judges["probe"].every_pass = False
        lightning.seed_everything(0, verbose=False)
        trainer = lightning.Trainer(
            max_epochs=max_epochs, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[evaluation],
            enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )  # fmt: skip
        datamodule = FeaturesDataModule(
            str(CLIPART_FEATURES), val_share=0.1, test_share=0.1, split_seed=0,
            batch_size=512, eval_batch_size=4096, seed=0,
        )  # fmt: skip
        trainer.fit(make("sgd_clip", **changed), datamodule=datamodule)
        return [record["mean_recall"] for record in evaluation.history]

    cold = recalls(30)
    quarter = (cold.index(max(cold)) + 1) // 4
    assert quarter >= 1
    warm = recalls(quarter, warm_start="unicon", optimizer={"lr": 3e-5})
    assert max(warm) >= max(cold)
