"""Fits on training pairs that are wrong or lack a y: both engines run, and what is left out costs no more than that."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from datamodules.pairs import SPLITS
from tests.datamodules.base.test_extracted import Toys
from tests.datamodules.features_files import datamodule, tensors, written
from tests.evaluation.fits import fitted

SPLIT = torch.tensor([0, 0, 0, 1, 2] * 8, dtype=torch.uint8)


def made(name: str) -> Aligner:
    torch.manual_seed(0)
    return CCA(rank=3) if name == "solved" else SGDCLIP(rank=3)


def told(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key.startswith(("test/", "val/", "data/"))}


@pytest.mark.parametrize("name", ["solved", "trained"])
def test_x_without_y_are_as_if_they_were_not_there(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    lacking = datamodule(written(tmp_path, split=SPLIT), train_unpaired=0.25)
    with caplog.at_level(logging.WARNING):
        metrics = fitted(made(name), lacking).metrics
    assert "train: 6 of 24 x have no y and are left out" in caplog.text
    assert metrics["protocol/train_unpaired"] == 0.25
    assert metrics["protocol/train_x_left_out"] == 6
    assert metrics["protocol/train_x"] == 18
    kept = torch.cat([lacking.splits["train"].group, (SPLIT > 0).nonzero()[:, 0]]).sort().values  # a group is its row
    whole = tensors()
    fewer: dict[str, Tensor | None] = {
        "x": whole["x"][kept], "y": whole["y"].reshape(40, 2, 5)[kept].reshape(-1, 5),
        "x_of_y": torch.arange(len(kept)).repeat_interleave(2), "split": SPLIT[kept],
    }  # fmt: skip
    assert told(fitted(made(name), datamodule(written(tmp_path, **fewer))).metrics) == told(metrics)


@pytest.mark.parametrize("name", ["solved", "trained"])
def test_noisy_pairs_are_fitted_on_and_not_tested_on(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, split=SPLIT)
    clean, noisy = (fitted(made(name), datamodule(path, train_noise=share)).metrics for share in (0.0, 0.5))
    assert noisy["protocol/train_noise"] == 0.5
    assert noisy["protocol/train_y_of_another_x"] == 24
    assert "protocol/train_noise" not in clean
    assert noisy["protocol/test_y"] == clean["protocol/test_y"]
    assert told(noisy) != told(clean)


def test_raw_items_are_left_out_with_their_features(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, data = Toys(tmp_path, True), Toys(tmp_path, True, train_unpaired=0.5, train_noise=0.7)
    for each in (whole, data):
        each.setup("fit")
    assert "train: 3 of 6 image items have no text and are left out" in caplog.text
    train = data.splits["train"]
    assert (train.n_x, train.n_y, data.raw["train"].n_x, data.raw["train"].n_y) == (3, 3, 3, 3)
    assert data.training.facts["train_x_left_out"] == 3
    assert data.training.facts["train_y_of_another_x"] == 2  # of three
    rows = train.group
    assert torch.equal(train.x[torch.arange(3)], whole.splits["train"].x[rows])
    assert torch.equal(train.y[torch.arange(3)], whole.splits["train"].y[rows])
    assert int((train.x_of_y != torch.arange(3)).sum()) == 2
    texts = [data.describe_y("train", i) for i in range(3)]
    assert texts == [whole.describe_y("train", i) for i in rows.tolist()]
    for split in SPLITS[1:]:
        assert torch.equal(data.splits[split].x_of_y, whole.splits[split].x_of_y)
