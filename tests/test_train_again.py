"""train.py test=RUN: a finished run judged again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from tests.cli import GRADIENT, SMALL, call, metrics_of, process, small, without_cost

QUIET = ("trainer.enable_progress_bar=false",)


def again(run: Path, *overrides: str) -> int:
    return call(f"test={run}", *QUIET, *overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a gradient aligner, at settings of its own."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    changed = ("seed=3", "name=mine", "evaluation.probe.neighbours=3", "evaluation.select=knn/accuracy")
    assert small(*GRADIENT, *changed, f"run_dir={run_dir}") == 0
    return run_dir


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def test_equal_metrics_without_a_fit(one_run: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (one_run, finished):
        kept = (run / "checkpoints" / "last.ckpt").read_bytes()
        assert again(run) == 0
        (new,) = (run / "test").iterdir()
        assert without_cost(metrics_of(new)) == without_cost(metrics_of(run))
        assert metrics_of(new)["time/fit_seconds"] == metrics_of(run)["time/fit_seconds"]
        files = {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}
        whole = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and new not in path.parents}
        assert files == whole - {"checkpoints/last.ckpt"}
        ranks = [load_file(each / "ranks.safetensors") for each in (run, new)]
        assert all(torch.equal(ranks[0][key], ranks[1][key]) for key in ranks[0].keys() | ranks[1].keys())
        assert (run / "checkpoints" / "last.ckpt").read_bytes() == kept
        assert f"run directory: {new}" in capsys.readouterr().out
        shutil.rmtree(run / "test")
    assert metrics_of(finished)["protocol/pass"] == "best knn/accuracy on validation"


def test_what_is_set_replaces_and_the_rest_is_the_runs(finished: Path, tmp_path: Path) -> None:
    changed = ("evaluation.geometry=null", "evaluation.probe.neighbours=1", "report.tsne_items=5", "logger=csv")
    assert again(finished, *changed, f"run_dir={tmp_path / 'new'}") == 0
    metrics, former = metrics_of(tmp_path / "new"), metrics_of(finished)
    assert metrics["test/mean_recall"] == former["test/mean_recall"]
    assert "test/geometry/alignment" not in metrics
    assert (tmp_path / "new" / "figures" / "embedding_map.png").is_file()
    config, own = (OmegaConf.load(each / "config.yaml") for each in (tmp_path / "new", finished))
    assert config.evaluation.probe.neighbours == 1
    assert (config.seed, config.name, config.aligner_name) == (3, "mine", "sgd_clip")
    assert (config.aligner, config.datamodule) == (own.aligner, own.datamodule)
    assert config.logger.csv.save_dir == str(tmp_path / "new")
    assert (tmp_path / "new" / "csv" / "metrics.csv").is_file()
    assert not (finished / "test").exists()


def test_other_data(finished: Path, tmp_path: Path) -> None:
    own = [each for each in SMALL if each.startswith("datamodule.n_")]
    assert again(finished, "datamodule.data_seed=5", f"run_dir={tmp_path / 'key'}") == 0
    assert again(finished, "datamodule=synthetic", *own, "datamodule.data_seed=5", f"run_dir={tmp_path / 'group'}") == 0
    eval_own = ["eval_datamodule=synthetic", *(f"eval_{each}" for each in own), "eval_datamodule.data_seed=5"]
    assert again(finished, *eval_own, f"run_dir={tmp_path / 'eval'}") == 0
    by_key, by_group, by_eval = (metrics_of(tmp_path / name) for name in ("key", "group", "eval"))
    assert by_key["test/mean_recall"] == by_group["test/mean_recall"] == by_eval["transfer/mean_recall"]
    assert by_eval["test/mean_recall"] == metrics_of(finished)["test/mean_recall"] != by_key["test/mean_recall"]
    assert OmegaConf.load(tmp_path / "group" / "config.yaml").name == "synthetic"
    assert all(each["fit/passes"] == 2 for each in (by_key, by_group, by_eval))


def test_features_of_a_file_and_its_path(tmp_path: Path) -> None:
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    for name, y in (("a", x[:, :5]), ("b", x[:, 1:])):
        save_file({"x": x, "y": y.contiguous()}, tmp_path / f"{name}.safetensors")
    fit = ("datamodule=features", f"datamodule.path={tmp_path / 'a.safetensors'}", "aligner=cca", "aligner.rank=3")
    assert call(*fit, *QUIET, f"run_dir={tmp_path / 'run'}") == 0
    assert again(tmp_path / "run", f"datamodule.path={tmp_path / 'b.safetensors'}", f"run_dir={tmp_path / 'b'}") == 0
    assert metrics_of(tmp_path / "b")["test/mean_recall"] < metrics_of(tmp_path / "run")["test/mean_recall"]


def former(run: Path) -> None:
    """Make the config that of a run before evaluation had judges."""
    config: Any = OmegaConf.load(run / "config.yaml")
    report = config.pop("report")
    config.pop("test")
    report.pop("_target_")
    for key in ("retrieval", "geometry", "extended", "select"):
        config.evaluation.pop(key)
    config.evaluation.probe.pop("_target_")
    config.evaluation.update(report)
    config.trainer.strategy = {"_target_": "aligners.strategies.AlignerDDP", "process_group_backend": "gloo"}
    OmegaConf.save(config, run / "config.yaml")


def test_a_run_of_former_times(copy: Path, tmp_path: Path) -> None:
    former(copy)
    ended = process(f"test={copy}", *QUIET, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (new,) = (copy / "test").iterdir()
    assert without_cost(metrics_of(new)) == without_cost(metrics_of(copy))
    config = OmegaConf.load(new / "config.yaml")
    assert config.report.sheet_items == 1
    assert config.evaluation.probe.neighbours == 3


def test_two_processes_judge_as_one(finished: Path, tmp_path: Path) -> None:
    ended = process(f"test={finished}", "trainer=ddp_cpu", *QUIET, "run_dir=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert without_cost(metrics_of(tmp_path / "run")) == without_cost(metrics_of(finished))


def test_a_sweep_of_data_judges_one_run(finished: Path, tmp_path: Path) -> None:
    sweep = (f"hydra.sweep.dir={tmp_path / 'sweep'}", f"run_dir={tmp_path / 'run'}")
    assert call(f"test={finished}", "datamodule.data_seed=0,5", *QUIET, *sweep, "-m") == 0
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert runs[0]["metrics"]["test/mean_recall"] == metrics_of(finished)["test/mean_recall"]
    assert len(runs) == 2


def no_metrics(run: Path) -> None:
    (run / "metrics.json").unlink()


def no_checkpoint(run: Path) -> None:
    (run / "checkpoints" / "last.ckpt").unlink()


def half_a_checkpoint(run: Path) -> None:
    path = run / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])


def another_aligner(run: Path) -> None:
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"] = {"other": torch.ones(3)}
    torch.save(checkpoint, path)


def no_config(run: Path) -> None:
    (run / "config.yaml").write_text("a: 1\n", encoding="utf-8")


MISTAKES: dict[str, tuple[Callable[[Path], None] | None, tuple[str, ...], str]] = {
    "missing": (shutil.rmtree, (), "is no run directory: there is no "),
    "unfinished": (no_metrics, (), "did not come to its end: there is no "),
    "no checkpoint": (no_checkpoint, (), "did not come to its end: there is no "),
    "half a checkpoint": (half_a_checkpoint, (), "last.ckpt is no whole checkpoint"),
    "another aligner": (another_aligner, (), "last.ckpt is of another aligner than config.yaml's SGDCLIP"),
    "another config": (no_config, (), "config.yaml is no config of a run"),
    "aligner": (None, ("aligner=cca",), "aligner belongs to the fit"),
    "aligner key": (None, ("aligner.rank=3",), "aligner.rank belongs to the fit"),
    "seed": (None, ("seed=3",), "seed belongs to the fit"),
    "selection": (None, ("evaluation.select=mrr",), "evaluation.select belongs to the fit"),
    "dimensions": (None, ("datamodule.d_x=50",), "features of dimensions (40, 30), the test data has (50, 30)"),
    "typo": (None, ("datamodule.n_tst=3",), "unknown key 'datamodule.n_tst': did you mean 'datamodule.n_test'"),
    "group": (None, ("datamodule=synthetc",), "unknown datamodule 'synthetc': did you mean 'synthetic'"),
    "itself": (None, ("run_dir=RUN",), "holds the run that is judged again: set another run_dir"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "overrides", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_one_line(
    change: Callable[[Path], None] | None,
    overrides: tuple[str, ...],
    line: str,
    copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if change is not None:
        change(copy)
    overrides = tuple(each.replace("RUN", str(copy)) for each in overrides)
    where = () if any(each.startswith("run_dir") for each in overrides) else (f"run_dir={tmp_path / 'new'}",)
    assert again(copy, *overrides, *where) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1, err
    assert err[0].startswith("error: ")
    assert line in err[0]


def test_several_runs_are_refused_and_nothing_is_left_behind(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("-m", f"test={finished},{finished}") == 2
    assert "test takes one run directory" in capsys.readouterr().err
    assert call("aligner=zzz") == 2
    assert "as_in_run" not in capsys.readouterr().err
