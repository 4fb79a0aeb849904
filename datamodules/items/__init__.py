"""Raw items on disk: images, texts, sounds, and which of them belong together."""

from datamodules.items.audio import AudioFiles
from datamodules.items.captions import Captions
from datamodules.items.image_arrays import ImageArrays
from datamodules.items.items import Files, ImageFiles, Items, Texts, Unreadable
from datamodules.items.raw_pairs import RawPairs, captioned

__all__ = [
    "AudioFiles",
    "Captions",
    "Files",
    "ImageArrays",
    "ImageFiles",
    "Items",
    "RawPairs",
    "Texts",
    "Unreadable",
    "captioned",
]
