"""Features of frozen backbones on disk: extracted once, resumed after any interruption, checked when read."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from datamodules.extraction import Encoder, extract, progress_bar
from datamodules.items import Items
from datamodules.mapped_rows import MappedRows
from datamodules.shards import (
    Shard,
    ShardError,
    locked,
    read_shard,
    remove_leftovers,
    write_atomically,
    write_shard,
)
from errors import UserError, nearest

logger = logging.getLogger(__name__)

# Part of the key: raise it when a change of the code makes other features or other files of the same items.
EXTRACTION_VERSION = 1

PRECISIONS = {"float32": torch.float32, "float16": torch.float16}


class CachedFeatures(MappedRows):
    """Features (n_kept, dim) mapped from the shards of a cache; ``FeatureRows`` in the stored dtype.

    Attributes:
        kept: (n_kept,) int64, the item that each row belongs to: items that cannot be read have no row.
        unreadable: the others, as (item, reason).
        extracted_items: how many items had to be extracted; 0 where the cache was complete.
        seconds: what extracting, or reading and checking, took.
    """

    def __init__(self, shards: list[Shard], dim: int, dtype: torch.dtype) -> None:
        super().__init__([shard.path for shard in shards], dim, dtype)
        self.unreadable: list[tuple[int, str]] = [(i, why) for shard in shards for i, why in shard.facts["unreadable"]]
        self.extracted_items = 0
        self.seconds = 0.0
        readable = torch.ones(shards[-1].facts["stop"] if shards else 0, dtype=torch.bool)
        readable[[i for i, _ in self.unreadable]] = False
        self.kept = readable.nonzero().flatten()

    @property
    def extracted(self) -> bool:
        """Whether anything had to be extracted."""
        return self.extracted_items > 0


class FeatureCache:
    """A folder of features, keyed by the content of what made them.

    ``folder/<key>/`` holds shards of ``shard_size`` items and, once all are there, ``manifest.json``, which
    says what they are. Batches never cross a shard, so an interrupted extraction ends with the same bytes as
    one in a single go.

    Args:
        folder: where the folders of all keys stand.
        precision: ``float32`` or ``float16``, how features are stored.
        shard_size: items per file; at most so many are lost when the process is killed.
        max_unreadable_share: in [0, 1]; a larger share of items that cannot be read is an error.

    Raises:
        UserError: an argument is out of its range.
    """

    def __init__(
        self, folder: str | os.PathLike[str], precision: str, shard_size: int, max_unreadable_share: float
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"unknown precision '{precision}' of the feature cache: {nearest(precision, PRECISIONS)}")
        if shard_size < 1:
            raise UserError(f"shard_size of the feature cache must be at least 1, got {shard_size}")
        if not 0 <= max_unreadable_share <= 1:
            raise UserError(f"max_unreadable_share must be from 0 to 1, got {max_unreadable_share}")
        self.folder = Path(folder)
        self.precision = precision
        self.shard_size = shard_size
        self.max_unreadable_share = max_unreadable_share

    def key(self, source: Items, backbone: Encoder) -> str:
        """Hash of all that the features depend on: the name of their folder."""
        facts = [EXTRACTION_VERSION, source.name, source.fingerprint, len(source)]
        facts += [backbone.fingerprint, self.precision, self.shard_size]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def features(self, source: Items, backbone: Encoder, *, progress: bool = True) -> CachedFeatures:
        """Features of all items of ``source`` that can be read, extracted where the cache lacks them.

        Raises:
            UserError: too many items cannot be read, a feature is not finite, or a file cannot be written.
        """
        started = time.perf_counter()
        entry = _Entry(self, source, backbone)
        with _writing(entry.folder):
            entry.folder.mkdir(parents=True, exist_ok=True)
        with locked(entry.folder, exclusive=False):
            complete = entry.review()
        extracted = 0
        if not complete:
            with locked(entry.folder, exclusive=True):
                if not entry.review():  # else another process has finished it meanwhile
                    extracted = entry.mend(progress)
        features = CachedFeatures([s for s in entry.shards if s], backbone.dim, PRECISIONS[self.precision])
        features.extracted_items = extracted
        features.seconds = time.perf_counter() - started
        if extracted:
            took = features.seconds
            logger.info("%s: extracted %d items in %.1f s to %s", source.name, extracted, took, entry.folder)
        self._judge(features.unreadable, source)
        return features

    def _judge(self, unreadable: list[tuple[int, str]], source: Items) -> None:
        """Warns of the items without features; too many of them are an error."""
        if not unreadable:
            return
        bad, n = len(unreadable), len(source)
        names = "; ".join(reason for _, reason in unreadable[:3]) + ("; ..." if bad > 3 else "")
        what = f"{source.name}: {bad} of {n} items ({bad / n:.2%}) cannot be read"
        if bad == n:
            raise UserError(f"{what}: {names}; check the path and the files")
        if bad / n > self.max_unreadable_share:
            raise UserError(
                f"{what}, more than max_unreadable_share={self.max_unreadable_share:g}: {names}; "
                "repair or remove them, or raise max_unreadable_share"
            )
        logger.warning("%s and are skipped: %s", what, names)


class _Entry:
    """The folder of one key: its shards, where they are sound, and what is wrong with the others."""

    def __init__(self, cache: FeatureCache, source: Items, backbone: Encoder) -> None:
        self.source, self.backbone = source, backbone
        self.precision, self.shard_size = cache.precision, cache.shard_size
        self.key = cache.key(source, backbone)
        self.folder = cache.folder / self.key
        self.shards: list[Shard | None] = []
        self.damage: list[str] = []

    def review(self) -> bool:
        """Checks every file; whether the cache is complete and sound. What is not there yet is no damage."""
        manifest = self.folder / "manifest.json"
        stored = manifest.read_bytes() if manifest.is_file() else None
        self.damage = []
        recorded = {}
        if stored is not None:
            try:
                recorded = {shard["file"]: shard["sha256"] for shard in json.loads(stored)["shards"]}
            except (ValueError, KeyError, TypeError):
                self.damage.append(f"{manifest.name}: broken")
        self.shards = []
        for first in range(0, len(self.source), self.shard_size):
            path = self._path(first)
            try:
                self.shards.append(self._read(first, recorded.get(path.name)))
            except ShardError as error:
                self.shards.append(None)
                if stored is not None or path.exists():
                    self.damage.append(f"{path.name}: {error}")
        complete = all(self.shards) and stored == self._manifest()
        if stored is not None and not complete and not self.damage:
            self.damage.append(f"{manifest.name}: differs from the shards")
        return complete

    def mend(self, progress: bool) -> int:
        """Extracts the shards that are not there or not sound, writes the manifest; the number of items."""
        remove_leftovers(self.folder)
        n = len(self.source)
        spans = [(i * self.shard_size, min((i + 1) * self.shard_size, n)) for i in range(len(self.shards))]
        missing = [i for i, shard in enumerate(self.shards) if shard is None]
        items = sum(spans[i][1] - spans[i][0] for i in missing)
        name = self.source.name
        if self.damage:
            what = "; ".join(self.damage)
            logger.warning("%s: damaged feature cache %s (%s), extracting %d items", name, self.folder, what, items)
        elif 0 < items < n:
            logger.info("%s: resuming, %d of %d items are in %s", name, n - items, n, self.folder)
        with progress_bar(name, n, n - items, visible=progress and items > 0) as advance:
            for i in missing:
                first, stop = spans[i]
                dtype = PRECISIONS[self.precision]
                rows, unreadable = extract(self.source, self.backbone, first, stop, dtype, advance)
                facts = self._facts(first, stop) | {"unreadable": unreadable}
                with _writing(self.folder):
                    write_shard(self._path(first), rows, facts)
                self.shards[i] = self._read(first, None)
        with _writing(self.folder):
            write_atomically(self.folder / "manifest.json", self._manifest())
        return items

    def _path(self, first: int) -> Path:
        return self.folder / f"{first // self.shard_size:05d}.safetensors"

    def _facts(self, first: int, stop: int) -> dict[str, Any]:
        return {"key": self.key, "first": first, "stop": stop}

    def _read(self, first: int, recorded: str | None) -> Shard:
        shard = read_shard(self._path(first), recorded)
        stop = min(first + self.shard_size, len(self.source))
        shape = (stop - first - len(shard.facts["unreadable"]), self.backbone.dim)
        same = shard.facts == self._facts(first, stop) | {"unreadable": shard.facts["unreadable"]}
        if not same or shard.rows.shape != shape or shard.rows.dtype != PRECISIONS[self.precision]:
            raise ShardError("belongs elsewhere")
        return shard

    def _manifest(self) -> bytes:
        """What the folder is, for people and for the check; the same bytes whenever it is written."""
        shards = [shard for shard in self.shards if shard]
        unreadable = [{"item": i, "reason": why} for shard in shards for i, why in shard.facts["unreadable"]]
        facts = {
            "source": self.source.name,
            "source_fingerprint": self.source.fingerprint,
            "backbone": self.backbone.fingerprint,
            "dim": self.backbone.dim,
            "precision": self.precision,
            "items": len(self.source),
            "rows": len(self.source) - len(unreadable),
            "shard_size": self.shard_size,
            "extraction_version": EXTRACTION_VERSION,
            "unreadable": unreadable,
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
