"""Features of frozen backbones on disk: extracted once, resumed after any interruption, checked when read."""

import hashlib
import json
import logging
import os
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import torch

from datamodules.cache.entry import EXTRACTION_VERSION, PRECISIONS, CacheEntry, owned
from datamodules.cache.extraction import Encoder
from datamodules.cache.mapped_rows import MappedRows
from datamodules.cache.shards import Shard
from datamodules.items.items import Items
from ground.distributed import each_alone, from_first
from ground.errors import UserError
from ground.progress import is_rank_zero
from ground.ranges import Count, between, one_of
from ground.values import checked

logger = logging.getLogger(__name__)

Precision = Annotated[str, one_of(PRECISIONS)]
UnreadableShare = Annotated[float, between(0, 1)]


class CachedFeatures(MappedRows):
    """Features (n_kept, dim) mapped from the shards of a cache; ``FeatureRows`` in the stored dtype.

    Attributes:
        kept: (n_kept,) int64, the item that each row belongs to: items that cannot be read have no row.
        unreadable: the others, as (item, reason).
        notes: what was odd about items that could be read, and how many of them.
        extracted_items: how many items had to be extracted; 0 where the cache was complete.
        seconds: what extracting, or reading and checking, took.
    """

    def __init__(self, shards: list[Shard], dim: int, dtype: torch.dtype) -> None:
        super().__init__([shard.path for shard in shards], dim, dtype)
        self.unreadable: list[tuple[int, str]] = [(i, why) for shard in shards for i, why in shard.facts["unreadable"]]
        self.notes: Counter[str] = Counter()
        for shard in shards:
            self.notes.update(shard.facts["notes"])
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
        max_unreadable_share: a larger share of items that cannot be read is an error.

    Raises:
        UserError: an argument is out of its range.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from datamodules.items import Texts
        >>> class Lengths:
        ...     dim, fingerprint, batch_size = 1, "lengths of texts", 8
        ...
        ...     def too_long(self, items):
        ...         return 0, ""
        ...
        ...     def encode(self, items):
        ...         return torch.tensor([[float(len(item))] for item in items])
        >>> with TemporaryDirectory() as folder:
        ...     cache = FeatureCache(folder, "float32", shard_size=2, max_unreadable_share=0.0)
        ...     source = Texts(["a", "bb", "ccc"], "some texts")
        ...     first, second = (cache.features(source, Lengths()) for _ in range(2))
        >>> second[torch.arange(3)].flatten(), first.extracted_items, second.extracted_items
        (tensor([1., 2., 3.]), 3, 0)
    """

    @checked("datamodule.")
    def __init__(
        self,
        folder: str | os.PathLike[str],
        precision: Precision,
        shard_size: Count,
        max_unreadable_share: UnreadableShare,
    ) -> None:
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

        Of several processes, which all call it, each extracts some of the shards.

        Raises:
            UserError: too many items cannot be read, a feature is not finite, or a file cannot be written.
        """
        started = time.perf_counter()
        # every byte of the items is read for the key: by one process
        key, fingerprint = from_first(lambda: (self.key(source, backbone), source.fingerprint))
        entry = CacheEntry(self.folder / key, source, backbone, self.precision, self.shard_size, fingerprint)
        extracted = 0
        if not from_first(entry.look):
            with owned(entry.folder):
                missing = from_first(entry.review)  # none, where another run has finished them meanwhile
                extracted = sum(stop - first for first, stop in map(entry.span, missing))
                if missing or not from_first(entry.complete):
                    each_alone(lambda: entry.mend(missing, progress))
                    from_first(entry.seal)
        each_alone(entry.open)
        features = CachedFeatures([s for s in entry.shards if s], backbone.dim, PRECISIONS[self.precision])
        features.extracted_items = extracted
        features.seconds = time.perf_counter() - started
        if is_rank_zero():
            self._tell(features, source, entry.folder)
        self._judge(features.unreadable, source)
        return features

    def _tell(self, features: CachedFeatures, source: Items, folder: Path) -> None:
        n, took = features.extracted_items, features.seconds
        if n:
            speed = n / took
            logger.info("%s: extracted %d items in %.1f s, %.1f a second, to %s", source.name, n, took, speed, folder)
        if features.notes:
            notes = ", ".join(f"{count} {note}" for note, count in sorted(features.notes.items()))
            logger.info("%s: of %d items, %s", source.name, len(features.kept), notes)

    def _judge(self, unreadable: list[tuple[int, str]], source: Items) -> None:
        """Warns of the items without features; too many of them are an error, in every process."""
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
        if is_rank_zero():
            logger.warning("%s and are skipped: %s", what, names)
