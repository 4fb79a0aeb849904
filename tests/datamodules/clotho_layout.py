"""Small Clothos on disk, of both versions, with names and captions as odd as files and CSV allow."""

import csv
import re
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from datamodules.clotho import ClothoDataModule
from tests.datamodules.fakes import Fake, common

SIZES = {"development": 11, "validation": 3, "evaluation": 5}
RATE = 8000
ODD = {
    ("development", 0): "Café déjà vu 東京.wav",
    ("development", 1): 'a "loud", bang [red].wav',
    ("development", 2): "same name.wav",
    ("development", 3): "Breaking Glass .wav",
    ("development", 4): "100%s {x}.wav",
    ("evaluation", 0): "same name.wav",
    ("evaluation", 1): "-rf.wav",
}


class Sound(NamedTuple):
    """A clip: its number is told by its length and by its captions."""

    number: int
    path: Path
    captions: list[str]


class Lengths(Fake):
    """(n, 2): the number that a clip's length tells, and its rate in kHz."""

    modality = "audio"
    dim = 2

    def vector(self, item: Any) -> list[float]:
        return [(len(item.samples) - 400) / 8, item.rate / 1000]


class Numbers(Fake):
    """(n, 2): the numbers of a clip and of a caption of it, plus 1, that a text names."""

    modality = "text"
    dim = 2

    def vector(self, item: str) -> list[float]:
        clip, caption = re.findall(r"\d+", item)
        return [float(clip), 1.0 + float(caption)]


def write_clotho(root: Path, version: int = 2) -> dict[str, list[Sound]]:
    """A sound Clotho; of each folder, its clips as they are on disk."""
    sounds: dict[str, list[Sound]] = {}
    number = 0
    for folder in SIZES if version == 2 else ("development", "evaluation"):
        (root / folder).mkdir(parents=True)
        rows, sounds[folder] = [], []
        for i in range(SIZES[folder]):
            number += 1
            name = ODD.get((folder, i), f"{folder} {i}.wav")
            captions = [f'Clip {number}, caption {k}: "so\nto  say", é' for k in range(5)]
            rows.append([unicodedata.normalize("NFC", name), *captions])
            path = root / folder / unicodedata.normalize("NFD", name.replace(" .wav", ".wav"))
            write_sound(path, number)
            sounds[folder].append(Sound(number, path, [" ".join(each.split()) for each in captions]))
        write_captions(root / f"clotho_captions_{folder}.csv", rows)
    return sounds


def write_sound(path: Path, number: int) -> None:
    time = np.arange(400 + 8 * number) / RATE
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * time), RATE)


def write_captions(path: Path, rows: list[list[str]], encoding: str = "utf-8-sig") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([["file_name", *(f"caption_{i}" for i in range(1, 6))], *rows])


def read_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


def clotho(root: Path, cache: Path, **changes: Any) -> ClothoDataModule:
    """The datamodule through backbones that tell clips and captions by their numbers."""
    arguments = {
        "data_dir": str(root), "split": "official", "val_share": 0.2, "test_share": 0.3, "split_seed": 0,
        "captions": "all", "caption_seed": 0,
    }  # fmt: skip
    return ClothoDataModule(Lengths(), Numbers(), **(arguments | common(cache) | changes))
