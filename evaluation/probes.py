"""The probes of a run: of the embeddings, of raw features beside them, and of test sets under a shift."""

from collections.abc import Callable
from typing import Annotated, TypedDict

import torch
from torch import Tensor

from datamodules.pairs.pairs import FeatureRows, Labelled
from evaluation.linear_probe import FittedProbe, ProbeResult, fit_linear_probe, knn_probe
from ground.ranges import Count, Positive, Seed, Share, not_empty

Encode = Callable[[Tensor], Tensor]


class ProbeSettings(TypedDict):
    """The ``probe`` node of ``configs/evaluation/default.yaml``."""

    strengths: Annotated[list[Positive], not_empty]
    holdout: Share
    neighbours: Count
    every_pass: bool
    raw: bool
    seed: Seed


def encoded(rows: FeatureRows, encode: Encode, block_size: int) -> Tensor:
    """Embeddings (n, r) of feature rows (n, d), on the CPU."""
    n = int(rows.shape[0])
    return torch.cat([encode(rows[part]).float().cpu() for part in torch.arange(n).split(block_size)])


def as_it_is(rows: Tensor) -> Tensor:
    """Raw features in the place of embeddings."""
    return rows


class Probes:
    """A linear and a kNN probe of what ``encode`` makes of labelled training rows."""

    def __init__(self, train: Labelled, encode: Encode, settings: ProbeSettings, block_size: int):
        self.train = encoded(train.x, encode, block_size)
        self.label = train.label
        self.encode = encode
        self.settings = settings
        self.block_size = block_size
        self.linear: FittedProbe = fit_linear_probe(
            self.train, train.label, settings["strengths"], settings["holdout"], settings["seed"]
        )

    def score(self, test: Labelled) -> tuple[dict[str, float], ProbeResult]:
        """Accuracies in percent on labelled test rows, and the linear probe's result."""
        rows = encoded(test.x, self.encode, self.block_size)
        linear = self.linear.score(rows, test.label)
        knn = knn_probe(self.train, self.label, rows, test.label, self.settings["neighbours"], self.block_size)
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
