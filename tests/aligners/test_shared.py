"""One encoder for two views of one modality, for every aligner that can have one."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.closed_form import CCA
from aligners.unicon import UniConSpectral
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from ground.errors import UserError
from tests.aligners.made import LEARNING, make
from tests.problems import random_features

SHARING = [name for name in LEARNING if "shared" in make(name).hparams]
LIGHT = {"head": "linear", "landmarks": 20, "rank": 4}


def views(n: int = 60, d: int = 12) -> tuple[Tensor, Tensor]:
    """Two noisy views (n, d) of the same items, off the origin."""
    x, _, _ = random_features(n, 1, d, d, seed=3)
    generator = torch.Generator().manual_seed(4)
    a, b = (x + 0.3 * torch.randn(n, d, generator=generator) + 5 for _ in range(2))
    return a, b


def fitted(aligner: Aligner, one_modality: bool, folder: Path | None = None) -> lightning.Trainer:
    x, y = views()
    datamodule = PairsDataModule(batch_size=20, eval_batch_size=60, seed=0)
    datamodule.one_modality = one_modality
    datamodule.splits = {
        "train": pairs_of_tensors(x[:40], y[:40], x_of_y=torch.arange(40)),
        "val": pairs_of_tensors(x[40:], y[40:], x_of_y=torch.arange(20)),
    }
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer.fit(aligner, datamodule=datamodule)
    return trainer


def made(name: str, **changed: Any) -> Aligner:
    known = make(name).hparams
    return make(name, **{key: value for key, value in LIGHT.items() if key in known}, **changed)


@pytest.mark.parametrize("name", SHARING)
def test_views_of_one_modality_have_one_encoder(name: str, tmp_path: Path) -> None:
    aligner = made(name)
    trainer = fitted(aligner, True, tmp_path)
    x, _ = views()
    embeddings = aligner.encode_x(x)
    assert torch.equal(embeddings, aligner.encode_y(x))
    assert embeddings.abs().max() > 0
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = type(aligner).load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(loaded.encode_x(x), embeddings)
    assert torch.equal(loaded.encode_y(x), embeddings)


@pytest.mark.parametrize("name", SHARING)
def test_two_modalities_have_two_encoders(name: str) -> None:
    x, _ = views()
    for aligner, one_modality in ((made(name), False), (made(name, shared=False), True)):
        fitted(aligner, one_modality)
        assert not torch.allclose(aligner.encode_x(x), aligner.encode_y(x), atol=1e-3)


def test_shared_cca_is_the_first_solution_of_the_shared_solver() -> None:
    x, y = views()
    cca = CCA(rank=4, lam=0.5, weight_power=1.0, shared=True).fit(x, y)
    unicon = UniConSpectral(
        rank=4, lam=0.5, weight_power=1.0, tau=0.1, passes=0, feature_map="identity", shared=True
    ).fit(x, y)
    torch.testing.assert_close(cca.encode_x(x).abs(), unicon.encode_x(x).abs(), rtol=1e-4, atol=1e-5)


def test_one_encoder_needs_one_dimension() -> None:
    x, y = views()
    with pytest.raises(UserError, match="needs features of one dimension on both sides, got 12 and 7"):
        CCA(rank=4, shared=True).fit(x, y[:, :7])


def test_a_warm_start_of_one_encoder_is_of_one_encoder() -> None:
    x, y = views()
    rate = {"_target_": "torch.optim.SGD", "lr": 0.0}  # heads stay where they start
    warm = made("sgd_clip", shared=True, warm_start="unicon", optimizer=rate, scheduler=None).fit(x, y, max_epochs=1)
    settings = {"lam": 1.0, "tau": 0.1, "passes": 4, "weight_power": 1.0}
    solved = UniConSpectral(rank=4, feature_map="identity", shared=True, **settings).fit(x, y)
    normalize = torch.nn.functional.normalize
    torch.testing.assert_close(
        normalize(warm.encode_x(x)) @ normalize(warm.encode_y(y)).T,
        normalize(solved.encode_x(x)) @ normalize(solved.encode_y(y)).T,
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
