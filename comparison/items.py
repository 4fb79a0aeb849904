"""What a person sees of test items: texts, and images as small pictures, for a page that opens without the data."""

import base64
import io
from typing import Any

import torch
from PIL import Image

from datamodules.base.datamodule import PairsDataModule

GROUPS = 240
"""Groups of test items that are shown at most, evenly spread."""
SIDE = 112
"""Pixels of the longer side of a picture."""
CAPTIONS = 5


def described(datamodule: PairsDataModule) -> dict[str, Any]:
    """Test items of some groups: ``x`` and ``y``, each a list of ``row``, ``group`` and ``text`` or ``image``.

    An image is a WebP as a data address; where the data say nothing of their items, both lists are empty.
    """
    pairs = datamodule.splits["test"]
    found: dict[str, Any] = {"names": [datamodule.x_name, datamodule.y_name], "x": [], "y": []}
    if not datamodule.describes:
        return found
    groups = torch.unique(pairs.group)
    chosen = groups[torch.linspace(0, len(groups) - 1, min(GROUPS, len(groups))).round().long()]
    for row in torch.isin(pairs.group, chosen).nonzero()[:, 0].tolist():
        found["x"].append({"row": row, "group": int(pairs.group[row]), **_shown(datamodule.describe_x("test", row))})
    counts: dict[int, int] = {}
    for row in torch.isin(pairs.y_group, chosen).nonzero()[:, 0].tolist():
        group = int(pairs.y_group[row])
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= CAPTIONS:
            found["y"].append({"row": row, "group": group, **_shown(datamodule.describe_y("test", row))})
    return found


def _shown(item: object) -> dict[str, str]:
    if not isinstance(item, Image.Image):
        return {"text": str(item)}
    small = item.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=70)
    return {"image": f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"}
