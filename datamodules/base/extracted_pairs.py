"""Raw pairs through two frozen backbones and the feature cache."""

from dataclasses import dataclass

from backbones.backbone import Backbone
from datamodules.cache.feature_cache import FeatureCache
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.pairs import Pairs


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
    return ExtractedPairs(
        pairs=Pairs(x, y, raw.x_of_y, raw.group, raw.label),
        raw=raw,
        seconds=x.seconds + y.seconds,
        extracted_items=x.extracted_items + y.extracted_items,
        notes={f"{name}: {note}": n for name, rows in (("x", x), ("y", y)) for note, n in rows.notes.items()},
    )
