"""Jobs in threads of one torch thread each, and their results in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")

AHEAD = 2
"""Jobs for each worker that may be begun or done before they are asked for."""


class _Worker(threading.Thread, Generic[Job, Result]):
    """A thread that does one job after another until it finds None among them."""

    def __init__(
        self, work: Callable[[Job], Result], jobs: "SimpleQueue[tuple[Job, Future[Result]] | None]", number: int
    ) -> None:
        super().__init__(name=f"worker {number}")
        self._work, self._jobs = work, jobs

    def run(self) -> None:
        torch.set_num_threads(1)  # of this thread; and of those that begin later, which ``in_order`` sets back
        while (task := self._jobs.get()) is not None:
            job, future = task
            try:
                future.set_result(self._work(job))
            except BaseException as error:  # whatever it is, somebody waits for it
                future.set_exception(error)


def in_order(jobs: Iterable[Job], workers: Sequence[Callable[[Job], Result]]) -> Generator[Result, None, None]:
    """Results of ``jobs``, in their order; each of ``workers`` does one job after another in a thread of its own.

    Within a worker torch computes in one thread, so that a result depends neither on how many workers there are nor on
    which of them made it. ``AHEAD`` jobs for each worker are begun before they are asked for, no more. The workers have
    ended when the generator has; where it is closed or interrupted, with the jobs that they are at.

    Raises:
        Exception: what the first job in order that fails raises.

    Example:
        >>> list(in_order(range(5), [lambda n: n * n, lambda n: n * n]))
        [0, 1, 4, 9, 16]
    """
    tasks: SimpleQueue[tuple[Job, Future[Result]] | None] = SimpleQueue()
    crew = [_Worker(work, tasks, number) for number, work in enumerate(workers)]
    threads = torch.get_num_threads()
    pending: deque[Future[Result]] = deque()
    finished = False
    try:
        for worker in crew:
            worker.start()
        for job in jobs:
            if len(pending) == AHEAD * len(crew):
                yield _waited_for(pending.popleft())
            future: Future[Result] = Future()
            pending.append(future)
            tasks.put((job, future))
        while pending:
            yield _waited_for(pending.popleft())
        finished = True
    finally:
        _end(crew, tasks, at_once=not finished)
        # by a thread that ends: in this one it would outweigh threadpoolctl's limits from now on
        _begun_and_ended(threading.Thread(target=torch.set_num_threads, args=(threads,)))


def _waited_for(future: Future[Result]) -> Result:
    while not future.done():  # one second after another: not everywhere does Ctrl-C end a wait
        wait([future], timeout=1)
    return future.result()


def _end(
    crew: list[_Worker[Job, Result]], tasks: "SimpleQueue[tuple[Job, Future[Result]] | None]", at_once: bool
) -> None:
    if at_once:
        with suppress(Empty):
            while True:
                tasks.get_nowait()
    for _ in crew:
        tasks.put(None)
    for worker in crew:
        if worker.ident is not None:  # it may not have begun
            worker.join()


def _begun_and_ended(thread: threading.Thread) -> None:
    thread.start()
    thread.join()
