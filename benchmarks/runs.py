"""One fit and test of an aligner in this process, with the parts that ``train.py`` builds from the same configs."""

import time
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning import LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from ground.configs import CONFIGS
from ground.values import check
from running.compose import quoted

QUIET = ("trainer.enable_progress_bar=false", "run_dir=outputs/benchmarks")


def composed(aligner: str, data: str, overrides: list[str]) -> DictConfig:
    """The config of a run of ``aligner`` on the data called ``data``, as ``train.py`` composes and checks it.

    Raises:
        UserError: a value of a wrong type. Hydra's errors for a name or a key that is not known.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        names = [f"aligner={aligner}", f"aligner_name={aligner}", f"name={quoted(data)}"]
        config = compose("train", overrides=[*names, *QUIET, *overrides])
    check(config)
    return config


@dataclass(frozen=True)
class Outcome:
    """What came of a run: ``metrics`` as in ``metrics.json``, the mean recall on validation and the seconds of
    training until it after each pass, and the test split with its embeddings.
    """

    metrics: dict[str, Any]
    recalls: list[float]
    seconds: list[float]
    test: Pairs
    embeddings: tuple[Tensor, Tensor]


class Clock(lightning.Callback):
    """Seconds of training, without validation, at the end of each pass and in all.

    It waits for the GPU before time is read, and stands before the evaluation among the callbacks, whose clock is
    then right on a GPU as well.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.total = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total += now() - self._start
        self.seconds.append(self.total)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = now()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total += now() - self._start


def now() -> float:
    """Seconds of a clock, read when the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def run(config: DictConfig, datamodule: PairsDataModule | None = None) -> Outcome:
    """Fit and test ``config.aligner`` on ``config.datamodule``, or on a ``datamodule`` that is there already.

    Raises:
        UserError: a mistake in the data or the settings.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    aligner = instantiate(config.aligner, _recursive_=False)
    if datamodule is None:
        datamodule = instantiate(config.datamodule)
    evaluation = instantiate(config.evaluation)
    clock = Clock()
    trainer = instantiate(config.trainer, logger=False, callbacks=[clock, evaluation], enable_checkpointing=False)
    try:
        trainer.fit(aligner, datamodule=datamodule)
        trainer.test(aligner, datamodule=datamodule, verbose=False)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    return Outcome(
        evaluation.metrics,
        [each["mean_recall"] for each in evaluation.history],
        clock.seconds,
        datamodule.splits["test"],
        (evaluation.tests["test"].x, evaluation.tests["test"].y),
    )
