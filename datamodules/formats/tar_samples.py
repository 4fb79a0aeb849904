"""Samples of WebDataset shards: the tars that are meant, and their members grouped by key."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any, BinaryIO

from datamodules.formats.own_pairs import MODALITIES, plain, refuse_url
from datamodules.items.tar_members import listed
from datamodules.pairs.splits import SPELLED
from ground.errors import UserError
from ground.home import at_home

logger = logging.getLogger(__name__)

MODALITY_OF = dict.fromkeys(("jpg", "jpeg", "png", "webp"), "image") | dict.fromkeys(
    ("wav", "flac", "ogg", "mp3"), "audio"
)
READ = ("txt", "json", "cls")
MOST = 1_000_000  # shards that a range names
LARGEST = 1 << 24  # bytes of a text, JSON or class that is read: a larger one is something else


@dataclass
class Sample:
    """What the members of one key hold."""

    key: str
    media: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """The member's name, first byte and size of ``image`` and ``audio``, where they are."""
    texts: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    """``split``, ``group``, ``label``, ``domain``, where they are given."""
    problem: str = ""
    """Why a member cannot be used."""

    @property
    def modalities(self) -> list[str]:
        return [*self.media, *(["text"] if self.texts else [])]

    @property
    def holds(self) -> set[str]:
        return {*self.modalities, *self.facts}


def shards(pattern: str) -> list[Path]:
    """The tars of a folder (and its subfolders), of ranges like ``{000..012}`` or ``{a,b}``, or of a glob, sorted.

    Raises:
        UserError: none, one that is not there, a compressed one, or a pattern that cannot be read.
    """
    refuse_url(pattern, "datamodule.path")
    found: list[Path] = []
    try:
        for one in map(Path, expanded(at_home(pattern))):
            if one.is_dir():
                found += (path for path in one.rglob("*.tar") if not path.name.startswith("."))
            elif has_magic(str(one)) and not one.exists():
                found += matches(one)
            else:
                found.append(one)
    except (OSError, ValueError) as error:  # names that are too long, patterns such as a**b
        raise UserError(f"datamodule.path={pattern:.200} cannot be read: {error}") from error
    found = sorted(set(found))
    for path in found:
        if re.search(r"\.(tgz|tar\.\w+)$", path.name):
            raise UserError(f"{path} is compressed, so its members cannot be read in place: decompress it to a .tar")
        if not path.is_file():
            raise UserError(f"no shard at {path}: set datamodule.path to tars that are there")
    if not found:
        raise UserError(f"no .tar at {pattern}: set datamodule.path to a folder of tars, a glob or a range")
    return found


def matches(pattern: Path) -> list[Path]:
    """What a glob matches; parts of it that are there by name, as a folder ``[2024]``, mean themselves."""
    there = Path(pattern.anchor)
    parts = pattern.relative_to(there).parts
    while len(parts) > 1 and (there / parts[0]).is_dir():
        there, parts = there / parts[0], parts[1:]
    return list(there.glob(str(Path(*parts))))


def expanded(pattern: str) -> set[str]:
    """What a shell makes of ``{000..012}``, ``{3..1}`` and ``{a,b}``, in several places or nested.

    Raises:
        UserError: more than ``MOST`` names.
    """
    brace = re.search(r"\{([^{}]*)\}", pattern)
    if not brace:
        return {pattern}
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", brace[1])
    if numbers:
        low, high = sorted(map(int, numbers.groups()))
        if high - low >= MOST:
            raise UserError(f"{brace[0]} is a range of {high - low + 1:,} shards, the most are {MOST:,}")
        width = max(len(n) for n in numbers.groups()) if any(re.match(r"0\d", n) for n in numbers.groups()) else 0
        parts = [f"{n:0{width}d}" for n in range(low, high + 1)]
    else:
        parts = brace[1].split(",")
    names: set[str] = set()
    for part in parts:
        names |= expanded(pattern[: brace.start()] + part + pattern[brace.end() :])
        if len(names) > MOST:
            raise UserError(f"{pattern} is more than {MOST:,} shards")
    return names


def split_of(shard: Path) -> str | None:
    """The split that a shard's name says in a word of its own, or else its folder's.

    ``train-000.tar``, ``cc3m-train-0000.tar``, ``val/000.tar``. None where neither does, or the name says several.
    """
    words: list[str] = re.findall(r"[a-z]+", shard.name.lower())
    said = {SPELLED[word]: word for word in words if word in SPELLED}
    if len(said) == 1:
        return next(iter(said.values()))
    folder = shard.parent.name.lower()
    return folder if folder in SPELLED and not said else None


def samples(shard: Path, unused: Counter[str]) -> Iterator[Sample]:
    """The samples of a shard in the order of their first members; members of a key need not be neighbours.

    The key of ``a/b.seg.png`` is ``a/b`` and its extension ``seg.png``, as WebDataset has it. Of two members of
    one name the later counts, as when a tar is unpacked; of two images or two sounds the first. Texts are JSON's
    ``captions`` (a list), or else the ``.txt``, or else JSON's ``caption`` or ``text``; the label is ``.cls`` or
    else JSON's ``label``. Extensions that mean nothing here are counted in ``unused``.
    """
    members: dict[str, dict[str, tuple[str, int, int]]] = {}
    for name, start, size in listed(shard):
        folder, slash, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        members.setdefault(folder + slash + stem, {})[extension.lower()] = (name, start, size)
    with shard.open("rb") as file:
        for key, parts in members.items():
            sample = Sample(key)
            for extension, place in parts.items():
                if extension in MODALITY_OF:
                    sample.media.setdefault(MODALITY_OF[extension], place)
                elif extension not in READ:
                    unused[extension] += 1
            try:
                record = _json(_text(file, parts["json"])) if "json" in parts else {}
                texts = record.get("captions")
                if texts is None:
                    text = _text(file, parts["txt"]) if "txt" in parts else record.get("caption", record.get("text"))
                    texts = [] if text is None else [text]
                sample.texts = _captions(texts)
                if "cls" in parts:
                    record["label"] = _text(file, parts["cls"]).strip()
                for name in ("split", "group", "label", "domain"):
                    fact = plain(record.get(name))
                    if fact is None:
                        raise ValueError(f"{name} is neither a string nor a number")
                    if fact:
                        sample.facts[name] = fact
            except ValueError as error:
                sample.problem = " ".join(str(error).split())
            yield sample


def first_sample(tars: list[Path]) -> Sample:
    """The first sample with two modalities or more.

    Raises:
        UserError: there is none.
    """
    unused: Counter[str] = Counter()
    problem = ""
    for tar in tars:
        for sample in samples(tar, unused):
            if len(sample.modalities) >= 2:
                return sample
            has = " and ".join(sample.modalities) or "none of them"
            problem = problem or f"; '{sample.key}' has {sample.problem or has}"
    others = f"; extensions that mean nothing here: {', '.join(sorted(unused)[:8])}" if unused else ""
    raise UserError(f"{tars[0]}: no sample holds two of {', '.join(MODALITIES)}{problem}{others}")


def _text(file: BinaryIO, place: tuple[str, int, int]) -> str:
    name, start, size = place
    if size > LARGEST:
        raise ValueError(f"{name} has {size:,} bytes")
    file.seek(start)
    return file.read(size).decode("utf-8-sig")


def _json(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("its JSON is no object")
    return record


def _captions(texts: object) -> list[str]:
    """Each text once, without the blanks around it; empty ones are none."""
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("captions are not strings")
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))
