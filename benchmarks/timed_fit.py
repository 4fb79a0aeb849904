"""One fit in this process: its time, its own memory, and the recall after each of its passes.

``python -P benchmarks/timed_fit.py CONFIGS RESULT OVERRIDE ...`` with a checkout of the project on PYTHONPATH. It
imports nothing of the project, so that the checkout may be an older one: the parts of a run are built from its configs.
"""

import json
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning.pytorch.demos.boring_classes import BoringModel


class OwnMemory(threading.Thread):
    """The largest anonymous memory of this process, read every 20 ms; 0 where the system does not tell."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_mb = self.peak_mb = anonymous_mb() or 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.peak_mb = max(self.peak_mb, anonymous_mb() or 0.0)

    def end(self) -> dict[str, float]:
        """Read no longer; ``own_mb``, what the peak is above the start, where the system tells."""
        self.ended.set()
        self.join()
        return {"own_mb": self.peak_mb - self.start_mb} if self.peak_mb else {}


def anonymous_mb() -> float | None:
    """What this process has in memory that is no page of a file (Linux)."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


class WholeFit(lightning.Callback):
    """Seconds of ``Trainer.fit`` without its validation: until each validation, and in all.

    It waits for the GPU before time is read, and stands first among the callbacks.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.validation = 0.0
        self.start = _now()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._paused = _now()
        self.seconds.append(self._paused - self.start - self.validation)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.validation += _now() - self._paused

    def total(self) -> float:
        return _now() - self.start - self.validation


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _warm_up() -> None:
    """What the libraries do once in a process: a Trainer, products and decompositions."""
    trainer = lightning.Trainer(
        max_steps=1, limit_val_batches=1, num_sanity_val_steps=0, devices=1, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(BoringModel())
    for dtype in (torch.float32, torch.float64):
        square = torch.eye(300, dtype=dtype, device=trainer.strategy.root_device) + 0.1
        torch.linalg.eigh(square @ square)
        torch.linalg.svd(square)
        torch.linalg.solve_triangular(torch.linalg.cholesky(square), square, upper=False)


def measure(configs: Path, overrides: list[str]) -> dict[str, Any]:
    """``fit_seconds`` of all that ``Trainer.fit`` does but validation; ``recalls`` on validation after each pass and
    the ``seconds`` until each; ``val``, the best of them, and the ``seconds_to_best``; ``test`` of the pass that is
    kept; ``own_mb``, the fit's own peak memory.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs), version_base="1.3"):
        config = compose("train", overrides=["trainer.enable_progress_bar=false", *overrides])
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    aligner = instantiate(config.aligner, _recursive_=False)
    datamodule = instantiate(config.datamodule)
    datamodule.prepare_data()
    evaluation = instantiate(config.evaluation)
    memory = OwnMemory()
    memory.start()
    clock = WholeFit()
    trainer = instantiate(config.trainer, logger=False, callbacks=[clock, evaluation], enable_checkpointing=False)
    trainer.fit(aligner, datamodule=datamodule)
    seconds, own = clock.total(), memory.end()
    trainer.test(aligner, datamodule=datamodule, verbose=False)
    recalls = [each["mean_recall"] for each in evaluation.history]
    best = recalls.index(max(recalls))
    return {
        "fit_seconds": seconds,
        "seconds_to_best": clock.seconds[best],
        "val": recalls[best],
        "test": evaluation.metrics["test/mean_recall"],
        "recalls": recalls,
        "seconds": clock.seconds,
        **own,
    }


def main(configs: str, result: str, *overrides: str) -> None:
    """The result as JSON; what a fit fails of is the last line."""
    try:
        _warm_up()
        measured = measure(Path(configs), list(overrides))
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # Hydra and Lightning raise their own from it
            cause = cause.__cause__
        text = " ".join(str(cause).split())
        print(text if type(cause).__name__ == "UserError" else f"{type(cause).__name__}: {text}", file=sys.stderr)
        sys.exit(2)
    Path(result).write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
