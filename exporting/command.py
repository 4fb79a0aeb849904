"""The command ``export.py``: a finished run as files that need no project."""

import tempfile
from pathlib import Path
from typing import Any

from aligners.base.aligner import Aligner
from aligners.base.loading import load_run
from backbones.sbert import SentenceTransformerText
from datamodules.base.datamodule import PairsDataModule
from datamodules.base.extracted import ExtractedDataModule
from exporting.card import card
from exporting.heads import write_heads
from exporting.onnx_file import OPSET, run_onnx, write_onnx
from exporting.parity import checked, own_difference, some_rows
from exporting.sentence_model import write_sentence_model
from ground.errors import UserError
from ground.files import keep_former
from ground.plain_keys import plain_keys

DECLARED: dict[str, Any] = {"run": str | None, "to": str | None, "trust": bool}


def export(arguments: list[str]) -> None:
    """Export as the command line says.

    Raises:
        UserError: a mistake in it, a run that cannot be used, or an aligner that has no export.
    """
    values, words = plain_keys("export", DECLARED, arguments)
    if words or values["run"] is None:
        raise UserError(f"{f'cannot read {words[0]!r}' if words else 'run is not given'}: python export.py run=RUN")
    run = Path(values["run"])
    aligner, data = load_run(run, trust=values["trust"])
    folder = Path(values["to"] or run / "export")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # beside its place, which it takes when it is whole
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        part = Path(made) / folder.name
        part.mkdir()
        told = write_export(run, aligner, data, part)
        if folder.exists():
            keep_former(folder)
        part.rename(folder)
    for line in told:
        print(line)
    print(f"{folder}: {', '.join(sorted(each.name for each in folder.iterdir()))}")


def write_export(run: Path, aligner: Aligner, data: PairsDataModule, folder: Path) -> list[str]:
    """Write all files of an export into an empty folder, and say how exact they are.

    Raises:
        UserError: an aligner that has no export, or one whose steps do not lead to its embeddings.
    """
    assert aligner.dims is not None
    facts = {
        side: {**_facts(data, side), "d": d, "r": aligner.embedding_width}
        for side, d in zip("xy", aligner.dims, strict=True)
    }
    heads = write_heads(aligner, folder, facts)
    x, y, what = some_rows(aligner, data)
    steps = checked("heads.json", aligner, (heads["x"], heads["y"]), x, y)
    files = {side: folder / f"head_{side}.onnx" for side in "xy"}
    for side, d in zip("xy", aligner.dims, strict=True):
        write_onnx(heads[side], d, files[side])
    onnx = checked(
        "ONNX", aligner, (lambda rows: run_onnx(files["x"], rows), lambda rows: run_onnx(files["y"], rows)), x, y
    )
    told = [
        f"Cosines of {len(x)} x {len(y)} {what} differ from the aligner's by at most {steps:.1e} (heads), {onnx:.1e} "
        f"(ONNX, opset {OPSET}); the aligner's own, rows one by one, by {own_difference(aligner, x, y):.1e}."
    ]
    sentence_sides = ""
    if isinstance(data, ExtractedDataModule):
        for side, backbone in (("x", data.x_backbone), ("y", data.y_backbone)):
            if isinstance(backbone, SentenceTransformerText):
                write_sentence_model(aligner, side, backbone, folder / f"sentence_model_{side}")
                sentence_sides += side
    (folder / "README.md").write_text(card(run, facts, told, sentence_sides), encoding="utf-8")
    return told


def _facts(data: PairsDataModule, side: str) -> dict[str, Any]:
    """What the items of a side are, and what encodes them."""
    facts: dict[str, Any] = {"name": data.x_name if side == "x" else data.y_name}
    if isinstance(data, ExtractedDataModule):
        backbone = getattr(data, f"{side}_backbone")
        facts |= {"encoder": type(backbone).__name__, "encoder_fingerprint": backbone.fingerprint}
    return facts
