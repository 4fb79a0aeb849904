"""The pictures of a run, drawn from what its evaluation kept."""

from typing import Any, Protocol

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aligners.objectives.base import Objective
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from evaluation.callback import Evaluation
from evaluation.judged import Judge, Judged
from evaluation.nearest import top_matches
from ground.ranges import Count, Natural
from ground.values import checked
from report.figures import embedding_plots, matrix_plots, plots, sheet_plots
from report.figures.contrast_weights import departure
from report.figures.geometry_plots import over_kappa
from report.figures.model_plots import model_over_passes
from report.figures.plot_style import name_figure
from report.similarities import Similarities

CAPTIONS_SHOWN = 3
SPLITS = {
    "objective_over_passes": "training", "model_over_passes": "training", "singular_values": "training",
    "recall_over_passes": "validation", "weights_over_passes": "validation", "similarity_matrix": "test",
    "geometry_over_kappa": "test", "retrieval_sheet": "test", "embedding_map": "test", "class_map": "test",
    "confusion_matrix": "test",
}  # fmt: skip
"""What each picture is of."""
PASSES_SHOWN = 6
"""So many passes at most, evenly spread, are shown in one figure of the weights."""


class Fitted(Protocol):
    """An aligner, as far as pictures are drawn of it."""

    @property
    def first_number(self) -> int:
        """The number of the first pass: 0 where it gives a first solution, 1 of a gradient aligner's epochs."""

    @property
    def passes_record(self) -> list[dict[str, float]]:
        """What each pass or epoch of the fit reports."""

    @property
    def fitted_objective(self) -> Objective | None:
        """The contrastive objective of the fit at its final settings."""


class Pictures:
    """The pictures that a run draws, by the sizes in ``configs/report/default.yaml``.

    Args:
        similarity_pairs: test pairs in the picture of the similarity matrix.
        sheet_items: test items in the picture of the nearest captions.
        tsne_items: test items of each modality in the maps of the shared space and of its classes; 0 draws none.
        weights_items: validation pairs in the pictures of the weights after each pass; 0 draws none.

    Attributes:
        judges: what the evaluation is to ask for the pictures, by its names.

    Example:
        >>> from aligners import CCA
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS, composed
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> evaluation = instantiate(composed(CONFIGS / "evaluation" / "default.yaml", "evaluation"))
        >>> data = PairsDataModule(batch_size=8, eval_batch_size=8, seed=0)
        >>> pictures = Pictures(similarity_pairs=64, sheet_items=16, tsne_items=0, weights_items=0)
        >>> list(pictures.draw(evaluation, CCA(rank=4).fit(x, x), data, run="cca on x"))  # of a fit without a test
        ['singular_values']
    """

    @checked("report.")
    def __init__(self, similarity_pairs: Count, sheet_items: Count, tsne_items: Natural, weights_items: Natural):
        self.similarity_pairs = similarity_pairs
        self.sheet_items = sheet_items
        self.tsne_items = tsne_items
        self.similarities = Similarities(weights_items)
        self.judges: dict[str, Judge] = {"similarities": self.similarities} if weights_items else {}

    def draw(self, evaluation: Evaluation, aligner: Fitted, datamodule: PairsDataModule, run: str) -> dict[str, Figure]:
        """Figures by file name, of what there is to show; each says ``run``, aligner and dataset, and its split."""
        figures = self._drawn(evaluation, aligner, datamodule)
        for name, figure in figures.items():
            name_figure(figure, f"{run}, {SPLITS[name]} split")
        return figures

    def _drawn(self, evaluation: Evaluation, aligner: Fitted, datamodule: PairsDataModule) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        kept: Any = evaluation.metrics.get("fit/kept_pass")
        record = numbered(aligner)
        objectives = [entry["objective"] for entry in record if "objective" in entry]
        if len(objectives) > 1:
            over = plots.loss_over_epochs if aligner.first_number else plots.objective_over_passes
            figures["objective_over_passes"] = over(objectives, kept)
        if sum("model_norm" in entry for entry in record) > 1:
            names = datamodule.x_name, datamodule.y_name
            figures["model_over_passes"] = model_over_passes(record, kept, names)
        if evaluation.history:
            figures["recall_over_passes"] = plots.recall_over_passes(evaluation.history, kept)
        values = getattr(aligner, "singular_values", None)
        if values is not None:
            figures["singular_values"] = plots.singular_values(values.cpu())
        if self.similarities.passes and aligner.fitted_objective is not None:
            figures["weights_over_passes"] = contrastive_weights(
                self.similarities.passes, aligner.fitted_objective, datamodule
            )
        judged = evaluation.tests.get("test")
        if judged is None:
            return figures
        figures["similarity_matrix"] = _similarity(judged, self.similarity_pairs)
        if any(judged.densities.values()):
            figures["geometry_over_kappa"] = over_kappa(judged.densities, *judged.names)
        if datamodule.describes:
            figures["retrieval_sheet"] = _sheet(judged, self.sheet_items)
        if len(_chosen(judged.pairs, self.tsne_items)) > 1:  # of fewer there is no map
            figures["embedding_map"] = _map(judged, self.tsne_items)
            if judged.pairs.label is not None and len(_chosen(judged.pairs, self.tsne_items)) > 2:
                figures["class_map"] = _class_map(judged, self.tsne_items)
        if confusions := confusion(judged):
            figures["confusion_matrix"] = matrix_plots.confusion_matrices(
                [(title, counts, confusions["classes"]) for title, counts in confusions["counts"].items()]
            )
        return figures


