"""What SLURM knows of a contest's jobs, which have one name: its commands, without submitit."""

import hashlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from comparison.machines import died
from ground.ranges import Count, Natural

ASKED = 10.0
"""Seconds between two questions to SLURM, which has other users."""
WAITED = 90.0
"""Seconds for jobs that were cancelled to end: SLURM kills what does not after 30."""
ENDS = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
"""States that a job does not leave: one that is put into the queue again is pending."""
NEVER = {"BadConstraints", "PartitionNodeLimit", "PartitionTimeLimit", "launch_failed_requeued_held"}
"""Reasons for which a job is pending and stays so."""


class Request(TypedDict):
    """What each run asks of the cluster, as ``configs/compare.yaml`` has it."""

    partition: str | None
    minutes: Count
    gpus: Natural
    options: dict[str, Any] | None


class State(NamedTuple):
    """Where a job is: its state, SLURM's reason for it, and what it ended with, as of ``wait``.

    Example:
        >>> State("RUNNING").is_over, State("PENDING", "PartitionTimeLimit").is_over
        (False, True)
        >>> State("TIMEOUT", "TimeLimit").told, State("FAILED", "NonZeroExitCode", 137 << 8).told
        ('SLURM: TIMEOUT', 'SLURM: FAILED, killed by SIGKILL, as where memory runs out')
    """

    name: str
    reason: str = ""
    status: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of the job any more."""
        return self.name in ENDS or (self.name == "PENDING" and self.reason in NEVER)

    @property
    def told(self) -> str:
        """It, in words."""
        if self.name not in ("FAILED", "PENDING"):
            return f"SLURM: {self.name}"
        if self.reason not in ("NonZeroExitCode", "RaisedSignal", "None", ""):
            return f"SLURM: {self.name}, {self.reason}"
        if not self.status:
            return f"SLURM: {self.name}"
        code = os.waitstatus_to_exitcode(self.status)
        return f"SLURM: {self.name}, {died(128 - code if code > 128 else code)}"  # the shell's code of a signal


class Queue:
    """The jobs of the contest in ``folder``, by whichever process they were sent; not for several threads at once."""

    def __init__(self, folder: Path):
        self.name = f"contest-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
        self._mine = [f"--name={self.name}", f"--user={os.getuid()}"]
        self._states: dict[str, State] = {}
        self._asked = -ASKED

    def sent(self, job: str) -> None:
        """A job is in the queue from now on."""
        self._states[job] = State("PENDING")

    def state(self, job: str) -> State:
        """Where a job is, or was some seconds ago."""
        if time.monotonic() - self._asked > ASKED:
            self._ask()
            self._asked = time.monotonic()
        return self._states[job]

    def cancel(self) -> list[str]:
        """Cancel all jobs and wait for their end; those that are there after ``WAITED`` seconds all the same."""
        end = time.monotonic() + WAITED
        _output(["scancel", *self._mine])
        while left := (_output(["squeue", "--noheader", "--format=%i", *self._mine]) or "").split():
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        return left

    def _ask(self) -> None:
        columns = "--Format=JobID:|,State:|,Reason:|,exit_code:|"
        output = _output(["squeue", "--noheader", "--states=all", columns, *self._mine])
        if output is None:  # the controller is away: as before
            return
        known = {}
        for line in output.splitlines():
            job, state, reason, status = line.split("|")[:4]
            known[job] = State(state, reason, int(status))
        for job, before in self._states.items():
            if not before.is_over:
                self._states[job] = known.get(job) or _recorded(job)


def _recorded(job: str) -> State:
    """The state of a job that ended so long ago that it is in SLURM's records alone, where it keeps some."""
    words = (_output(["sacct", "--allocations", "--noheader", "--format=State", f"--jobs={job}"]) or "").split()
    return State(words[0].rstrip("+") if words else "FAILED", "" if words else "it knows nothing of the job any more")


def _output(command: list[str]) -> str | None:
    """What a command of SLURM's prints; None where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
