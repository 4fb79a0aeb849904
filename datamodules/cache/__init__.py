"""Features of frozen backbones on disk, keyed by content, written by many processes, whole after any kill."""

from datamodules.cache.feature_cache import FeatureCache, Precision, UnreadableShare
from datamodules.cache.mapped_rows import MappedRows

__all__ = ["FeatureCache", "MappedRows", "Precision", "UnreadableShare"]
