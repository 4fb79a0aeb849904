"""What an inspection of raw data says: a table, what is wrong, what is worth knowing, and a verdict."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from datamodules.base.extracted import Layout
from datamodules.doctor.inspection import Counts, Side, Split, copied_files, deviations, shared_files, unnamed_files

SHOWN = 3
"""So many names are told of each kind of what is wrong."""


@dataclass(frozen=True)
class Diagnosis:
    """``problems`` make data unsound or incomplete, ``notes`` do not; ``obtain`` is how to get what is missing."""

    table: Table | None
    problems: list[str]
    notes: list[str]
    verdict: str
    obtain: str


def diagnose(splits: dict[str, Split], names: tuple[str, str], layout: Layout | None, read: bool) -> Diagnosis:
    """What the inspected ``splits`` are like, beside what the whole data has.

    ``names`` are those of the modalities; ``read`` says whether files were read, or only looked for. With every
    file there, numbers of items other than those of the whole data are a problem.
    """
    sides = [side for split in splits.values() for side in (split.x, split.y)]
    n_missing, n_damaged = sum(len(side.missing) for side in sides), sum(len(side.damaged) for side in sides)
    golden = layout.golden if layout else []
    problems = [line for name, split in splits.items() for line in _problems(name, split, names)]
    if shared := shared_files(splits):
        problems.append(f"{len(shared):,} files are in more than one split: {_some(shared)}")
    wrong_counts = [] if n_missing else _wrong_counts(splits, names, golden)
    problems += wrong_counts
    if n_missing or n_damaged:
        lost = ((n_missing, "missing"), (n_damaged, "damaged"))
        verdict = ", ".join(f"{n:,} files are {what}" for n, what in lost if n)
    elif wrong_counts:
        verdict = "every file that is named is there, but not the whole data"
    elif problems:
        verdict = "every file is there, but something else is wrong"
    else:
        verdict = "complete" if golden else "all that the annotations name is there"
        verdict += ", every file can be read" if read else "; no file was read"
    return Diagnosis(
        table=_table(splits, names, golden, read),
        problems=problems,
        notes=_notes(splits, names, layout.folders if layout else []),
        verdict=verdict,
        obtain=layout.obtain if layout and (n_missing or n_damaged or wrong_counts) else "",
    )


def _table(splits: dict[str, Split], names: tuple[str, str], golden: list[Counts], read: bool) -> Table:
    """A row for each number, a column for each split."""
    table = Table()
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")

    def row(what: str, values: Iterable[int]) -> None:
        table.add_row(what, *(f"{value:,}" for value in values))

    for i, name in enumerate(names):
        sides = [(split.x, split.y)[i] for split in splits.values()]
        row(f"{name} items named", (len(side.there) for side in sides))
        if golden:
            wanted = [dict.fromkeys(f"{edition.get(split, (0, 0))[i]:,}" for edition in golden) for split in splits]
            table.add_row(f"{name} items in the whole data", *(" or ".join(each) for each in wanted))
        if any(side.paths is not None for side in sides):
            row(f"{name} files there", (int(side.there.sum()) for side in sides))
            row(f"{name} files missing", (len(side.missing) for side in sides))
            if read:
                row(f"{name} files damaged", (len(side.damaged) for side in sides))
        if any(side.texts for side in sides):
            row(f"empty {name}", (side.empty for side in sides))
    x_name, y_name = names
    row(f"{x_name} without {y_name}", (split.x_without_y for split in splits.values()))
    row(f"{y_name} without its {x_name} file", (split.y_without_x for split in splits.values()))
    if any(split.y.texts for split in splits.values()):
        row(f"{y_name} equal to that of another {x_name}", (split.equal for split in splits.values()))
    return table


def _problems(name: str, split: Split, names: tuple[str, str]) -> list[str]:
    x_name, y_name = names
    lost = f", and with them {split.y_without_x:,} {y_name} items" if split.y_without_x else ""
    problems = [*_file_problems(name, split.x, x_name, lost), *_file_problems(name, split.y, y_name, "")]
    if split.x_without_y:
        problems.append(f"{name}: {split.x_without_y:,} {x_name} items have no {y_name}")
    return problems


def _file_problems(name: str, side: Side, modality: str, lost: str) -> list[str]:
    problems = []
    if side.missing:
        problems.append(
            f"{name}: {int(side.there.sum()):,} of {len(side.there):,} {modality} files are there, "
            f"{len(side.missing):,} are missing{lost}: {_some(side.missing)}"
        )
    if side.damaged:
        problems.append(f"{name}: {len(side.damaged):,} {modality} items cannot be read: {_first(side.damaged)}")
    if side.empty:
        problems.append(f"{name}: {side.empty:,} {modality} items are empty")
    return problems


def _wrong_counts(splits: dict[str, Split], names: tuple[str, str], golden: list[Counts]) -> list[str]:
    def both(counts: tuple[int, int]) -> str:
        return " and ".join(f"{n:,} {name}" for n, name in zip(counts, names, strict=True))

    counts = {name: (len(split.x.there), len(split.y.there)) for name, split in splits.items()}
    return [
        f"{name}: {both(counts.get(name, (0, 0)))} items are named, the whole data has {both(wanted)} items"
        for name, wanted in deviations(counts, golden).items()
    ]


def _notes(splits: dict[str, Split], names: tuple[str, str], folders: list[Path]) -> list[str]:
    notes = []
    for name, split in splits.items():
        for side, modality in zip((split.x, split.y), names, strict=True):
            if side.notes:
                odd = ", ".join(f"{n:,} {note}" for note, n in side.notes.most_common())
                notes.append(f"{name}: of the {modality} items, {odd}")
    if copies := copied_files(splits):
        same = ", ".join(" = ".join(map(_quoted, paths)) for paths in copies[:SHOWN])
        notes.append(f"{len(copies):,} files are in several splits under several names: {same}")
    unnamed = unnamed_files(folders, splits)
    for folder, n in Counter(path.parent for path in unnamed).items():
        notes.append(f"no annotation names {n:,} files: {_some([path for path in unnamed if path.parent == folder])}")
    return notes


def _some(paths: Sequence[Path]) -> str:
    return _first([_quoted(path) for path in paths])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _quoted(path: Path) -> str:
    # shows white space at the ends, and bytes that no screen can
    return repr(str(path))
