"""Small fits under the evaluation, and the data of them."""

from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.synthetic import SyntheticDataModule
from evaluation.callback import Evaluation
from ground.configs import CONFIGS
from tests.problems import random_features


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


def shared(**changed: Any) -> PairsDataModule:
    """Captions many to one, in uneven evaluation batches."""
    datamodule = PairsDataModule(batch_size=16, eval_batch_size=7, seed=0)
    datamodule.x_name, datamodule.y_name = "image", "text"
    for number, (split, n) in enumerate((("train", 60), ("val", 23), ("test", 31))):
        x, y, x_of_y = random_features(n, 3, 12, 9, seed=number)
        group = torch.arange(n)
        group[1] = group[0]
        label = torch.arange(n) % 3 if changed.get("label") else None
        domain = (x[:, 0] > 0).long() if changed.get("domain") else None
        datamodule.splits[split] = pairs_of_tensors(x, y, x_of_y=x_of_y, group=group, label=label, domain=domain)
    return datamodule
