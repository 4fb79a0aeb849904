"""Spectral solutions as the start of trainable linear heads."""

from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from aligners.base.aligner import Aligner
from aligners.base.yaml_defaults import aligner_config
from aligners.unicon import UniConSpectral
from datamodules.base.datamodule import PairsDataModule
from ground.distributed import add_over_processes, rank_and_world
from ground.errors import UserError, nearest

WARM_STARTS = ("unicon",)


def check_warm_start(name: str, head: str) -> None:
    """Refuse what cannot start trainable heads.

    Raises:
        UserError: an unknown name, or heads that are not linear.
    """
    if name not in WARM_STARTS:
        raise UserError(f"unknown aligner.warm_start '{name}': {nearest(name, WARM_STARTS)}")
    if head != "linear":
        raise UserError(
            f"aligner.warm_start={name} is a linear solution and starts linear heads, got aligner.head={head}: "
            "set aligner.head=linear or aligner.warm_start=null"
        )


def first_settings() -> dict[str, Any]:
    """The first of each list of ``configs/aligner/unicon.yaml``."""
    return {key: value[0] for key, value in aligner_config("unicon").items() if isinstance(value, list)}


def spectral_solution(aligner: Aligner) -> list[tuple[Tensor, Tensor]]:
    """The linear solution of ``UniConSpectral`` on the training split of an ``aligner`` that is being fitted.

    The solver is fitted by a Trainer of its own, inside the aligner's, on the same split, device and processes:
    rows are read in batches, each process reads its share, and the solver adds over processes by itself. Its
    settings are those of ``configs/aligner/unicon.yaml`` with ``feature_map=identity``, the first of each list.

    Returns:
        (projection (d, r), offset (r,)) of x and of y: embeddings are ``prepared @ projection - offset``.

    Raises:
        UserError: what the solver refuses: features that do not vary, a rank above the data's.
    """
    outer = aligner.trainer
    sizes: PairsDataModule = outer.datamodule  # type: ignore[attr-defined]
    datamodule = PairsDataModule(sizes.batch_size, sizes.eval_batch_size, sizes.seed)
    datamodule.splits = {"train": aligner.train_pairs}
    trainer = lightning.Trainer(
        accelerator=outer.accelerator,
        strategy=SingleDeviceStrategy(device=aligner.device),
        plugins=[LightningEnvironment()],  # the processes are there already: none are counted or started
        max_epochs=-1,  # the solver stops by itself
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    solver = UniConSpectral(
        rank=aligner.rank, unit=aligner.unit, shared=aligner.shared, feature_map="identity", **first_settings()
    )
    trainer.fit(solver, datamodule=datamodule)
    solver.to(aligner.device)  # Lightning leaves it on the CPU
    return [
        _affine_parts(embed, d, aligner.device)
        for embed, d in zip((solver.embed_x, solver.embed_y), datamodule.dims, strict=True)
    ]


@torch.no_grad()
def _affine_parts(embed: Callable[[Tensor], Tensor], d: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """projection (d, r) and offset (r,) of an ``embed`` that is ``x @ projection - offset``."""
    axes = torch.eye(d, dtype=torch.float64, device=device)
    at_zero = embed(torch.zeros_like(axes[:1]))
    return embed(axes) - at_zero, -at_zero[0]


def set_head(head: nn.Linear, projection: Tensor, offset: Tensor, scale: float) -> None:
    r"""Make ``head(scale * x)`` the embedding ``x @ projection - offset``, up to its length.

    The length is free under cosines. It is taken such that the weights have the size of torch's initialisation,
    :math:`1/\sqrt{3 d}`: a learning rate then means what it means for heads that start at random.

    Args:
        head: (d) to (r), with a bias; changed in place, to the same bits in every process.
        projection: (d, r).
        offset: (r,).
        scale: what rows are multiplied by before they enter the head.
    """
    gain = 1 / (projection.square().mean() * 3 * len(projection)).sqrt()
    with torch.no_grad():
        for parameter, value in ((head.weight, projection.T * gain), (head.bias, -offset * scale * gain)):
            parameter.copy_(value)
            if rank_and_world()[0] > 0:
                parameter.zero_()
            # the first process's: nothing later averages what differs between processes at the start
            add_over_processes(parameter)
