"""train.py with a user's own folder of YAMLs, and names as they are."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ground.configs import CONFIGS
from tests.cli import SMALL, call, metrics_of, process, small

OWN = '''"""An aligner outside the project."""

from aligners.closed_form import CCA


class OwnCCA(CCA):
    """CCA under another name."""
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: configs of an aligner and an experiment, and the module of the aligner beside them."""
    configs = tmp_path / "my configs"
    (configs / "aligner").mkdir(parents=True)
    (configs / "experiment").mkdir()
    aligner = OmegaConf.load(CONFIGS / "aligner" / "cca.yaml")
    aligner._target_ = "own_aligner.OwnCCA"
    OmegaConf.save(aligner, configs / "aligner" / "own.yaml")
    (configs / "experiment" / "trial.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /aligner: own\n  - _self_\nname: trial\n", encoding="utf-8"
    )
    (tmp_path / "own_aligner.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return configs


def searched(folder: Path, how: str) -> tuple[str, ...]:
    return ("--config-dir", str(folder)) if how == "flag" else (f"hydra.searchpath=['file://{folder}']",)


@pytest.mark.parametrize("how", ["flag", "searchpath"])
def test_an_aligner_of_ones_own(how: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search, run_dir = searched(folder, how), tmp_path / "run"
    assert call(*search, *SMALL, "aligner=own", f"run_dir={run_dir}") == 0
    config = OmegaConf.load(run_dir / "config.yaml")
    assert (config.aligner._target_, config.aligner_name) == ("own_aligner.OwnCCA", "own")
    assert call(*search, *SMALL, "experiment=trial", "aligner=own", f"run_dir={tmp_path / 'trial'}") == 0
    assert OmegaConf.load(tmp_path / "trial" / "config.yaml").name == "trial"
    assert call(*search, f"test={run_dir}", "trainer.enable_progress_bar=false", f"run_dir={tmp_path / 'again'}") == 0
    assert metrics_of(tmp_path / "again")["test/mean_recall"] == metrics_of(run_dir)["test/mean_recall"]
    capsys.readouterr()
    for override, line in (
        ("aligner=onw", "unknown aligner 'onw': did you mean 'own'"),
        ("aligner.rnak=3", "unknown key 'aligner.rnak': did you mean 'aligner.rank'"),
        ("+aligner.lamb=3", "unknown key 'aligner.lamb': did you mean 'lam'"),
        ("experiment=trail", "unknown experiment 'trail': did you mean 'trial'"),
        ("+zzz=3", "unknown key 'zzz'"),
    ):
        assert call(*search, *SMALL, "aligner=own", override, f"run_dir={tmp_path / 'bad'}") == 2
        err = capsys.readouterr().err.splitlines()
        assert len(err) == 1, err
        assert line in err[0]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--config-dir", str(tmp_path / "nope"), *SMALL) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1, err
    assert str(tmp_path / "nope") in err[0]


def test_processes_and_sweeps_find_it_too(folder: Path, tmp_path: Path) -> None:
    ended = process(
        "-m", "--config-dir", str(folder), *SMALL, "aligner=own,cca", "trainer=ddp_cpu",  "run_dir='r[1] a'",
        "hydra.sweep.dir=sweep", "trainer.enable_progress_bar=false", cwd=tmp_path, PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert OmegaConf.load(tmp_path / "r[1] a" / "config.yaml").aligner_name == "own"
    assert OmegaConf.load(tmp_path / "r[1] a_1" / "config.yaml").aligner_name == "cca"


def test_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "[exp1] :x: a"
    assert small(f"run_dir='{run_dir}'", "name='[b]fine'") == 0
    out = capsys.readouterr().out
    assert f"run directory: {run_dir}\n" in out
    assert "cca on [b]fine, test split" in out
