"""What a person sees and hears of test items: texts, small pictures, short sounds; a page opens without the data."""

import base64
import io
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from backbones.audio import Clip, resampled
from datamodules.base.datamodule import PairsDataModule

GROUPS = 240
"""Groups of test items that are shown at most, evenly spread."""
HEARD = 100
"""The same where items are sounds, which are ten times as large as pictures."""
SIDE = 112
"""Pixels of the longer side of a picture."""
SECONDS, RATE = 8, 16_000
"""Of a sound, from its beginning, and of its samples in a second."""
CAPTIONS = 5


def described(datamodule: PairsDataModule) -> dict[str, Any]:
    """Test items of some groups: ``x`` and ``y``, each a list of ``row``, ``group`` and what is shown of an item.

    That is its ``text`` or its ``image``, a WebP as a data address; of a sound, beside its name, the beginning as
    ``sound``, an Ogg Opus alike. Where the data say nothing of their items, both lists are empty.
    """
    pairs = datamodule.splits["test"]
    found: dict[str, Any] = {"names": [datamodule.x_name, datamodule.y_name], "x": [], "y": []}
    if not datamodule.describes:
        return found
    sounds = any(sound("test", 0) is not None for sound in (datamodule.sound_x, datamodule.sound_y))
    groups = torch.unique(pairs.group)
    shown = min(HEARD if sounds else GROUPS, len(groups))
    chosen = groups[torch.linspace(0, len(groups) - 1, shown).round().long()]
    for row in torch.isin(pairs.group, chosen).nonzero()[:, 0].tolist():
        item = _shown(datamodule.describe_x("test", row), datamodule.sound_x("test", row))
        found["x"].append({"row": row, "group": int(pairs.group[row]), **item})
    counts: dict[int, int] = {}
    for row in torch.isin(pairs.y_group, chosen).nonzero()[:, 0].tolist():
        group = int(pairs.y_group[row])
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= CAPTIONS:
            item = _shown(datamodule.describe_y("test", row), datamodule.sound_y("test", row))
            found["y"].append({"row": row, "group": group, **item})
    return found


def _shown(item: object, clip: Clip | None) -> dict[str, str]:
    if isinstance(item, Image.Image):
        small = item.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        small.save(file, "WEBP", quality=70)
        return {"image": _address("image/webp", file)}
    return {"text": str(item)} | ({} if clip is None else {"sound": _heard(clip)})


def _heard(clip: Clip) -> str:
    beginning = Clip(clip.samples[: SECONDS * clip.rate], clip.rate)
    file = io.BytesIO()
    soundfile.write(file, np.clip(resampled(beginning, RATE), -1, 1), RATE, format="OGG", subtype="OPUS")
    return _address("audio/ogg", file)


def _address(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
