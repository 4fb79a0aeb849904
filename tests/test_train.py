"""train.py: what a run and a sweep leave behind, what they say, and how they end."""

import csv
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor

import train
from tests.cli import SMALL, TRAIN, call, process, small

FIGURES = {"confusion_matrix", "recall_over_passes", "retrieval_sheet", "similarity_matrix", "singular_values"}
ALIGNERS = ["unicon", "unicon_paper", "sgd_clip", "sgd_siglip", "triplet", "cca", "pls"]


def metrics_of(run_dir: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def without_cost(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if not k.startswith(("time/", "memory/"))}


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three passes."""
    run_dir = tmp_path_factory.mktemp("one") / "run"
    assert small("aligner=unicon", "aligner.feature_map=identity", "aligner.passes=2", f"run_dir={run_dir}") == 0
    return run_dir


def test_run_leaves_exactly_its_files(one_run: Path) -> None:
    files = {str(path.relative_to(one_run)) for path in one_run.rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "metrics.json", "train.log", "checkpoints/last.ckpt", "csv/metrics.csv",
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
    assert metrics["fit/passes"] == 3
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
    assert " in 3 passes" in lines[-1]


def test_default_run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert small("aligner=pls", "seed=3") == 0
    (run_dir,) = (tmp_path / "outputs" / "synthetic" / "pls" / "seed3").iterdir()
    time.strptime(run_dir.name, "%Y-%m-%d_%H-%M-%S")
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    out = capsys.readouterr().out
    assert "x to y" in out
    assert f"run directory: {run_dir.relative_to(tmp_path)}" in out


GRADIENT = ("aligner=sgd_clip", "trainer.max_epochs=2", "datamodule.batch_size=20")


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


# mistakes


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of features files, good and bad."""
    folder = tmp_path_factory.mktemp("features")
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 6, generator=generator), torch.randn(60, 5, generator=generator)

    def save(name: str, **tensors: Tensor) -> None:
        save_file({"x": x, "y": y} | tensors, folder / f"{name}.safetensors")

    nan, infinite, zero = x.clone(), x.clone(), x.clone()
    nan[3, 1], infinite[5, 0], zero[4] = torch.nan, torch.inf, 0
    save("good")
    save("rows", y=y[:50].clone())
    save("x_of_y", x_of_y=torch.arange(60) + 1)
    save("nan", x=nan)
    save("infinite", x=infinite)
    save("zero", x=zero)
    save("empty", split=torch.zeros(60, dtype=torch.uint8))
    save("unknown", z=y.clone())
    (folder / "text.safetensors").write_text("no tensors here")
    return folder


MISTAKES = {
    "aligner": (("aligner=unicorn",), "unknown aligner 'unicorn': did you mean 'unicon'"),
    "group": (("dtamodule=synthetic",), "unknown key 'dtamodule': did you mean 'datamodule'"),
    "key": (("aligner.rnak=3",), "unknown key 'aligner.rnak': did you mean 'aligner.rank'"),
    "added key": (("+sed=1",), "unknown key 'sed': did you mean 'seed'"),
    "added aligner key": (("+aligner.lamb=1",), "unknown key 'aligner.lamb': did you mean 'lam'"),
    "added key unread": (("+evaluation.probe.strenghts=1",), "did you mean 'evaluation.probe.strengths'"),
    "trainer key": (("trainer.max_epoch=1",), "unknown key 'trainer.max_epoch': did you mean 'trainer.max_epochs'"),
    "added trainer key": (("+trainer.max_epoch=1",), "unknown key 'trainer.max_epoch': did you mean 'max_epochs'"),
    "experiment": (("experiment=nope",), "unknown experiment 'nope'"),
    "logger": (("logger=nope",), "unknown logger 'nope': known are csv, tensorboard, wandb"),
    "type": (("aligner.rank=abc",), "aligner.rank must be an integer, got 'abc'"),
    "no value": (("aligner.rank=",), "aligner.rank must be an integer, got ''"),
    "type of a later use": (("aligner=unicon", "aligner.passes=abc"), "aligner.passes must be an integer, got 'abc'"),
    "type of a number": (("aligner.lam=[1]",), "aligner.lam must be a number, got [1]"),
    "seed": (("seed=abc",), "seed must be an integer, got 'abc'"),
    "negative seed": (("seed=-1",), "seed must be from 0 to"),
    "threads": (("threads=0",), "threads must be at least 1, got 0"),
    "batch size": (("datamodule.batch_size=0",), "datamodule.batch_size must be at least 1, got 0"),
    "block size": (("evaluation.block_size=0",), "evaluation.block_size must be at least 1, got 0"),
    "epochs": (("trainer.max_epochs=0",), "trainer.max_epochs must be at least 1, got 0"),
    "precision": (("trainer.precision=abc",), "trainer.precision must be"),
    "accelerator": (("trainer.accelerator=abc",), "trainer: You selected an invalid accelerator"),
    "devices": (("trainer.devices=abc",), "trainer: `devices`"),
    "double dot": (("aligner..rank=1",), "cannot read 'aligner..rank=1'"),
    "no equals": (("aligner.rank",), "cannot read 'aligner.rank'"),
    "sweep without -m": (("seed=0,1",), "Ambiguous value for argument 'seed=0,1'"),
    "target": (("aligner._target_=nope.Nope",), "aligner._target_ 'nope.Nope' cannot be imported"),
    "optimizer target": (
        ("aligner=sgd_clip", "aligner.optimizer._target_=torch.optim.Nope"),
        "aligner.optimizer._target_ 'torch.optim.Nope' cannot be imported",
    ),
    "optimizer": (("aligner=sgd_clip", "aligner.optimizer.lr=abc"), "AdamW"),
    "rank": (("aligner.rank=31",), "rank 31 is above what the data allows"),
    "rank 0": (("aligner.rank=0",), "aligner.rank must be"),
    "no items": (("datamodule.n_val=0",), "datamodule.n_val must be at least 1, got 0"),
    "run_dir is a file": (("run_dir=FILES/good.safetensors",), "set another run_dir"),
    "run_dir holds other files": (("run_dir=FILES",), "holds something that is no run"),
    "run_dir cannot be": (("run_dir=/proc/nope/run",), "cannot write the run directory /proc/nope/run"),
}  # fmt: skip
BAD_FILES = {
    "missing": "no features file at",
    "text": "is not a whole safetensors file",
    "rows": "x has 60 rows and y has 50",
    "x_of_y": "x_of_y must be in 0 to 59",
    "nan": "1 of 60 rows of x hold NaN or infinity: rows 3",
    "infinite": "1 of 60 rows of x hold NaN or infinity: rows 5",
    "zero": "1 of 60 rows of x hold nothing but zeros: rows 4",
    "empty": "the val split is empty",
    "unknown": "unknown tensor 'z'",
    "good": "rank 8 is above what the data allows",
}
MISTAKES |= {
    f"features: {name}": (
        ("datamodule=features", f"datamodule.path=FILES/{name}.safetensors", "~datamodule.batch_size"), line
    )
    for name, line in BAD_FILES.items()
}  # fmt: skip
FEATURES = ("datamodule=features", "aligner=cca", "aligner.rank=8", "trainer.enable_progress_bar=false")


