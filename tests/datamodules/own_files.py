"""Small pictures and sounds whose fake features tell which they are, and a table's or shards' arguments."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from datamodules.items.audio import Clip
from datamodules.pairs.splits import SPLITS
from tests.datamodules.fakes import CharacterCounts, Fake, MeanColour, common


class ClipLength(Fake):
    """(n, 2): samples and rate of a clip."""

    modality = "audio"
    dim = 2

    def vector(self, item: Clip) -> list[float]:
        return [float(len(item.samples)), float(item.rate)]


def picture(number: int) -> bytes:
    """A PNG whose ``MeanColour`` is (number + 1, 1, 1)."""
    data = io.BytesIO()
    Image.new("RGB", (4, 3), (number, 0, 0)).save(data, "png")
    return data.getvalue()


def sound(number: int) -> bytes:
    """A WAV whose ``ClipLength`` is (16,000 + number, 16,000)."""
    data = io.BytesIO()
    samples = np.random.default_rng(number).uniform(-0.5, 0.5, 16_000 + number)
    soundfile.write(data, samples, 16_000, format="WAV")
    return data.getvalue()


def media(folder: Path, n: int) -> Path:
    """``0.png`` to ``n-1.png`` and ``0.wav`` to ``n-1.wav`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (folder / f"{i}.png").write_bytes(picture(i))
        (folder / f"{i}.wav").write_bytes(sound(i))
    return folder


def third(i: int) -> str:
    """The split of pair i, where each split has a third."""
    return SPLITS[i % 3]


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    own = {"val_share": 0.2, "test_share": 0.2, "split_seed": 0}
    backbones = {"image_backbone": MeanColour(), "audio_backbone": ClipLength(), "text_backbone": CharacterCounts()}
    return common(folder) | own | backbones | changes
