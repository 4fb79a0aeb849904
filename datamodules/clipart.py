"""The bundled clip-art images and their captions."""

import json
from pathlib import Path

import torch
from PIL import Image

from backbones.backbone import Backbone
from datamodules.base import PairsDataModule
from datamodules.clipart_data.captions import normalise_title
from datamodules.feature_cache import FeatureCache
from datamodules.features import SPLITS
from datamodules.image_text import ImageText, extract_pairs

DATA = Path(__file__).parent / "clipart_data"


class ClipartDataModule(PairsDataModule):
    """1,500 public-domain images with one to three captions each: see ``clipart_data/DATA_CARD.md``.

    Images that share a title (digits and punctuation aside) are one group: all positives of each other's
    captions. Other equal captions are not positives of each other. The label is the category.

    Args:
        image_backbone, text_backbone: frozen encoders of images and captions.
        cache_dir, precision, shard_size, max_unreadable_share: as in ``FeatureCache``.
    """

    x_name = "image"
    y_name = "text"

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone,
        cache_dir: str,
        precision: str,
        shard_size: int,
        max_unreadable_share: float,
        batch_size: int,
        eval_batch_size: int,
        seed: int,
    ):
        super().__init__(batch_size, eval_batch_size, seed)
        self.backbones = (image_backbone, text_backbone)
        self.cache = FeatureCache(cache_dir, precision, shard_size, max_unreadable_share)
        lines = (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        titles = {title: i for i, title in enumerate(sorted({normalise_title(r["title"]) for r in records}))}
        self.label_names = sorted({record["category"] for record in records})
        self.items: dict[str, ImageText] = {}
        for split in SPLITS:
            chosen = [record for record in records if record["split"] == split]
            self.items[split] = ImageText(
                name=f"clipart {split}",
                images=[DATA / record["image"] for record in chosen],
                captions=[record["captions"] for record in chosen],
                group=torch.tensor([titles[normalise_title(record["title"])] for record in chosen]),
                label=torch.tensor([self.label_names.index(record["category"]) for record in chosen]),
            )

    @property
    def protocol(self) -> dict[str, str | int | float]:
        protocol: dict[str, str | int | float] = {"dataset": "clipart (bundled)"}
        for backbone in self.backbones:
            name = f"{type(backbone).__name__} {backbone.fingerprint[:12]}"
            protocol[f"{backbone.modality}_backbone"] = name
        return protocol

    def prepare_data(self) -> None:
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        image, text = self.backbones
        extracted = {split: extract_pairs(items, image, text, self.cache) for split, items in self.items.items()}
        self.splits = {split: each.pairs for split, each in extracted.items()}
        self.items = {split: each.items for split, each in extracted.items()}
        self.feature_seconds = sum(each.seconds for each in extracted.values())

    def describe_x(self, split: str, index: int) -> Image.Image | str:
        with Image.open(self.items[split].images[index]) as image:
            return image.convert("RGB")

    def describe_y(self, split: str, index: int) -> str:
        return self.items[split].flat_captions[index]
