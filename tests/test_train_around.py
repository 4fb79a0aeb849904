"""train.py: what surrounds a run: its directory, its strings, the disk, loggers, and a run that goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from report.pictures import Pictures
from tests.cli import GRADIENT, SMALL, call, metrics_of, process, small, without_cost


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def one_error(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What was printed, and the only line of error."""
    told = capsys.readouterr()
    (line,) = (each for each in told.err.splitlines() if each.startswith("error: "))
    assert "Traceback" not in told.err
    return told.out, line


def test_a_default_run_dir_of_the_same_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stamp = "run_dir=out/${now:%Y}"  # of the same year, that is
    assert small(stamp) == small(stamp) == 0
    assert len(list((tmp_path / "out").glob("*/metrics.json"))) == 2
    assert len(list((tmp_path / "out").glob("*/csv/metrics.csv"))) == 2


@pytest.mark.parametrize("name", ["[exp1] a", "x[/b]", ":smile: b"])
def test_names_are_shown_as_they_are(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small(f"run_dir='{tmp_path}/{name}'", f"name='{name}'") == 0
    out = capsys.readouterr().out
    assert f"run directory: {tmp_path}/{name}" in out
    assert f"cca on {name}, test split" in out
    assert metrics_of(tmp_path / name)


def test_rows_of_a_sweep_can_be_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = (f"hydra.sweep.dir={tmp_path / 'sweep'}", f"run_dir='{tmp_path}/[run]'")
    assert small("-m", "tags=[first],[second]", *sweep) == 0
    out = capsys.readouterr().out
    assert "tags=[first]" in out
    assert "tags=[second]" in out


def test_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert small("run_dir=~/r", "data_dir='~/data'") == 0
    assert call("test=~/r", "run_dir=~/again") == 0
    assert small("-m", "seed=0,1", "run_dir='~/s${seed}'", "hydra.sweep.dir='~/sweep'") == 0
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
    assert sorted(each.name for each in (tmp_path / "home").iterdir()) == ["again", "r", "s0", "s1", "sweep"]


@pytest.mark.parametrize("second", ["datamodule.path=a-2.tar", "+datamodule.path=a-2.tar"])
def test_a_key_given_twice(second: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tests.cli.last_of", list)
    assert call("datamodule=features", "datamodule.path=a-1.tar", second) == 2  # of an unquoted a-{1,2}.tar
    assert "datamodule.path is given twice, datamodule.path=a-1.tar and " in one_error(capsys)[1]


def test_a_failing_picture_costs_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pictures, "draw", full)
    assert small(f"run_dir={tmp_path / 'run'}") == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == ["warning: the figures are left out, OSError: [Errno 28] No space left on device"]
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert metrics_of(tmp_path / "run")["fit/passes"] == 0
    assert (tmp_path / "run" / "ranks.safetensors").is_file()


def test_a_checkpoint_that_cannot_be_written_takes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", full)
    assert small(*GRADIENT, f"run_dir={tmp_path / 'run'}") == 2
    out, line = one_error(capsys)
    assert "last.ckpt cannot be written: No space left on device" in line
    assert "mean recall" in out
    assert metrics_of(tmp_path / "run")["fit/passes"] == 2


def test_results_that_cannot_be_written_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("running.ranks.write_ranks", full)
    assert small(f"run_dir={tmp_path / 'run'}") == 2
    out, line = one_error(capsys)
    assert "No space left on device" in line
    assert "mean recall" in out
    assert metrics_of(tmp_path / "run")["fit/passes"] == 0


@pytest.mark.parametrize("call_of", ["log_hyperparams", "log_metrics", "finalize"])
def test_a_logger_that_fails(
    call_of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the service is away")

    monkeypatch.setattr(TensorBoardLogger, call_of, broken)
    assert small("logger=tensorboard", f"run_dir={tmp_path / 'run'}") == 2
    out, line = one_error(capsys)
    assert "the service is away" in line
    assert ("mean recall" in out) == (call_of != "log_hyperparams") == (tmp_path / "run" / "metrics.json").is_file()


def test_a_tag_that_weights_and_biases_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert small("logger=wandb", f"tags=[{'a' * 70}]", f"run_dir={tmp_path / 'run'}") == 2
    _, line = one_error(capsys)
    assert "is 70 characters" in line
    assert not (tmp_path / "run" / "checkpoints").exists()  # before the fit


def test_transfer_is_on_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small("eval_datamodule=synthetic", "eval_datamodule.data_seed=5", f"run_dir={tmp_path / 'run'}") == 0
    recall = metrics_of(tmp_path / "run")["transfer/mean_recall"]
    out = capsys.readouterr().out
    assert "cca on synthetic, transfer" in out
    assert f"mean recall {recall:.2f} on the further data" in out


def test_a_longer_fit_does_not_go_on_from_a_shorter_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert small(*GRADIENT, f"run_dir={run}") == 0
    before = (run / "checkpoints" / "last.ckpt").read_bytes()
    resume = f"resume={run / 'checkpoints' / 'last.ckpt'}"
    assert small(*GRADIENT, "trainer.max_epochs=4", resume, f"run_dir={run}") == 2
    assert "trainer.max_epochs was 2, here it is 4" in one_error(capsys)[1]
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == before


def test_auto_begins_goes_on_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    auto = (*GRADIENT, "aligner.optimizer.lr=30", "trainer.max_epochs=4", "resume=auto", f"run_dir={run}")
    assert small(*auto) == 0  # nothing was there
    whole = without_cost(metrics_of(run))
    assert whole["fit/kept_pass"] < whole["fit/passes"]  # the last is not the best
    (run / "metrics.json").unlink()  # as if it had been killed after its last pass
    assert small(*auto) == 0
    assert (tmp_path / "run.1" / "checkpoints" / "last.ckpt").is_file()
    assert without_cost(metrics_of(run)) == whole
    capsys.readouterr()
    kept = (run / "metrics.json").stat().st_mtime_ns
    assert small(*auto) == 0
    assert "whose run has come to its end" in capsys.readouterr().out
    assert (run / "metrics.json").stat().st_mtime_ns == kept
    assert small(*GRADIENT, "resume=auto") == 2
    assert "set run_dir" in one_error(capsys)[1]


def test_a_checkpoint_of_another_aligner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small(*GRADIENT, f"run_dir={tmp_path / 'run'}") == 0
    path = tmp_path / "copy.ckpt"
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(checkpoint | {"state_dict": {"other": torch.ones(3)}}, path)
    assert small(*GRADIENT, f"resume={path}", f"run_dir={tmp_path / 'new'}") == 2
    assert "copy.ckpt is of another aligner" in one_error(capsys)[1]


def test_help_lists_what_can_be_chosen(tmp_path: Path) -> None:
    ended = process("--help", cwd=tmp_path)
    assert ended.returncode == 0
    groups = ended.stdout.partition("== Keys")[0]
    assert "aligner/base" not in groups
    assert "aligner: " in groups


def test_the_log_has_a_users_warnings_and_none_of_lightnings_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import warnings\n"
        "from aligners import CCA\n\n"
        "class Mine(CCA):\n"
        "    def build(self, d_x, d_y):\n"
        "        super().build(d_x, d_y)\n"
        "        warnings.warn('a word of the user', FutureWarning)\n"
    )
    ended = process(
        *SMALL, "aligner._target_=mine.Mine", f"run_dir={tmp_path / 'run'}", cwd=tmp_path, PYTHONPATH=str(tmp_path)
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "a word of the user" in log
    assert "LeafSpec" not in log


def test_precision_of_products_is_of_the_fit_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    def told(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            seen[name] = torch.get_float32_matmul_precision()
            return method(*args, **given)

        return call

    for name in ("fit", "test"):
        monkeypatch.setattr(Trainer, name, told(name, getattr(Trainer, name)))
    assert small(f"run_dir={tmp_path}", "matmul_precision=high") == 0
    assert seen == {"fit": "high", "test": "highest"}
    assert torch.get_float32_matmul_precision() == "highest"
