"""The files of Clotho: where they are to be had, its captions as CSV, and the names of its clips on disk."""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from ground.errors import UserError

HEADER = ["file_name", *(f"caption_{i}" for i in range(1, 6))]
CLIPS = {1: {"development": 2893, "evaluation": 1045}, 2: {"development": 3839, "validation": 1045, "evaluation": 1045}}
"""Clips of each folder, in versions 1 and 2.1 (the record of version 2 says 3,840 and 1,046)."""
RECORDS = {1: "https://zenodo.org/records/3490684", 2: "https://zenodo.org/records/4783391"}


def commands(root: Path, version: int) -> str:
    """A line for the shell that downloads a version to ``root``; stopped and called again, it goes on."""
    files, folder = f"{RECORDS[version]}/files", quote(str(root))
    return (
        f"mkdir -p {folder} && cd {folder} && for part in {' '.join(CLIPS[version])}; do wget -c "
        f"{files}/clotho_captions_$part.csv {files}/clotho_audio_$part.7z && 7z x -y clotho_audio_$part.7z; done"
    )


def read_captions(path: Path) -> dict[str, list[str]]:
    """The five captions of each clip, by its file name, in the order of the file.

    A caption is on one line with single spaces; captions that are missing at the end of a row are empty.

    Raises:
        UserError: a file that cannot be read, is no CSV of Clotho's columns, or names a clip twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}): get it again") from error
    header = [column.strip() for column in rows[0][1]] if rows else []
    if header != HEADER:
        raise UserError(f"{path} must have the columns {','.join(HEADER)}, got {','.join(header) or 'none'}")
    captions: dict[str, list[str]] = {}
    for line, (name, *texts) in rows[1:]:
        if not name.strip() or not 1 <= len(texts) <= 5:
            raise UserError(f"{path}, line {line}: a file name and five captions are needed, got {[name, *texts]}")
        if name in captions:
            raise UserError(f"{path}, line {line}: {name!r} is there for the second time")
        captions[name] = [" ".join(text.split()) for text in texts] + [""] * (5 - len(texts))
    if not captions:
        raise UserError(f"{path} names no clip: get it again")
    return captions


def on_disk(named: Iterable[str], there: set[str]) -> list[str]:
    """The name on disk of each file name (n,): its own where it is there, or where no other one fits.

    Archives and file systems change names: an accent becomes two characters (NFC, NFD), white space before the
    ending is lost. A file fits such a name where nothing else fits either of them.
    """
    found = {name: name for name in named}
    for key in (_composed, _without_space):
        lost = [name for name in found if found[name] not in there]
        claims = Counter(map(key, lost))
        fitting: dict[str, list[str]] = {}
        for file in there - set(found.values()):
            fitting.setdefault(key(file), []).append(file)
        for name in lost:
            files = fitting.get(key(name), [])
            if len(files) == claims[key(name)] == 1:
                found[name] = files[0]
    return list(found.values())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _without_space(name: str) -> str:
    stem, dot, ending = _composed(name).strip().rpartition(".")
    return " ".join(stem.split()) + dot + ending
