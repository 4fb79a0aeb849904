"""The figures of a sweep: which ones its runs have something to show for."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from report.figures.comparison_plots import accuracy_over_passes, metric_bars, metrics_against
from report.figures.loss_plots import loss_over_passes
from report.figures.matrix_plots import Confusion, confusion_matrices
from report.figures.model_plots import models_over_passes
from report.figures.plot_style import name_figure
from report.figures.plots import History
from report.sweep_settings import Run, by_setting, overrides_of, short_names, varied_keys

CURVES = {"class_accuracy": "class accuracy on validation (%)", "mean_recall": "mean recall on validation (%)"}
METRICS = {
    "test/class_accuracy": "class accuracy (%)",
    "test/linear_probe/accuracy": "linear probe (%)",
    "test/mean_recall": "mean recall (%)",
    "time/fit_seconds": "time to fit (s)",
}
"""The metrics that settings are compared by, as far as all runs have them."""
SPLITS = {
    "accuracy_over_passes": "validation split",
    "loss_over_passes": "training split",
    "model_over_passes": "training and validation splits",
}
"""What a figure is of, where it is not the test split."""
LINES, MATRICES = 16, 6
"""Curves or bars, and matrices, that a figure can hold: of more settings it is left out."""


def sweep_figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """Figures by file name. Runs that differ in their seed alone are one setting.

    - ``accuracy_over_passes``: where a run has a history of two passes or more.
    - ``loss_over_passes``: where a run reports the objective of two passes or more, a panel an aligner.
    - ``model_over_passes``: where a run reports the norm of its model of two passes or more, beside the validation of
      all settings.
    - ``against_KEY``: where exactly one number is swept, with a line for each of the other settings.
    - ``by_setting``: bars, where there are several settings and no number is swept.
    - ``confusion_matrices``: of the linear probe, side by side, from the first run of each setting.
    """
    figures = _drawn(runs)
    for name, figure in figures.items():
        split = SPLITS.get(name, "test split")
        name_figure(figure, f"{', '.join(dict.fromkeys(run['name'] for run in runs))}: {split}")
    return figures


def _drawn(runs: Sequence[Run]) -> dict[str, Figure]:
    settings = _named(runs)
    measured = {key: label for key, label in METRICS.items() if all(key in run["metrics"] for run in runs)}
    numbers = [key for key in varied_keys(runs) if all(_is_number(overrides_of(run).get(key, "")) for run in runs)]
    figures: dict[str, Figure] = {}
    if len(settings) <= LINES:
        histories = {name: [_readings(run, "history") for run in each] for name, each in settings.items()}
        records = {name: [_readings(run, "passes") for run in each] for name, each in settings.items()}
        if any(len(history) > 1 for each in histories.values() for history in each):
            figures["accuracy_over_passes"] = accuracy_over_passes(histories, CURVES)
        if panels := _losses(settings, records):
            figures["loss_over_passes"] = loss_over_passes(panels)
        if any(_holds(each, "model_norm") for each in records.values()):
            both = {name: histories[name] + records[name] for name in settings}
            figures["model_over_passes"] = models_over_passes(both, CURVES["mean_recall"])
    if len(numbers) == 1:
        lines = _named(runs, leave_out=numbers[0])
        if len(lines) <= LINES:
            figures[f"against_{numbers[0]}"] = metrics_against(
                {label: {name: _against(each, numbers[0], metric) for name, each in lines.items()}
                 for metric, label in measured.items()},
                numbers[0],
            )  # fmt: skip
    elif not numbers and 1 < len(settings) <= LINES:
        figures["by_setting"] = metric_bars(
            {label: {name: [run["metrics"][metric] for run in each] for name, each in settings.items()}
             for metric, label in measured.items()}
        )  # fmt: skip
    matrices = _confusions(settings)
    if 1 < len(matrices) <= MATRICES:
        figures["confusion_matrices"] = confusion_matrices(matrices)
    return figures


def _readings(run: Run, key: str) -> list[dict[str, float]]:
    """The rows of each pass, with the number of readings of the data, from 1, under ``pass``.

    A solver's first solution is its pass 0, a gradient aligner's first epoch its pass 1: one reading is each.
    """
    first = run.get("first_number", 0)
    return [{**row, "pass": row["pass"] + 1 - first} for row in run.get(key, ())]


def _holds(records: Sequence[History], key: str) -> bool:
    return any(sum(key in row for row in record) > 1 for record in records)


def _losses(
    settings: Mapping[str, Sequence[Run]], records: Mapping[str, Sequence[History]]
) -> dict[str, dict[str, Sequence[History]]]:
    """The records with an objective, by the aligner, and its experiment where there are several."""
    several = len({run["name"] for runs in settings.values() for run in runs}) > 1
    panels: dict[str, dict[str, Sequence[History]]] = {}
    for name, runs in settings.items():
        if _holds(records[name], "objective"):
            title = f"{runs[0]['aligner']} on {runs[0]['name']}" if several else str(runs[0]["aligner"])
            panels.setdefault(title, {})[name] = records[name]
    return panels


def _named(runs: Sequence[Run], leave_out: str | None = None) -> dict[str, list[Run]]:
    settings = by_setting(runs, leave_out)
    return dict(zip(short_names(settings), settings.values(), strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _against(runs: Sequence[Run], key: str, metric: str) -> dict[float, list[float]]:
    points: dict[float, list[float]] = {}
    for run in runs:
        points.setdefault(float(overrides_of(run)[key]), []).append(run["metrics"][metric])
    return points


def _confusions(settings: Mapping[str, Sequence[Run]]) -> list[Confusion]:
    """The linear probe's counts of the first run of each setting, and those of the raw features once.

    Empty where settings have none, or not the same classes.
    """
    kept = {name: runs[0]["confusion"] for name, runs in settings.items() if runs[0].get("confusion")}
    if len({tuple(each["classes"]) for each in kept.values()}) != 1:
        return []
    matrices: list[Confusion] = [(name, each["counts"]["linear probe"], each["classes"]) for name, each in kept.items()]
    first = next(iter(kept.values()))
    if "raw features" in first["counts"]:
        matrices.append(("raw features", first["counts"]["raw features"], first["classes"]))
    return matrices
