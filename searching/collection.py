"""What is searched: items of one side of a run, with their embeddings, their names and what a person sees of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from datamodules.base.extracted import ExtractedDataModule
from datamodules.cache.feature_cache import CachedFeatures
from datamodules.formats.item_names import ItemNames
from datamodules.items.items import Files, Items
from datamodules.items.tar_members import TarMembers
from datamodules.pairs.pairs import FeatureRows
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError, nearest
from ground.progress import progress_bar
from searching.new_items import new_items

BLOCK = 8192
EMBEDDED_BY = "embedded_by"
"""In the header of an embedded file: the hash of the run's checkpoint."""


@dataclass(frozen=True)
class Collection:
    """n items: ``embeddings`` (n, r) on the CPU, ``name(i)`` in a line, ``show(i)`` a picture or a text.

    ``kind`` is image, audio or text, of names alone ``text``.

    ``file(i)`` is the path of an item that is a file, None of others.

    Example:
        >>> texts = ["a dog", "a cat"]
        >>> Collection("text", torch.eye(2), texts.__getitem__, texts.__getitem__, lambda i: None).name(1)
        'a cat'
    """

    kind: str
    embeddings: Tensor
    name: Callable[[int], str]
    show: Callable[[int], object]
    file: Callable[[int], Path | None]


def of_splits(aligner: Aligner, data: ExtractedDataModule, side: str, split: str) -> Collection:
    """The items of a side, x or y, of ``split`` of a run's data: one of them, several with commas, or all.

    Raises:
        UserError: an unknown split, or data that cannot be used.
    """
    names = list(SPLITS) if split == "all" else split.split(",")
    for name in names:
        if name not in SPLITS:
            raise UserError(f"unknown split '{name}': {nearest(name, [*SPLITS, 'all'])}")
    data.setup()
    parts = [embedded(aligner, side, getattr(data.splits[name], side), name) for name in names]
    places = [(name, i) for name, part in zip(names, parts, strict=True) for i in range(len(part))]

    def source(i: int) -> tuple[Items, int]:
        name, row = places[i]
        return getattr(data.raw[name], side), row

    return Collection(
        modality_of(data, side),
        torch.cat(parts),
        lambda i: f"{item_name(*source(i))} ({places[i][0]})",
        lambda i: source(i)[0].show(source(i)[1]),
        lambda i: _file(*source(i)),
    )


def of_items(aligner: Aligner, data: ExtractedDataModule, side: str, path: Path) -> Collection:
    """New items of the modality of a side, features of which are kept in the run's cache.

    Raises:
        UserError: nothing of this modality there, or too much that cannot be read.
    """
    modality = modality_of(data, side)
    source = new_items(path, (modality, modality)).sources[modality]
    rows, source = features_of(data, side, source)
    return Collection(
        modality, embedded(aligner, side, rows, path.name),
        lambda i: item_name(source, i), source.show, lambda i: _file(source, i),
    )  # fmt: skip


def features_of(data: ExtractedDataModule, side: str, source: Items) -> tuple[CachedFeatures, Items]:
    """Features of the items that can be read, and these."""
    rows = data.cache.features(source, getattr(data, f"{side}_backbone"))
    return rows, source if len(rows.kept) == len(source) else source.take(rows.kept)


def of_file(run: Path, side: str, path: Path) -> Collection:
    """The embeddings of a side that ``embed.py`` wrote.

    Raises:
        UserError: no such file, or one of another run or without this side.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            if metadata.get(EMBEDDED_BY) != run_hash(run):
                raise UserError(f"{path} was not embedded by the run {run}: embed its items again with embed.py")
            if side not in names:
                raise UserError(f"{path} has no embeddings of {side}, it has {', '.join(sorted(names))}")
            rows, text = file.get_tensor(side), file.get_tensor(f"{side}_names")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is no whole safetensors file: {error}") from error
    called = ItemNames(f"{side}_names", text, len(rows))
    return Collection("text", rows, called.__getitem__, called.__getitem__, lambda i: None)


def run_hash(run: Path) -> str:
    """sha256 (hex, 16 digits) of what a run fitted."""
    with (run / "checkpoints" / "last.ckpt").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def embedded(aligner: Aligner, side: str, rows: FeatureRows, what: str) -> Tensor:
    """Embeddings (n, r) float32 on the CPU of features (n, d), by blocks."""
    encode = aligner.encode_x if side == "x" else aligner.encode_y
    n = int(rows.shape[0])
    parts = []
    with progress_bar(f"embedding {what}", n, 0, visible=n > BLOCK) as advance:
        for start in range(0, n, BLOCK):
            parts.append(encode(rows[torch.arange(start, min(n, start + BLOCK))]).cpu())
            advance(len(parts[-1]))
    return torch.cat(parts)


def modality_of(data: PairsDataModule, side: str) -> str:
    """What the items of a side are: image, text or audio.

    Raises:
        UserError: features, of which nothing raw is known.
    """
    if not isinstance(data, ExtractedDataModule):
        raise UserError("the run is of features: it has no encoders for images, texts or sounds")
    return str(getattr(data, f"{side}_backbone").modality)


def item_name(source: Items, i: int) -> str:
    """The file's name of an item, or the text itself."""
    if isinstance(source, Files | TarMembers):
        return source.file_name(i)
    shown = source.show(i)
    return shown if isinstance(shown, str) else f"{source.name} {i}"


def _file(source: Items, i: int) -> Path | None:
    return source.paths[i] if isinstance(source, Files) else None
