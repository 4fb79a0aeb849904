"""The evaluation that every aligner shares: retrieval after every pass, and all that is reported at the end."""

import resource
import time
from typing import Any, Literal

import lightning
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs
from distributed import gather_rows
from errors import UserError
from evaluation.geometry import evaluate_geometry
from evaluation.linear_probe import ProbeResult, knn_probe, linear_probe
from evaluation.retrieval import evaluate_retrieval


class Evaluation(lightning.Callback):
    """Gathers the embeddings that ``validation_step`` and ``test_step`` return, and judges them.

    After every pass or epoch, on the validation split, logged under ``val/``: retrieval and, where there are
    labels, the linear and kNN probes of the x embeddings, which are fitted on the training split alone. At the
    test: the same and geometry, under ``test/``.
    Embeddings of all processes are put in order by their index, so that the numbers are those of one process.

    Args:
        block_size: rows and columns of the similarity matrix in memory at once.
        probe: ``strengths``, ``holdout``, ``neighbours``, ``seed`` of the probes, see ``linear_probe``; and
            ``every_pass``, false to probe at the test alone.
        keep: ``best``, the pass of the highest mean recall on validation is the result (the earliest of equals), for
            every aligner alike; or ``last``.
        similarity_pairs, sheet_items: sizes of the pictures.

    Attributes:
        history: validation metrics of each pass.
        metrics: what ``metrics.json`` holds.
        embeddings: of the test split, x (n_x, r) and y (n_y, r).
        probe_result: of the last linear probe, or None without labels.
    """

    def __init__(
        self,
        block_size: int,
        probe: dict[str, Any],
        keep: Literal["best", "last"],
        similarity_pairs: int,
        sheet_items: int,
    ):
        self.block_size = block_size
        self.keep = keep
        self.probe = probe
        self.similarity_pairs = similarity_pairs
        self.sheet_items = sheet_items
        self.history: list[dict[str, float]] = []
        self.metrics: dict[str, float | int | str] = {"time/fit_seconds": 0.0, "fit/passes": 0}
        self.embeddings: tuple[Tensor, Tensor] | None = None
        self.probe_result: ProbeResult | None = None
        self._outputs: list[dict[str, Tensor]] = []
        self._best: dict[str, Tensor] | None = None
        self._best_recall = -1.0
        self._fit_seconds = 0.0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs to end as an uninterrupted one."""
        return {
            "history": self.history,
            "best": self._best,
            "best_recall": self._best_recall,
            "kept_pass": self.metrics.get("fit/kept_pass"),
            "fit_seconds": self._fit_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self._best, self._best_recall = state_dict["best"], state_dict["best_recall"]
        self._fit_seconds = state_dict["fit_seconds"]
        if state_dict["kept_pass"] is not None:
            self.metrics["fit/kept_pass"] = state_dict["kept_pass"]

    # Fit time is the time between the start and the end of training less that of validation.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_seconds += time.perf_counter() - self._clock
        self.metrics |= {
            "time/fit_seconds": self._fit_seconds,
            "fit/passes": len(self.history) or trainer.current_epoch,
        }
        if self._best is not None:
            pl_module.load_state_dict(self._best)
            self._best = None
        elif trainer.current_epoch:
            self.metrics["fit/kept_pass"] = trainer.current_epoch - 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit_seconds += time.perf_counter() - self._clock

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.perf_counter()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self._outputs.append(outputs)

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self._outputs.append(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:  # of some batches, before anything is learned
            self._outputs.clear()
            return
        pairs = _datamodule(trainer).splits["val"]
        x, y = self._gathered(pairs)
        metrics = self._retrieval(trainer, pairs, x, y)
        if pairs.label is not None and self.probe["every_pass"]:
            metrics |= self._probe(pl_module, _datamodule(trainer).splits["train"], pairs, x)
        self.history.append({"pass": trainer.current_epoch, **metrics})
        if self.keep == "best" and metrics["mean_recall"] > self._best_recall:
            self._best_recall = metrics["mean_recall"]
            self._best = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}
            self.metrics["fit/kept_pass"] = trainer.current_epoch
        # every process has the same numbers
        pl_module.log_dict({f"val/{key}": value for key, value in metrics.items()}, rank_zero_only=True)
        pl_module.log("recall", metrics["mean_recall"], prog_bar=True, logger=False, rank_zero_only=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        datamodule = _datamodule(trainer)
        pairs = datamodule.splits["test"]
        x, y = self.embeddings = self._gathered(pairs)
        names = (datamodule.x_name, datamodule.y_name)
        metrics = self._retrieval(trainer, pairs, x, y)
        geometry = evaluate_geometry(x, y, pairs.group, pairs.y_group, *names, self.block_size)
        # float32 embeddings have some seven digits: what comes after them is noise, and differs with the processes
        metrics |= {f"geometry/{key}": round(value, 6) for key, value in geometry.items()}
        if pairs.label is not None:
            metrics |= self._probe(pl_module, datamodule.splits["train"], pairs, x)
        logged = {f"test/{key}": value for key, value in metrics.items()}
        pl_module.log_dict(logged, rank_zero_only=True)
        self.metrics |= logged
        self.metrics |= {
            "time/feature_seconds": datamodule.feature_seconds,
            "memory/peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        self.metrics |= {f"fit/{key}": value for key, value in pl_module.facts.items()}
        self.metrics |= {f"protocol/{key}": value for key, value in self._protocol(datamodule, x).items()}

    def _gathered(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embeddings (n_x, r) and (n_y, r) of the whole split, from all processes, on the CPU."""
        outputs, self._outputs = self._outputs, []
        x, y = (
            gather_rows(n, *(torch.cat([output[key] for output in outputs]) for key in (f"{name}_index", name)))
            for name, n in (("x", pairs.n_x), ("y", pairs.n_y))
        )
        return x.cpu(), y.cpu()

    def _retrieval(self, trainer: Trainer, pairs: Pairs, x: Tensor, y: Tensor) -> dict[str, float]:
        datamodule = _datamodule(trainer)
        names = (datamodule.x_name, datamodule.y_name)
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise UserError(
                f"the embeddings hold NaN or infinity after pass {trainer.current_epoch + 1}: the fit diverged; "
                "a gradient aligner may need a lower aligner.optimizer.lr"
            )
        return evaluate_retrieval(x, y, pairs.group, pairs.y_group, *names, self.block_size)

    def _probe(self, pl_module: Any, train: Pairs, test: Pairs, x: Tensor) -> dict[str, float]:
        assert train.label is not None
        assert test.label is not None
        rows = torch.arange(train.n_x).split(self.block_size)
        with torch.no_grad():
            of_train = torch.cat(
                [pl_module.encode_x(train.x[part].float().to(pl_module.device)).cpu() for part in rows]
            )
        common = (of_train, train.label, x, test.label)
        probe = self.probe
        self.probe_result = linear_probe(*common, probe["strengths"], probe["holdout"], probe["seed"])
        knn = knn_probe(*common, probe["neighbours"], self.block_size)
        assert self.probe_result.strength is not None
        return {
            "linear_probe/accuracy": self.probe_result.accuracy,
            "linear_probe/strength": self.probe_result.strength,
            "knn/accuracy": knn.accuracy,
        }

    def _protocol(self, datamodule: PairsDataModule, x: Tensor) -> dict[str, str | int | float]:
        """What the numbers mean: PairsDataModule's own facts, the sizes and the rules."""
        sizes = {
            f"{split}_{name}": n
            for split, pairs in datamodule.splits.items()
            for name, n in ((datamodule.x_name, pairs.n_x), (datamodule.y_name, pairs.n_y))
        }
        rules = {
            "rank": x.shape[1],
            "credit": "any positive in the top k",
            "ties": "a tie counts against the query",
            "pass": f"{self.keep} on validation" if self.keep == "best" else "last",
        }
        return datamodule.protocol | sizes | rules


def _datamodule(trainer: Trainer) -> PairsDataModule:
    return trainer.datamodule  # type: ignore[attr-defined, no-any-return]
