"""From which checkpoint a run goes on, and which settings it must have."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError
from running import resume
from running.resume import found_again

WHOLE = {"state_dict": {}, "loops": {}, "callbacks": {}}


def config(run_dir: Path, resume: str | None, **settings: object) -> DictConfig:
    values = {"seed": 0, "aligner": {"rank": 4}, "datamodule": {"path": "a"}, "trainer": {"max_epochs": 10}}
    return OmegaConf.merge(values, {"run_dir": str(run_dir), "resume": resume}, settings)  # type: ignore[return-value]


def left(run_dir: Path, *files: str) -> Path:
    (run_dir / "checkpoints").mkdir(parents=True)
    OmegaConf.save(config(run_dir, None), run_dir / "config.yaml")
    for file in files:
        torch.save(WHOLE, run_dir / file)
    return run_dir / "checkpoints" / "last.ckpt"


def goes_on(of: DictConfig) -> Path | None:
    return resume.goes_on(of, first=True)


LAST, END = "checkpoints/last.ckpt", "metrics.json"


def test_auto_takes_the_newest_that_did_not_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    auto = config(run, "auto")
    assert goes_on(auto) is None
    left(tmp_path / "run.1", LAST, END)
    assert goes_on(auto) is None
    second = left(tmp_path / "run.2", LAST)
    assert goes_on(auto) == second
    left(run)  # killed before its first pass was over
    assert goes_on(auto) == second
    torch.save(WHOLE, run / LAST)
    assert goes_on(auto) == run / LAST
    (run / END).touch()
    assert goes_on(auto) is None
    assert goes_on(config(run, None)) is None


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"trainer": {"max_epochs": 20}}, "trainer.max_epochs was 10, here it is 20"),
        ({"aligner": {"rank": 5}}, "aligner.rank was 4, here it is 5"),
        ({"seed": 1}, "seed was 0, here it is 1"),
    ],
)
def test_other_settings_are_refused(settings: dict[str, object], line: str, tmp_path: Path) -> None:
    checkpoint = left(tmp_path / "run", LAST, END)
    for each in (str(checkpoint), "auto", "auto"):  # of a run that ended, and of one that did not
        with pytest.raises(UserError, match=line):
            goes_on(config(tmp_path / "run", each, **settings))
        if each == "auto":
            (tmp_path / "run" / END).unlink(missing_ok=True)
    assert goes_on(config(tmp_path / "run", str(checkpoint), datamodule={"path": "moved"})) == checkpoint


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    left(tmp_path / "run", LAST)
    for content in (b"text", (tmp_path / "run" / LAST).read_bytes()[:50]):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UserError, match="file is no checkpoint of a fit"):
            goes_on(config(tmp_path / "new", str(tmp_path / "file")))
    torch.save([1], tmp_path / "file")
    with pytest.raises(UserError, match="file is no checkpoint of a fit"):
        goes_on(config(tmp_path / "new", str(tmp_path / "file")))


def test_a_checkpoint_is_found_where_its_run_directory_went(tmp_path: Path) -> None:
    run_dir, other = tmp_path / "run", tmp_path / "other.ckpt"
    for directory in ("run.1", "run.2", "run.3"):
        (tmp_path / directory).mkdir()
    for directory in ("run.1", "run.2"):  # the third was killed before its first
        (tmp_path / directory / "last.ckpt").touch()
    other.touch()
    assert found_again(str(run_dir / "last.ckpt"), str(run_dir), moved=False) == tmp_path / "run.2" / "last.ckpt"
    assert found_again(str(other), str(run_dir), moved=False) == other
    with pytest.raises(UserError, match=r"no checkpoint at resume=.*gone.ckpt"):
        found_again(str(tmp_path / "gone.ckpt"), str(run_dir), moved=False)


def test_a_run_that_came_to_its_end_is_found_after_it_was_moved(tmp_path: Path) -> None:
    checkpoint = left(tmp_path / "run", LAST, END)
    of = config(tmp_path / "run", str(checkpoint))
    assert resume.goes_on(of, first=True) == resume.goes_on(of, first=False) == checkpoint
    (tmp_path / "run").rename(tmp_path / "run.1")
    (tmp_path / "run").mkdir()
    moved = tmp_path / "run.1" / LAST
    assert found_again(checkpoint, tmp_path / "run", moved=True) == moved
    assert resume.goes_on(of, first=False) == moved  # a process that looks after the first has moved it
    with pytest.raises(UserError, match="no checkpoint at resume="):
        resume.goes_on(of, first=True)


def test_a_run_that_is_moved_while_another_process_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = left(tmp_path / "run", LAST)

    def moving(path: Path) -> None:
        if (tmp_path / "run").exists():
            (tmp_path / "run").rename(tmp_path / "run.1")
        looked(path)

    looked = resume._refuse_no_checkpoint
    for of in (config(tmp_path / "run", str(checkpoint)), config(tmp_path / "run", "auto")):
        with monkeypatch.context() as patch:
            patch.setattr(resume, "_refuse_no_checkpoint", moving)
            assert resume.goes_on(of, first=False) == tmp_path / "run.1" / LAST
        (tmp_path / "run.1").rename(tmp_path / "run")
