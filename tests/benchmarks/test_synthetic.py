"""The tables and figures of the latent-factor experiments, on tiny data."""

import json
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from benchmarks.runs import composed
from benchmarks.synthetic import __main__ as synthetic
from benchmarks.synthetic import figures, tables
from benchmarks.synthetic.measured import measured
from benchmarks.synthetic.rows import FAIR, GROUPS, KERNELS, LINEAR, NONLINEAR, PASSES, PRINTED, Group, Row
from ground.errors import UserError

TINY = [*synthetic.LESS, *synthetic.QUICK]
PAPER = "experiment=synthetic_linear_paper"


def test_one_command_prints_the_tables_and_draws_the_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "GRADIENT", {"aligner.optimizer.lr": [3e-3, 1e-2]})
    monkeypatch.setattr(synthetic, "CLOSED_FORM", {})
    monkeypatch.setattr(synthetic, "GROUPS", tuple(map(some, GROUPS)))
    synthetic.main(["--quick", "--seeds", "2"])
    shown = capsys.readouterr().out
    for title in (*(group.title for group in GROUPS), "Departure of the weights", "Settings chosen on validation"):
        assert f"## {title}\n\n| " in shown
    assert "| linear | UniCon, 2 passes | 100 %, 0.02 s | " in shown
    names = {"sgd_accuracy", "weights_tau1", *(f"{kind}_{data}" for data in (LINEAR, NONLINEAR)
             for kind in ("embedding_map", "accuracy_over_passes"))}  # fmt: skip
    assert {path.stem for path in Path("docs/figures").iterdir()} == names
    assert all(imread(path).std() > 0.01 for path in Path("docs/figures").iterdir())
    (path,) = Path("outputs/benchmarks/synthetic").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    climbed = record["tuned"][LINEAR]["SGD-CLIP"]
    assert climbed["score"] == max(climbed["tried"].values())
    seeds = record["runs"]["As printed"][LINEAR]["UniCon, 2 passes"]
    assert len(seeds) == 2
    assert seeds[0]["history"] != seeds[1]["history"]  # each seed draws new data


def some(group: Group) -> Group:
    """One row a data set; of what is printed and what is fair one of gradient descent beside it."""
    kept = {PRINTED.title: ("UniCon, 2 passes", "UniCon, linear, all pairs", "SGD-CLIP, 400 epochs"),
            FAIR.title: ("SGD-CLIP", "PLS-SVD")}  # fmt: skip
    return group._replace(
        rows={
            data: (experiment, tuple(row for row in rows if row.label in kept.get(group.title, (rows[0].label,))))
            for data, (experiment, rows) in group.rows.items()
        }
    )


@pytest.mark.parametrize("aligner", ["unicon_paper", "unicon_batches_paper", "sgd_clip_paper"])
def test_the_bare_mathematics_is_timed_beside_the_fit_and_changes_nothing(aligner: str) -> None:
    config = composed(aligner, "synthetic", [PAPER, *TINY])
    alone = measured(config, watched=False, timed=False).numbers
    timed = measured(config, watched=False, timed=True).numbers
    assert timed.pop("bare_seconds") > 0
    for numbers in (alone, timed):
        assert numbers.pop("cpu_seconds") > 0
    assert alone == timed


def test_the_weights_depart_from_uniform_as_the_cosines_say() -> None:
    fit = measured(composed("unicon_paper", "synthetic", [PAPER, *TINY]), watched=True, timed=False)
    assert fit.outcome is not None
    assert fit.watch is not None
    assert fit.watch.objective is not None
    train = fit.outcome.judged.datamodule.splits["train"][torch.arange(60)]
    aligner = fit.outcome.aligner
    x, y = (torch.nn.functional.normalize(rows) for rows in (aligner.encode_x(train.x), aligner.encode_y(train.y)))
    s = (x @ y.T).double()
    S = torch.eye(60).double() - (s.softmax(0) + s.softmax(1)) / 2  # of CLIP at temperature 1, but for the scale
    uniform = torch.eye(60).double() - 1 / 60
    assert fit.numbers["departures"][-1]["pass"] == 1
    assert fit.numbers["departures"][-1]["matrix"] == pytest.approx(
        100 * float((S - uniform).norm() / uniform.norm()), rel=1e-3
    )
    assert [number for number, _ in fit.watch.similarities] == [0, 1]


