"""The figures of ``docs/synthetic.md``, after the subjects of UniCon's Figures 2, 3 and C1."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.runs import Outcome
from benchmarks.synthetic.measured import Fit
from benchmarks.synthetic.rows import DATA, LINEAR, PASSES, PRINTED
from benchmarks.synthetic.tables import Runs
from report.figures.comparison_plots import accuracy_over_passes
from report.figures.embedding_plots import embedding_map, t_sne
from report.figures.plot_style import name_figure
from report.pictures import contrastive_weights

AXES = {"class": "class accuracy on validation (%)", "r1": "R@1 on validation (%)"}
WEIGHTS = {
    "tau 1, as printed": "weights_tau1",
    "tau 0.1, as printed": "weights_tau0.1_printed",
    "tau 0.1, tangent, eta 0.1, safeguarded": "weights_tau0.1",
}
"""The rows whose weights over the passes are drawn, on linear data, and the name of the figure."""


def figures(runs: Runs, fits: Mapping[tuple[str, str, str], Fit]) -> dict[str, Figure]:
    """Figures by file name, as far as their groups were run; ``fits`` are the first seed's, by group, data and row."""
    made = {}
    if PRINTED.title in runs:
        sgd = {
            label: [each["history"] for each in seeds]
            for of in runs[PRINTED.title].values()
            for label, seeds in of.items()
            if "SGD" in label and any(each["history"] for each in seeds)
        }
        if sgd:
            made["sgd_accuracy"] = _over_passes(sgd, "Gradient descent as printed, over its epochs")
    if PASSES.title in runs:
        for data in DATA:
            settings = {label: [each["history"] for each in seeds] for label, seeds in runs[PASSES.title][data].items()}
            made[f"accuracy_over_passes_{data}"] = _over_passes(settings, f"UniCon over its passes, {data} data")
    for (group, data, label), (_, outcome, watch) in fits.items():
        if group == PRINTED.title and label.startswith("UniCon, ") and f"embedding_map_{data}" not in made:
            assert outcome is not None
            made[f"embedding_map_{data}"] = _map(outcome, data, label)
        elif group == PASSES.title and data == LINEAR and label in WEIGHTS:
            assert outcome is not None
            assert watch is not None
            assert watch.objective is not None
            figure = contrastive_weights(watch.similarities, watch.objective, outcome.judged.datamodule)
            name_figure(figure, f"{data} data, seed 0, validation split, {label}")
            made[WEIGHTS[label]] = figure
    return made


def _over_passes(settings: Mapping[str, Sequence[Any]], title: str) -> Figure:
    figure = accuracy_over_passes(settings, AXES)
    figure.suptitle(title, fontsize=12)
    return figure


def _map(outcome: Outcome, data: str, label: str) -> Figure:
    """Partners are joined; a class is a centre."""
    test = outcome.test
    assert test.label is not None
    n = test.n_x
    partners = torch.arange(n)[:, None].expand(-1, 2)
    names = outcome.judged.datamodule.label_names
    assert names is not None
    return embedding_map(
        *t_sne(*outcome.embeddings, seed=0), test.label, test.label[test.x_of_y], partners, names,
        ("modality x", "modality y"), f"t-SNE of {n} test pairs, {data} data\n{label}",
    )  # fmt: skip
