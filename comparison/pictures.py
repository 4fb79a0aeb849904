"""The figures that a run has drawn, for a page."""

import base64
import io
from pathlib import Path

from PIL import Image

from comparison.results import Standing
from report.html.page import Picture

PICTURES = {
    "similarity_matrix": "similarities of test pairs", "embedding_map": "map of the shared space, lines join partners",
    "singular_values": "singular values", "objective_over_passes": "objective over passes",
}  # fmt: skip
"""Figures of a run that are shown, and what they are of."""
COLOURS = 64
"""Of a picture in the page: it is a drawing, and small."""


def pictures_of(row: Standing) -> list[Picture]:
    """Those of the first seed of a row."""
    folder = min(row.results, key=lambda each: each.seed).folder / "figures"
    return [
        Picture(small(folder / f"{name}.png"), f"{row.row}: {about}")
        for name, about in PICTURES.items()
        if (folder / f"{name}.png").is_file()
    ]


def small(path: Path) -> str:
    """A drawing as a data address, of few colours."""
    file = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
