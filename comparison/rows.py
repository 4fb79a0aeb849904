"""The rows of a contest: a label each, and what of a run's config it sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ground.configs import CONFIGS
from ground.errors import UserError, nearest

ALL = "all"
MANDATORY = "mandatory"
"""The file of rows without which a head-to-head is not taken seriously."""


NOT_HERE = "there is no such aligner here"


class Row(NamedTuple):
    """A contestant: its label in the tables, and the overrides that make a run its own, ``aligner=NAME`` the first."""

    label: str
    overrides: tuple[str, ...]

    @property
    def aligner(self) -> str:
        """Its file of ``configs/aligner``."""
        return self.overrides[0].partition("=")[2]


class Rows(NamedTuple):
    """Those that take part, and the labels of those that a file names and that there are not, or not here."""

    present: list[Row]
    absent: dict[str, str]


def rows_of(chosen: Any, folders: Sequence[Path] = ()) -> Rows:
    """The rows that ``aligners=chosen`` means; ``folders`` hold configs beside those of the project.

    A mandatory row that a list leaves out is absent, and so is one whose aligner has no config.

    Raises:
        UserError: a name that is no row and no aligner, with the nearest; one that is given twice; none at all.

    Example:
        >>> rows = rows_of(["unicon", "sgd_clip, mlp"])
        >>> rows.present[1].overrides, rows.absent["identity"]
        (('aligner=sgd_clip', 'aligner.head=mlp'), 'not asked for')
    """
    places = [CONFIGS, *folders]
    aligners = {path.stem: path for folder in places for path in sorted((folder / "aligner").glob("*.yaml"))}
    files = {path.stem: path for folder in places for path in sorted((folder / "rows").glob("*.yaml"))}
    mandatory = _read(files[MANDATORY])
    if chosen == ALL:
        asked = {name: _alone(name) for name in sorted(aligners)}
    elif isinstance(chosen, str) and chosen in files:
        asked = _read(files[chosen])
    else:
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        known = mandatory | {name: _alone(name) for name in aligners}
        for name in names:
            if name not in known:
                options = {*known, *(files if isinstance(chosen, str) else ())}
                raise UserError(f"unknown row '{name}' of aligners={_told(chosen)}: {nearest(str(name), options)}")
            if names.count(name) > 1:
                raise UserError(f"aligners={_told(chosen)} has '{name}' twice")
        asked = {name: known[name] for name in names}
    if not asked:
        raise UserError("aligners=[] has no row: name some, mandatory or all")
    absent = {label: "not asked for" for label in mandatory if label not in asked}
    present = []
    for row in asked.values():
        if row.aligner in aligners:
            present.append(row)
        else:
            absent[row.label] = NOT_HERE
    if not present:
        absentees = ", ".join(row.aligner for row in asked.values())
        raise UserError(f"aligners={_told(chosen)}: {NOT_HERE}: {absentees}")
    return Rows(present, absent)


def _alone(name: str) -> Row:
    return Row(name, (f"aligner={name}",))


def _told(chosen: Any) -> str:
    return chosen if isinstance(chosen, str) else f"[{','.join(map(str, chosen))}]"


def _read(path: Path) -> dict[str, Row]:
    """The rows of a YAML: ``label: [aligner=NAME, key=value, ...]``."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the rows of {path}: {' '.join(str(error).split())}") from error
    for label, overrides in (read or {}).items():
        if not (isinstance(overrides, list) and overrides and str(overrides[0]).startswith("aligner=")):
            raise UserError(f"{path}: the row '{label}' must be a list that begins with aligner=NAME, got {overrides}")
    return {str(label): Row(str(label), tuple(map(str, overrides))) for label, overrides in (read or {}).items()}
