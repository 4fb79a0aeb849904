"""Fits on small data under the evaluation callback."""

from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from datamodules.synthetic import SyntheticDataModule
from evaluation.callback import Evaluation
from ground.mistakes import CONFIGS


def synthetic(**changed: Any) -> SyntheticDataModule:
    config = OmegaConf.load(CONFIGS / "datamodule" / "synthetic.yaml")
    sizes = {"n_train": 60, "n_val": 20, "n_test": 20, "seed": 0}
    module: SyntheticDataModule = instantiate(OmegaConf.merge(config, sizes | changed))
    return module


def made(**changed: Any) -> Evaluation:
    config = OmegaConf.load(CONFIGS / "evaluation" / "default.yaml")
    evaluation: Evaluation = instantiate(OmegaConf.merge(config, changed))
    return evaluation


def fitted(
    aligner: Aligner,
    datamodule: PairsDataModule,
    keep: str = "best",
    evaluation: Evaluation | None = None,
    **trainer: Any,
) -> Evaluation:
    evaluation = evaluation or made(keep=keep)
    settings = {
        "accelerator": "cpu", "max_epochs": 5, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "callbacks": [evaluation],
    } | trainer  # fmt: skip
    runner = lightning.Trainer(**settings)
    runner.fit(aligner, datamodule=datamodule)
    runner.test(aligner, datamodule=datamodule, verbose=False)
    return evaluation
