"""MSCOCO captions (Chen et al., 2015, arXiv 1504.00325): 123,287 images with five captions or a few more."""

import shlex
from typing import Any

from torch import Tensor

from backbones.backbone import Backbone
from datamodules.base.captioned import CaptionedDataModule
from datamodules.base.extracted import Layout
from datamodules.formats.captioned_images import CaptionedImage, NumberedImages, NumberedTexts
from datamodules.formats.coco_captions import read_coco_captions
from datamodules.formats.karpathy import URL, read_karpathy
from datamodules.items.raw_pairs import RawPairs
from ground.ranges import Count

# Images and captions. Captions of Karpathy's splits: the card of the dataset justram/COCO2014-Captions; of 2017: the
# card of gokuls/coco_dataset; of 2014: as counted by many projects. Each pair of 2014 and 2017, and Karpathy's three,
# add up to the same 616,767.
WHOLE = {
    "karpathy": {"train": (113287, 566747), "val": (5000, 25010), "test": (5000, 25010)},
    "official2017": {"train": (118287, 591753), "test": (5000, 25014)},
    "official2014": {"train": (82783, 414113), "test": (40504, 202654)},
    "paper": {"train": (82783, 414113), "val": (40504, 202654)},
}


class MSCOCODataModule(CaptionedDataModule):
    """The official folders ``train2014/`` and ``val2014/``, or those of 2017, with the captions beside them.

    Equal captions of different images are not positives of each other.

    Args:
        split: ``karpathy``, of ``dataset_coco.json``, train with restval; ``official2014`` and ``official2017``:
            test is the official validation set, validation is drawn from the official training set; ``paper``, as
            UniCon's authors did: train2014, and val2014 drawn into test and validation.
        val_images: images that the official splits draw for validation, a quarter of train at most.
        test_images: images that ``paper`` draws for test, half of val2014 at most.
        others: as in ``CaptionedDataModule``.

    Raises:
        UserError: as ``CaptionedDataModule``.

    Example:
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     data = instantiate(compose("train", ["datamodule=mscoco"]).datamodule)
        >>> data.layout.golden[0]["test"]
        (5000, 25010)
    """

    dataset = "mscoco"
    split_names = tuple(WHOLE)

    def __init__(
        self, image_backbone: Backbone, text_backbone: Backbone, val_images: Count, test_images: Count, **others: Any
    ):
        super().__init__(image_backbone, text_backbone, **others)
        self.val_images, self.test_images = val_images, test_images

    @property
    def image_ids(self) -> dict[str, Tensor]:
        """COCO's numbers (n_x,) int64 of each split's images of ``raw``: after ``setup``, of each x."""
        return {split: _numbered(raw).ids for split, raw in self.raw.items()}

    @property
    def caption_ids(self) -> dict[str, Tensor]:
        """COCO's numbers (n,) int64 of each split's captions of ``raw``: after ``setup``, of each y.

        With ``captions: mean`` they are those of all captions that the means are of.
        """
        ids = {}
        for split, raw in self.raw.items():
            assert isinstance(raw.y, NumberedTexts)
            ids[split] = raw.y.ids
        return ids

    @property
    def coco_ids(self) -> tuple[Tensor, Tensor] | None:
        """The numbers in Karpathy's test split with all captions, which ECCV Caption and CxC judge."""
        if (self.split, self.captions) != ("karpathy", "all"):
            return None
        return self.image_ids["test"], self.caption_ids["test"]

    def annotated(self) -> dict[str, list[CaptionedImage]]:
        if self.split == "karpathy":
            return read_karpathy(self.there(self.data_dir / "dataset_coco.json"), self.data_dir)
        year = self._year
        return {
            split: read_coco_captions(
                self.there(self.data_dir / "annotations" / f"captions_{official}{year}.json"),
                self.data_dir / f"{official}{year}",
            )
            for split, official in zip(WHOLE[self.split], ("train", "val"), strict=True)
        }

    def sizes(self, split: str, n: int) -> dict[str, int]:
        if self.split == "paper" and split == "val":
            test = min(self.test_images, n // 2)
            return {"val": n - test, "test": test}
        if self.split.startswith("official") and split == "train":
            val = min(self.val_images, n // 4)
            return {"train": n - val, "val": val}
        return {split: n}

    @property
    def layout(self) -> Layout:
        year = self._year
        site = "http://images.cocodataset.org"
        captions = URL if self.split == "karpathy" else f"{site}/annotations/annotations_trainval{year}.zip"
        archives = [f"{site}/zips/train{year}.zip", f"{site}/zips/val{year}.zip", captions]
        folder = shlex.quote(str(self.data_dir))
        get = " && ".join(f"curl -LO {url} && unzip -nq {url.rsplit('/', 1)[1]}" for url in archives)
        return Layout(
            obtain=f"under the terms of https://cocodataset.org/#termsofuse: mkdir -p {folder} && cd {folder} && {get}",
            folders=[self.data_dir / f"train{year}", self.data_dir / f"val{year}"],
            golden=[self.whole(WHOLE[self.split])],
        )

    @property
    def _year(self) -> int:
        return 2017 if self.split == "official2017" else 2014


def _numbered(raw: RawPairs) -> NumberedImages:
    assert isinstance(raw.x, NumberedImages)
    return raw.x
