"""train.py: what a run and a sweep leave behind and say."""

import csv
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

import train
from running.directory import RunDirectory
from tests.cli import GRADIENT, SMALL, call, metrics_of, process, small, without_cost

FIGURES = {
    "confusion_matrix",
    "geometry_over_kappa",
    "model_over_passes",
    "objective_over_passes",
    "recall_over_passes",
    "similarity_matrix",
    "singular_values",
}
ALIGNERS = ["unicon", "unicon_paper", "sgd_clip", "sgd_siglip", "triplet", "cca", "pls"]


def test_run_leaves_exactly_its_files(one_run: Path) -> None:
    files = {str(path.relative_to(one_run)) for path in one_run.rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "metrics.json", "ranks.safetensors", "train.log", "checkpoints/last.ckpt", "csv/metrics.csv",
        *(f"figures/{name}.png" for name in FIGURES),
    }  # fmt: skip
    for name in FIGURES:
        assert (one_run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_are_flat_and_complete(one_run: Path) -> None:
    metrics = metrics_of(one_run)
    assert all(isinstance(value, int | float | str) for value in metrics.values())
    for way in ("x_to_y", "y_to_x"):
        rates = [metrics[f"test/{way}/R@{k}"] for k in (1, 5, 10)]
        assert 0 <= rates[0] <= rates[1] <= rates[2] <= 100
        assert metrics[f"test/{way}/median_rank"] >= 1
        assert 0 < metrics[f"test/{way}/mrr"] <= 100
    recalls = [metrics[f"test/{way}/R@{k}"] for way in ("x_to_y", "y_to_x") for k in (1, 5, 10)]
    assert metrics["test/mean_recall"] == pytest.approx(sum(recalls) / 6)
    assert 0 <= metrics["test/linear_probe/accuracy"] <= 100
    assert metrics["time/fit_seconds"] > 0
    assert metrics["time/feature_seconds"] == 0
    assert metrics["memory/peak_rss_mb"] > 100
    assert metrics["fit/passes"] == 2
    assert metrics["protocol/rank"] == 8
    assert (metrics["protocol/train_x"], metrics["protocol/test_y"]) == (60, 20)
    assert metrics["protocol/dataset"] == "synthetic, none"


def test_config_is_complete_and_gives_the_same_run_again(one_run: Path, tmp_path: Path) -> None:
    text = (one_run / "config.yaml").read_text(encoding="utf-8")
    assert "${" not in text
    assert "???" not in text
    config = OmegaConf.create(text)
    assert config.run_dir == str(one_run)
    assert config.aligner._target_ == "aligners.unicon.UniConSpectral"
    config.run_dir = config.logger.csv.save_dir = str(tmp_path / "again")
    train.run(config)
    torch.use_deterministic_algorithms(False)
    assert without_cost(metrics_of(tmp_path / "again")) == without_cost(metrics_of(one_run))


def test_checkpoint_loads_without_code_and_encodes_as_the_run_did(one_run: Path) -> None:
    path = one_run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["hyper_parameters"]["rank"] == 8
    config = OmegaConf.load(one_run / "config.yaml")
    aligner = get_class(config.aligner._target_).load_from_checkpoint(path, weights_only=True)
    x = torch.randn(5, config.datamodule.d_x, generator=torch.Generator().manual_seed(0))
    assert aligner.encode_x(x).shape == (5, 8)
    assert aligner.encode_x(x).abs().max() > 0


def test_csv_has_a_row_of_every_pass(one_run: Path) -> None:
    with (one_run / "csv" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows if row["val/mean_recall"]] == [0, 1, 2]
    assert [int(row["epoch"]) for row in rows if row["fit/objective"]] == [0, 1, 2]
    assert sum(1 for row in rows if row["test/mean_recall"]) == 1


def test_log_tells_the_start_and_the_result(one_run: Path) -> None:
    lines = (one_run / "train.log").read_text(encoding="utf-8").splitlines()
    assert "unicon on synthetic, seed 0" in lines[0]
    assert f"torch {torch.__version__}" in lines[1]
    assert f"mean recall {metrics_of(one_run)['test/mean_recall']:.2f}" in lines[-1]
    assert " in 2 passes" in lines[-1]


def test_default_run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert small("aligner=pls", "seed=3") == 0
    (run_dir,) = (tmp_path / "outputs" / "synthetic" / "pls" / "seed3").iterdir()
    time.strptime(run_dir.name, "%Y-%m-%d_%H-%M-%S")
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    out = capsys.readouterr().out
    assert "x to y" in out
    assert f"run directory: {run_dir.relative_to(tmp_path)}" in out


@pytest.mark.parametrize(
    "aligner",
    [("aligner=unicon", "aligner.passes=1", "aligner.landmarks=16"), GRADIENT],
    ids=["spectral", "gradient"],
)
def test_a_seed_gives_one_result(aligner: tuple[str, ...], tmp_path: Path) -> None:
    for run in ("a", "b"):
        assert small(*aligner, "seed=7", f"run_dir={tmp_path / run}") == 0
    assert without_cost(metrics_of(tmp_path / "a")) == without_cost(metrics_of(tmp_path / "b"))


def test_another_seed_gives_another_result(tmp_path: Path) -> None:
    for seed in (0, 1):
        assert small(*GRADIENT, f"seed={seed}", f"run_dir={tmp_path / str(seed)}") == 0
    assert metrics_of(tmp_path / "0")["test/mean_recall"] != metrics_of(tmp_path / "1")["test/mean_recall"]


def test_former_runs_are_kept_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    for aligner in ("cca", "pls", "unicon_paper"):
        assert small(f"aligner={aligner}", f"run_dir={run_dir}") == 0
    assert f"it is now {run_dir}.2" in capsys.readouterr().err
    names = {
        suffix: OmegaConf.load(tmp_path / f"run{suffix}" / "config.yaml").aligner_name for suffix in ("", ".1", ".2")
    }
    assert names == {"": "unicon_paper", ".1": "cca", ".2": "pls"}
    assert all((tmp_path / f"run{suffix}" / "metrics.json").is_file() for suffix in names)


# sweeps


def rows_of_table(out: str) -> list[list[str]]:
    table = out[out.rindex("test split, rates in percent") :]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if "│" in line]


