"""What a contest's runs go to: processes of this machine, as many at once as it holds."""

import multiprocessing
import os
import queue
import re
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from comparison import calls
from comparison.job import Ended, Job

PRELOADED = ["comparison.worker"]
POLLED = 0.5
"""Seconds after which a wait looks whether the contest goes on."""
INTERRUPTED = Ended("failed", "the contest was interrupted")


class Local:
    """Processes of this machine, each a fork of one that has imported torch and the rest: imports are paid once.

    Args:
        slots: runs at once.
        threads: of each.
        devices: GPUs, of which each run has one; none, and runs are on the CPU.
    """

    def __init__(self, slots: int, threads: int, devices: list[str]):
        self.slots = slots
        self._closed = threading.Event()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        # before any process is started: libraries read it when they are imported
        os.environ["OMP_NUM_THREADS"] = str(threads)
        # the server that forks does not take over where this process imports from: another checkout may be installed
        root = str(Path(__file__).resolve().parents[1])
        former = os.environ.get("PYTHONPATH", "")
        if root not in former.split(os.pathsep):
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, former]))
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pools: list[Any] = []
        for number in range(slots):
            device = devices[number % len(devices)] if devices else None
            pool = ProcessPool(
                1, max_tasks=1, initializer=calls.begin, initargs=(threads, device, os.getpid()), context=context
            )
            self._pools.append(pool)
            self._free.put(pool)

    def run(self, job: Job) -> Ended:
        """Run the job to its end, whatever that is; from any thread."""
        return self._called(calls.run_job, job.config, str(job.log))

    def prepare(self, job: Job) -> Ended:
        """Extract the features of the job's data."""
        return self._called(calls.prepare_data, job.config, str(job.log))

    def _called(self, function: Callable[..., Ended], *arguments: Any) -> Ended:
        pool = self._free.get()
        try:
            future = pool.schedule(function, args=arguments)
            while not wait([future], timeout=POLLED).done:  # of a pool that is stopped, futures may never be done
                if self._closed.is_set():
                    return INTERRUPTED
            ended: Ended = future.result()
            return ended
        except ProcessExpired as error:
            return Ended("failed", died(error.exitcode))
        except (CancelledError, RuntimeError):  # a pool that takes no more
            if self._closed.is_set():
                return INTERRUPTED
            raise
        finally:
            self._free.put(pool)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._closed.set()
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()


def died(code: int | None) -> str:
    """What an exit code of a process that gave no answer tells.

    Example:
        >>> died(-9), died(3)
        ('killed by SIGKILL, as where memory runs out', 'the process ended with exit code 3')
    """
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}, as where memory runs out" if name == "SIGKILL" else f"killed by {name}"
    return f"the process ended with exit code {code}"


def slots_here(threads: int, memory_gb: float) -> int:
    """Runs at once that cores, free memory and GPUs, where there are any, are enough for; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = gpus()
    return max(1, min([cores // threads, int(_free_memory_gb() / memory_gb), *([len(devices)] if devices else [])]))


def _free_memory_gb() -> float:
    """What processes may take, the system's own cache among it where the system tells."""
    with suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        if found:
            return int(found[1]) / 2**20
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def gpus() -> list[str]:
    """The GPUs that this process may use, without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
    return [each for each in visible.split(",") if each.strip() and each.strip() != "-1"]
