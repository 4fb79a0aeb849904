"""The figures of a run, drawn from what its evaluation kept."""

from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image

from datamodules.base import PairsDataModule
from evaluation import plots
from evaluation.callback import Evaluation
from evaluation.retrieval import cosines, top_matches, unit_rows

CAPTIONS_SHOWN = 3


def draw(
    evaluation: Evaluation, singular_values: Any, passes: list[dict[str, float]], datamodule: PairsDataModule
) -> dict[str, Figure]:
    """Figures by file name; those without something to show are left out."""
    figures: dict[str, Figure] = {}
    objectives = [entry["objective"] for entry in passes if "objective" in entry]
    if len(objectives) > 1:
        figures["objective_over_passes"] = plots.objective_over_passes(objectives)
    if evaluation.history:
        figures["recall_over_passes"] = plots.recall_over_passes(evaluation.history)
    if singular_values is not None:
        figures["singular_values"] = plots.singular_values(singular_values.cpu())
    if evaluation.embeddings is None:
        return figures
    figures["similarity_matrix"] = _similarity(evaluation, datamodule)
    figures["retrieval_sheet"] = _sheet(evaluation, datamodule)
    probe = evaluation.probe_result
    if probe is not None:
        named = datamodule.label_names
        names = [named[c] if named else str(c) for c in probe.classes.tolist()]
        figures["confusion_matrix"] = plots.confusion_matrix(probe.confusion, names)
    return figures


def _chosen(evaluation: Evaluation, datamodule: PairsDataModule, k: int) -> torch.Tensor:
    """At most k test x of different groups, evenly spread."""
    group = datamodule.splits["test"].group
    _, inverse = torch.unique(group, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(group)).scatter_reduce_(
        0, inverse, torch.arange(len(group)), "amin"
    )
    first = first.sort().values
    return first[torch.linspace(0, len(first) - 1, min(k, len(first))).round().long()]


def _similarity(evaluation: Evaluation, datamodule: PairsDataModule) -> Figure:
    assert evaluation.embeddings is not None
    x, y = evaluation.embeddings
    pairs = datamodule.splits["test"]
    rows = _chosen(evaluation, datamodule, evaluation.similarity_pairs)
    first_y = torch.stack([(pairs.y_group == pairs.group[row]).nonzero()[0, 0] for row in rows])
    similarity = cosines(unit_rows(x[rows]), unit_rows(y[first_y]))
    return plots.similarity_matrix(similarity, datamodule.x_name, datamodule.y_name)


def _sheet(evaluation: Evaluation, datamodule: PairsDataModule) -> Figure:
    assert evaluation.embeddings is not None
    x, y = evaluation.embeddings
    pairs = datamodule.splits["test"]
    rows = _chosen(evaluation, datamodule, evaluation.sheet_items)
    best = top_matches(x[rows], y, CAPTIONS_SHOWN, evaluation.block_size)
    shown = [datamodule.describe_x("test", row) for row in rows.tolist()]
    return plots.retrieval_sheet(
        images=[item if isinstance(item, Image.Image) else None for item in shown],
        captions=[[datamodule.describe_y("test", j) for j in js] for js in best.tolist()],
        right=(pairs.y_group[best] == pairs.group[rows, None]).tolist(),
        names=[item if isinstance(item, str) else f"{datamodule.x_name} {row}"
               for item, row in zip(shown, rows.tolist(), strict=True)],
        title=f"Test {datamodule.x_name}s and their nearest {datamodule.y_name}s",
    )  # fmt: skip
