"""The file of one shard."""

import hashlib
import logging
import os
import threading
from pathlib import Path

import pytest
import torch

from datamodules.cache.shards import ShardError, locked, read_shard, remove_leftovers, write_atomically, write_shard

FACTS = {"key": "ab", "first": 0, "unreadable": [[1, "name: ünreadable \udc80"]]}


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (4, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip_gives_the_same_bytes_each_time(shape: tuple[int, int], dtype: torch.dtype, tmp_path: Path) -> None:
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        write_shard(path, rows, FACTS)
    assert files[0].read_bytes() == files[1].read_bytes()
    shard = read_shard(files[0], None)
    assert shard.facts == FACTS
    assert shard.rows.dtype == dtype
    assert torch.equal(shard.rows, rows)
    assert shard.sha256 == hashlib.sha256(files[0].read_bytes()).hexdigest()


def test_no_bit_can_be_flipped_unseen(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    write_shard(path, torch.arange(12.0).view(4, 3), {"key": "ab"})
    sound = path.read_bytes()
    recorded = hashlib.sha256(sound).hexdigest()
    for place in range(8 * len(sound)):
        data = bytearray(sound)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        for known in (None, recorded):
            with pytest.raises(ShardError):
                read_shard(path, known)


def test_no_cut_or_growth_passes(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    write_shard(path, torch.arange(12.0).view(4, 3), {"key": "ab"})
    sound = path.read_bytes()
    for data in [*(sound[:k] for k in range(len(sound))), sound + b"\0", sound + sound]:
        path.write_bytes(data)
        with pytest.raises(ShardError):
            read_shard(path, None)
    path.unlink()
    with pytest.raises(ShardError, match="missing"):
        read_shard(path, None)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, b"new", "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_survives_the_loss_of_its_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, list[int]()

    def lose(handle: int) -> None:
        fsync(handle)
        if not calls:
            remove_leftovers(tmp_path)
        calls.append(handle)

    monkeypatch.setattr("os.fsync", lose)
    write_atomically(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
    assert len(calls) == 2


def test_locks_shut_out_and_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    entered = threading.Event()

    def wait() -> None:
        with locked(tmp_path, exclusive=True):
            entered.set()

    with locked(tmp_path, exclusive=False), locked(tmp_path, exclusive=False):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(5)
    assert entered.is_set()
    assert "waiting for another process" in caplog.text
    assert list(tmp_path.iterdir()) == []
