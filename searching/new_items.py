"""Items that no run has seen: files of a folder, a column of a table, lines of a text file."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.formats.class_folders import SUFFIXES as IMAGE_SUFFIXES
from datamodules.formats.table_file import SUFFIXES as TABLE_SUFFIXES
from datamodules.formats.table_file import read_header, read_table
from datamodules.formats.table_pairs import distinct_pairs
from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles, Items, Texts
from ground.errors import UserError
from ground.home import path_at_home

SUFFIXES = {"image": IMAGE_SUFFIXES, "audio": (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"), "text": (".txt",)}


class NewItems(NamedTuple):
    """Items of one or two modalities, and which first each second belongs to, where a table says so.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.txt").write_text("a dog\\na cat\\n")
        ...     new_items(Path(folder, "a.txt"), ("image", "text")).sources["text"].strings
        ['a dog', 'a cat']
    """

    sources: dict[str, Items]
    partners: Tensor | None = None


def new_items(path: Path, modalities: tuple[str, str]) -> NewItems:
    """Those of ``modalities``, x before y, that a folder, a table or a text file holds.

    Of a folder all files with a suffix of a modality, also in folders within; of a table the columns that are called
    as a modality, files by their paths from the table's folder; of a .txt its lines that are not blank.

    Raises:
        UserError: nothing there, nothing of these modalities in it, or no such kind of file.
    """
    if path.is_dir():
        found = _of_folder(path, modalities)
    elif path.suffix.lower() in TABLE_SUFFIXES:
        found = _of_table(path, modalities)
    elif path.suffix.lower() == ".txt":
        found = NewItems({"text": Texts(_lines(path), f"lines of {path.name}")} if "text" in modalities else {})
    elif not path.exists():
        raise UserError(f"there is no folder, table or text file {path}")
    else:
        kinds = ", ".join((*TABLE_SUFFIXES, ".txt"))
        raise UserError(f"{path} is none of a folder, a table or a text file ({kinds})")
    if not found.sources or not all(map(len, found.sources.values())):
        raise UserError(
            f"{path} holds nothing that the run encodes: it encodes {' and '.join(dict.fromkeys(modalities))}"
        )
    return found


def _of_folder(folder: Path, modalities: tuple[str, str]) -> NewItems:
    files = sorted(
        file for file in folder.rglob("*")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts) and file.is_file()
    )  # fmt: skip
    sources: dict[str, Items] = {}
    for modality in dict.fromkeys(modalities):
        paths = [file for file in files if file.suffix.lower() in SUFFIXES[modality]]
        if paths:
            sources[modality] = _source(modality, paths, f"{folder.name} {modality}")
    if len(sources) == 2:
        names = " and ".join(f"{len(source):,} of {name}" for name, source in sources.items())
        raise UserError(f"{folder} holds files of both modalities, {names}: give a folder for each, or a table")
    return NewItems(sources)


def _source(modality: str, paths: list[Path], name: str) -> Items:
    if modality == "image":
        return ImageFiles(paths, name)
    if modality == "audio":
        return AudioFiles(paths, name)
    return Texts([" ".join(_text(path).split()) for path in paths], name)


def _of_table(path: Path, modalities: tuple[str, str]) -> NewItems:
    names = [name for name in dict.fromkeys(modalities) if name in read_header(path)]
    if not names:
        return NewItems({})
    table = read_table(path, names, names)
    columns = [table.columns[name] for name in names]
    if len(columns) == 1:
        return NewItems({names[0]: _of_column(path, columns[0].values, names[0])})
    x, y = columns
    rows = distinct_pairs(x, y)
    sources = {
        names[0]: _of_column(path, x.values, names[0]),
        names[1]: _of_column(path, [y[row] for row in rows.tolist()], names[1]),
    }
    return NewItems(sources, torch.from_numpy(x.index[rows]))


def _of_column(path: Path, values: list[str], modality: str) -> Items:
    name = f"{path.stem} {modality}"
    if modality == "text":
        return Texts(values, name)
    return _source(modality, [Path(os.path.normpath(path.parent / path_at_home(value))) for value in values], name)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).splitlines() if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as UTF-8: {error}") from error
