"""Heads that are trained on whitened or kernel rows, as UniCon's solver sees them."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.arrays import fit_arrays
from aligners.base.head_features import head_settings, widths
from aligners.base.on_features import OnFeatures
from aligners.base.yaml_defaults import aligner_config
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from tests.aligners.made import make
from tests.aligners.processes import fit, fit_by_two
from tests.aligners.runs import encoded, ranked, run_apart, run_here
from tests.cli import call, last_of, metrics_of

KINDS = ["whitened", "kernel", "kernel_whitened"]
GRADIENT = ["sgd_clip", "sgd_siglip", "triplet"]
RANK = 6
FIT = {"batch_size": 20, "seed": 0}
FAST = {"rank": RANK, "optimizer": {"lr": 0.02}}


def fitted(aligner: Aligner, pairs: Pairs, max_epochs: int = 1) -> Any:
    return aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, max_epochs=max_epochs, **FIT)


def covariance(rows: Tensor) -> Tensor:
    return rows.double().T.cov(correction=0)


def test_whitened_training_rows_are_white(pairs: Pairs) -> None:
    aligner = fitted(make("sgd_clip", features="whitened", lam=1e-6, **FAST), pairs)
    for rows in (aligner.prepare_x(pairs.x), aligner.prepare_y(pairs.y)):
        assert rows.shape[1] in pairs.dims
        torch.testing.assert_close(covariance(rows), torch.eye(rows.shape[1]).double(), rtol=0, atol=1e-4)
        torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), rtol=0, atol=1e-5)


def test_the_ridge_is_unicons(pairs: Pairs) -> None:
    """At lam relative to the mean variance t, a direction of variance v keeps v / (v + lam t)."""
    aligner = fitted(make("sgd_clip", features="whitened", lam=0.5, **FAST), pairs)
    raw = covariance(super(OnFeatures, aligner).prepare_x(pairs.x))
    expected = torch.linalg.eigvalsh(raw)
    expected = expected / (expected + 0.5 * raw.diagonal().mean())
    seen = torch.linalg.eigvalsh(covariance(aligner.prepare_x(pairs.x)))
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("landmarks", [20, 6144])
@pytest.mark.parametrize("kind", ["kernel", "kernel_whitened"])
def test_inner_products_are_those_of_unicons_coordinates(pairs: Pairs, kind: str, landmarks: int) -> None:
    """Rows are UniCon's up to a rotation: the same landmarks of the same seed, the same means and whitening."""
    aligner = fitted(make("sgd_clip", features=kind, landmarks=landmarks, **FAST), pairs)
    settings = {"lam": 1.0, "tau": 0.1, "passes": 0, "weight_power": 1.0, "whiten": kind == "kernel_whitened"}
    unicon = fitted(UniConSpectral(rank=RANK, feature_map="nystrom", landmarks=landmarks, **settings), pairs)
    assert torch.equal(aligner.head_features.maps.map_y.landmarks, unicon.features.map_y.landmarks)
    rows = aligner.prepare_y(pairs.y).double()
    raw = unicon.features.y(unicon.prepare_y(pairs.y)).double()
    raw -= raw.mean(0)
    M = unicon.features.metrics[1].matrix.double()
    sigma = covariance(raw)
    if kind == "kernel_whitened":
        inner = raw @ torch.linalg.solve(sigma + torch.linalg.solve(M, sigma).trace() / len(M) * M, raw.T)
    else:
        inner = raw @ torch.linalg.solve(M, raw.T)
        inner *= len(M) / (inner.trace() / len(raw))  # of mean variance 1
    torch.testing.assert_close(rows @ rows.T, inner, rtol=1e-3, atol=1e-3 * float(inner.abs().max()))


