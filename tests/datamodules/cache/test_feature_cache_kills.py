"""Extraction that is killed, or runs twice at once, ends with the same bytes."""

import fcntl
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.datamodules.cached import Fake, Holes, build, tree
from tests.processes import PROCESSES

N, SIZE = 26, 6
LEN_SHARDS = 5


def work(folder: Path, log: Path, delay: float, die_at: int | None, locks: bool = True) -> None:
    """In a child: extracts, and kills itself at the ``die_at``-th step of the writing."""
    steps = iter(range(1_000_000))

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            for run in (None, call):
                result = run(*args) if run else None
                if next(steps) == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    os.fsync, Path.replace = dying(os.fsync), dying(Path.replace)  # type: ignore[method-assign]
    if not locks:

        def refuse(*args: Any) -> None:
            raise OSError("no locks here")

        fcntl.flock = refuse
    backbone = Fake(delay=delay)
    backbone.log = log
    build(folder, size=SIZE).features(holed(), backbone, progress=False)


def holed() -> Holes:
    return Holes([f"!{i}" if i in (2, 13) else str(i) for i in range(N)], "captions train")


def start(*args: Any) -> Any:
    child = PROCESSES.Process(target=work, args=args)
    child.start()
    return child


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    build(folder, size=SIZE).features(holed(), Fake())
    return tree(folder)


def finished_items(folder: Path) -> set[str]:
    """The items of the shards that stand under their final names."""
    numbers = [int(path.stem) for path in folder.glob("*/*.safetensors")]
    return {str(i) for k in numbers for i in range(k * SIZE, min((k + 1) * SIZE, N))}


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_ends_with_the_same_bytes(
    seed: int, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    moments = random.Random(seed)
    folder, killed = tmp_path / "cache", 0
    for attempt in range(8):
        log, done = tmp_path / f"log{attempt}", finished_items(folder)
        child = start(folder, log, 0.04, None)
        if attempt < 6:
            while child.is_alive() and not log.exists():  # count from the start of the work, not of the process
                time.sleep(0.002)
            child.join(moments.uniform(0, 0.25))
            child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        killed += child.exitcode != 0
        assert not done & set(lines(log))
        if child.exitcode == 0:
            break
    assert killed
    assert tree(folder) == uninterrupted


# Each of 5 shards and the manifest: before and after fsync, before and after the rename.
@pytest.mark.parametrize("step", range(4 * (LEN_SHARDS + 1)))
def test_killed_at_each_step_of_writing(step: int, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    child = start(folder, log, 0, step)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    done = finished_items(folder)
    assert len(done) == min(N, (step + 1) // 4 * SIZE)
    backbone = Fake()
    features = build(folder, size=SIZE).features(holed(), backbone)
    assert set(backbone.seen) == set(holed().strings) - done - {"!2", "!13"}
    assert features.extracted_items == N - len(done)
    assert tree(folder) == uninterrupted


@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_at_once(locks: bool, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, logs = tmp_path / "cache", [tmp_path / "log0", tmp_path / "log1"]
    children = [start(folder, log, 0.01, None, locks) for log in logs]
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert tree(folder) == uninterrupted
    if locks:  # the second waits and finds the work done
        assert max(Counter(lines(logs[0]) + lines(logs[1])).values()) == 1


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    folder, logs = tmp_path / "cache", [tmp_path / "log0", tmp_path / "log1"]
    first = start(folder, logs[0], 0.3, None)  # it would take seconds: it is killed at work on any machine
    while not logs[0].exists():
        time.sleep(0.002)
    second = start(folder, logs[1], 0, None)
    second.join(0.1)
    assert not logs[1].exists()
    first.kill()
    first.join()
    second.join()
    assert second.exitcode == 0
    assert tree(folder) == uninterrupted
