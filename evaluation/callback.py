"""The evaluation that every aligner shares: retrieval after every pass, and all that is reported at the end."""

import resource
import time
from typing import Any, Literal

import lightning
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Labelled, Pairs
from evaluation.extended import extended_retrieval
from evaluation.geometry import evaluate_geometry
from evaluation.linear_probe import ProbeResult
from evaluation.probes import Probes, ProbeSettings, as_it_is
from evaluation.retrieval import class_accuracy, cosines, evaluate_retrieval, unit_rows
from ground.distributed import gather_rows
from ground.errors import UserError
from ground.ranges import Count, Natural
from ground.values import checked


class Evaluation(lightning.Callback):
    """Gathers the embeddings that ``validation_step`` and ``test_step`` return, and judges them.

    After every pass or epoch, on the validation split, logged under ``val/``: retrieval and, where there are
    labels, the linear and kNN probes of the x embeddings, which are fitted on the training split alone. At the
    test: the same and geometry, under ``test/``.
    Embeddings of all processes are put in order by their index, so that the numbers are those of one process.

    Args:
        block_size: rows and columns of the similarity matrix in memory at once.
        probe: ``strengths``, ``holdout``, ``neighbours``, ``seed`` of the probes, see ``linear_probe``;
            ``every_pass``, false to probe at the test alone; ``raw``, true to probe the raw features beside.
        keep: ``best``, the pass of the highest mean recall on validation is the result (the earliest of equals), for
            every aligner alike; or ``last``.
        similarity_pairs, sheet_items, tsne_items, weights_items: sizes of the pictures; 0 of the last two draws none.

    Attributes:
        prefix: of the metrics of a test: ``test``, or ``transfer`` on other data than the run's.
        history: validation metrics of each pass.
        similarities: after each pass, its number and the cosines (k, k) of the first ``weights_items`` validation x
            with the first y of each.
        metrics: what ``metrics.json`` holds.
        embeddings: of the run's test split, x (n_x, r) and y (n_y, r).
        probe_result, raw_probe_result: of the linear probe of the test, or None without labels.

    Raises:
        UserError: an argument of a wrong type or out of its range.
    """

    @checked("evaluation.")
    def __init__(
        self,
        block_size: Count,
        probe: ProbeSettings,
        keep: Literal["best", "last"],
        similarity_pairs: Count,
        sheet_items: Count,
        tsne_items: Natural,
        weights_items: Natural,
    ):
        self.block_size = block_size
        self.keep = keep
        self.probe = ProbeSettings(**probe)
        self.similarity_pairs = similarity_pairs
        self.sheet_items = sheet_items
        self.tsne_items = tsne_items
        self.weights_items = weights_items
        self.prefix = "test"
        self.history: list[dict[str, float]] = []
        self.metrics: dict[str, float | int | str] = {"time/fit_seconds": 0.0, "fit/passes": 0}
        self.embeddings: tuple[Tensor, Tensor] | None = None
        self.similarities: list[tuple[int, Tensor]] = []
        self.probe_result: ProbeResult | None = None
        self.raw_probe_result: ProbeResult | None = None
        self._outputs: list[dict[str, Tensor]] = []
        self._best: dict[str, Tensor] | None = None
        self._best_recall = -1.0
        self._fit_seconds = 0.0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs to end as an uninterrupted one."""
        return {
            "history": self.history,
            "similarities": self.similarities,
            "best": self._best,
            "best_recall": self._best_recall,
            "kept_pass": self.metrics.get("fit/kept_pass"),
            "fit_seconds": self._fit_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self.similarities = state_dict["similarities"]
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
        datamodule = _datamodule(trainer)
        pairs = datamodule.splits["val"]
        x, y = self._gathered(pairs)
        metrics = self._retrieval(trainer, pairs, x, y)
        if datamodule.probe_train is not None and pairs.label is not None and self.probe["every_pass"]:
            metrics |= self._probes(pl_module, datamodule.probe_train).score(Labelled(pairs.x, pairs.label))[0]
        if self.weights_items:
            first = pairs.first_y[: self.weights_items]
            rows = (first >= 0).nonzero()[:, 0]
            self.similarities.append((trainer.current_epoch, cosines(unit_rows(x[rows]), unit_rows(y[first[rows]]))))
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
        x, y = self._gathered(pairs)
        names = (datamodule.x_name, datamodule.y_name)
        metrics = self._retrieval(trainer, pairs, x, y)
        geometry = evaluate_geometry(x, y, pairs.group, pairs.y_group, *names, self.block_size)
        # float32 embeddings have some seven digits: what comes after them is noise, and differs with the processes
        metrics |= {f"geometry/{key}": round(value, 6) for key, value in geometry.items()}
        if datamodule.coco_ids is not None:
            metrics |= extended_retrieval(x, y, *datamodule.coco_ids, self.block_size)
        metrics |= self._tested_probes(pl_module, datamodule)
        logged = {f"{self.prefix}/{key}": value for key, value in metrics.items()}
        pl_module.log_dict(logged, rank_zero_only=True)
        self.metrics |= logged
        protocol = self._protocol(datamodule, x)
        if self.prefix != "test":
            self.metrics |= {f"{self.prefix}/protocol/{key}": value for key, value in protocol.items()}
            return
        self.embeddings = x, y
        self.metrics |= {
            "time/feature_seconds": datamodule.feature_seconds,
            "time/extracted_items": datamodule.extracted_items,
            "memory/peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        self.metrics |= {f"fit/{key}": value for key, value in pl_module.facts.items()}
        self.metrics |= {f"protocol/{key}": value for key, value in protocol.items()}

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
        metrics = evaluate_retrieval(x, y, pairs.group, pairs.y_group, *names, self.block_size)
        if pairs.label is not None:
            metrics |= class_accuracy(x, y, pairs.label, pairs.label[pairs.x_of_y], *names, self.block_size)
        return metrics

    def _probes(self, pl_module: Any, train: Labelled) -> Probes:
        def encode(rows: Tensor) -> Tensor:
            embeddings: Tensor = pl_module.encode_x(rows.float().to(pl_module.device))
            return embeddings

        return Probes(train, encode, self.probe, self.block_size)

    def _tested_probes(self, pl_module: Any, datamodule: PairsDataModule) -> dict[str, float]:
        """Probes of the test split's x, on test sets under a shift too, and the same of raw features."""
        train, pairs = datamodule.probe_train, datamodule.splits["test"]
        if train is None or pairs.label is None:
            return {}
        test = Labelled(pairs.x, pairs.label)
        probes = self._probes(pl_module, train)
        metrics, result = probes.score(test)
        metrics |= probes.shifted(datamodule.shifted)
        raw_result = None
        if self.probe["raw"]:
            raw = Probes(train, as_it_is, self.probe, self.block_size)
            of_raw, raw_result = raw.score(test)
            metrics |= {f"raw/{key}": value for key, value in (of_raw | raw.shifted(datamodule.shifted)).items()}
        if self.prefix == "test":
            self.probe_result, self.raw_probe_result = result, raw_result
        return metrics

    def _protocol(self, datamodule: PairsDataModule, x: Tensor) -> dict[str, str | int | float]:
        """What the numbers mean: PairsDataModule's own facts, the sizes and the rules."""
        sizes = {
            f"{split}_{name}": n
            for split, pairs in datamodule.splits.items()
            for name, n in ((datamodule.x_name, pairs.n_x), (datamodule.y_name, pairs.n_y))
        }
        rules: dict[str, str | int | float] = {
            "rank": x.shape[1],
            "credit": "any positive in the top k",
            "ties": "a tie counts against the query",
            "pass": f"{self.keep} on validation" if self.keep == "best" else "last",
        }
        return datamodule.protocol | sizes | rules


def _datamodule(trainer: Trainer) -> PairsDataModule:
    return trainer.datamodule  # type: ignore[attr-defined, no-any-return]
