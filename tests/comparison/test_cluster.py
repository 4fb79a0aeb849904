"""``compare.py launcher=slurm`` on a real SLURM of one node, and what of it needs none."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from submitit import LocalExecutor

from comparison import slurm
from comparison.cluster import Cluster, left_by
from comparison.job import Ended, Job
from comparison.slurm import Queue, Request, State
from ground.errors import UserError
from tests.comparison.contests import (
    command,
    contest,
    environment,
    finished,
    own_aligners,
    rows,
    unmeasured,
    wait_for,
)
from tests.slurm import asked, missing, processes
from tests.slurm import slurm as started

ON_SLURM = ("launcher=slurm", "slurm.minutes=30", "memory_gb=1", "seeds=1")
REQUEST: Request = {"partition": None, "minutes": 30, "gpus": 0, "options": None}
RUNNING = ("squeue", "--noheader", "--states=running", "--Format=JobID:|,Comment:|")


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a SLURM of two cores."""
    if reason := missing():
        pytest.skip(reason)
    with started(tmp_path_factory.mktemp("slurm"), cpus=2) as own:
        yield own


@contextmanager
def begun(folder: Path, own: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A contest on SLURM that goes on, one of whose rows is slow; it is killed at the end."""
    process = subprocess.Popen(
        command(*ON_SLURM, f"--config-dir={folder / 'conf'}", f"run_dir={folder / 'contest'}", *arguments), cwd=folder,
        env=environment(folder, SLOW="300", **own), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def running(own: dict[str, str], row: str) -> str:
    """The number of the job that is the run of this row."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for line in asked(own, *RUNNING).splitlines():
            number, told, _ = line.split("|")
            if told.startswith(f"{row} on "):
                return number
        time.sleep(0.2)
    raise AssertionError(asked(own, "squeue", "--states=all"))


def numbers(own: dict[str, str]) -> set[str]:
    """The jobs that are in the queue."""
    return set(asked(own, "squeue", "--noheader", "--format=%i").split())


@pytest.fixture(scope="module")
def played(one_node: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A contest of which one job was cancelled and one put into the queue again, as where it is preempted."""
    folder = tmp_path_factory.mktemp("played")
    own_aligners(folder)
    with begun(folder, one_node, "aligners=[once,slow,cca,killed,declines]") as process:
        wait_for(folder / "once")
        asked(one_node, "scontrol", "requeue", running(one_node, "once"))
        wait_for(folder / "started")
        asked(one_node, "scancel", running(one_node, "slow"))
        shown, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    return folder, shown


def test_what_fails_has_slurms_reason_and_the_rest_stands(played: tuple[Path, str]) -> None:
    folder, shown = played
    table = rows(folder)
    assert {name for name, row in table.items() if row["mean_recall"]} == {"cca", "once"}
    assert table["slow"]["told"] == "failed: SLURM: CANCELLED"
    assert table["killed"]["told"] == "failed: SLURM: FAILED, killed by SIGKILL, as where memory runs out"
    assert table["declines"]["told"] == "declined: this one needs other data"
    assert "runs are jobs of SLURM, of 1 threads each" in shown


def test_a_second_call_runs_what_failed_and_gives_the_table_of_one_machine(
    played: tuple[Path, str], one_node: dict[str, str], tmp_path: Path
) -> None:
    folder, _ = played
    before = finished(folder)
    asks = (*ON_SLURM, "slurm.options={nice:7}", f"--config-dir={folder / 'conf'}")
    again = contest(folder, *asks, "aligners=[once,slow,cca]", **one_node)
    assert again.returncode == 0, again.stderr
    assert before.items() <= finished(folder).items()
    assert len(finished(folder)) == len(before) + 1  # slow
    sent = [path.read_text() for path in (folder / "contest" / "slurm").glob("*_submission.sh")]
    assert len(sent) == 2  # the features' job, and that of slow
    assert all("#SBATCH --nice=7\n" in text and "#SBATCH --mem=1024M\n" in text for text in sent)
    (tmp_path / "once").touch()
    alone = contest(
        tmp_path, "aligners=[once,slow,cca]", "seeds=1", f"--config-dir={own_aligners(tmp_path)}",
        PYTHONPROFILEIMPORTTIME="1",
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    assert "comparison.machines" in alone.stderr
    assert "submitit" not in alone.stderr
    assert {name: unmeasured(row) for name, row in rows(folder).items()} == {
        name: unmeasured(row) for name, row in rows(tmp_path).items()
    }


def test_jobs_of_a_killed_contest_are_cancelled_by_the_next_and_ctrl_c_cancels_all(
    one_node: dict[str, str], tmp_path: Path
) -> None:
    own_aligners(tmp_path)
    with begun(tmp_path, one_node, "aligners=[slow]", "seeds=3"):
        wait_for(tmp_path / "started")
    waiting = numbers(one_node)
    assert len(waiting) == 3  # two of them on the two cores
    with begun(tmp_path, one_node, "aligners=[slow]", "seeds=3") as second:
        end = time.monotonic() + 60
        while len(now := numbers(one_node) - waiting) != 3:
            assert time.monotonic() < end, now
            time.sleep(0.2)
        assert running(one_node, "slow") in now
        assert numbers(one_node) == now
        os.kill(second.pid, signal.SIGINT)
        _, told = second.communicate(timeout=60)
    assert second.returncode == 130
    assert told.strip().splitlines()[-1] == "interrupted: what was written before is kept"
    assert not numbers(one_node)
    assert not finished(tmp_path)


def test_what_sbatch_refuses_ends_the_contest_in_a_line(one_node: dict[str, str], tmp_path: Path) -> None:
    ended = contest(tmp_path, *ON_SLURM, "aligners=[cca]", "slurm.partition=nope", **one_node)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: sbatch takes no run of this contest: invalid partition specified: nope; ")
    assert ended.stderr.count("\n") == 1


def test_what_slurm_would_never_start_or_has_forgotten(
    one_node: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "ASKED", 1.0)
    for name, value in one_node.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(tmp_path, 1, 1, 1, {**REQUEST, "minutes": 100})  # of the partition's 60
    ended = cluster.run(Job("cca", "d", 0, {}, tmp_path / "runs"))
    assert ended == Ended("failed", "SLURM: PENDING, PartitionTimeLimit")
    cluster.close()
    assert not numbers(one_node)
    queue = Queue(tmp_path)
    queue.sent("987654")
    assert queue.state("987654").told == "SLURM: FAILED, it knows nothing of the job any more"


def test_no_process_of_slurm_is_left(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    with started(tmp_path, cpus=1) as own:
        asked(own, "sbatch", f"--output={tmp_path}/out", "--wrap=sleep 300")
        while "RUNNING" not in asked(own, "squeue", "--noheader", "--format=%T"):
            time.sleep(0.1)
        assert len(processes(tmp_path)) > 3
    assert processes(tmp_path) == []


def test_without_slurm_it_is_one_line(tmp_path: Path) -> None:
    ended = contest(tmp_path, "launcher=slurm", "aligners=[cca]", PATH=str(tmp_path))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("error: launcher=slurm: no sbatch on this machine")
    assert not (tmp_path / "contest").exists()


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("launcher=slrum", "unknown launcher 'slrum': did you mean 'slurm'?"),
        ("slurm.minutes=0", "slurm.minutes must be at least 1, got 0"),
        ("slurm.gpus=-1", "slurm.gpus must be at least 0, got -1"),
        ("+slurm.qos=high", "unknown key 'slurm.qos': known are gpus, minutes, options, partition"),
    ],
)
def test_mistakes_are_one_line(argument: str, line: str, tmp_path: Path) -> None:
    ended = contest(tmp_path, "aligners=[cca]", argument)
    assert (ended.returncode, ended.stderr) == (2, f"error: {line}\n")


def test_the_name_of_a_job_is_the_contests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"slurm\.options: job_name is the contest's own"):
        Cluster(tmp_path, 1, 1, 1, {**REQUEST, "options": {"job-name": "mine"}})


def test_what_a_job_has_left(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path)
    jobs = [executor.submit(Ended, "declined", "why"), executor.submit(int, "x")]
    for job in jobs:
        job.wait()
    assert [left_by(job) for job in jobs] == [
        Ended("declined", "why"),
        Ended("failed", "ValueError: invalid literal for int() with base 10: 'x'"),
    ]


def test_states_of_jobs() -> None:
    assert not any(State(name).is_over for name in ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED"))
    assert all(State(name).is_over for name in ("COMPLETED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"))
    assert State("FAILED", "NonZeroExitCode", 3 << 8).told == "SLURM: FAILED, the process ended with exit code 3"
    assert State("FAILED").told == "SLURM: FAILED"  # of SLURM's records
    assert State("FAILED", "BadConstraints", 1).told == "SLURM: FAILED, BadConstraints"
