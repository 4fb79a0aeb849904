"""The evaluation that every aligner shares: judged after every pass, and at the end for all that is reported."""

import resource
from collections.abc import Iterable
from typing import Any, Literal

import lightning
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from evaluation.correction import Correction, Space
from evaluation.fit_cost import FitCost
from evaluation.judged import Encode, Foretells, Judge, Judged, Remembers, Scored
from evaluation.keeping import Keeping
from evaluation.rescored import Remembering, Rescored, RuleName
from evaluation.scoring import COSINE, Scorer, own
from ground.distributed import gather_rows
from ground.energy import Meter, of_gpus, of_processors
from ground.errors import UserError
from ground.former import unknown_key
from ground.ranges import Count
from ground.values import checked

JUDGES = ("geometry", "hubness", "extended", "probe", "zero_shot", "domain_probe")
"""Those of ``configs/evaluation/default.yaml``, beside retrieval."""


class Evaluation(lightning.Callback):
    """Gathers the embeddings that ``validation_step`` and ``test_step`` return, and asks the judges.

    Embeddings of all processes are put in order by their index, so that the numbers are those of one process.
    Judges of ``every_pass`` are asked on the validation split after every pass or epoch, logged under ``val/``; all of
    them at the test, under ``test/``. Pairs are scored by cosine, or by ``score(x_embedding, y_embedding)`` of an
    aligner that has one.

    Args:
        block_size: rows and columns of the similarity matrix in memory at once.
        keep: ``best``, the best pass on validation is the result (the earliest of equals), for every aligner alike; or
            ``last``.
        select: the validation metric that says which pass is the best.
        scoring: the rule that items are ranked by at the test: ``cosine``, which is the aligner's own score where it
            has one, or a correction of it; see ``Rescored``. Passes are judged by ``cosine``.
        also: rules whose mean recalls stand beside.
        correction: how scores are corrected.
        retrieval: the judge of retrieval, whose ranks a run leaves.
        judges: further ones; null is none.

    Attributes:
        prefix: of the metrics of a test: ``test``, or ``transfer`` on other data than the run's.
        history: validation metrics of each pass.
        metrics: what ``metrics.json`` holds.
        tests: what was judged at each test, by its prefix.

    Raises:
        UserError: an argument of a wrong type or out of its range, or a judge that is none.

    Example:
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS, composed
        >>> config = composed(CONFIGS / "evaluation" / "default.yaml", "evaluation")
        >>> evaluation = instantiate(config, keep="last", probe=None)
        >>> list(evaluation.judges), evaluation.keeping.rule
        (['retrieval', 'geometry', 'hubness', 'extended', 'zero_shot', 'domain_probe'], 'last')
        >>> trainer = Trainer(callbacks=[evaluation], logger=False)  # its fit and its test are judged
    """

    @checked("evaluation.")
    def __init__(
        self,
        block_size: Count,
        keep: Literal["best", "last"],
        select: str,
        scoring: RuleName,
        also: list[RuleName],
        correction: Correction,
        retrieval: Judge,
        **judges: Judge | None,
    ):
        if retrieval is None:  # a config's null passes for any protocol
            raise UserError("evaluation.retrieval must be a judge, got null: every run is judged by retrieval")
        for name, judge in {"retrieval": retrieval, **judges}.items():
            if judge is not None and callable(judge) and not hasattr(judge, "every_pass"):
                raise UserError(
                    f"evaluation.{name}: {type(judge).__name__} needs every_pass, true or false, to be a judge"
                )
            if judge is not None and not callable(judge):
                if isinstance(judge, bool) and name in JUDGES:
                    raise UserError(f"evaluation.{name} is a judge with keys of its own, or null for none, got {judge}")
                known = ("block_size", "keep", "select", "retrieval", *(each for each in judges if each != name))
                raise UserError(unknown_key(f"evaluation.{name}", [f"evaluation.{each}" for each in known]))
        self.block_size = block_size
        self.keeping = Keeping(keep, select)
        self.rescored = Rescored(scoring, also, correction)
        asked = {"retrieval": retrieval, **judges}
        self.judges: dict[str, Judge] = {name: judge for name, judge in asked.items() if judge is not None}
        self.prefix = "test"
        self.history: list[dict[str, float]] = []
        self.metrics: dict[str, float | int | str] = {"time/fit_seconds": 0.0, "fit/passes": 0}
        self.tests: dict[str, Judged] = {}
        self._outputs: list[dict[str, Tensor]] = []
        self._cost = FitCost()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs to end as an uninterrupted one."""
        return {
            "history": self.history,
            "judges": {name: judge.state_dict() for name, judge in self.judges.items() if isinstance(judge, Remembers)},
            **self._cost.state_dict(),
            **self.keeping.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self._cost.load_state_dict(state_dict)
        self.keeping.load_state_dict(state_dict)
        # a checkpoint of a time when it held the similarities itself has them beside
        former = {"similarities": {"passes": state_dict["similarities"]}} if "similarities" in state_dict else {}
        for name, state in state_dict.get("judges", former).items():
            if isinstance(judge := self.judges.get(name), Remembers):
                judge.load_state_dict(state)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before anything is fitted, refuse a ``select`` that no judge of every pass has among its metrics.

        Where one of them does not say what it gives, it is told after the first pass.

        Raises:
            UserError: with the nearest names.
        """
        datamodule: PairsDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if stage != "fit" or "val" not in datamodule.splits:
            return
        self.keeping.refuse_setting()
        judges = [judge for judge in self.judges.values() if judge.every_pass]
        foretelling = [judge for judge in judges if isinstance(judge, Foretells)]
        if len(foretelling) == len(judges):
            self.keeping.refuse_unknown(name for judge in foretelling for name in judge.names(datamodule))

    # The cost of a fit is that between the start and the end of training less that of validation.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.keeping.begin()
        self._cost.begin(_meters(trainer, pl_module.device))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._cost.end()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Also where a resumed fit had nothing left to train, and training neither began nor ended."""
        passes = max(0, trainer.current_epoch - 1 + pl_module.first_number)
        self.metrics |= {**self._cost.metrics, "fit/passes": passes}
        weights = self.keeping.taken()
        if weights is not None:
            pl_module.load_state_dict(weights)
        elif trainer.current_epoch and (self.keeping.keep == "last" or self.keeping.number is None):
            self.keeping.number = passes
        if self.keeping.number is not None:
            self.metrics["fit/kept_pass"] = self.keeping.number
            kept = next((each for each in self.history if each["pass"] == self.keeping.number), {})
            if self.keeping.select in kept:
                self.metrics[f"val/{self.keeping.select}"] = kept[self.keeping.select]
        datamodule: PairsDataModule = trainer.datamodule  # type: ignore[attr-defined]
        self.metrics["data/train_pairs"] = datamodule.splits["train"].n_y  # each y is paired with the x it belongs to

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        # of the test split: further data that is tested on may have no other
        fitted, tested = pl_module.dims, trainer.datamodule.splits["test"].dims  # type: ignore[attr-defined]
        if fitted != tested:
            raise UserError(f"the aligner was fitted on features of dimensions {fitted}, the test data has {tested}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._cost.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._cost.go_on()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self._outputs.append(outputs)

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self._outputs.append(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:  # of some batches, before anything is learned
            self._outputs.clear()
            return
        judged, _ = self._judged(trainer, pl_module, "val")
        metrics = _merged(judge(judged) for judge in self.judges.values() if judge.every_pass)
        self.history.append({"pass": judged.after, **metrics})
        self.keeping.offer(judged.after, metrics, pl_module.state_dict())
        # every process has the same numbers
        pl_module.log_dict({f"val/{key}": value for key, value in metrics.items()}, rank_zero_only=True)
        pl_module.log("val/fit_seconds", self._cost.seconds, rank_zero_only=True)
        pl_module.log("validation_recall", metrics["mean_recall"], prog_bar=True, logger=False, rank_zero_only=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        judged, remembering = self._judged(trainer, pl_module, "test")
        # what belongs to the fit: further data may have no other split than that it is tested on
        fitted_on = self.tests["test"].datamodule if "test" in self.tests else judged.datamodule
        judged, beside, rules = self.rescored(judged, remembering, fitted_on)
        metrics = _merged(judge(judged) for judge in self.judges.values())
        metrics |= {"cosine/mean_recall": metrics["mean_recall"]} | beside
        logged = {f"{self.prefix}/{key}": value for key, value in metrics.items()}
        pl_module.log_dict(logged, rank_zero_only=True)
        self.tests[self.prefix] = judged
        datamodule = judged.datamodule
        own_test = self.prefix == "test"
        said = "protocol" if own_test else f"{self.prefix}/protocol"
        protocol = self._protocol(judged) | rules
        self.metrics |= logged | {f"{said}/{key}": value for key, value in protocol.items()}
        if own_test:
            self.metrics |= {f"fit/{key}": value for key, value in pl_module.facts.items()}
            self.metrics |= {
                "model/bytes": sum(each.nbytes for each in pl_module.state_dict().values()),
                "time/feature_seconds": datamodule.feature_seconds,
                "time/extracted_items": datamodule.extracted_items,
                "memory/peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }

    def _judged(self, trainer: Trainer, pl_module: Any, split: str) -> tuple[Judged, Remembering | None]:
        """The whole split's embeddings, from all processes, on the CPU, and what judges may ask of the aligner.

        Of an aligner with a memory the same with it, too.
        """
        datamodule: PairsDataModule = trainer.datamodule  # type: ignore[attr-defined]
        x, y = self._gathered(datamodule.splits[split])
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            number = trainer.current_epoch + pl_module.first_number
            raise UserError(
                f"the embeddings hold NaN or infinity after pass {number}: the fit diverged; "
                "a gradient aligner may need a lower aligner.optimizer.lr"
            )
        device = pl_module.device

        def on_device(encode: Encode) -> Encode:
            return lambda rows: encode(rows.float().to(device))

        def scorer(score: Any) -> Scorer:
            return COSINE if score is None else own(lambda a, b: score(a.to(device), b.to(device)).cpu())

        encode_x, encode_y = on_device(pl_module.encode_x), on_device(pl_module.encode_y)
        remembering = None
        if columns := pl_module.remembered:
            plain = scorer(pl_module.own_score)
            space = Space(encode_x, encode_y, scorer(pl_module.pair_score), columns, plain, pl_module.remembered_scale)
            remembering = Remembering(space, Scored(x, y, space.scorer))
            x, y = x[:, :-columns], y[:, :-columns]
            encode_x, encode_y = on_device(pl_module.embedded_x), on_device(pl_module.embedded_y)
        number = trainer.current_epoch + pl_module.first_number
        rule = scorer(pl_module.own_score)
        return Judged(x, y, split, datamodule, encode_x, encode_y, self.block_size, number, rule), remembering

    def _gathered(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Embeddings (n_x, r) and (n_y, r) in the order of the split."""
        outputs, self._outputs = self._outputs, []
        x, y = (
            gather_rows(n, *(torch.cat([output[key] for output in outputs]) for key in (f"{name}_index", name)))
            for name, n in (("x", pairs.n_x), ("y", pairs.n_y))
        )
        return x.cpu(), y.cpu()

    def _protocol(self, judged: Judged) -> dict[str, str | int | float]:
        """What the numbers mean: the datamodule's own facts, the sizes and the rules."""
        sizes = {
            f"{split}_{name}": n
            for split, pairs in judged.datamodule.splits.items()
            for name, n in zip(judged.names, (pairs.n_x, pairs.n_y), strict=True)
        }
        rules: dict[str, str | int | float] = {
            "rank": judged.x.shape[1],
            "credit": "any positive in the top k",
            "ties": "a tie counts against the query",
            "pass": self.keeping.rule,
        }
        return judged.datamodule.protocol | judged.datamodule.training.facts | judged.protocol | sizes | rules


def _meters(trainer: Trainer, device: torch.device) -> dict[str, Meter]:
    """What tells its energy: processors, and where the fit is on GPUs those that this process sees."""
    if trainer.num_nodes > 1:  # of other machines nothing is known here
        return {}
    seen = (
        [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if device.type == "cuda" else []
    )
    counters = {"cpu": of_processors(), "gpu": of_gpus([f"GPU-{each.uuid}" for each in seen])}
    return {name: Meter(each) for name, each in counters.items() if each}


def _merged(metrics: Iterable[dict[str, float]]) -> dict[str, float]:
    return {key: value for each in metrics for key, value in each.items()}