def test_tables_have_means_with_intervals_and_leave_out_what_was_not_run() -> None:
    def seed(r1: float) -> dict[str, float]:
        return {"r1": r1, "class": 100.0}

    runs = {FAIR.title: {LINEAR: {"UniCon, linear": [seed(80.0), seed(90.0)], "PLS-SVD": [seed(95.0), seed(95.0)]}}}
    made = tables.tables(runs, {})
    assert list(made) == [FAIR.title]
    lines = made[FAIR.title].splitlines()
    # of two values the interval is t(0.975, 1) = 12.706 times their half difference
    assert lines[2:] == [
        "| PLS-SVD | 95.0 ± 0.0 | 100.0 ± 0.0 |  |  |",
        "| UniCon, linear | 85.0 ± 63.5 | 100.0 ± 0.0 |  |  |",
    ]


def test_a_fit_that_ended_stays_where_it_is() -> None:
    row = PASSES.rows[LINEAR][1][0].label
    seed = {"history": [{"pass": n, "r1": 10.0 * n, "class": 50.0 + n} for n in range(4)], "departures": [
        {"pass": n, "matrix": float(n), "negatives": 2.0 * n} for n in range(4)]}  # fmt: skip
    made = tables.tables({PASSES.title: {LINEAR: {row: [seed]}}}, {})
    shown = "0.0 / 50.0 | 10.0 / 51.0 | 20.0 / 52.0 | 30.0 / 53.0 | 30.0 / 53.0 | 30.0 / 53.0 |"
    assert made[PASSES.title].splitlines()[2].endswith(shown)
    assert made["Departure of the weights"].splitlines()[3].endswith("0.0 | 2.0 | 4.0 | 6.0 | 6.0 | 6.0 |")


def test_some_tables_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "GROUPS", tuple(map(some, GROUPS)))
    synthetic.main(["--quick", "--seeds", "1", "--only", "kernels"])
    assert [line for line in capsys.readouterr().out.splitlines() if "##" in line] == [f"## {KERNELS.title}"]
    with pytest.raises(UserError, match="invalid choice: 'kernel'"):
        synthetic.main(["--only", "kernel"])


def test_every_row_is_an_experiment_that_composes() -> None:
    for group in GROUPS:
        for data, (experiment, rows) in group.rows.items():
            for row in rows:
                config = composed(row.aligner, "synthetic", [*experiment, *row.overrides, "seed=3"])
                assert config.datamodule.data_seed == 3
                assert config.datamodule.nonlinearity == ("none" if data == LINEAR else "tanh")
                assert config.aligner.rank == 10


def test_each_row_is_tuned_on_axes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "climb", lambda axes, config, score: {"axes": axes})
    experiment, rows = FAIR.rows[NONLINEAR]
    tuned = {row.label: synthetic.settings_of(row, [*experiment, *row.overrides])["axes"] for row in rows if row.tuned}
    assert tuned["regularised CCA"] == synthetic.CLOSED_FORM
    assert list(tuned["PLS-SVD"]) == ["aligner.weight_power"]
    for label in ("SGD-CLIP", "SGD-SigLIP", "triplet", "SGD-CLIP, MLP heads"):
        assert tuned[label] == synthetic.GRADIENT


def test_labels_tell_rows_apart_and_drawn_ones_are_there() -> None:
    for group in GROUPS:
        for _, rows in group.rows.values():
            assert len({row.label for row in rows}) == len(rows)
    assert set(figures.WEIGHTS) <= {row.label for row in PASSES.rows[LINEAR][1]}
    assert Row("a", "cca") != Row("b", "cca")