def test_sweep_of_all_aligners_ends_with_a_sorted_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert small("-m", f"aligner={','.join(ALIGNERS)}", "trainer.max_epochs=2") == 0
    rows = rows_of_table(capsys.readouterr().out)
    assert sorted(row[0] for row in rows) == sorted(ALIGNERS)
    recalls = [float(row[1]) for row in rows]
    assert recalls == sorted(recalls, reverse=True)
    (file,) = (tmp_path / "outputs" / "sweeps").rglob("sweep.json")
    runs = json.loads(file.read_text(encoding="utf-8"))
    assert [run["aligner"] for run in runs] == ALIGNERS
    for run in runs:
        assert metrics_of(tmp_path / run["run_dir"]) == run["metrics"]
        assert run["run_dir"].startswith(f"outputs/synthetic/{run['aligner']}/seed0/")


def test_runs_of_a_sweep_never_share_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = [f"hydra.sweep.dir={tmp_path / 'sweep'}", f"run_dir={tmp_path / 'run'}"]
    assert small("-m", "aligner.lam=0.1,1.0", "seed=0,1", *sweep) == 0
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert [Path(run["run_dir"]).name for run in runs] == ["run", "run_1", "run_2", "run_3"]
    for run, (lam, seed) in zip(runs, [(0.1, 0), (0.1, 1), (1.0, 0), (1.0, 1)], strict=True):
        config = OmegaConf.load(Path(run["run_dir"]) / "config.yaml")
        assert (config.aligner.lam, config.seed, config.run_dir) == (lam, seed, run["run_dir"])
        assert config.logger.csv.save_dir == run["run_dir"]
        assert metrics_of(Path(run["run_dir"])) == run["metrics"]
    # settings stand in rows of their own, seeds in an interval
    rows = rows_of_table(capsys.readouterr().out)
    assert sorted(row[0] for row in rows) == ["cca aligner.lam=0.1", "cca aligner.lam=1.0"]
    assert all("±" in row[1] and row[-1] == "2" for row in rows)


