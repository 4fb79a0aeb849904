"""The command ``search.py``: a query, the best items, a contact sheet; or a local page."""

import re
from pathlib import Path
from typing import Any

from PIL import Image

from aligners.base.loading import load_run
from datamodules.base.extracted import ExtractedDataModule
from ground.errors import UserError
from ground.plain_keys import plain_keys
from ground.ranges import Count, Natural
from report.figures.contact_sheet import contact_sheet
from report.tables import screen
from searching.collection import Collection, modality_of, of_file, of_items, of_splits
from searching.finder import Finder, Found

QUERIES = ("text", "image", "audio")
DECLARED: dict[str, Any] = {
    "run": str | None, "text": str | None, "image": str | None, "audio": str | None, "among": str | None, "split": str,
    "index": str | None, "top": Count, "sheet": str | None, "serve": bool, "port": Natural, "exact_items": Count,
    "trust": bool,
}  # fmt: skip


def search(arguments: list[str]) -> None:
    """Search as the command line says.

    Raises:
        UserError: a mistake in it, a run that cannot be used, or a query that cannot be encoded.
    """
    values, words = plain_keys("search", DECLARED, arguments)
    asked = {name: values[name] for name in QUERIES if values[name] is not None}
    if words:
        asked["text"] = " ".join(words) if "text" not in asked else f"{asked['text']} {' '.join(words)}"
    if values["run"] is None:
        raise UserError('search needs a run: python search.py run=RUN "a red telephone"')
    if len(asked) > 1:
        raise UserError(f"one query at a time, got {' and '.join(asked)}")
    if not asked and not values["serve"]:
        raise UserError("search needs a query: a text in quotes, image=FILE or audio=FILE, or serve=true")
    aligner, data = load_run(values["run"], trust=values["trust"])
    if not isinstance(data, ExtractedDataModule):
        raise UserError(f"the run {values['run']} is of features: it has no encoders for a query")
    modalities = modality_of(data, "x"), modality_of(data, "y")
    modality = next(iter(asked), "text" if "text" in modalities else modalities[0])
    sides = _sides(modality, values["among"], modalities)
    finder = Finder(
        aligner, _collection(values, aligner, data, sides[1]), asked=sides[0], searched=sides[1],
        exact_items=values["exact_items"],
    )  # fmt: skip
    if values["serve"]:
        from searching.server import serve  # where a page is wanted alone

        serve(finder, takes_text=modality == "text", port=values["port"], top=values["top"])
        return
    query = asked[modality]
    found = finder.find([query], values["top"])
    _show(finder.collection, found, query if modality == "text" else Path(query).name, values)


def _sides(modality: str, among: str | None, modalities: tuple[str, str]) -> tuple[str, str]:
    """The side that asks, and the side that is searched: x or y each."""
    if modality not in modalities:
        raise UserError(f"the run encodes {' and '.join(modalities)}, the query is of {modality}")
    asked = modalities.index(modality)
    if among is None:
        return "xy"[asked], "xy"[1 - asked]
    if among not in modalities:
        raise UserError(f"among must be {' or '.join(dict.fromkeys(modalities))}, got '{among}'")
    return "xy"[asked], "xy"[modalities.index(among)]


def _collection(values: dict[str, Any], aligner: Any, data: ExtractedDataModule, side: str) -> Collection:
    if values["index"] is None:
        return of_splits(aligner, data, side, values["split"])
    path = Path(values["index"])
    if path.suffix.lower() == ".safetensors":
        return of_file(Path(values["run"]), side, path)
    return of_items(aligner, data, side, path)


def _show(collection: Collection, found: list[Found], query: str, values: dict[str, Any]) -> None:
    console = screen()
    for place, each in enumerate(found, 1):
        console.print(f"{place:3} {each.score:7.4f}  {collection.name(each.row)}", soft_wrap=True, highlight=False)
    shown = [collection.show(each.row) for each in found]
    pictures = [item if isinstance(item, Image.Image) else str(item) for item in shown]
    names = [f"{each.score:.3f}  {collection.name(each.row)}" for each in found]
    file = Path(values["sheet"] or Path(values["run"]) / "search" / f"{_plain(query)}.png")
    file.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(pictures, names, query).savefig(file)
    console.print(f"contact sheet: {file}", soft_wrap=True, highlight=False)


def _plain(query: str) -> str:
    return re.sub(r"[^\w.-]+", "_", query)[:60].strip("._") or "query"
