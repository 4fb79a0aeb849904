"""Fitting an aligner on two arrays, without a config."""

import logging
from typing import Any

import lightning
import torch
from omegaconf import OmegaConf
from torch import Tensor

from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.pairs import Pairs, subset, with_positives
from ground.configs import CONFIGS
from ground.errors import UserError

logger = logging.getLogger(__name__)


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

    def default(file: str, key: str) -> Any:
        return OmegaConf.select(OmegaConf.load(CONFIGS / file), key)

    seed = default("train.yaml", "seed") if seed is None else seed
    whole = pairs_of_tensors(
        torch.as_tensor(x),
        torch.as_tensor(y),
        x_of_y=_optional(x_of_y),
        group=_optional(group),
    )
    pairs = with_positives(whole)
    if pairs.n_x < whole.n_x:
        logger.warning("%d of %d x have no y and are left out", whole.n_x - pairs.n_x, whole.n_x)
    datamodule = PairsDataModule(
        batch_size=default("datamodule/features.yaml", "batch_size") if batch_size is None else batch_size,
        eval_batch_size=default("datamodule/features.yaml", "eval_batch_size"),
        seed=seed,
    )
    datamodule.splits = {"train": pairs}
    if aligner.chooses:
        share = default("datamodule/features.yaml", "val_share")
        datamodule.splits = dict(zip(("train", "val"), held_out(pairs, share, seed), strict=True))
    trainer = lightning.Trainer(
        max_epochs=default("trainer/default.yaml", "max_epochs") if max_epochs is None else max_epochs,
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


def held_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """Training and validation pairs, cut by group.

    Raises:
        UserError: a single group.
    """
    groups, inverse = torch.unique(pairs.group, return_inverse=True)
    n = len(groups)
    if n < 2:
        raise UserError("settings that are lists are chosen on held-out groups: the data has but one group")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held = (order < max(1, round(share * n)))[inverse]
    return subset(pairs, (~held).nonzero()[:, 0]), subset(pairs, held.nonzero()[:, 0])


def _optional(values: Any) -> Tensor | None:
    return None if values is None else torch.as_tensor(values)
