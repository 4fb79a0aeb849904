"""Raw items on disk: images, texts, sounds, and which of them belong together."""

from datamodules.items.items import Files, ImageFiles, Items, Texts, Unreadable
from datamodules.items.raw_pairs import RawPairs, captioned

__all__ = ["Files", "ImageFiles", "Items", "RawPairs", "Texts", "Unreadable", "captioned"]
