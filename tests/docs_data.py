"""Small data in the layouts, and under the names, that commands of README.md and docs/ ask for."""

from collections.abc import Callable
from pathlib import Path

import torch

from tests.cli import call
from tests.datamodules import clotho_layout, layouts
from tests.datamodules.image_layouts import class_folders
from tests.datamodules.own_files import media
from tests.datamodules.tables import captioned, written
from tests.datamodules.tars import numbered, tar
from tests.problems import random_features

DOCS = Path(__file__).parents[1] / "docs"


def features_run(folder: Path, path: str, **more: torch.Tensor) -> None:
    from safetensors.torch import save_file

    x, y, x_of_y = random_features(60, 2, 24, 20, seed=1)
    save_file({"x": x, "y": y, "x_of_y": x_of_y} | more, folder / path, metadata={"x_name": "image", "y_name": "text"})


def picture_table(folder: Path, image: str = "image", text: str = "text") -> None:
    rows = captioned(12)
    media(folder, 12)
    written(folder / "pairs.csv", [{image: row["image"], text: row["text"]} for row in rows])


def shards(folder: Path) -> None:
    for k in range(13):
        tar(folder / "shards" / f"{k:03d}.tar", numbered(range(2 * k, 2 * k + 2)))


def labelled_folder(folder: Path) -> None:
    picture_table(folder)
    class_folders(folder / "FOLDER", {"red_boat": 6, "dog": 6})


def own_templates(folder: Path) -> None:
    """The file of docs/zero_shot.md, as it stands there."""
    text = (DOCS / "zero_shot.md").read_text(encoding="utf-8")
    (folder / "own" / "conf" / "evaluation").mkdir(parents=True)
    (folder / "own" / "conf" / "evaluation" / "drawings.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    picture_table(folder)


def run_of_features(folder: Path) -> None:
    features_run(folder, "features.safetensors")
    features_run(folder, "OTHER.safetensors")
    assert call("datamodule=features", "datamodule.path=features.safetensors", "aligner=cca", "aligner.rank=8",
                "run_dir=RUN", "trainer.enable_progress_bar=false") == 0  # fmt: skip


def flickr30k(folder: Path) -> None:
    for image in layouts.flickr30k(folder / "DIR"):
        layouts.draw(folder / "DIR" / "flickr30k-images" / image.name, image.grey)


IMAGES = (
    "datamodule.image_backbone.size=32",
    "datamodule.batch_size=20",
    "cache_dir=cache",
    "aligner=cca",
    "aligner.rank=1",
)
DATA_OF: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "datamodule.columns.image=picture": (lambda folder: picture_table(folder, "picture", "caption"), IMAGES),
    "datamodule.path=pairs.csv": (picture_table, IMAGES),
    "text_backbone.layers=": (picture_table, ("datamodule=table", "datamodule.path=pairs.csv", *IMAGES)),
    "shards/": (shards, IMAGES),
    "datamodule.path=pairs.safetensors": (
        lambda folder: features_run(folder, "pairs.safetensors"),
        ("aligner.rank=8",),
    ),
    "datamodule.path=features.safetensors": (
        lambda folder: features_run(folder, "features.safetensors"),
        ("aligner.rank=8",),
    ),
    "datamodule.path=domains.safetensors": (
        lambda folder: features_run(folder, "domains.safetensors", domain=torch.arange(60) % 2),
        ("aligner.rank=8", "trainer.max_epochs=3"),
    ),
    "datamodule.path=named.safetensors": (
        lambda folder: features_run(folder, "named.safetensors"),
        ("aligner.rank=8",),
    ),
    "datamodule=clotho": (
        lambda folder: clotho_layout.write_clotho(folder / "DIR"),
        ("cache_dir=cache", "aligner=cca", "aligner.rank=2", "datamodule.max_unreadable_share=0.5"),
    ),
    "eval_datamodule=flickr30k": (
        flickr30k,
        ("cache_dir=cache", "eval_datamodule.max_unreadable_share=0.5", "eval_datamodule.image_backbone.size=64"),
    ),
    "eval_datamodule=image_folder": (
        labelled_folder,
        ("datamodule=table", "datamodule.path=pairs.csv", "eval_datamodule.image_backbone.size=32", *IMAGES),
    ),
    "evaluation=drawings": (own_templates, ("datamodule=table", "datamodule.path=pairs.csv", *IMAGES)),
    "test=RUN": (run_of_features, ()),
}
"""By what stands in a command: what makes its data in a folder, and what makes its run small on them."""
