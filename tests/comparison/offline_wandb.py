"""Runs that Weights & Biases wrote offline, read back, behind the part of its API that a report asks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = range(1, 5)


def records(file: Path) -> Iterator[Any]:
    """Those of a ``.wandb`` file, which is a log as LevelDB writes it: a header of 7 bytes, then blocks of pieces."""
    content, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:  # what no header has room in
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole = (b"" if kind in (FULL, FIRST) else whole) + content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(whole)


class Artifact:
    """An artifact as it was logged, whose files lie where the client kept them for a later upload."""

    def __init__(self, record: Any):
        self.type, self.name = record.type, record.name
        self._files = {each.path: Path(each.local_path) for each in record.manifest.contents}
        self.downloads = 0

    def download(self, root: str) -> str:
        self.downloads += 1
        for name, source in self._files.items():
            (Path(root) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, Path(root) / name)
        return root


class Run:
    """A run, finished as it says."""

    def __init__(self, file: Path):
        self.config: dict[str, Any] = {}
        self.artifacts: list[Artifact] = []
        self.state = "running"
        for record in records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.id, self.project, self.group = record.run.run_id, record.run.project, record.run.run_group
                self.job_type = record.run.job_type or None
                self.created_at = record.run.start_time.ToJsonString()
                self._configured(record.run.config)
            elif kind == "config":
                self._configured(record.config)
            elif kind == "artifact":
                self.artifacts.append(Artifact(record.artifact))
            elif kind == "exit":
                self.state = "failed" if record.exit.exit_code else "finished"

    def _configured(self, of: Any) -> None:
        for each in of.update:
            self.config[each.key or each.nested_key[0]] = json.loads(each.value_json)

    def logged_artifacts(self) -> list[Artifact]:
        return self.artifacts


class Api:
    """``wandb.Api`` of one entity whose projects have these runs."""

    def __init__(self, entity: str, runs: list[Run]):
        self._entity, self._runs = entity, runs

    def runs(self, path: str, filters: dict[str, Any]) -> Iterator[Run]:
        entity, _, project = path.partition("/")
        if entity != self._entity or project not in {run.project for run in self._runs}:
            raise ValueError(f"Could not find project {project}")  # as the client does when its first page is read
        found = [run for run in self._runs if run.project == project and run.group == filters["group"]]
        yield from sorted(found, key=lambda run: run.created_at)
