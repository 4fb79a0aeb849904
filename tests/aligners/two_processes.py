"""Fits by two gloo processes under DDP, as the strategy of ``configs/trainer/ddp_cpu.yaml`` runs them."""

import os
import socket
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from aligners.base.ddp import AlignerDDP
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from tests.aligners.made import make
from tests.processes import PROCESSES


def fit(name: str, changed: dict[str, Any], pairs: Pairs, max_epochs: int, **trainer: Any) -> dict[str, Tensor]:
    """The state that a fit of ``configs/aligner/NAME.yaml`` ends with."""
    torch.manual_seed(0)
    datamodule = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    datamodule.splits = {"train": pairs}
    aligner = make(name, **changed)
    lightning.Trainer(
        accelerator="cpu", max_epochs=max_epochs, logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False, **trainer,
    ).fit(aligner, datamodule=datamodule)  # fmt: skip
    return aligner.state_dict()


def work(rank: int, port: int, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    state = fit(*arguments, devices=2, strategy=AlignerDDP(process_group_backend="gloo"))
    torch.save(state, folder / f"{rank}.pt")


def fit_by_two(folder: Path, name: str, changed: dict[str, Any], pairs: Pairs, max_epochs: int) -> list[Any]:
    """The states that each of two processes ends with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (name, changed, pairs, max_epochs)
    processes = [PROCESSES.Process(target=work, args=(rank, port, folder, arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    for process in processes:
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
