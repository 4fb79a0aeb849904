"""Fitting an aligner on two arrays, without a config."""

from importlib import resources
from typing import Any

import lightning
import torch
from omegaconf import OmegaConf
from torch import Tensor

from aligners.aligner import Aligner
from datamodules.base import PairsDataModule
from datamodules.features import pairs_of_tensors


def fit_arrays(
    aligner: Aligner,
    x: Any,
    y: Any,
    x_of_y: Any,
    group: Any,
    batch_size: int | None,
    max_epochs: int | None,
    seed: int | None,
) -> None:
    """``Aligner.fit``: a datamodule of the arrays and a Trainer on one device."""
    configs = resources.files("configs")

    def default(file: str, key: str) -> Any:
        return OmegaConf.create((configs / file).read_text(encoding="utf-8"))[key]

    seed = default("train.yaml", "seed") if seed is None else seed
    pairs = pairs_of_tensors(
        torch.as_tensor(x),
        torch.as_tensor(y),
        x_of_y=_optional(x_of_y),
        group=_optional(group),
    )
    datamodule = PairsDataModule(
        batch_size=batch_size or default("datamodule/features.yaml", "batch_size"),
        eval_batch_size=default("datamodule/features.yaml", "eval_batch_size"),
        seed=seed,
    )
    datamodule.splits = {"train": pairs}
    trainer = lightning.Trainer(
        max_epochs=max_epochs or default("trainer/default.yaml", "max_epochs"),
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer.fit(aligner, datamodule=datamodule)
    aligner.eval()


def _optional(values: Any) -> Tensor | None:
    return None if values is None else torch.as_tensor(values)
