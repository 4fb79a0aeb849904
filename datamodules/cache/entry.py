"""The folder of one key of a feature cache: its shards and the manifest that vouches for them."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from datamodules.cache.extraction import Encoder, extract
from datamodules.cache.shards import (
    Shard,
    ShardError,
    locked,
    read_shard,
    remove_leftovers,
    write_atomically,
    write_shard,
)
from datamodules.items.items import Items
from ground.distributed import from_first, rank_and_world
from ground.errors import UserError
from ground.progress import progress_bar

logger = logging.getLogger(__name__)

# Part of the key: raise it when a change of the code makes other features or other files of the same items.
EXTRACTION_VERSION = 2

PRECISIONS = {"float32": torch.float32, "float16": torch.float16}


class CacheEntry:
    """The folder of one key: its shards, where they are sound, and what is wrong with the others."""

    def __init__(
        self, folder: Path, source: Items, backbone: Encoder, precision: str, shard_size: int, fingerprint: str
    ) -> None:
        self.folder = folder
        self.source, self.backbone = source, backbone
        self.precision, self.shard_size = precision, shard_size
        self.fingerprint = fingerprint  # of the source, which the first process alone takes
        self.shards: list[Shard | None] = []
        self.damage: list[str] = []

    def look(self) -> bool:
        """Makes the folder where it lacks; whether all is there already."""
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, exclusive=False):
            self.review()
            return self.complete()

    def review(self) -> list[int]:
        """Checks every file; the shards to extract. What is not there yet is no damage."""
        stored = self._stored()
        self.damage = []
        recorded = {}
        if stored is not None:
            try:
                recorded = {shard["file"]: shard["sha256"] for shard in json.loads(stored)["shards"]}
            except (ValueError, KeyError, TypeError):
                self.damage.append("manifest.json: broken")
        self.shards = []
        for number in range(-(-len(self.source) // self.shard_size)):
            path = self._path(number)
            try:
                self.shards.append(self._read(number, recorded.get(path.name)))
            except ShardError as error:
                self.shards.append(None)
                if stored is not None or path.exists():
                    self.damage.append(f"{path.name}: {error}")
        if stored is not None and not self.damage and stored != self._manifest():
            self.damage.append("manifest.json: differs from the shards")
        return [number for number, shard in enumerate(self.shards) if shard is None]

    def complete(self) -> bool:
        """Whether the last review found all shards, and the manifest that they should have."""
        return all(self.shards) and self._stored() == self._manifest()

    def mend(self, missing: list[int], progress: bool) -> None:
        """Extracts this process's part of the ``missing`` shards."""
        rank, world = rank_and_world()
        n, items = len(self.source), sum(stop - first for first, stop in map(self.span, missing))
        if rank == 0:
            remove_leftovers(self.folder)
            self._tell(n, items)
        mine = missing[rank::world]
        spans, dtype = [self.span(number) for number in mine], PRECISIONS[self.precision]
        with (
            progress_bar(self.source.name, n, n - items, visible=progress and items > 0) as advance,
            # the bar of the first process stands for all, which are about as far
            closing(extract(self.source, self.backbone, spans, dtype, lambda k: advance(k * world))) as parts,
        ):
            for number, made in zip(mine, parts, strict=True):
                facts = self._facts(number) | {"unreadable": made.unreadable, "notes": made.notes}
                with _writing(self.folder):
                    write_shard(self._path(number), made.rows, facts)

    def _tell(self, n: int, items: int) -> None:
        name = self.source.name
        if self.damage:
            what = "; ".join(self.damage)
            logger.warning("%s: damaged feature cache %s (%s), extracting %d items", name, self.folder, what, items)
        elif 0 < items < n:
            logger.info("%s: resuming, %d of %d items are in %s", name, n - items, n, self.folder)

    def seal(self) -> None:
        """Writes the manifest of the shards of all processes."""
        self.open()
        with _writing(self.folder):
            write_atomically(self.folder / "manifest.json", self._manifest())

    def open(self) -> None:
        """Every shard, checked.

        Raises:
            UserError: one is not there, or not sound.
        """
        if all(self.shards) and self.shards:
            return
        self.shards = []
        for number in range(-(-len(self.source) // self.shard_size)):
            try:
                self.shards.append(self._read(number, None))
            except ShardError as error:
                raise UserError(
                    f"{self._path(number)} was just written and is {error}: several processes need a cache_dir that "
                    "all of them reach"
                ) from error

    def span(self, number: int) -> tuple[int, int]:
        """The items of a shard, first and stop."""
        first = number * self.shard_size
        return first, min(first + self.shard_size, len(self.source))

    def _stored(self) -> bytes | None:
        manifest = self.folder / "manifest.json"
        return manifest.read_bytes() if manifest.is_file() else None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"

    def _facts(self, number: int) -> dict[str, Any]:
        first, stop = self.span(number)
        return {"key": self.folder.name, "first": first, "stop": stop}

    def _read(self, number: int, recorded: str | None) -> Shard:
        shard = read_shard(self._path(number), recorded)
        found = {"unreadable": shard.facts["unreadable"], "notes": shard.facts["notes"]}
        first, stop = self.span(number)
        shape = (stop - first - len(found["unreadable"]), self.backbone.dim)
        same = shard.facts == self._facts(number) | found
        if not same or shard.rows.shape != shape or shard.rows.dtype != PRECISIONS[self.precision]:
            raise ShardError("belongs elsewhere")
        return shard

    def _manifest(self) -> bytes:
        """What the folder is, for people and for the check; the same bytes whenever it is written."""
        shards = [shard for shard in self.shards if shard]
        unreadable = [{"item": i, "reason": why} for shard in shards for i, why in shard.facts["unreadable"]]
        notes: Counter[str] = Counter()
        for shard in shards:
            notes.update(shard.facts["notes"])
        facts = {
            "source": self.source.name,
            "source_fingerprint": self.fingerprint,
            "backbone": self.backbone.fingerprint,
            "dim": self.backbone.dim,
            "precision": self.precision,
            "items": len(self.source),
            "rows": len(self.source) - len(unreadable),
            "shard_size": self.shard_size,
            "extraction_version": EXTRACTION_VERSION,
            "unreadable": unreadable,
            "notes": dict(sorted(notes.items())),
            "shards": [{"file": s.path.name, "rows": len(s.rows), "sha256": s.sha256} for s in shards],
        }
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        # File names may hold surrogates, which this escapes as JSON does.
        return text.encode(errors="backslashreplace")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the feature cache {folder}: {error.strerror or error}; free some space or set another folder"
        ) from error


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """The exclusive lock of a folder, held by the first process for all of the run."""
    with ExitStack() as stack:
        from_first(lambda: stack.enter_context(locked(folder, exclusive=True)))
        yield
