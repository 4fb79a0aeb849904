"""What is measured of a run: accuracies on the test split and over the passes, CPU seconds, the weights' departure."""

import time
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from lightning import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor

from aligners.base.solved import SolvedAligner
from aligners.base.trained import TrainedAligner
from aligners.objectives.base import Objective
from aligners.spectral import passes
from benchmarks.runs import Outcome, run
from datamodules.pairs.pairs import Pairs
from evaluation.scoring import COSINE
from report.figures.contrast_weights import departure

WEIGHTS_SHOWN = 60
"""Validation pairs in the pictures of the weights."""

Measured = dict[str, Any]


class Watch(Callback):
    """After each pass of a UniCon: how far the training pairs' weights are from uniform, and cosines for pictures.

    Attributes:
        departures: ``pass``, ``matrix`` and ``negatives`` in percent, see ``report.figures.contrast_weights``.
        similarities: the pass and the cosines (k, k) of the first validation pairs.
        objective: of the fit.

    Example:
        >>> watch = Watch()
        >>> watch.departures, watch.similarities, watch.objective
        ([], [], None)
    """

    def __init__(self) -> None:
        self.departures: list[dict[str, float]] = []
        self.similarities: list[tuple[int, Tensor]] = []
        self.objective: Objective | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        aligner: Any = pl_module
        self.objective = aligner.fitted_objective
        assert self.objective is not None
        number = trainer.current_epoch + aligner.first_number
        splits: dict[str, Pairs] = trainer.datamodule.splits  # type: ignore[attr-defined]
        train = splits["train"]
        positives = train.group[:, None] == train.y_group
        similarity = _cosines(aligner, train).double()
        weights, uniform = (self.objective.weights(each, positives) for each in (similarity, 0 * similarity))
        far = departure(weights, uniform, positives)
        self.departures.append({"pass": number, "matrix": far.matrix, "negatives": far.negatives})
        self.similarities.append((number, _cosines(aligner, splits["val"])[:WEIGHTS_SHOWN, :WEIGHTS_SHOWN]))


def _cosines(aligner: Any, pairs: Pairs) -> Tensor:
    every = torch.arange(pairs.n_x)
    batch = pairs[every]
    return COSINE.score(COSINE.prepare(aligner.encode_x(batch.x)), COSINE.prepare(aligner.encode_y(batch.y)))


class Fit(NamedTuple):
    """The numbers of a run, and what pictures are drawn from.

    Example:
        >>> Fit({"r1": 95.0}, None, None).numbers["r1"]
        95.0
    """

    numbers: Measured
    outcome: Outcome | None
    watch: Watch | None


def measured(config: DictConfig, watched: bool, timed: bool) -> Fit:
    """Fit and test: ``r1`` and ``class``, the means of both directions on test in percent, ``cpu_seconds``, and the
    ``history`` of ``r1`` and ``class`` on validation.

    ``watched`` adds the ``departures`` of ``Watch``, ``timed`` the ``bare_seconds`` of ``Bare``.
    """
    watch, bare = Watch() if watched else None, Bare() if timed else None
    outcome = run(config, callbacks=[each for each in (watch, bare) if each is not None])
    metrics = {key.removeprefix("test/"): value for key, value in outcome.metrics.items() if key.startswith("test/")}
    numbers: Measured = {
        **_accuracies(metrics),
        "cpu_seconds": outcome.cpu_seconds,
        "history": [{"pass": each["pass"], **_accuracies(each)} for each in outcome.history],
    }
    if watch is not None:
        numbers["departures"] = watch.departures
    if bare is not None:
        numbers["bare_seconds"] = bare.seconds
    return Fit(numbers, outcome, watch)


def _accuracies(metrics: dict[str, Any]) -> dict[str, float]:
    ways = [value for key, value in metrics.items() if key.endswith("/R@1")]
    return {"r1": sum(ways) / len(ways), "class": metrics["class_accuracy"]}


class Bare(Callback):
    """CPU seconds of the mathematics of a fit alone, without Lightning: once more, after the fit, which stays.

    The passes of a solved aligner; of a trained one as many steps on the same batches, without a schedule.

    Example:
        >>> Bare().seconds
        0.0
    """

    seconds = 0.0

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        aligner: Any = pl_module
        fitted = {name: tensor.clone() for name, tensor in aligner.state_dict().items()}
        start = time.process_time()
        if isinstance(aligner, SolvedAligner):
            with torch.no_grad():
                passes.run(aligner.first_pass(), aligner.stream)
        else:
            assert isinstance(aligner, TrainedAligner)
            assert trainer.max_epochs is not None
            _steps(aligner, trainer.max_epochs)
        self.seconds = time.process_time() - start
        aligner.load_state_dict(fitted)


def _steps(aligner: TrainedAligner, epochs: int) -> None:
    train = [batch._replace(x=aligner.prepare_x(batch.x), y=aligner.prepare_y(batch.y)) for batch in aligner.stream()]
    optimizer = instantiate(aligner.optimizer_config, params=aligner.parameters())
    for _ in range(epochs):
        for batch in train:
            optimizer.zero_grad()
            aligner.loss(aligner.embed_x(batch.x), aligner.embed_y(batch.y), batch).backward()
            optimizer.step()
