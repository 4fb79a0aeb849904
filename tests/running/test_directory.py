"""The run directory: what it refuses, keeps and logs."""

import json
import logging
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from ground.files import keep_former, to_json
from running.directory import RunDirectory, journal
from tests.running.judged import judged


def config_of(run_dir: Path) -> DictConfig:
    return OmegaConf.create(
        {"aligner_name": "cca", "name": "synthetic", "seed": 0, "run_dir": str(run_dir), "copy": "${run_dir}/a"}
    )


def opened(run_dir: Path) -> RunDirectory:
    return RunDirectory(str(run_dir), config_of(run_dir))


def test_config_is_resolved_and_metrics_are_strict_json(tmp_path: Path) -> None:
    run_dir = tmp_path / "a" / "run"
    with opened(run_dir) as directory:
        metrics = {"b": math.nan, "a": 1.5, "c": "text"}
        assert directory.write(metrics, {"test": judged()}).is_file()
        directory.write_figures({"empty": Figure()})
    assert f"copy: {run_dir}/a" in (run_dir / "config.yaml").read_text(encoding="utf-8")
    text = (run_dir / "metrics.json").read_text(encoding="utf-8")
    assert list(json.loads(text).items()) == [("a", 1.5), ("b", None), ("c", "text")]
    assert (run_dir / "figures" / "empty.png").is_file()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    with opened(tmp_path / "run"):
        pass
    (tmp_path / "empty").mkdir()
    with opened(tmp_path / "empty"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run"]


def test_former_runs_are_numbered(tmp_path: Path) -> None:
    for number in range(3):
        with opened(tmp_path / "run"):
            (tmp_path / "run" / "mark").write_text(str(number))
    marks = {path.name: (path / "mark").read_text() for path in tmp_path.iterdir()}
    assert marks == {"run": "2", "run.1": "0", "run.2": "1"}
    keep_former(tmp_path / "run.2" / "mark")
    assert (tmp_path / "run.2" / "mark.1").read_text() == "1"


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("notes", "file"):
        with pytest.raises(UserError, match="holds something that is no run"):
            opened(tmp_path / name)
    with pytest.raises(UserError, match="cannot write the run directory"):
        opened(tmp_path / "file" / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "notes"]


def test_read_only_parent_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # a mode would not stop a test that runs as root
    with pytest.raises(UserError, match="Permission denied; set another run_dir"):
        opened(tmp_path / "run")


def test_runs_of_one_second_take_a_directory_each(tmp_path: Path) -> None:
    config = config_of(tmp_path / "run")
    with RunDirectory(str(tmp_path / "run"), config, numbered=True), opened_beside(tmp_path / "run") as second:
        assert second.path == tmp_path / "run_1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run_1"]
    assert config.run_dir == str(tmp_path / "run")


def opened_beside(run_dir: Path) -> RunDirectory:
    return RunDirectory(str(run_dir), config_of(run_dir), numbered=True)


def test_a_living_run_keeps_its_directory(tmp_path: Path) -> None:
    with opened(tmp_path / "run"):
        before = {path.name for path in (tmp_path / "run").iterdir()}
        with pytest.raises(UserError, match=r"run_dir=.* is in use by process \d+ on .*: set another run_dir"):
            opened(tmp_path / "run")
        assert {path.name for path in (tmp_path / "run").iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with opened(tmp_path / "run"):  # it has ended
        pass


def test_a_run_that_did_not_end_is_moved_by_one_that_goes_on(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with opened(run_dir):
        (run_dir / "checkpoints").mkdir()
        (run_dir / "checkpoints" / "last.ckpt").touch()
    (run_dir / ".running").write_text("process 1 on a machine")  # as a kill leaves it
    with pytest.raises(UserError, match="holds a run that did not end: resume=auto goes on with it"):
        opened(run_dir)
    with RunDirectory(str(run_dir), config_of(run_dir), resumed=True):
        assert (tmp_path / "run.1" / "checkpoints" / "last.ckpt").is_file()
        assert not (tmp_path / "run.1" / ".running").exists()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("rank is too large"), "rank is too large"),
        (RuntimeError("a bug"), "Traceback"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_log_ends_with_the_error(error: BaseException, told: str, tmp_path: Path) -> None:
    def work() -> None:
        with opened(tmp_path / "run"):
            raise error

    handlers = list(logging.getLogger().handlers)
    with pytest.raises(type(error)):
        work()
    assert logging.getLogger().handlers == handlers
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert told in log
    assert ("Traceback" in log) == isinstance(error, RuntimeError)


def test_log_takes_what_the_root_logger_gets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), opened(tmp_path / "run"):
        logging.getLogger("somewhere").info("one message")
        journal.info("another")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "INFO somewhere: one message" in log
    assert "INFO run: another" in log
    assert "cca on synthetic, seed 0" in log


def test_json_of_nested_values() -> None:
    assert json.loads(to_json([{"b": [math.inf, 1], "a": None}])) == [{"a": None, "b": [None, 1]}]
