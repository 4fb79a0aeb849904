"""The probes of a run: of the embeddings, of raw features beside them, and of test sets under a shift."""

from typing import Annotated

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Labelled
from evaluation.judged import Encode, Judged, as_it_is, encoded
from evaluation.linear_probe import FittedProbe, ProbeResult, fit_linear_probe, knn_probe
from ground.ranges import Count, Positive, Seed, Share, not_empty
from ground.values import checked


class Probe:
    """The judge of labelled x: a linear and a kNN probe, fitted on the training split alone.

    At the test also on the test sets under a shift. It leaves the linear probes' results. Without labels it has
    nothing to judge.

    Args:
        strengths, holdout, seed: of the linear probe, see ``fit_linear_probe``.
        neighbours: of the kNN probe.
        every_pass: also on validation after every pass; false: at the test alone.
        raw: at the test, the same of the raw features, without any alignment, under ``raw/``.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> label = torch.arange(40) % 2
        >>> x, data = torch.eye(2)[label], PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits = dict.fromkeys(("train", "test"), pairs_of_tensors(x, x, label=label))
        >>> probe = Probe([1.0], holdout=0.2, neighbours=5, every_pass=False, raw=False, seed=0)
        >>> probe(Judged(x, x, "test", data, torch.clone, torch.clone, block_size=8))
        {'linear_probe/accuracy': 100.0, 'linear_probe/strength': 1.0, 'knn/accuracy': 100.0}
    """

    @checked("evaluation.probe.")
    def __init__(
        self,
        strengths: Annotated[list[Positive], not_empty],
        holdout: Share,
        neighbours: Count,
        every_pass: bool,
        raw: bool,
        seed: Seed,
    ):
        self.strengths = strengths
        self.holdout = holdout
        self.neighbours = neighbours
        self.every_pass = every_pass
        self.raw = raw
        self.seed = seed

    def __call__(self, judged: Judged) -> dict[str, float]:
        train, pairs, shifted = judged.datamodule.probe_train, judged.pairs, judged.datamodule.shifted
        if train is None or pairs.label is None:
            return {}
        rows = Labelled(pairs.x, pairs.label)
        probes = Probes(train, judged.encode_x, self, judged.block_size)
        metrics, judged.probes["linear probe"] = probes.score(rows)
        if judged.split != "test":
            return metrics
        metrics |= probes.shifted(shifted)
        if self.raw:
            raw = Probes(train, as_it_is, self, judged.block_size)
            of_raw, judged.probes["raw features"] = raw.score(rows)
            metrics |= {f"raw/{key}": value for key, value in (of_raw | raw.shifted(shifted)).items()}
        return metrics

    def names(self, datamodule: PairsDataModule) -> list[str]:
        """The metrics of the validation split, before anything is fitted."""
        labelled = datamodule.probe_train is not None and datamodule.splits["val"].label is not None
        return ["linear_probe/accuracy", "linear_probe/strength", "knn/accuracy"] if labelled else []


class DomainProbe:
    """The judge of x with domains: how well a linear probe tells the domain, fitted on the training split alone.

    What ``Probe`` asks of the class, of the domain: high where the embeddings of photographs and of drawings lie apart.
    With unequal domains the largest one's share is what a constant would score.

    Args:
        strengths, holdout, every_pass, raw, seed: as in ``Probe``.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import pairs_of_tensors
        >>> domain = torch.arange(40) % 2
        >>> x, data = torch.eye(2)[domain], PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> data.splits = dict.fromkeys(("train", "test"), pairs_of_tensors(x, x, domain=domain))
        >>> probe = DomainProbe([1.0], holdout=0.2, every_pass=False, raw=False, seed=0)
        >>> probe(Judged(x, x, "test", data, torch.clone, torch.clone, block_size=8))
        {'domain_probe/accuracy': 100.0}
    """

    @checked("evaluation.domain_probe.")
    def __init__(
        self,
        strengths: Annotated[list[Positive], not_empty],
        holdout: Share,
        every_pass: bool,
        raw: bool,
        seed: Seed,
    ):
        self.strengths = strengths
        self.holdout = holdout
        self.every_pass = every_pass
        self.raw = raw
        self.seed = seed

    def __call__(self, judged: Judged) -> dict[str, float]:
        train, pairs = judged.datamodule.domain_train, judged.pairs
        if train is None or pairs.domain is None or len(train.label.unique()) < 2:
            return {}
        encoders = {"": judged.encode_x} | ({"raw/": as_it_is} if self.raw and judged.split == "test" else {})
        metrics = {}
        for prefix, encode in encoders.items():
            rows = encoded(train.x, encode, judged.block_size)
            probe = fit_linear_probe(rows, train.label, self.strengths, self.holdout, self.seed)
            test = probe.score(encoded(pairs.x, encode, judged.block_size), pairs.domain)
            metrics[f"{prefix}domain_probe/accuracy"] = test.accuracy
        return metrics

    def names(self, datamodule: PairsDataModule) -> list[str]:
        """The metrics of the validation split, before anything is fitted."""
        has = datamodule.domain_train is not None and datamodule.splits["val"].domain is not None
        return ["domain_probe/accuracy"] if has else []


class Probes:
    """A linear and a kNN probe of what ``encode`` makes of labelled training rows."""

    def __init__(self, train: Labelled, encode: Encode, settings: Probe, block_size: int):
        self.train = encoded(train.x, encode, block_size)
        self.label = train.label
        self.encode = encode
        self.neighbours = settings.neighbours
        self.block_size = block_size
        self.linear: FittedProbe = fit_linear_probe(
            self.train, train.label, settings.strengths, settings.holdout, settings.seed
        )

    def score(self, test: Labelled) -> tuple[dict[str, float], ProbeResult]:
        """Accuracies in percent on labelled test rows, and the linear probe's result."""
        rows = encoded(test.x, self.encode, self.block_size)
        linear = self.linear.score(rows, test.label)
        knn = knn_probe(self.train, self.label, rows, test.label, self.neighbours, self.block_size)
        metrics = {
            "linear_probe/accuracy": linear.accuracy,
            "linear_probe/strength": self.linear.strength,
            "knn/accuracy": knn.accuracy,
        }
        return metrics, linear

    def shifted(self, tests: dict[str, Labelled]) -> dict[str, float]:
        """The linear probe's accuracy on test sets under a shift, by name, and their mean."""
        accuracy = {
            f"shifted/{name}/linear_probe": self.linear.score(
                encoded(test.x, self.encode, self.block_size), test.label
            ).accuracy
            for name, test in tests.items()
        }
        if accuracy:
            accuracy["shifted/mean_linear_probe"] = sum(accuracy.values()) / len(accuracy)
        return accuracy
