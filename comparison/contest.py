"""The runs of a contest: data first, then what is tuned, then every row under every seed; each is run once."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from omegaconf import DictConfig, OmegaConf

from comparison.job import Ended, Job
from comparison.tuning import Setting, Space, Tuned, tuned
from comparison.wandb_group import join

Told = Callable[[Job, Ended], None]
Item = TypeVar("Item")

MAP_ITEMS = 200
NO_PICTURES: Setting = {f"report.{name}": 1 for name in ("similarity_pairs", "sheet_items")} | {
    f"report.{name}": 0 for name in ("tsne_items", "weights_items")
}
"""Of a trial nobody looks at any."""


class Machine(Protocol):
    """Where runs go: ``slots`` of them at once, each to its end, whatever that is."""

    slots: int

    def run(self, job: Job) -> Ended: ...

    def prepare(self, job: Job) -> Ended: ...

    def close(self) -> None: ...


@dataclass
class Entry:
    """A row on one data set: the config of its runs, or the reason why there is none; and what was tuned."""

    row: str
    data: str
    config: DictConfig | None
    reason: str = ""
    space: Space = field(default_factory=dict)
    """What is to be tuned."""
    tuned: Tuned | None = None
    tuning_seconds: float = 0.0
    """Of the fits of all trials."""
    jobs: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Contest:
    """What all entries have alike.

    Args:
        machine: where runs go.
        folder: where they lie.
        seeds: of each entry.
        trials: settings tried of each entry, on its first seed; 0 leaves the defaults.
        told: called as runs end, in the order in which they do.
    """

    machine: Machine
    folder: Path
    seeds: Sequence[int]
    trials: int
    told: Told

    def play(self, entries: Sequence[Entry]) -> None:
        """Run all that has not been run; entries then have their jobs, each of which has ended."""
        able = [each for each in entries if each.config is not None]
        self._prepare(able)
        if self.trials:
            self._each(able, self._tune)
        for entry in able:
            assert entry.config is not None
            setting = entry.tuned.setting if entry.tuned else {}
            # pictures are not of the result: the map takes seconds and is drawn once, unless the user asks for it
            once = {"report.tsne_items": MAP_ITEMS} if OmegaConf.select(entry.config, "report.tsne_items") == 0 else {}
            entry.jobs = [
                self._job(entry, setting | (once if seed == self.seeds[0] else {}), seed, "runs") for seed in self.seeds
            ]
        # seeds outside: where the contest is cut off, each row has as many
        self._each([entry.jobs[i] for i in range(len(self.seeds)) for entry in able], self._run)

    def _prepare(self, entries: Sequence[Entry]) -> None:
        """The features of each data set, by one process: the runs that begin together would each extract them."""
        jobs: dict[str, Job] = {}
        for entry in entries:
            if any(self._job(entry, {}, seed, "runs").metrics() is None for seed in self.seeds):
                jobs.setdefault(entry.data, self._job(entry, {}, self.seeds[0], "data"))
        self._each(list(jobs.values()), self._prepared)

    def _prepared(self, job: Job) -> None:
        ended = self.machine.prepare(job)
        if ended.status != "finished":  # the runs say it too, each for itself
            self.told(job, ended)

    def _tune(self, entry: Entry) -> None:
        def score(setting: Setting) -> float | None:
            job = self._job(entry, NO_PICTURES | setting, self.seeds[0], "trials")
            self._run(job)
            metrics = job.metrics() or {}
            entry.tuning_seconds += metrics.get("time/fit_seconds", 0.0)
            value = metrics.get(f"val/{job.config['evaluation']['select']}")
            return value if isinstance(value, int | float) else None

        assert entry.config is not None
        entry.tuned = tuned(entry.config, entry.space, self.trials, self.seeds[0], score)

    def _run(self, job: Job) -> None:
        ended = job.ended()
        if ended is None or ended.status != "finished":  # what was missing may be there now, what crashed mended
            ended = self.machine.run(job)
            job.write(ended)
        self.told(job, ended)

    def _job(self, entry: Entry, setting: Setting, seed: int, where: str) -> Job:
        config = OmegaConf.create(entry.config)
        for key, value in (setting | {"seed": seed}).items():
            OmegaConf.update(config, key, value)
        job = Job(entry.row, entry.data, seed, _resolved(config), self.folder / where)
        config.run_dir = str(job.folder)  # which loggers have too
        join(config, self.folder.name, entry.row, entry.data, where.removesuffix("s"))
        return replace(job, config=_resolved(config))

    def _each(self, items: Iterable[Item], act: Callable[[Item], None]) -> None:
        """Do it to all, as many at once as the machine has slots; the first error of ours ends the contest."""
        threads = ThreadPoolExecutor(self.machine.slots)
        try:
            for done in as_completed([threads.submit(act, each) for each in items]):
                done.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _resolved(config: DictConfig) -> dict[str, Any]:
    resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return resolved  # type: ignore[no-any-return]
