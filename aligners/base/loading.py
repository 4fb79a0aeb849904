"""Fitted aligners from files and from run directories."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from aligners.base.aligner import Aligner
from aligners.base.inputs import Backbones, RawItems
from aligners.base.named_classes import check_calls, class_at
from aligners.base.saved import restored
from datamodules.base.datamodule import PairsDataModule
from datamodules.base.extracted import ExtractedDataModule
from ground.errors import UserError
from ground.home import path_at_home


def load(path: str | PathLike[str], *, trust: bool = False) -> Aligner:
    """A fitted aligner: from a file that ``aligner.save`` wrote, or from a run directory of ``train.py``.

    The aligner of a run on images, texts or sounds encodes these, too: ``load(RUN).encode_x(["photo.jpg"])``. Its
    frozen backbones are made when the first such item comes. x and y are what they were in the run.

    Args:
        path: the file, or the directory with ``config.yaml`` and ``checkpoints/last.ckpt``.
        trust: import classes from outside this project where the file names them, which runs their code.

    Raises:
        UserError: a file that is missing, damaged or of something else, or names a class that is not trusted.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from aligners import CCA
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = CCA(rank=4).fit(x, x.flip(1))
        >>> with TemporaryDirectory() as folder:
        ...     aligner.save(f"{folder}/cca.safetensors")
        ...     same = load(f"{folder}/cca.safetensors")
        >>> torch.equal(same.encode_x(x), aligner.encode_x(x))
        True
    """
    place = path_at_home(path)
    return _of_run(place, trust) if place.is_dir() else Aligner.load(path, trust=trust)


def load_run(path: str | PathLike[str], *, trust: bool = False) -> tuple[Aligner, PairsDataModule]:
    """The aligner of a run directory, as ``load`` gives it, and its datamodule, not set up, with the same backbones.

    Raises:
        UserError: as ``load``; data that cannot be used.
    """
    run = path_at_home(path)
    if not run.is_dir():
        raise UserError(f"run={path} is no run directory of train.py")
    config = _config(run, trust)
    aligner = _of_run(run, trust)
    datamodule = _datamodule(config["datamodule"], str(run), trust)
    if isinstance(datamodule, ExtractedDataModule):
        backbones = datamodule.x_backbone, datamodule.y_backbone
        aligner.raw_items = RawItems(lambda: backbones)
    return aligner, datamodule


def _config(run: Path, trust: bool) -> dict[str, Any]:
    file = run / "config.yaml"
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=trust)
        _ = config["aligner"]["_target_"], config["datamodule"]["_target_"]
    except FileNotFoundError as error:
        raise UserError(f"{run} is no run directory: it has no config.yaml") from error
    except (OSError, OmegaConfBaseException, YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no config of a run: {' '.join(str(error).split())}") from error
    return config  # type: ignore[no-any-return]


def _of_run(run: Path, trust: bool) -> Aligner:
    config = _config(run, trust)
    kind = class_at(config["aligner"]["_target_"], Aligner, trust, str(run / "config.yaml"))
    aligner: Aligner = restored(kind, _checkpoint(run), trust, str(run))
    aligner.raw_items = RawItems(partial(_backbones, config["datamodule"], str(run), trust))
    return aligner


def _checkpoint(run: Path) -> dict[str, Any]:
    file = run / "checkpoints" / "last.ckpt"
    if not file.is_file():
        raise UserError(f"the run {run} has no checkpoints/last.ckpt: it did not come to its end")
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise anything: RuntimeError, EOFError, UnpicklingError, KeyError
        raise UserError(f"{file} is damaged, or no checkpoint of plain tensors") from error
    return checkpoint


def _backbones(config: dict[str, Any], run: str, trust: bool) -> Backbones:
    """The backbones of x and y, as the run's datamodule has them."""
    datamodule = _datamodule(config, run, trust)
    if not isinstance(datamodule, ExtractedDataModule):
        raise UserError(f"the run {run} is of features: it has no backbone for raw items, encode features (n, d)")
    return datamodule.x_backbone, datamodule.y_backbone


def _datamodule(config: dict[str, Any], run: str, trust: bool) -> PairsDataModule:
    if not trust:
        check_calls(config, run)
    class_at(config["_target_"], PairsDataModule, trust, run)
    try:
        datamodule: PairsDataModule = instantiate(config)
    except InstantiationException as error:
        raise UserError(f"the data and backbones of {run} cannot be made: {error.__cause__ or error}") from error
    return datamodule
