"""What is wrong with raw data: its items, files and captions, checked against what should be there."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from datamodules.items.items import Items, Unreadable
from datamodules.items.missing import files_there, names_in
from datamodules.items.raw_pairs import RawPairs

Counts = dict[str, tuple[int, int]]
"""Numbers of x and of y of each split."""
T = TypeVar("T", bound=Hashable)


@dataclass
class Side:
    """The items of one modality of a split."""

    there: Tensor  # (n,) bool
    paths: list[Path] | None  # (n,), None where the items are in no files of their own
    texts: dict[int, str] = field(default_factory=dict)  # by their rows
    damaged: list[str] = field(default_factory=list)  # why, naming the item
    notes: Counter[str] = field(default_factory=Counter)  # what was odd about items that can be read
    contents: dict[bytes, Path] = field(default_factory=dict)  # files by the sha256 of their bytes

    @property
    def missing(self) -> list[Path]:
        """Files that are not there."""
        return [path for path, there in zip(self.paths or [], self.there.tolist(), strict=False) if not there]

    @property
    def empty(self) -> int:
        """Texts of nothing but white space."""
        return sum(not text.strip() for text in self.texts.values())


@dataclass(frozen=True)
class Split:
    """One split: its items, and how they belong to each other."""

    x: Side
    y: Side
    x_without_y: int
    y_without_x: int  # whose x is a file that is not there
    equal: int  # y that are the same text as a y of another x


class _Seen(NamedTuple):
    """What reading an item shows."""

    problem: str | None = None
    text: str | None = None
    notes: tuple[str, ...] = ()
    digest: bytes | None = None


def inspect(raw: RawPairs, decode: bool, advance: Callable[[int], None]) -> Split:
    """Look at all items of a split; ``decode``: and read every file, telling ``advance`` how many more it were."""
    x, y = (_inspect_items(items, decode, advance) for items in (raw.x, raw.y))
    owners = defaultdict(set)
    for row, text in y.texts.items():
        owners[text].add(int(raw.x_of_y[row]))
    return Split(
        x=x,
        y=y,
        x_without_y=int((torch.bincount(raw.x_of_y, minlength=raw.n_x) == 0).sum()),
        y_without_x=int((~x.there)[raw.x_of_y].sum()),
        equal=sum(len(owners[text]) > 1 for text in y.texts.values()),
    )


def _inspect_items(items: Items, decode: bool, advance: Callable[[int], None]) -> Side:
    paths: list[Path] | None = getattr(items, "paths", None)
    side = Side(files_there(items), paths)
    rows = side.there.nonzero()[:, 0].split(32)

    def look(rows: Tensor) -> list[tuple[int, _Seen]]:
        return [(row, _look(items, row, paths)) for row in rows.tolist()]

    if paths is None or decode:
        with ThreadPoolExecutor() as pool:  # decoding releases the GIL
            try:
                for part in pool.map(look, rows):
                    for row, seen in part:
                        _note(side, row, seen)
                    if paths is not None:
                        advance(len(part))
            finally:
                pool.shutdown(cancel_futures=True)  # at Ctrl-C what waits is not begun
    return side


def _look(items: Items, row: int, paths: list[Path] | None) -> _Seen:
    try:
        item = items[row]
        if isinstance(item, str):
            return _Seen(text=item)
        digest = None
        if paths is not None:
            with paths[row].open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
        return _Seen(notes=tuple(getattr(item, "notes", ())), digest=digest)
    except Unreadable as error:
        return _Seen(problem=str(error))


def _note(side: Side, row: int, seen: _Seen) -> None:
    side.notes.update(seen.notes)
    if seen.problem is not None:
        side.damaged.append(seen.problem)
    if seen.text is not None:
        side.texts[row] = seen.text
    if seen.digest is not None and side.paths is not None:
        side.contents.setdefault(seen.digest, side.paths[row])


def unnamed_files(folders: Iterable[Path], splits: Mapping[str, Split]) -> list[Path]:
    """Files in ``folders`` that no split names; hidden ones do not count."""
    named = {path for split in splits.values() for side in (split.x, split.y) for path in side.paths or []}
    files = (folder / name for folder in folders for name in names_in(folder) if not name.startswith("."))
    return sorted(file for file in files if file not in named)


def shared_files(splits: Mapping[str, Split]) -> list[Path]:
    """Files that more than one split names."""
    paths = {name: {*(split.x.paths or []), *(split.y.paths or [])} for name, split in splits.items()}
    return sorted(_in_several(paths))


def copied_files(splits: Mapping[str, Split]) -> list[list[Path]]:
    """Files of different splits that hold the same bytes under different names."""
    contents = {name: split.x.contents | split.y.contents for name, split in splits.items()}
    shared = _in_several({name: set(each) for name, each in contents.items()})
    copies = [sorted({each[digest] for each in contents.values() if digest in each}) for digest in shared]
    return sorted(each for each in copies if len(each) > 1)


def _in_several(sets: Mapping[str, set[T]]) -> list[T]:
    counts = Counter(each for members in sets.values() for each in members)
    return [each for each, n in counts.items() if n > 1]


def deviations(counts: Counts, golden: list[Counts]) -> dict[str, tuple[int, int]]:
    """The golden numbers of splits whose ``counts`` are others, of the edition that is nearest."""
    none = (0, 0)
    editions = [
        {split: edition.get(split, none) for split in counts | edition if counts.get(split) != edition.get(split)}
        for edition in golden
    ]
    return min(editions, key=len, default={})
