"""Fitted aligners from run directories, with the backbones of their data."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from aligners import load
from backbones.efficientnet_lite import EfficientNetLite0
from datamodules.clipart import DATA
from datamodules.items.items import ImageFiles
from ground.errors import UserError

PIG = DATA / "images" / "animals" / "a-simple-pig.webp"


def changed(run: Path, folder: Path, key: str, value: Any) -> Path:
    """A copy of the run with a key of its config changed."""
    copy = folder / "copy"
    shutil.copytree(run, copy)
    config = OmegaConf.load(copy / "config.yaml")
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, copy / "config.yaml")
    return copy


def test_the_aligner_of_a_run_takes_what_the_run_was_on(picture_run: Path) -> None:
    model = load(picture_run)
    assert type(model).__name__ == "CCA"
    settings = OmegaConf.to_container(OmegaConf.load(picture_run / "config.yaml"))["datamodule"]["image_backbone"]
    backbone = EfficientNetLite0(**{key: value for key, value in settings.items() if key != "_target_"})
    features = backbone.encode([ImageFiles([PIG], "")[0]])
    expected = model.encode_x(features)
    assert torch.equal(model.encode_x([str(PIG)]), expected)
    assert torch.equal(model.encode_x([Image.open(PIG)]), expected)
    assert model.encode_y(["a pig", "a house by the sea"]).shape == (2, 8)
    assert model.similarity([PIG], ["a pig", "a house"]).shape == (1, 2)


def test_the_aligner_of_a_run_is_the_one_in_its_checkpoint(picture_run: Path) -> None:
    checkpoint = torch.load(picture_run / "checkpoints" / "last.ckpt", weights_only=True)
    model = load(str(picture_run))
    state = model.state_dict()
    assert state.keys() == checkpoint["state_dict"].keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in checkpoint["state_dict"].items())
    assert dict(model.hparams) == checkpoint["hyper_parameters"]


def test_a_run_on_features_has_no_backbone(one_run: Path) -> None:
    model = load(one_run)
    with pytest.raises(UserError, match=r"^the run .* is of features: it has no backbone for raw items"):
        model.encode_x(["photo.jpg"])
    assert model.encode_x(torch.rand(3, model.dims[0])).shape[0] == 3


def test_directories_that_are_no_run_are_told_in_a_line(one_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^.* is no run directory: it has no config.yaml$"):
        load(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(one_run, run)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"half of")
    with pytest.raises(UserError, match=r"^.*last.ckpt is damaged, or no checkpoint of plain tensors$"):
        load(run)
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(UserError, match=r"^the run .* has no checkpoints/last.ckpt: it did not come to its end$"):
        load(run)
    for text in ("a: [", "a: 1", "- 1"):
        (run / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"^.*config.yaml is no config of a run: [^\n]*$"):
            load(run)


def test_a_run_runs_no_code_unasked(picture_run: Path, tmp_path: Path) -> None:
    bad = {"_target_": "os.mkdir", "path": str(tmp_path / "ran")}
    for key, value in (
        ("aligner._target_", "os.mkdir"),
        ("datamodule._target_", "os.mkdir"),
        ("datamodule.image_backbone", bad),
        ("datamodule.batch_size", bad),
        ("datamodule.image_backbone._target_", "backbones.weights.torch.hub.load"),
        ("datamodule.image_backbone._target_", "datamodules.clipart.json.loads"),
        ("datamodule.path", "\\${oc.env:HOME}"),
    ):
        run = changed(picture_run, tmp_path, key, value)
        with pytest.raises(UserError, match=r"from outside this project|which is no|cannot be imported|interpolation"):
            load(run).encode_x([PIG])
        shutil.rmtree(run)
    assert not (tmp_path / "ran").exists()


def test_a_datamodule_that_cannot_be_made_is_told_in_a_line(picture_run: Path, tmp_path: Path) -> None:
    run = changed(picture_run, tmp_path, "datamodule.path", str(tmp_path / "gone.csv"))
    model = load(run)
    with pytest.raises(UserError, match=r"^the data and backbones of .*copy cannot be made: [^\n]*gone.csv[^\n]*$"):
        model.encode_y(["a pig"])
