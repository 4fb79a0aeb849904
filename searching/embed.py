"""The command ``embed.py``: new items to a features file, with a finished run."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from aligners.base.loading import load_run
from datamodules.base.extracted import ExtractedDataModule
from datamodules.pairs.pairs import SelectedRows
from ground.errors import UserError
from ground.plain_keys import plain_keys
from searching.collection import EMBEDDED_BY, embedded, features_of, item_name, modality_of, run_hash
from searching.new_items import new_items

DECLARED: dict[str, Any] = {"run": str | None, "items": str | None, "to": str | None, "trust": bool}


def embed(arguments: list[str]) -> None:
    """Embed as the command line says.

    The file holds ``x`` (n, r) or ``y`` or both, float32, with ``x_names``, and of a table of pairs ``x_of_y``: then
    ``datamodule=features`` reads it, and in any case ``search.py index=FILE``.

    Raises:
        UserError: a mistake in it, a run or items that cannot be used, or a file that cannot be written.
    """
    values, words = plain_keys("embed", DECLARED, arguments)
    missing = [key for key in ("run", "items", "to") if values[key] is None]
    if words or missing:
        wrong = f"cannot read '{words[0]}'" if words else f"{missing[0]} is not given"
        raise UserError(f"{wrong}: python embed.py run=RUN items=FOLDER to=FILE.safetensors")
    aligner, data = load_run(values["run"], trust=values["trust"])
    if not isinstance(data, ExtractedDataModule):
        raise UserError(f"the run {values['run']} is of features: it has no encoders for new items")
    modalities = modality_of(data, "x"), modality_of(data, "y")
    items = new_items(Path(values["items"]), modalities)
    tensors: dict[str, torch.Tensor] = {}
    place_of_x = torch.empty(0, dtype=torch.int64)
    for side in "xy":
        given = items.sources.get(modalities["xy".index(side)])
        if given is None or (side == "y" and len(set(modalities)) == 1):
            continue
        rows, source = features_of(data, side, given)
        places = torch.arange(len(source))
        if items.partners is not None and side == "x":
            place_of_x = torch.full((len(given),), -1).scatter_(0, rows.kept, places)
        elif items.partners is not None:
            partner = place_of_x[items.partners[rows.kept]]
            places = (partner >= 0).nonzero()[:, 0]  # the others' partner cannot be read
            tensors["x_of_y"] = partner[places]
        tensors[side] = embedded(aligner, side, SelectedRows(rows, places), given.name)
        tensors[f"{side}_names"] = _lines([item_name(source, i) for i in places.tolist()])
    metadata = {"x_name": data.x_name, "y_name": data.y_name, EMBEDDED_BY: run_hash(Path(values["run"]))}
    try:
        save_file(tensors, values["to"], metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {values['to']}: {error}") from error
    told = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items() if name in ("x", "y"))
    print(f"{values['to']}: {told}")


def _lines(names: list[str]) -> torch.Tensor:
    text = "".join(f"{' '.join(name.split())}\n" for name in names)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
