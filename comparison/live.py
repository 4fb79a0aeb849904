"""What a contest shows while its runs end: a table that grows, or a line for each run where there is no terminal."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.live import Live
from rich.table import Table

from comparison.contest import Entry
from comparison.job import Ended, Job
from comparison.results import SCORE


class Board:
    """How far each row is; ``told`` may be called from any thread.

    Args:
        console: where it shows.
        runs: of each entry.
        trials: of each entry at most.
    """

    def __init__(self, console: Console, entries: list[Entry], runs: int, trials: int):
        self._console, self._runs, self._trials = console, runs, trials
        self._order = [(each.data, each.row) for each in entries if each.config is not None]
        self._ended: Counter[tuple[str, str]] = Counter()
        self._tried: Counter[tuple[str, str]] = Counter()
        self._recalls: dict[tuple[str, str], list[float]] = {}
        self._problems: dict[tuple[str, str], str] = {}
        self._lock = Lock()
        self._live: Live | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """As long as runs are under way."""
        if not self._console.is_terminal:
            yield
            return
        with Live(self._table(), console=self._console, refresh_per_second=2, transient=True) as self._live:
            yield

    def told(self, job: Job, ended: Ended) -> None:
        """A run has ended, now or before."""
        key = (job.data, job.row)
        trial = job.root.name == "trials"
        with self._lock:
            (self._tried if trial else self._ended)[key] += 1
            metrics = job.metrics() or {}
            if ended.status != "finished":
                self._problems.setdefault(key, ended.reason)
            elif not trial:
                self._recalls.setdefault(key, []).append(metrics.get(SCORE, 0.0))
            if self._live is not None:
                self._live.update(self._table())
            elif not trial:
                recall = f"mean recall {metrics[SCORE]:.2f}" if SCORE in metrics else f"{ended.status}: {ended.reason}"
                self._console.print(f"{sum(self._ended.values())}/{len(self._order) * self._runs} {job.told}: {recall}")

    def _table(self) -> Table:
        table = Table(
            title=f"{sum(self._ended.values())} of {len(self._order) * self._runs} runs", title_justify="left"
        )
        several = len({data for data, _ in self._order}) > 1
        for column in (
            *(["data"] if several else []),
            "row",
            *(["trials"] if self._trials else []),
            "runs",
            "mean recall",
            "",
        ):
            table.add_column(column)
        for data, row in self._order:
            key = (data, row)
            recalls = self._recalls.get(key, [])
            table.add_row(
                *([data] if several else []), row, *([f"{self._tried[key]}/{self._trials}"] if self._trials else []),
                f"{self._ended[key]}/{self._runs}", f"{sum(recalls) / len(recalls):.2f}" if recalls else "",
                self._problems.get(key, "")[:80],
            )  # fmt: skip
        return table
