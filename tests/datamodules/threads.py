"""Torch with other numbers of threads than the tests' one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Within the block torch, and so extraction, has ``n`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def workers_alive() -> list[str]:
    """Names of the threads of extraction."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("worker ")]
