from pathlib import Path

import pytest
import torch

from ground.errors import UserError
from running.checkpoints import AtomicCheckpointIO, find_checkpoint


def test_a_checkpoint_that_cannot_be_written_leaves_the_former_one(tmp_path: Path) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"a": torch.ones(3)}, path)
    with pytest.raises(Exception, match="pickle"):
        io.save_checkpoint({"a": lambda: None}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_is_found_where_its_run_directory_went(tmp_path: Path) -> None:
    run_dir, other = tmp_path / "run", tmp_path / "other.ckpt"
    for directory in ("run.1", "run.2"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "last.ckpt").touch()
    other.touch()
    assert find_checkpoint(str(run_dir / "last.ckpt"), str(run_dir)) == tmp_path / "run.2" / "last.ckpt"
    assert find_checkpoint(str(other), str(run_dir)) == other
    with pytest.raises(UserError, match=r"no checkpoint at resume=.*gone.ckpt"):
        find_checkpoint(str(tmp_path / "gone.ckpt"), str(run_dir))
