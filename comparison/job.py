"""A run of a contest: what it is of, where it lies, and how it ended."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ground.files import folder_name, to_json
from running.directory import FINISHED

APART = ("run_dir", "cache_dir", "threads", "logger", "tags", "report", "resume", "test", "name", "aligner_name")
"""Keys of a run's config that no number of its result depends on."""

Status = Literal["finished", "declined", "failed"]
"""``declined``: it cannot run on this data or with these settings, and says so in a line; ``failed``: it crashed."""


class Ended(NamedTuple):
    """How a run ended, with the reason where it did not finish."""

    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """The run of a row, on one data set, with one seed; ``config`` is that of ``train.py``, resolved.

    Example:
        >>> job = Job("cca", "clipart", 0, {"aligner": {"rank": 8}, "run_dir": "a"}, Path("runs"))
        >>> other = Job("cca", "clipart", 0, {"aligner": {"rank": 8}, "run_dir": "b"}, Path("runs"))
        >>> job.key == other.key, str(job.folder).startswith("runs/clipart/cca/seed0-")
        (True, True)
    """

    row: str
    data: str
    seed: int
    config: dict[str, Any]
    root: Path

    @property
    def key(self) -> str:
        """What its numbers follow from: the config, and this version of the project."""
        kept = {key: value for key, value in self.config.items() if key not in APART}
        text = json.dumps([_version(), kept], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Its run directory."""
        return self.root / folder_name(self.data) / folder_name(self.row) / f"seed{self.seed}-{self.key}"

    @property
    def log(self) -> Path:
        """What it wrote on its screen."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def told(self) -> str:
        """Which run it is, in words."""
        return f"{self.row} on {self.data}, seed {self.seed}"

    def metrics(self) -> dict[str, Any] | None:
        """What ``metrics.json`` holds; None of a run that has not come to its end."""
        try:
            read = json.loads((self.folder / FINISHED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return read if isinstance(read, dict) else None

    def ended(self) -> Ended | None:
        """How it ended, where it did."""
        if self.metrics() is not None:
            return Ended("finished")
        try:
            read = json.loads(self._record.read_text(encoding="utf-8"))
            return Ended(read["status"], read["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, ended: Ended) -> None:
        """Keep how it ended, where its directory does not say so."""
        if ended.status == "finished":
            self._record.unlink(missing_ok=True)
            return
        self._record.parent.mkdir(parents=True, exist_ok=True)
        part = self._record.with_suffix(".tmp")
        part.write_text(to_json(ended._asdict()), encoding="utf-8")
        part.replace(self._record)

    @property
    def _record(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.ended.json")


def _version() -> str:
    try:
        return version("unicon-align")
    except PackageNotFoundError:
        return "unknown"
