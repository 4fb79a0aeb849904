"""The functions of ``worker``, named without importing it: the contest's own process has no need of torch."""

from typing import Any

from comparison.job import Ended


def begin(threads: int, device: str | None, contest: int | None) -> None:
    """``worker.begin``."""
    from comparison import worker

    worker.begin(threads, device, contest)


def run_job(config: dict[str, Any], log: str) -> Ended:
    """``worker.run_job``."""
    from comparison import worker

    return worker.run_job(config, log)


def prepare_data(config: dict[str, Any], log: str) -> Ended:
    """``worker.prepare_data``."""
    from comparison import worker

    return worker.prepare_data(config, log)
