"""Small shards, whose members tell their numbers."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from datamodules.webdataset import WebDatasetDataModule
from tests.datamodules.own_files import arguments, picture

Members = dict[str, bytes | str | dict[str, Any]]


def tar(path: Path, members: Members, form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
                file.addfile(entry)
                continue
            content = json.dumps(content) if isinstance(content, dict) else content
            data = content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def sample(i: int, **facts: Any) -> Members:
    """Picture i with a text of i + 1 letters."""
    members: Members = {f"{i:03d}.png": picture(i), f"{i:03d}.txt": "a" * (i + 1) + "\n"}
    return members | ({f"{i:03d}.json": facts} if facts else {})


def numbered(numbers: range, **facts: Any) -> Members:
    """Samples of these numbers, with the facts that functions of the number give."""
    members: Members = {}
    for i in numbers:
        members |= sample(i, **{name: fact(i) for name, fact in facts.items()})
    return members


def shard_data(path: Path | str, folder: Path, **changes: Any) -> WebDatasetDataModule:
    return WebDatasetDataModule(path=str(path), **arguments(folder, **changes))


def texts(data: WebDatasetDataModule) -> dict[str, list[str]]:
    return {name: pairs.y.strings for name, pairs in data.read().items()}  # type: ignore[attr-defined]
