"""One fit and test of an aligner in this process, with the parts that ``train.py`` builds from the same configs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from evaluation.judged import Judged
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
    """What came of a run: the fitted aligner, ``metrics`` as in ``metrics.json``, the ``history`` of those on
    validation and the ``seconds`` of training until each, the CPU's seconds of all training, and the judged test split.
    """

    aligner: LightningModule
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    seconds: list[float]
    cpu_seconds: float
    judged: Judged

    @property
    def recalls(self) -> list[float]:
        """The mean recall on validation after each pass."""
        return [each["mean_recall"] for each in self.history]

    @property
    def test(self) -> Pairs:
        return self.judged.pairs

    @property
    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Those of the test split."""
        return self.judged.x, self.judged.y


class Clock(Callback):
    """Seconds of training, without validation, at the end of each pass and in all; ``cpu``, those of this process.

    It waits for the GPU before time is read, and stands before the evaluation among the callbacks, whose clock is
    then right on a GPU as well.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.total = 0.0
        self.cpu = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()
        self.seconds.append(self.total)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def _begin(self) -> None:
        self._start, self._cpu_start = now(), time.process_time()

    def _stop(self) -> None:
        self.total += now() - self._start
        self.cpu += time.process_time() - self._cpu_start


def now() -> float:
    """Seconds of a clock, read when the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def run(config: DictConfig, datamodule: PairsDataModule | None = None, callbacks: Sequence[Callback] = ()) -> Outcome:
    """Fit and test ``config.aligner`` on ``config.datamodule``, or on a ``datamodule`` that is there already.

    What ``callbacks`` do at validation is not in the seconds.

    Raises:
        UserError: a mistake in the data or the settings.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    aligner = instantiate(config.aligner, _recursive_=False)
    if datamodule is None:
        datamodule = instantiate(config.datamodule)
    evaluation = instantiate(config.evaluation)
    clock = Clock()
    called = [clock, evaluation, *callbacks]
    trainer = instantiate(config.trainer, logger=False, callbacks=called, enable_checkpointing=False)
    try:
        trainer.fit(aligner, datamodule=datamodule)
        trainer.test(aligner, datamodule=datamodule, verbose=False)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    return Outcome(aligner, evaluation.metrics, evaluation.history, clock.seconds, clock.cpu, evaluation.tests["test"])
