"""The bundled clip-art images and their captions."""

import json
from pathlib import Path
from typing import Any

import torch

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule
from datamodules.clipart_data.titles import normalise_title
from datamodules.items.items import ImageFiles, Texts
from datamodules.items.raw_pairs import RawPairs, captioned
from datamodules.pairs.splits import SPLITS

DATA = Path(__file__).parent / "clipart_data"


class ClipartDataModule(ExtractedDataModule):
    """1,500 public-domain images with one to three captions each: see ``clipart_data/DATA_CARD.md``.

    Images that share a title (digits and punctuation aside) are one group: all positives of each other's
    captions. Other equal captions are not positives of each other. The label is the category.

    Args:
        image_backbone, text_backbone: frozen encoders of images and captions.
        common: as in ``ExtractedDataModule``.

    Example:
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     data = instantiate(compose("train", ["datamodule=clipart"]).datamodule)
        >>> data.prepare_data()
        >>> {split: (raw.n_x, raw.n_y) for split, raw in data.raw.items()}
        {'train': (988, 2003), 'val': (205, 413), 'test': (307, 624)}
    """

    modalities = ("image", "text")

    def __init__(self, image_backbone: Backbone, text_backbone: Backbone, **common: Any):
        super().__init__(image_backbone, text_backbone, **common)
        lines = (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        self.records = [json.loads(line) for line in lines]
        self.label_names = sorted({record["category"] for record in self.records})

    @property
    def protocol(self) -> dict[str, str | int | float]:
        return {"dataset": "clipart (bundled)"} | super().protocol

    def read(self) -> dict[str, RawPairs]:
        assert self.label_names is not None
        titles = {title: i for i, title in enumerate(sorted({normalise_title(r["title"]) for r in self.records}))}
        splits = {}
        for split in SPLITS:
            chosen = [record for record in self.records if record["split"] == split]
            captions = [record["captions"] for record in chosen]
            splits[split] = captioned(
                ImageFiles([DATA / record["image"] for record in chosen], f"clipart {split} images"),
                captions,
                Texts([caption for each in captions for caption in each], f"clipart {split} captions"),
                group=torch.tensor([titles[normalise_title(record["title"])] for record in chosen]),
                label=torch.tensor([self.label_names.index(record["category"]) for record in chosen]),
            )
        return splits