@pytest.mark.parametrize(("overrides", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_one_line(
    overrides: tuple[str, ...], line: str, features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = tuple(o.replace("FILES", str(features)) for o in overrides if not o.startswith("~"))
    before = {path: path.read_bytes() for path in features.iterdir()}
    base = FEATURES if overrides[0] == "datamodule=features" else SMALL
    where = () if overrides[0].startswith("run_dir") else (f"run_dir={tmp_path / 'run'}",)
    assert call(*base, *overrides, *where) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1, err
    assert err[0].startswith("error: ")
    assert line in err[0]
    assert {path: path.read_bytes() for path in features.iterdir()} == before
    log = tmp_path / "run" / "train.log"
    assert not log.exists() or err[0].removeprefix("error: ") in log.read_text(encoding="utf-8")


def test_mistake_loses_nothing(one_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert small(f"run_dir={run_dir}") == 0
    before = {str(p.relative_to(run_dir)): p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    assert small(f"run_dir={run_dir}", "aligner.rank=abc") == 2  # found before the directory is touched
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert small(f"run_dir={run_dir}", "aligner.rank=31") == 2  # found in the data
    former = tmp_path / "run.1"
    assert {str(p.relative_to(former)): p.read_bytes() for p in former.rglob("*") if p.is_file()} == before


def test_processes_end_with_their_exit_codes(tmp_path: Path) -> None:
    for mistake in (["aligner=unicorn"], [*SMALL, "aligner.rank=31", "run_dir=run"]):
        ended = process(*mistake, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ")
        assert len(ended.stderr.splitlines()) == 1
        assert "Traceback" not in ended.stdout + ended.stderr


def test_errors_of_ours_keep_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(train, "draw", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        small(f"run_dir={tmp_path / 'run'}")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "ended by an error" in log
    assert "Traceback" in log
    assert "RuntimeError: a bug" in log
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_interrupt_leaves_the_run_whole(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    started = subprocess.Popen(
        [sys.executable, str(TRAIN), *SMALL, *GRADIENT, "trainer.max_epochs=100000", f"run_dir={run_dir}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    for _ in range(600):
        if checkpoint.exists() or started.poll() is not None:
            break
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert err.strip() == "interrupted: what was written before is kept"
    assert torch.load(checkpoint, weights_only=True)["global_step"] > 0
    assert (run_dir / "config.yaml").is_file()
    assert (run_dir / "csv" / "metrics.csv").is_file()
    assert "interrupted" in (run_dir / "train.log").read_text(encoding="utf-8")


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

    monkeypatch.setattr(train, "draw", broken_once)
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
        for text in said:
            assert text.encode() in content, text
        images = {path.name.rsplit("_", 2)[0] for path in (folder / "files/media/images/figures").iterdir()}
        assert images == FIGURES - (set() if run_dir == "run" else {"singular_values"})
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
    for text in ("aligner: cca", "datamodule: ", "python train.py aligner=", "-m", "max_epochs: "):
        assert text in told
    assert call(*SMALL, "--cfg", "job") == 0
    assert "_target_: aligners.closed_form.CCA" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_cli_leaves_no_handlers() -> None:
    before = list(logging.getLogger().handlers)
    assert call("aligner=unicorn") == 2
    assert logging.getLogger().handlers == before
