"""What started the process, and what one device is told of several."""

import warnings
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import OmegaConf

from ground.errors import UserError
from running.launched import hush, is_first, refuse_other_processes

ONE = OmegaConf.create({"trainer": {"strategy": "auto", "devices": 1, "num_nodes": 1}})
MANY = OmegaConf.create({"trainer": {"strategy": {"_target_": "s"}, "devices": 2, "num_nodes": 1}})


def test_tasks_of_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_other_processes(ONE)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    with pytest.raises(UserError, match=r"SLURM starts 2 processes.* set trainer=ddp \(or ddp_cpu\) trainer.devices=2"):
        refuse_other_processes(ONE)
    refuse_other_processes(MANY)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    refuse_other_processes(ONE)
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    refuse_other_processes(ONE)


def test_processes_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="torchrun starts 4 processes"):
        refuse_other_processes(ONE)
    refuse_other_processes(MANY)


@pytest.mark.parametrize("several", [{"devices": 2}, {"devices": [0, 1]}, {"devices": "2"}, {"num_nodes": 2}])
def test_several_devices_need_a_strategy(several: dict[str, object]) -> None:
    with pytest.raises(UserError, match="set trainer=ddp"):
        refuse_other_processes(OmegaConf.merge(ONE, {"trainer": several}))


def test_a_rank_that_nobody_asked_for_makes_no_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", "1")
    assert is_first(ONE)
    assert not is_first(MANY)


def test_srun_on_the_path_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        SLURMEnvironment.detect()
        assert len(told) == 1  # Lightning's words are still these
        assert "The `srun` command is available on your system but is not used" in str(told[0].message)
        hush()
        SLURMEnvironment.detect()
        refuse_other_processes(ONE)
    assert len(told) == 1
