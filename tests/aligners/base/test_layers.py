"""Rows of several layers: each is scaled by itself, and a saved aligner knows it."""

from pathlib import Path

import lightning
import pytest
import torch
from torch.nn.functional import normalize

from aligners import CCA, SGDCLIP, Identity, UniConSpectral
from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from ground.errors import UserError
from tests.problems import random_features


def fitted(aligner: Aligner, x: torch.Tensor, y: torch.Tensor, layers: tuple[int, int]) -> Aligner:
    data = PairsDataModule(batch_size=32, eval_batch_size=32, seed=0)
    data.splits, data.layers = {"train": pairs_of_tensors(x, y)}, layers
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, limit_val_batches=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(aligner, datamodule=data)
    return aligner


x, y, _ = random_features(60, 1, 12, 8, seed=3)


def test_each_layer_is_centred_and_scaled_by_itself() -> None:
    aligner = fitted(CCA(rank=4), x, y, (3, 1))
    prepared = aligner.prepare_x(x)
    parts = [normalize(each) / 3**0.5 for each in (x - x.mean(0)).split(4, dim=1)]
    torch.testing.assert_close(prepared, torch.cat(parts, 1))
    torch.testing.assert_close(prepared.norm(dim=1), torch.ones(60))
    torch.testing.assert_close(aligner.prepare_y(y), normalize(y - y.mean(0)))
    louder = x.clone()
    louder[:, :4] *= 1000  # a layer's own scale says nothing
    torch.testing.assert_close(fitted(CCA(rank=4), louder, y, (3, 1)).encode_x(louder), aligner.encode_x(x))


def test_not_scaled_where_nothing_is() -> None:
    aligner = fitted(CCA(rank=4, unit=False), x, y, (3, 1))
    torch.testing.assert_close(aligner.prepare_x(x), x - x.mean(0))


@pytest.mark.parametrize("make", [CCA, SGDCLIP, UniConSpectral])
def test_a_saved_aligner_knows_its_layers(make: type[Aligner], tmp_path: Path) -> None:
    given = {"rank": 4} if make is not UniConSpectral else {"rank": 4, "tau": 0.1, "lam": 1.0, "passes": 1,
        "weight_power": 1.0, "feature_map": "identity"}  # fmt: skip
    aligner = fitted(make(**given), x, y, (3, 2))
    aligner.save(tmp_path / "a.safetensors")
    again = make.load(tmp_path / "a.safetensors")
    assert again.layers == (3, 2)
    assert torch.equal(again.encode_y(y), aligner.encode_y(y))


def test_fitting_on_other_layers_or_sharing_them() -> None:
    aligner = fitted(CCA(rank=4), x, y, (3, 2))
    with pytest.raises(UserError, match=r"of layers \(3, 2\), the data has \(1, 2\)"):
        fitted(aligner, x, y, (1, 2))
    with pytest.raises(UserError, match="features of one number of layers on both sides, got 2 and 3"):
        fitted(UniConSpectral(rank=4, shared=True, tau=0.1), x, x.flip(0), (2, 3))


def test_an_aligner_fitted_on_layers_is_fitted_anew_on_arrays() -> None:
    aligner = fitted(Identity(centre=True), x[:, :8], y, (2, 2))
    assert aligner.fit(x[:, :8], y).layers == (1, 1)
