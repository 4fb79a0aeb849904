from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from running.checkpoints import AtomicCheckpointIO


def test_a_checkpoint_that_cannot_be_written_leaves_the_former_one(tmp_path: Path) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"a": torch.ones(3)}, path)
    with pytest.raises(Exception, match="pickle"):
        io.save_checkpoint({"a": lambda: None}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_kept_as_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint({"a": 1}, path)
    with monkeypatch.context() as patch:
        patch.setattr(TorchCheckpointIO, "save_checkpoint", full)
        io.save_checkpoint({"a": 2}, path)
    assert io.problem == f"the checkpoint {path} cannot be written: No space left on device"
    assert io.load_checkpoint(path) == {"a": 1}
    io.save_checkpoint({"a": 3}, path)
    assert io.problem is None
