"""Fits by several gloo processes under DDP, as the strategy of ``configs/trainer/ddp_cpu.yaml`` runs them."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import torch
from torch import Tensor

from aligners.base.ddp import AlignerDDP
from aligners.objectives import sweep
from aligners.spectral import moments
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from tests.aligners.made import make
from tests.processes import exit_codes, free_port


def fit(name: str, changed: dict[str, Any], pairs: Pairs, max_epochs: int, **trainer: Any) -> dict[str, Tensor]:
    """The state that a fit of ``configs/aligner/NAME.yaml`` ends with, in blocks for every process."""
    torch.manual_seed(0)
    datamodule = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    datamodule.splits = {"train": pairs}
    aligner = make(name, **changed)
    with patch.object(moments, "BLOCK_ROWS", 40), patch.object(sweep, "TILE_ROWS", 16):
        lightning.Trainer(
            accelerator="cpu", max_epochs=max_epochs, logger=False, enable_checkpointing=False, limit_val_batches=0,
            enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False, **trainer,
        ).fit(aligner, datamodule=datamodule)  # fmt: skip
    return aligner.state_dict()


def work(rank: int, world: int, port: int, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.save(fit_in_process(rank, world, port, arguments), folder / f"{rank}.pt")


def work_all(rank: int, world: int, port: int, folder: Path, every: dict[str, tuple[Any, ...]]) -> None:
    states = {key: fit_in_process(rank, world, port, arguments) for key, arguments in every.items()}
    torch.save(states, folder / f"{rank}.pt")


def fit_in_process(rank: int, world: int, port: int, arguments: tuple[Any, ...]) -> dict[str, Tensor]:
    """The state that ``fit`` ends with as one of ``world`` processes."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    return fit(*arguments, devices=world, strategy=AlignerDDP(process_group_backend="gloo"))


def fit_all_by_two(folder: Path, every: dict[str, tuple[Any, ...]]) -> list[Any]:
    """The states that each of two processes ends with, which fit one after the other, by the keys of ``every``."""
    port = free_port()
    assert exit_codes(work_all, ((rank, 2, port, folder, every) for rank in range(2)), seconds=120) == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def fit_by_two(folder: Path, name: str, changed: dict[str, Any], pairs: Pairs, max_epochs: int) -> list[Any]:
    """The states that each of two processes ends with."""
    return fit_by(2, folder, name, changed, pairs, max_epochs)


def fit_by(world: int, folder: Path, name: str, changed: dict[str, Any], pairs: Pairs, max_epochs: int) -> list[Any]:
    """The states that each of ``world`` processes, of one thread each, ends with."""
    port, arguments = free_port(), (name, changed, pairs, max_epochs)
    codes = exit_codes(work, ((rank, world, port, folder, arguments) for rank in range(world)), seconds=120)
    assert codes == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def work_on_all(rank: int, world: int, port: int, folder: Path, fits: dict[str, tuple[Any, ...]]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    for name, arguments in fits.items():
        state = fit(name, *arguments, devices=world, strategy=AlignerDDP(process_group_backend="gloo"))
        torch.save(state, folder / f"{name}{rank}.pt")


def all_fits_by_two(folder: Path, fits: dict[str, tuple[Any, ...]]) -> dict[str, list[Any]]:
    """The states that each of two processes ends each fit with, by name: one after the other in the same processes."""
    port = free_port()
    codes = exit_codes(work_on_all, ((rank, 2, port, folder, fits) for rank in range(2)), seconds=120)
    assert codes == [0, 0]
    return {name: [torch.load(folder / f"{name}{rank}.pt", weights_only=True) for rank in range(2)] for name in fits}