def test_unicon_can_be_read_off_the_features(pairs: Pairs) -> None:
    """Heads that are the solver's directions in these coordinates embed as the solver does."""
    aligner = fitted(make("sgd_clip", features="kernel_whitened", **FAST), pairs)
    settings = {"lam": 1.0, "tau": 0.1, "passes": 2, "weight_power": 1.0}
    unicon = fitted(UniConSpectral(rank=RANK, feature_map="nystrom", **settings), pairs)
    padding = torch.zeros(aligner.widths[0] - len(unicon.U), RANK)
    head = torch.cat([(unicon.U * unicon.singular_values).float(), padding])
    torch.testing.assert_close(aligner.prepare_x(pairs.x) @ head, unicon.encode_x(pairs.x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GRADIENT)
def test_it_learns_and_is_saved(pairs: Pairs, name: str, kind: str, tmp_path: Path) -> None:
    trainer = fit_arrays(
        make(name, features=kind, **FAST), pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, max_epochs=20,
        **FIT,
    )  # fmt: skip
    aligner = trainer.lightning_module
    cosines = aligner.similarity(pairs.x, pairs.y)
    assert (pairs.group[cosines.argmax(0)] == pairs.y_group).double().mean() > 0.5
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    aligner.save(tmp_path / "one.safetensors")
    kind_of = type(aligner)
    for loaded in (
        kind_of.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True),
        kind_of.load(tmp_path / "one.safetensors"),
    ):
        assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
        assert torch.equal(loaded.encode_y(pairs.y), aligner.encode_y(pairs.y))


def test_rows_that_are_not_kept_are_mapped_again(pairs: Pairs) -> None:
    kept, again = (
        fitted(make("sgd_clip", features="kernel_whitened", memory_mb=mb, **FAST), pairs, 3) for mb in (2048, 0)
    )
    torch.testing.assert_close(kept.encode_x(pairs.x), again.encode_x(pairs.x), rtol=1e-3, atol=1e-3)


def test_raw_features_are_as_they_were(pairs: Pairs) -> None:
    plain, told = (
        fitted(make("sgd_clip", **FAST, **changed), pairs, 3)
        for changed in ({}, {"features": "raw", "kernel": "rbf", "landmarks": 7, "lam": 9.0})
    )
    assert plain.head_x.in_features == pairs.dims[0]
    assert torch.equal(plain.encode_x(pairs.x), told.encode_x(pairs.x))
    assert set(plain.state_dict()) == {"mean_x", "mean_y", "log_scale", "head_x.weight", "head_y.weight"}


