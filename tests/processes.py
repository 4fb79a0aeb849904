"""Processes that tests start: forked from a server that has imported once what takes long."""

import multiprocessing
import socket
from collections.abc import Callable, Iterable
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
# there is one server, and it imports what is named last before the first start: so all of it is named here
PROCESSES.set_forkserver_preload(
    ["tests.aligners.processes", "tests.datamodules.cached", "tests.running.torchrun", "hypothesis", "pytest"]
)


def exit_codes(target: Callable[..., None], arguments: Iterable[tuple[Any, ...]], seconds: float) -> list[int | None]:
    """Those of a process of ``target`` for each of the ``arguments``, killed where it takes longer."""
    processes = [PROCESSES.Process(target=target, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    for process in processes:
        process.kill()
    return [process.exitcode for process in processes]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