def test_sweep_goes_on_after_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = [f"hydra.sweep.dir={tmp_path / 'sweep'}", f"run_dir={tmp_path / 'run'}"]
    assert small("-m", "aligner.rank=31,8", *sweep) == 2
    told = capsys.readouterr()
    assert len(rows_of_table(told.out)) == 1
    assert told.err.splitlines()[-1].startswith("error: cca on synthetic, run 0: rank 31 is above")
    assert "Traceback" not in told.err

    def broken_once(*_: Any) -> dict[str, Any]:
        monkeypatch.undo()
        raise RuntimeError("a bug")

    monkeypatch.setattr(RunDirectory, "write", broken_once)
    assert small("-m", "aligner=pls,cca", *sweep) == 1
    told = capsys.readouterr()
    assert [row[0] for row in rows_of_table(told.out)] == ["cca"]
    assert "Traceback" in told.err
    assert "error: pls on synthetic, run 0: RuntimeError('a bug')" in told.err
    assert (tmp_path / "sweep" / "sweep.json.1").is_file()  # the table of the former sweep


# loggers


def test_tensorboard_has_scalars_of_every_pass_figures_and_the_config(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert small("aligner=unicon_paper", "logger=tensorboard", f"run_dir={tmp_path / 'run'}") == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert len(events.Scalars("val/mean_recall")) == 3
    steps = [event.step for event in events.Scalars("fit/objective")]
    assert steps == sorted(set(steps))
    assert len(steps) == 3
    metrics = metrics_of(tmp_path / "run")
    assert events.Scalars("test/mean_recall")[0].value == pytest.approx(metrics["test/mean_recall"])
    assert set(events.Tags()["images"]) == {f"figures/{name}" for name in FIGURES}
    kept = OmegaConf.load(tmp_path / "run" / "tensorboard" / "hparams.yaml")
    assert kept.aligner.rank == 8


def test_wandb_offline_sweep_keeps_each_run(tmp_path: Path) -> None:
    ended = process(
        "-m", *SMALL, "aligner=unicon_paper,sgd_clip", "trainer.max_epochs=3", "logger=wandb", "tags=[trial]",
        "run_dir=run", "hydra.sweep.dir=sweep", cwd=tmp_path, WANDB_MODE="offline", WANDB_SILENT="true",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    for run_dir, aligner in (("run", "unicon_paper"), ("run_1", "sgd_clip")):
        (folder,) = (tmp_path / run_dir / "wandb").glob("offline-run-*")
        (record,) = folder.glob("*.wandb")
        content = record.read_bytes()
        said = ["unicon-align", f"{aligner} seed0", "synthetic", "trial", "val/mean_recall", "test/mean_recall"]
        said += ["aligner_name", "datamodule", "latent_dim", "trainer/global_step", "time/fit_seconds"]
        for text in [
            *said,
            f"result-{folder.name.rpartition('-')[2]}",
            "ranks.safetensors",
            "csv/metrics.csv",
            "metrics.json",
            "config.yaml",
        ]:
            assert text.encode() in content, text
        images = {path.name.rsplit("_", 2)[0] for path in (folder / "files/media/images/figures").iterdir()}
        assert images == FIGURES - (set() if run_dir == "run" else {"singular_values", "model_over_passes"})
        (table,) = (folder / "files/media/table/test").iterdir()
        told = json.loads(table.read_text(encoding="utf-8"))
        assert told["columns"][:2] == ["direction", "R@1"]
        assert told["data"][0][1] == metrics_of(tmp_path / run_dir)["test/x_to_y/R@1"]


def test_wandb_disabled_writes_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert small("logger=wandb", f"run_dir={tmp_path / 'run'}") == 0
    assert not list((tmp_path / "run").rglob("*.wandb"))
    assert (tmp_path / "run" / "csv" / "metrics.csv").is_file()


# help


def test_help_and_config_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("--help") == 0
    told = capsys.readouterr().out
    for text in ("aligner: asif", "datamodule: ", "python train.py aligner=", "-m", "max_epochs: "):
        assert text in told
    assert call(*SMALL, "--cfg", "job") == 0
    assert "_target_: aligners.closed_form.CCA" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_cli_leaves_no_handlers() -> None:
    before = list(logging.getLogger().handlers)
    assert call("aligner=unicorn") == 2
    assert logging.getLogger().handlers == before
