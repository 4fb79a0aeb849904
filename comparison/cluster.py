"""What a contest's runs go to: jobs of SLURM, by submitit, on nodes that see the contest's folder."""

import os
import re
import shlex
import shutil
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.core import Job as Submitted
from submitit.core.utils import FailedJobError, pickle_load

from comparison import calls
from comparison.job import Ended, Job
from comparison.machines import INTERRUPTED
from comparison.slurm import Queue, Request, State
from ground.errors import UserError

QUEUED = 100
"""Jobs in the queue at once where the user names no number: users may have some hundreds on most clusters."""
POLLED = 1.0
"""Seconds between two looks for what a job has left."""
LATE = 60
"""Seconds after which a file that a node has written is seen here at the latest."""


class Cluster:
    """Jobs of SLURM, one for each run; a job that SLURM itself puts into the queue again goes on where it was.

    Jobs of a contest in ``folder`` that was killed are cancelled first: their runs are this contest's now.

    Args:
        folder: of the contest.
        slots: jobs in the queue at once.
        threads: of each.
        memory_gb: of each.
        request: what else each asks for.

    Raises:
        UserError: an option that is not the user's to set, or jobs of before that do not end.
    """

    def __init__(self, folder: Path, slots: int, threads: int, memory_gb: float, request: Request):
        options = {key.replace("-", "_"): value for key, value in (request["options"] or {}).items()}
        if taken := {"job_name", "array"} & set(options):
            raise UserError(f"slurm.options: {taken.pop()} is the contest's own")
        self.slots = slots
        self._limits = {"TIMEOUT": f"slurm.minutes={request['minutes']}", "OUT_OF_MEMORY": f"memory_gb={memory_gb}"}
        self._gpus = request["gpus"]
        self._threads = threads
        self._queue = Queue(folder)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[Path] = set()
        self._taken = False
        if left := self._queue.cancel():
            raise UserError(f"jobs of an earlier contest in {folder} do not end: {', '.join(left)}")
        shutil.rmtree(folder / "slurm", ignore_errors=True)  # of that contest, whose numbers may come again
        self._executor = SlurmExecutor(folder / "slurm")
        self._executor.update_parameters(
            job_name=self._queue.name,
            partition=request["partition"],
            time=request["minutes"],
            gpus_per_node=self._gpus or None,
            cpus_per_task=threads,
            mem=f"{round(memory_gb * 1024)}M",
            # before libraries are imported, which read it then
            setup=[f"export OMP_NUM_THREADS={threads}", f"export PYTHONPATH={shlex.quote(_paths())}"],
            use_srun=False,  # whose step does not have the cores of the job, from SLURM 22.05 on
            stderr_to_stdout=True,
            additional_parameters={"requeue": True} | options,
        )

    def run(self, job: Job) -> Ended:
        """Run the job to its end, whatever that is; from any thread."""
        return self._called(job, calls.run_job)

    def prepare(self, job: Job) -> Ended:
        """Extract the features of the job's data."""
        return self._called(job, calls.prepare_data)

    def close(self) -> None:
        """Cancel what is in the queue."""
        self._closed.set()
        with self._lock:  # what is being sent is in the queue then
            if self._under_way:
                self._queue.cancel()

    def _called(self, job: Job, function: Callable[..., Ended]) -> Ended:
        self._under_way.add(job.folder)
        try:
            submitted = self._submitted(job, function)
        except FailedJobError as error:
            line = "; ".join(re.findall(r"^sbatch: (?:error: )?(.+)$", str(error), re.MULTILINE)) or str(error)
            if self._taken:
                return Ended("failed", f"sbatch: {line}")
            raise UserError(f"sbatch takes no run of this contest: {line}") from None  # nor any other
        ended = INTERRUPTED if submitted is None else self._end_of(submitted)
        if ended != INTERRUPTED:
            self._under_way.discard(job.folder)
        return ended

    def _submitted(self, job: Job, function: Callable[..., Ended]) -> Submitted[Ended] | None:
        """The job in the queue; None where the contest has ended."""
        with self._lock, redirect_stderr(StringIO()):  # submitit prints there what it raises
            if self._closed.is_set():
                return None
            self._executor.update_parameters(comment=job.told)
            arguments = (self._threads, self._gpus, function, job.config, str(job.log))
            submitted: Submitted[Ended] = self._executor.submit(_on_node, *arguments)
            self._taken = True
            self._queue.sent(submitted.job_id)
            return submitted

    def _end_of(self, submitted: Submitted[Ended]) -> Ended:
        """What came of it, by what it left or by what SLURM says."""
        late = 0
        while not self._closed.wait(POLLED):
            if (ended := left_by(submitted)) is not None:
                return ended
            with self._lock:
                state = self._queue.state(submitted.job_id)
            if state.name == "COMPLETED":
                late += 1
            if late > LATE:
                return Ended("failed", f"a node does not write to {submitted.paths.folder}: it must be shared")
            if state.is_over and not late:
                if state.name == "PENDING":
                    submitted.cancel(check=False)
                return left_by(submitted) or Ended("failed", self._told(state))
        return INTERRUPTED

    def _told(self, state: State) -> str:
        limit = self._limits.get(state.name)
        return f"{state.told}, {limit}" if limit else state.told


def left_by(submitted: Submitted[Ended]) -> Ended | None:
    """What the job's function returned, or the last line of its traceback; None before its end."""
    folder, result = submitted.paths.folder, submitted.paths.result_pickle
    with suppress(OSError):  # a shared folder is read anew when it changes
        folder.chmod(folder.stat().st_mode)
    if not result.exists():
        return None
    outcome, value = pickle_load(result)
    return value if outcome == "success" else Ended("failed", value.strip().splitlines()[-1])


def _paths() -> str:
    """Where this process finds modules beyond those of its Python: the project and the user's own."""
    own = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    folders = [Path(each).absolute() for each in sys.path if Path(each).is_dir()]
    return os.pathsep.join(str(each) for each in folders if not any(map(each.is_relative_to, own)))


def _on_node(threads: int, gpus: int, function: Callable[..., Ended], config: dict[str, Any], log: str) -> Ended:
    """What a job does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit passes it over
    calls.begin(threads, None if gpus else "", None)  # SLURM says which GPUs; without one asked for, none
    return function(config, log)