def test_an_mlp_on_kernel_rows(pairs: Pairs) -> None:
    aligner = fitted(make("sgd_clip", features="kernel", head="mlp", hidden=16, **FAST), pairs)
    assert aligner.head_y[0].in_features == pairs.n_y
    assert covariance(aligner.prepare_y(pairs.y)).trace() == pytest.approx(aligner.head_features.maps.dims[1], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_fit_keeps_its_features(pairs: Pairs, kind: str, tmp_path: Path) -> None:
    datamodule = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    datamodule.splits = {"train": pairs}
    common = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    common |= {"enable_progress_bar": False, "use_distributed_sampler": False, "limit_val_batches": 0}
    changed = {"features": kind, "scheduler": None, **FAST}
    first = lightning.Trainer(max_epochs=2, **common)
    first.fit(make("sgd_clip", **changed), datamodule=datamodule)
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = make("sgd_clip", **changed)
    lightning.Trainer(max_epochs=3, **common).fit(
        resumed, datamodule=datamodule, ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert torch.equal(resumed.head_features.factor_x, first.lightning_module.head_features.factor_x)
    assert resumed.trainer.global_step == first.global_step * 3 // 2


def test_a_checkpoint_is_tested_on_other_data(pairs: Pairs, tmp_path: Path) -> None:
    aligner = make("sgd_clip", features="kernel", **FAST)
    fit_arrays(aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1, **FIT).save_checkpoint(tmp_path / "a.ckpt")
    other = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    fewer = pairs_of_tensors(pairs.x[:9], pairs.y[pairs.x_of_y < 9], x_of_y=pairs.x_of_y[pairs.x_of_y < 9])
    other.splits = {"train": fewer, "test": fewer}
    again = make("sgd_clip", features="kernel", **FAST)
    trainer = lightning.Trainer(
        logger=False, enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        accelerator="cpu",
    )  # fmt: skip
    trainer.test(again, datamodule=other, ckpt_path=tmp_path / "a.ckpt", weights_only=True, verbose=False)
    assert torch.equal(again.encode_x(pairs.x), aligner.encode_x(pairs.x))


@pytest.mark.parametrize("kind", KINDS)
def test_views_of_one_modality_have_one_map(kind: str, pairs: Pairs) -> None:
    x = pairs.x
    views = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    aligner = make("sgd_clip", features=kind, shared=True, **FAST).fit(x, views, max_epochs=2, **FIT)
    assert torch.equal(aligner.encode_x(x), aligner.encode_y(x))
    assert aligner.head_x is aligner.head_y


def test_the_width_is_known_before_the_fit(pairs: Pairs) -> None:
    given = {key: value for key, value in aligner_config("base/features").items() if key != "features"} | {"rank": 4}
    assert widths(head_settings("whitened", False, given), pairs) == pairs.dims
    assert widths(head_settings("kernel", False, given), pairs) == (pairs.n_x, pairs.n_y)
    assert widths(head_settings("kernel", True, given), pairs) == (pairs.n_x + pairs.n_y,) * 2
    assert widths(head_settings("kernel", False, given | {"landmarks": 20}), pairs) == (20, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_features_of_one(pairs: Pairs, tmp_path: Path, kind: str) -> None:
    changed = {"rank": RANK, "features": kind, "landmarks": 20, "optimizer": {"lr": 1e-3}}
    one = fit("sgd_clip", changed, pairs, 2)
    states = fit_by_two(tmp_path, "sgd_clip", changed, pairs, 2)
    for key, value in one.items():
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=1e-4, atol=1e-4)


def test_runs_of_two_processes_and_a_second_judgement(features: Path, tmp_path: Path) -> None:
    overrides = ["aligner=sgd_clip", "aligner.rank=8", "aligner.features=kernel_whitened", "trainer.max_epochs=3"]
    one = run_here(features, tmp_path / "one", *overrides)
    two = run_apart(features, tmp_path / "two", 2, *overrides)
    for single, several in zip(encoded(SGDCLIP, tmp_path / "one"), encoded(SGDCLIP, tmp_path / "two"), strict=True):
        torch.testing.assert_close(single, several, rtol=0, atol=1e-4)
    assert ranked(one) == ranked(two)
    judged = last_of([f"test={tmp_path / 'one'}", f"run_dir={tmp_path / 'again'}"])
    assert call(*judged) == 0
    assert ranked(metrics_of(tmp_path / "again")) == ranked(one)


def test_a_warm_start_is_of_raw_features() -> None:
    line = r"aligner.warm_start=unicon is a solution on raw features, got aligner.features=kernel: set aligner.features"
    with pytest.raises(UserError, match=line):
        SGDCLIP(features="kernel", warm_start="unicon")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"features": "kernl"}, r"unknown aligner.features 'kernl': did you mean 'kernel'"),
        ({"landmarks": 0}, r"aligner.landmarks must be at least 1, got 0"),
        ({"lam": -1.0}, r"aligner.lam must be at least 0, got -1.0"),
        ({"kernel": "rfb"}, r"aligner.kernel"),
    ],
)
def test_a_mistake_is_told(changed: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        SGDCLIP(**changed)


def test_features_that_do_not_vary_are_refused() -> None:
    x = torch.ones(20, 3)
    y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match="features that vary"):
        SGDCLIP(rank=2, features="whitened", unit=False).fit(x, y, max_epochs=1)
    with pytest.raises(UserError, match="singular at lam=0"):
        SGDCLIP(rank=2, features="whitened", lam=0.0).fit(torch.cat([y, 0 * y], 1), y, max_epochs=1)
