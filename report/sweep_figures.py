"""The figures of a sweep: which ones its runs have something to show for."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from report.figures.comparison_plots import accuracy_over_passes, metric_bars, metrics_against
from report.figures.matrix_plots import Confusion, confusion_matrices
from report.sweep_settings import Run, by_setting, overrides_of, short_names, varied_keys

CURVES = {"class_accuracy": "class accuracy on validation (%)", "mean_recall": "mean recall on validation (%)"}
METRICS = {
    "test/class_accuracy": "class accuracy (%)",
    "test/linear_probe/accuracy": "linear probe (%)",
    "test/mean_recall": "mean recall (%)",
    "time/fit_seconds": "time to fit (s)",
}
"""The metrics that settings are compared by, as far as all runs have them."""
LINES, MATRICES = 16, 6
"""Curves or bars, and matrices, that a figure can hold: of more settings it is left out."""


def sweep_figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """Figures by file name. Runs that differ in their seed alone are one setting.

    - ``accuracy_over_passes``: where a run has a history of two passes or more.
    - ``against_KEY``: where exactly one number is swept, with a line for each of the other settings.
    - ``by_setting``: bars, where there are several settings and no number is swept.
    - ``confusion_matrices``: of the linear probe, side by side, from the first run of each setting.
    """
    settings = _named(runs)
    measured = {key: label for key, label in METRICS.items() if all(key in run["metrics"] for run in runs)}
    numbers = [key for key in varied_keys(runs) if all(_is_number(overrides_of(run).get(key, "")) for run in runs)]
    figures: dict[str, Figure] = {}
    if len(settings) <= LINES and any(len(run.get("history", ())) > 1 for run in runs):
        histories = {name: [run.get("history", ()) for run in each] for name, each in settings.items()}
        figures["accuracy_over_passes"] = accuracy_over_passes(histories, CURVES)
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
