"""Raw pairs through two frozen backbones and the feature cache."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.cache.feature_cache import CachedFeatures, FeatureCache
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError


@dataclass(frozen=True)
class ExtractedPairs:
    """Features of the items that can be read, and what they are features of."""

    pairs: Pairs
    raw: RawPairs
    seconds: float
    extracted_items: int
    notes: dict[str, int]  # what was odd about items that could be read, and how many of them


def extract_pairs(raw: RawPairs, x_backbone: Backbone, y_backbone: Backbone, cache: FeatureCache) -> ExtractedPairs:
    """Features from the cache, extracted where it lacks them, by all processes together.

    An x that cannot be read is left out with its y; so is a y that cannot be read.

    Raises:
        UserError: as ``FeatureCache.features``, and for backbones whose weights are not to be had.
    """
    x = cache.features(raw.x, x_backbone)
    if len(x.kept) < raw.n_x:
        raw = raw.take_x(x.kept)
    y = cache.features(raw.y, y_backbone)
    if len(y.kept) < raw.n_y:
        raw = raw.take_y(y.kept)
    for rows, source in ((x, raw.x), (y, raw.y)):
        _refuse_all_equal(rows, source.name)
    return ExtractedPairs(
        pairs=Pairs(x, y, raw.x_of_y, raw.group, raw.label, raw.domain),
        raw=raw,
        seconds=x.seconds + y.seconds,
        extracted_items=x.extracted_items + y.extracted_items,
        notes={f"{name}: {note}": n for name, rows in (("x", x), ("y", y)) for note, n in rows.notes.items()},
    )


def _refuse_all_equal(rows: CachedFeatures, name: str) -> None:
    """Raises a UserError where items that the backbone cuts are all alike up to there."""
    notes = [note for note in rows.notes if note.startswith("cut at ")]
    n = len(rows.kept)
    if notes and n > 1 and rows.notes[notes[0]] == n and all(map(torch.equal, *_neighbours(rows, n))):
        raise UserError(
            f"{name}: all {n} texts have the same features: they are {notes[0]}, and differ only beyond; "
            "give shorter texts, or a text encoder with a larger limit"
        )


def _neighbours(rows: CachedFeatures, n: int) -> tuple[Tensor, Tensor]:
    few = rows[torch.arange(min(n, 64))]
    return few[:-1], few[1:]