def numbered(aligner: Fitted) -> list[dict[str, float]]:
    """What each pass of the fit reports, with its number under ``pass``."""
    return [{"pass": number, **told} for number, told in enumerate(aligner.passes_record, aligner.first_number)]


def confusion(judged: Judged) -> dict[str, Any] | None:
    """``classes``, the names, and ``counts``: of the ``linear probe``, and of ``raw features`` beside it.

    None without labels. The true class is in the rows of the counts, a list of lists.
    """
    if not judged.probes:
        return None
    classes = judged.probes["linear probe"].classes
    return {
        "classes": _class_names(judged.datamodule, classes),
        "counts": {title: result.confusion.tolist() for title, result in judged.probes.items()},
    }


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


def _similarity(judged: Judged, n_pairs: int) -> Figure:
    pairs = judged.pairs
    rows = _chosen(pairs, n_pairs)
    similarity = judged.scored.of_items(rows, _first_y(pairs, rows))
    return matrix_plots.similarity_matrix(similarity, *judged.names)


def _sheet(judged: Judged, n_items: int) -> Figure:
    pairs, datamodule, (x_name, y_name) = judged.pairs, judged.datamodule, judged.names
    rows = _chosen(pairs, n_items)
    scored = judged.scored
    best = top_matches(scored.x[rows], scored.y, CAPTIONS_SHOWN, judged.block_size, scored.scorer)
    shown = [datamodule.describe_x("test", row) for row in rows.tolist()]
    true = [
        [datamodule.describe_y("test", j) for j in (pairs.y_group == pairs.group[row]).nonzero()[:, 0].tolist()]
        for row in rows.tolist()
    ]
    captions = [[datamodule.describe_y("test", j) for j in js] for js in best.tolist()]
    return sheet_plots.retrieval_sheet(
        images=[item if isinstance(item, Image.Image) else None for item in shown],
        captions=captions,
        right=[[text in mine for text in texts] for texts, mine in zip(captions, true, strict=True)],
        true=[mine[0] for mine in true],
        names=[item if isinstance(item, str) else datamodule.name_x("test", row)
               for item, row in zip(shown, rows.tolist(), strict=True)],
        title=f"Test {x_name}s and their nearest {y_name}s",
    )  # fmt: skip


def _map(judged: Judged, n_items: int) -> Figure:
    pairs, (x_name, y_name) = judged.pairs, judged.names
    rows = _chosen(pairs, n_items)
    of_x, of_y = embedding_plots.t_sne(judged.x[rows], judged.y[_first_y(pairs, rows)], seed=0)
    classes, labels = None, torch.empty(0, dtype=torch.int64)
    if pairs.label is not None:
        labels, classes = torch.unique(pairs.label[rows], return_inverse=True)
    partners = torch.arange(len(rows))[:, None].expand(-1, 2)
    return embedding_plots.embedding_map(
        of_x, of_y, classes, classes, partners, _class_names(judged.datamodule, labels), (x_name, y_name),
        f"t-SNE of {len(rows)} test {x_name}s and {y_name}s",
    )  # fmt: skip


def _class_map(judged: Judged, n_items: int) -> Figure:
    """x alone: where both sides are views of one image, its clean form."""
    pairs = judged.pairs
    assert pairs.label is not None
    rows = _chosen(pairs, n_items)
    points, _ = embedding_plots.t_sne(judged.x[rows], judged.x[:0], seed=0)
    labels, classes = torch.unique(pairs.label[rows], return_inverse=True)
    title = f"t-SNE of {len(rows)} test {judged.names[0]}s, {judged.x.shape[1]}-d, by class"
    probe = judged.probes.get("linear probe")
    if probe is not None:
        counts = probe.confusion
        title += f"; linear probe {100 * float(counts.diagonal().sum() / counts.sum()):.1f} %"
    return embedding_plots.class_map(points, classes, _class_names(judged.datamodule, labels), title)


def contrastive_weights(
    similarities: list[tuple[int, Tensor]], objective: Objective, datamodule: PairsDataModule
) -> Figure:
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
