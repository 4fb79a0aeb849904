"""A quick run on real images and texts through real backbones."""

import csv
import json
from pathlib import Path

from datamodules.clipart import DATA
from tests.cli import call


def arguments(folder: Path) -> tuple[str, ...]:
    """Of a run of CCA on forty of the bundled images, seen small, with a caption each; it is to be ``folder/run``."""
    records = [json.loads(line) for line in (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[:40]]
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "text"), *((DATA / r["image"], r["captions"][0]) for r in records)])
    return (
        "datamodule=table", f"datamodule.path={folder / 'pairs.csv'}", f"cache_dir={folder / 'cache'}",
        "datamodule.image_backbone.size=64", "datamodule.image_backbone.device=cpu",
        "datamodule.text_backbone.device=cpu", "aligner=cca", "aligner.rank=8", f"run_dir={folder / 'run'}",
        "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "report.sheet_items=1",
    )  # fmt: skip


def run(folder: Path) -> Path:
    """The directory of such a run."""
    assert call(*arguments(folder)) == 0
    return folder / "run"
