"""The figures of a run, drawn from what its evaluation kept."""

from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.objectives.base import Objective
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from evaluation.callback import Evaluation
from evaluation.retrieval import cosines, top_matches, unit_rows
from report.figures import embedding_plots, matrix_plots, plots, sheet_plots
from report.figures.contrast_weights import departure

CAPTIONS_SHOWN = 3
PASSES_SHOWN = 6
"""So many passes at most, evenly spread, are shown in one figure of the weights."""


def draw(evaluation: Evaluation, aligner: Aligner, datamodule: PairsDataModule) -> dict[str, Figure]:
    """Figures by file name; those without something to show are left out."""
    figures: dict[str, Figure] = {}
    objectives = [entry["objective"] for entry in aligner.passes_record if "objective" in entry]
    if len(objectives) > 1:
        figures["objective_over_passes"] = plots.objective_over_passes(objectives)
    if evaluation.history:
        figures["recall_over_passes"] = plots.recall_over_passes(evaluation.history)
    values = getattr(aligner, "singular_values", None)
    if values is not None:
        figures["singular_values"] = plots.singular_values(values.cpu())
    if evaluation.similarities and aligner.fitted_objective is not None:
        figures["weights_over_passes"] = _weights(evaluation.similarities, aligner.fitted_objective, datamodule)
    if evaluation.embeddings is None:
        return figures
    figures["similarity_matrix"] = _similarity(evaluation, datamodule)
    figures["retrieval_sheet"] = _sheet(evaluation, datamodule)
    if evaluation.tsne_items:
        figures["embedding_map"] = _map(evaluation, datamodule)
    if confusions := confusion(evaluation, datamodule):
        figures["confusion_matrix"] = matrix_plots.confusion_matrices(
            [(title, counts, confusions["classes"]) for title, counts in confusions["counts"].items()]
        )
    return figures


def confusion(evaluation: Evaluation, datamodule: PairsDataModule) -> dict[str, Any] | None:
    """``classes``, the names, and ``counts``: of the ``linear probe`` of the test, and of ``raw features`` beside it.

    None without labels. The true class is in the rows of the counts, a list of lists.
    """
    result = evaluation.probe_result
    if result is None:
        return None
    counts = {"linear probe": result.confusion.tolist()}
    if evaluation.raw_probe_result is not None:
        counts["raw features"] = evaluation.raw_probe_result.confusion.tolist()
    return {"classes": _class_names(datamodule, result.classes), "counts": counts}


def _class_names(datamodule: PairsDataModule, classes: Tensor) -> list[str]:
    named = datamodule.label_names
    return [named[c] if named else str(c) for c in classes.tolist()]


def _chosen(pairs: Pairs, k: int) -> Tensor:
    """At most k x of different groups, evenly spread."""
    _, inverse = torch.unique(pairs.group, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), pairs.n_x).scatter_reduce_(
        0, inverse, torch.arange(pairs.n_x), "amin"
    )
    first = first.sort().values
    return first[_spread(len(first), k)]


def _spread(n: int, k: int) -> Tensor:
    """At most k numbers below n, evenly spread, the first and the last among them."""
    return torch.linspace(0, n - 1, min(k, n)).round().long()


def _first_y(pairs: Pairs, rows: Tensor) -> Tensor:
    """The first y of the group of each of these x."""
    return torch.stack([(pairs.y_group == pairs.group[row]).nonzero()[0, 0] for row in rows])


def _similarity(evaluation: Evaluation, datamodule: PairsDataModule) -> Figure:
    assert evaluation.embeddings is not None
    x, y = evaluation.embeddings
    pairs = datamodule.splits["test"]
    rows = _chosen(pairs, evaluation.similarity_pairs)
    similarity = cosines(unit_rows(x[rows]), unit_rows(y[_first_y(pairs, rows)]))
    return matrix_plots.similarity_matrix(similarity, datamodule.x_name, datamodule.y_name)


def _sheet(evaluation: Evaluation, datamodule: PairsDataModule) -> Figure:
    assert evaluation.embeddings is not None
    x, y = evaluation.embeddings
    pairs = datamodule.splits["test"]
    rows = _chosen(pairs, evaluation.sheet_items)
    best = top_matches(x[rows], y, CAPTIONS_SHOWN, evaluation.block_size)
    shown = [datamodule.describe_x("test", row) for row in rows.tolist()]
    return sheet_plots.retrieval_sheet(
        images=[item if isinstance(item, Image.Image) else None for item in shown],
        captions=[[datamodule.describe_y("test", j) for j in js] for js in best.tolist()],
        right=(pairs.y_group[best] == pairs.group[rows, None]).tolist(),
        names=[item if isinstance(item, str) else f"{datamodule.x_name} {row}"
               for item, row in zip(shown, rows.tolist(), strict=True)],
        title=f"Test {datamodule.x_name}s and their nearest {datamodule.y_name}s",
    )  # fmt: skip


def _map(evaluation: Evaluation, datamodule: PairsDataModule) -> Figure:
    assert evaluation.embeddings is not None
    x, y = evaluation.embeddings
    pairs = datamodule.splits["test"]
    rows = _chosen(pairs, evaluation.tsne_items)
    of_x, of_y = embedding_plots.t_sne(x[rows], y[_first_y(pairs, rows)], seed=0)
    classes, labels = None, torch.empty(0, dtype=torch.int64)
    if pairs.label is not None:
        labels, classes = torch.unique(pairs.label[rows], return_inverse=True)
    return embedding_plots.embedding_map(
        of_x, of_y, classes, classes, _class_names(datamodule, labels), (datamodule.x_name, datamodule.y_name),
        f"t-SNE of {len(rows)} test {datamodule.x_name}s and {datamodule.y_name}s",
    )  # fmt: skip


def _weights(similarities: list[tuple[int, Tensor]], objective: Objective, datamodule: PairsDataModule) -> Figure:
    """S of the objective at the cosines after each pass, over these items alone, sorted by class."""
    pairs = datamodule.splits["val"]
    # the rows of the similarities: those of the first x that have a y
    rows = (pairs.first_y >= 0).nonzero()[:, 0][: len(similarities[0][1])]
    order = torch.argsort((pairs.group if pairs.label is None else pairs.label)[rows], stable=True)
    group = pairs.group[rows][order]
    positives = group[:, None] == group
    weights, titles = [], []
    uniform = objective.weights(torch.zeros(positives.shape, dtype=torch.float64), positives)
    for number in _spread(len(similarities), PASSES_SHOWN).tolist():
        step, similarity = similarities[number]
        weights.append(objective.weights(similarity.double()[order][:, order], positives))
        far = departure(weights[-1], uniform, positives)
        titles.append(f"pass {step}: {far.matrix:.1f} % off uniform,\nnegatives {far.negatives:.0f} %")
    return matrix_plots.weights_over_passes(weights, positives, titles, datamodule.x_name, datamodule.y_name)
