"""Which figures a sweep has, and what they hold."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from report.sweep_figures import LINES, MATRICES, sweep_figures
from report.sweep_settings import by_setting, short_names, varied_keys
from tests.report.drawing import draw

COUNTS = [[3, 1], [0, 2]]


def run(aligner: str, recall: float, *overrides: str, name: str = "clipart", **more: Any) -> dict[str, Any]:
    metrics = {"test/mean_recall": recall, "time/fit_seconds": recall / 10}
    return {"name": name, "aligner": aligner, "overrides": list(overrides), "metrics": metrics, **more}


def lines(figure: Figure, panel: int) -> dict[str, list[list[float]]]:
    return {str(each.get_label()): each.get_xydata().tolist() for each in figure.axes[panel].lines}


def test_settings_pool_seeds_and_tell_what_differs() -> None:
    runs = [
        run("cca", 1.0, f"aligner.lam={lam}", f"seed={seed}", "threads=1", f"run_dir={lam}{seed}")
        for lam in (1, 2)
        for seed in (0, 1)
    ]
    assert varied_keys(runs) == ["aligner.lam"]
    assert {key: len(each) for key, each in by_setting(runs).items()} == {
        ("clipart", "cca", "aligner.lam=1"): 2,
        ("clipart", "cca", "aligner.lam=2"): 2,
    }
    assert {key: len(each) for key, each in by_setting(runs, leave_out="aligner.lam").items()} == {
        ("clipart", "cca"): 4
    }


def test_a_key_that_only_some_runs_have_differs() -> None:
    runs = [run("cca", 1.0), run("cca", 2.0, "aligner.tags=[a=b]")]
    assert list(by_setting(runs)) == [("clipart", "cca"), ("clipart", "cca", "aligner.tags=[a=b]")]


def test_short_names_tell_what_differs() -> None:
    assert short_names([("clipart", "cca")]) == ["cca"]
    assert short_names([("clipart", "cca"), ("clipart", "pls")]) == ["cca", "pls"]
    assert short_names([("a", "cca"), ("b", "cca")]) == ["a", "b"]
    assert short_names([("a", "cca", "aligner.tau=1", "b.c=x=y"), ("a", "cca", "aligner.tau=2", "b.c=x=y")]) == [
        "tau=1 c=x=y",
        "tau=2 c=x=y",
    ]
    assert short_names([("a", "cca", "b.tau=1"), ("a", "cca", "c.tau=1")]) == ["a cca b.tau=1", "a cca c.tau=1"]


def test_one_number_swept_is_an_axis() -> None:
    runs = [
        run(aligner, base + size + seed, f"aligner={aligner}", f"datamodule.batch_size={size}", f"seed={seed}")
        for aligner, base in (("sum", 0.0), ("vote", 1000.0))
        for size in (100, 20)
        for seed in (0, 2)
    ]
    figures = sweep_figures(runs)
    assert set(figures) == {"against_datamodule.batch_size"}
    figure = figures["against_datamodule.batch_size"]
    assert "datamodule.batch_size" in draw(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == ["mean recall (%)", "time to fit (s)"]
    assert lines(figure, 0) == {"sum": [[20, 21], [100, 101]], "vote": [[20, 1021], [100, 1101]]}


def test_a_swept_number_beside_another_setting_has_lines_of_it() -> None:
    runs = [run("b", 1.0, f"n={n}", f"rule={rule}") for n in (1, 2) for rule in ("x", "y")]
    assert set(lines(sweep_figures(runs)["against_n"], 0)) == {"rule=x", "rule=y"}


def test_words_swept_are_bars() -> None:
    runs = [run("b", recall, f"rule={rule}", f"seed={seed}") for rule, seed, recall in
            (("x", 0, 1.0), ("x", 1, 3.0), ("y", 0, 5.0))]  # fmt: skip
    figures = sweep_figures(runs)
    assert set(figures) == {"by_setting"}
    draw(figures["by_setting"])
    assert [bar.get_width() for bar in figures["by_setting"].axes[0].patches] == [2.0, 5.0]


@pytest.mark.parametrize(
    "runs",
    [
        [run("cca", 1.0)],
        [run("cca", 1.0, f"seed={seed}") for seed in range(3)],
        [run("cca", 1.0, f"lam={a}", f"tau={b}") for a in (1, 2) for b in (1, 2)],
        [run("cca", 1.0, f"rule={i}x") for i in range(LINES + 1)],
    ],
    ids=["one run", "seeds alone", "two numbers", "too many"],
)
def test_sweeps_without_a_figure(runs: list[dict[str, Any]]) -> None:
    assert sweep_figures(runs) == {}


def test_experiments_are_told_apart() -> None:
    runs = [run("cca", 1.0), run("cca", 2.0, name="features")]
    assert {"clipart", "features"} <= set(draw(sweep_figures(runs)["by_setting"]))


def test_a_metric_that_one_run_lacks_has_no_panel() -> None:
    runs = [run("cca", 1.0), run("pls", 2.0)]
    runs[0]["metrics"]["test/class_accuracy"] = 50.0
    assert len(sweep_figures(runs)["by_setting"].axes) == 2
    runs[1]["metrics"]["test/class_accuracy"] = 60.0
    labels = [axes.get_xlabel() for axes in sweep_figures(runs)["by_setting"].axes]
    assert labels == ["class accuracy (%)", "mean recall (%)", "time to fit (s)"]


def test_histories_are_curves_of_the_mean_over_seeds() -> None:
    def history(*recalls: float) -> list[dict[str, float]]:
        return [{"pass": i, "mean_recall": recall} for i, recall in enumerate(recalls)]

    runs = [
        run("a", 1.0, "aligner=a", "seed=0", history=history(10.0, 20.0)),
        run("a", 1.0, "aligner=a", "seed=1", history=history(20.0, 40.0)),
        run("b", 1.0, "aligner=b", "seed=0", history=history(5.0)),
        run("c", 1.0, "aligner=c", "seed=0"),
    ]
    figure = sweep_figures(runs)["accuracy_over_passes"]
    draw(figure)
    assert lines(figure, 0) == {"a": [[1, 15], [2, 30]], "b": [[1, 5]]}
    assert "accuracy_over_passes" not in sweep_figures(runs[2:])


def test_a_solvers_first_solution_and_an_epoch_are_one_reading_each() -> None:
    runs = [
        run("unicon", 1.0, "aligner=unicon", first_number=0, passes=[{"pass": 0, "objective": 3.0}],
            history=[{"pass": 0, "mean_recall": 10.0}, {"pass": 1, "mean_recall": 20.0}]),
        run("sgd", 1.0, "aligner=sgd", first_number=1, passes=[{"pass": 1, "objective": 2.0}],
            history=[{"pass": 1, "mean_recall": 5.0}, {"pass": 2, "mean_recall": 6.0}]),
    ]  # fmt: skip
    figures = sweep_figures(runs)
    assert lines(figures["accuracy_over_passes"], 0) == {"unicon": [[1, 10], [2, 20]], "sgd": [[1, 5], [2, 6]]}
    assert not {"loss_over_passes", "model_over_passes"} & set(figures)  # of one pass each there is no curve


def test_losses_have_a_panel_an_aligner_and_models_stand_beside_the_validation_of_all() -> None:
    def passes(first: int, **values: list[float]) -> list[dict[str, float]]:
        rows = zip(*values.values(), strict=True)
        return [{"pass": i, **dict(zip(values, row, strict=True))} for i, row in enumerate(rows, first)]

    def solved(largest_angle_y: float) -> list[dict[str, float]]:
        first, *rest = passes(0, objective=[3.0, 2.0], model_norm=[0.5, 1.0])
        return [first, *({**row, "largest_angle_x": 4.0, "largest_angle_y": largest_angle_y} for row in rest)]

    history = [{"pass": 1, "mean_recall": 5.0}, {"pass": 2, "mean_recall": 7.0}]
    runs = [
        run("unicon", 1.0, "aligner=unicon", "seed=0", first_number=0, passes=solved(1.0)),
        run("unicon", 1.0, "aligner=unicon", "seed=1", first_number=0, passes=solved(8.0)),
        *(
            run("sgd", 1.0, "aligner=sgd", f"aligner.lr={lr}", first_number=1, history=history,
                passes=passes(1, objective=[5.0, 4.0 + lr]))
            for lr in (1, 2)
        ),
        run("cca", 1.0, "aligner=cca", first_number=0),
    ]  # fmt: skip
    figures = sweep_figures(runs)
    losses = figures["loss_over_passes"]
    assert {"unicon", "sgd", "mean and 95 % interval over 1 to 2 seeds; clipart: training split"} <= set(draw(losses))
    assert lines(losses, 0) == {"unicon": [[1, 3], [2, 2]]}
    assert lines(losses, 1) == {"sgd lr=1": [[1, 5], [2, 5]], "sgd lr=2": [[1, 5], [2, 6]]}
    models = figures["model_over_passes"]
    texts = draw(models)
    assert {"norm of the model", "unicon", "sgd lr=1"} <= set(texts)
    told = "mean and 95 % interval over 1 to 2 seeds; clipart: training and validation splits"
    assert models.get_supxlabel() == told
    assert lines(models, 0) == {"unicon": [[1, 0.5], [2, 1]]}
    assert lines(models, 1) == {"unicon": [[2, 6]]}  # the mean of 4, the larger of 4 and 1, and of 8
    assert lines(models, 2) == {"sgd lr=1": [[1, 5], [2, 7]], "sgd lr=2": [[1, 5], [2, 7]]}


def confused(aligner: str, **more: Any) -> dict[str, Any]:
    confusion = {"classes": ["a", "b"], "counts": {"linear probe": COUNTS, "raw features": [[1, 0], [0, 1]]}}
    return run(aligner, 1.0, f"aligner={aligner}", confusion=confusion | more)


def test_confusion_matrices_stand_side_by_side_with_the_raw_features_once() -> None:
    figure = sweep_figures([confused("unicon"), confused("sgd")])["confusion_matrices"]
    texts = draw(figure)
    for title in ("unicon, accuracy 83.3 %", "sgd, accuracy 83.3 %", "raw features, accuracy 100.0 %"):
        assert texts.count(title) == 1


def test_confusion_matrices_need_the_same_classes_and_room() -> None:
    assert "confusion_matrices" not in sweep_figures([confused("unicon"), confused("sgd", classes=["a", "c"])])
    assert "confusion_matrices" not in sweep_figures([confused(str(i) + "x") for i in range(MATRICES)])
    assert "confusion_matrices" not in sweep_figures([run("cca", 1.0), run("pls", 1.0, confusion=None)])
