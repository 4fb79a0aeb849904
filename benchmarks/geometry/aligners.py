"""The geometry of a test before and after each of some aligners, by the judge of every run."""

from typing import Annotated, Any

import torch

from benchmarks.runs import Outcome, composed, run
from evaluation.geometry import effective_rank, uniformity
from ground.errors import UserError
from ground.ranges import Positive, not_empty
from ground.values import checked

LESS = ("evaluation.probe=null", "evaluation.hubness=null", "trainer.accelerator=cpu")
Numbers = dict[str, float]


@checked("aligners.")
def geometries(
    rows: Annotated[dict[str, list[str]], not_empty], data: list[str], kappa: Positive
) -> dict[str, Numbers]:
    """The numbers of each row, by ``columns``; those of the raw features first, as far as both have one dimension.

    Args:
        rows: an aligner and what is set beside, by the row's label.
        data: overrides that choose the data, for every row.
        kappa: of the densities.

    Raises:
        UserError: a row without an aligner, or a mistake in its overrides.
    """
    found: dict[str, Numbers] = {}
    for label, words in rows.items():
        if not words:
            raise UserError(f"aligners.rows.{label} must be an aligner and what is set beside, got []")
        aligner, *overrides = words
        kappas = f"evaluation.geometry.kappas=[{kappa:g}]"
        outcome = run(composed(aligner, "geometry", [*LESS, kappas, *data, *overrides]))
        names = outcome.judged.names
        if not found:
            found["raw features"] = raw_numbers(outcome, kappa)
        found[label] = {
            "mean recall": outcome.metrics["test/mean_recall"],
            **_judged(outcome.metrics, "test/geometry/", names, kappa),
        }
    return found


def raw_numbers(outcome: Outcome, kappa: float) -> Numbers:
    """The judge's, or where it has none, of two dimensions, each modality's uniformity and effective rank."""
    judged = outcome.judged
    numbers = _judged(outcome.metrics, "test/raw/geometry/", judged.names, kappa)
    if not numbers:
        for name, of in zip(judged.names, (judged.pairs.x, judged.pairs.y), strict=True):
            rows = of[torch.arange(of.shape[0])].float()
            numbers[f"uniformity {name}"] = uniformity(rows, judged.block_size)
            numbers[f"effective rank {name}"] = effective_rank(rows)
    return numbers


def _judged(metrics: dict[str, Any], prefix: str, names: tuple[str, str], kappa: float) -> Numbers:
    keys = {
        "U": "potential", "U shuffled": "shuffled/potential", "gap": "centroid_gap",
        **{f"H {name}": f"{name}/kappa{kappa:g}/entropy" for name in names},
        "D": f"kappa{kappa:g}/divergence",
        **{f"uniformity {name}": f"{name}/uniformity" for name in names},
        **{f"effective rank {name}": f"{name}/effective_rank" for name in names},
    }  # fmt: skip
    return {title: metrics[prefix + key] for title, key in keys.items() if prefix + key in metrics}
