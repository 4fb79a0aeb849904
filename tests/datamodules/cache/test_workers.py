"""Jobs in threads: order, errors, how far ahead, and the end of it all."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from datamodules.cache.workers import AHEAD, in_order
from tests.datamodules.threads import torch_threads, workers_alive

LONG = 60.0  # seconds: nothing here may take as long
JOB = 0.3  # seconds of a slow job


def napping(job: int) -> int:
    """The later of three jobs, the sooner it is done."""
    time.sleep(0.002 * (3 - job % 3))
    return job


def slow(job: int) -> int:
    time.sleep(JOB)
    return job


@pytest.mark.parametrize("n", [1, 2, 5])
def test_results_are_in_order(n: int) -> None:
    assert list(in_order(range(23), [napping] * n)) == list(range(23))
    assert list(in_order([], [napping] * n)) == []
    assert workers_alive() == []


def test_each_worker_has_a_thread_and_does_a_part() -> None:
    both, seen = threading.Barrier(2), []

    def work(name: str) -> Callable[[int], str]:
        def one(job: int) -> str:
            seen.append((name, threading.get_ident()))
            both.wait(LONG)  # passes only where the other worker has a job at the same time
            return name

        return one

    assert set(in_order(range(6), [work("a"), work("b")])) == {"a", "b"}
    assert len(set(seen)) == 2
    assert threading.get_ident() not in {ident for _, ident in seen}


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_first_job_in_order_that_fails_is_told(n: int) -> None:
    def work(job: int) -> int:
        time.sleep(0.05 if job == 5 else 0)
        if job >= 5:
            raise ValueError(f"job {job}")
        return job

    results = in_order(range(40), [work] * n)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="job 5"):
        next(results)
    assert workers_alive() == []


def test_an_exit_within_a_job_does_not_hang() -> None:
    def work(job: int) -> int:
        raise SystemExit(job)

    with pytest.raises(SystemExit):
        list(in_order(range(3), [work] * 2))


def test_a_slow_reader_has_few_jobs_before_it() -> None:
    begun = []

    def work(job: int) -> int:
        begun.append(job)
        return job

    for read, _ in enumerate(in_order(range(50), [work] * 3), start=1):
        time.sleep(0.002)
        assert len(begun) <= read + AHEAD * 3
    assert sorted(begun) == list(range(50))


def test_after_an_interrupt_no_further_job_is_begun() -> None:
    begun = []

    def work(job: int) -> int:
        begun.append(job)
        if job == 2:
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        return slow(job)

    with pytest.raises(KeyboardInterrupt):
        list(in_order(range(9), [work] * 3))
    assert sorted(begun) == [0, 1, 2]
    assert workers_alive() == []


def test_closed_early_nothing_goes_on() -> None:
    begun = []

    def work(job: int) -> int:
        begun.append(job)
        return slow(job) if job else job

    with closing(in_order(range(9), [work] * 2)) as results:
        assert next(results) == 0
    assert workers_alive() == []
    assert len(begun) <= AHEAD * 2 + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_torch_computes_in_one_thread_within_and_as_before_after(threads: int) -> None:
    def of_a_new_thread() -> list[int]:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found

    with torch_threads(threads):
        assert list(in_order(range(4), [lambda _: torch.get_num_threads()] * 2)) == [1, 1, 1, 1]
        assert (torch.get_num_threads(), of_a_new_thread()) == (threads, [threads])


def test_limits_of_threads_hold_after_it() -> None:
    list(in_order(range(4), [napping] * 2))
    if any(pool["user_api"] == "openmp" for pool in threadpool_info()):
        with threadpool_limits(limits=1):
            assert torch.get_num_threads() == 1
