"""The datamodule of images with several captions each."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule
from datamodules.formats.captioned_images import CaptionedImage, NumberedImages, drawn, part, raw_pairs
from datamodules.items.captions import Captions, captions_per_item, chosen, mean_of_captions
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.pairs import Pairs
from datamodules.pairs.splits import SPLITS
from ground.errors import UserError, nearest
from ground.home import path_at_home
from ground.ranges import Seed


class CaptionedDataModule(ExtractedDataModule):
    """x is an image, y a text; an image with its captions is a group, whatever captions of other images say.

    A dataset writes ``dataset``, ``split_names``, ``annotated`` and, where it draws splits, ``sizes``. What is
    drawn depends on the annotations and the seeds alone, not on the files that are there.

    Args:
        image_backbone, text_backbone: frozen encoders.
        data_dir: the folder of the dataset.
        split: one of ``split_names``.
        split_seed: of splits that are drawn.
        captions: ``all``, ``first``, ``random`` or ``mean``: the y of an image are all its captions, the first
            one, a random one, or one text whose features are the mean of those of all.
        caption_seed: of random captions.
        common: as in ``ExtractedDataModule``.

    Raises:
        UserError: an unknown ``split``, an argument out of its range; on reading, annotations that cannot be used.
    """

    modalities = ("image", "text")
    dataset: str
    split_names: tuple[str, ...]

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone,
        data_dir: str,
        split: str,
        split_seed: Seed,
        captions: Captions,
        caption_seed: Seed,
        **common: Any,
    ):
        super().__init__(image_backbone, text_backbone, **common)
        if split not in self.split_names:
            raise UserError(f"unknown datamodule.split '{split}': {nearest(split, self.split_names)}")
        self.data_dir = path_at_home(data_dir)
        self.split, self.split_seed = split, split_seed
        self.captions, self.caption_seed = captions, caption_seed
        self.parts: dict[str, dict[str, Tensor]] = {}  # numbers of the images of each part of what is split

    @abstractmethod
    def annotated(self) -> dict[str, list[CaptionedImage]]:
        """The images of each split of the annotations."""

    def sizes(self, split: str, n: int) -> dict[str, int]:
        """The splits that are drawn from the ``n`` images of a split of the annotations, and their sizes."""
        return {split: n}

    def read(self) -> dict[str, RawPairs]:
        raw = {}
        for split, images in self.annotated().items():
            pairs = raw_pairs(images, f"{self.dataset} {split}")
            assert isinstance(pairs.x, NumberedImages)
            self.parts[split] = drawn(pairs.x.ids, self.sizes(split, pairs.n_x), self.split_seed)
            raw[split] = chosen(pairs, self.captions, self.caption_seed)
        return raw

    def divided(self, raw: dict[str, RawPairs]) -> dict[str, RawPairs]:
        parts = {
            name: part(pairs, ids, f"{self.dataset} {name}")
            for split, pairs in raw.items()
            for name, ids in self.parts[split].items()
        }
        return {split: parts[split] for split in SPLITS}

    def finished(self, pairs: Pairs) -> Pairs:
        return mean_of_captions(pairs) if self.captions == "mean" else pairs

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {"dataset": self.dataset, "split": self.split, "captions": self.captions}
        if any(len(parts) > 1 for parts in self.parts.values()):
            facts["split_seed"] = self.split_seed
        if self.captions == "random":
            facts["caption_seed"] = self.caption_seed
        if self.raw:
            test = self.raw["test"]
            number = captions_per_item(test.x_of_y, test.n_x)
            facts["captions_per_item"] = f"1, the mean of {number}" if self.captions == "mean" else number
        return facts | {"equal_captions": "of different images are no positives"} | super().protocol

    def describe_y(self, split: str, index: int) -> str:
        if self.captions != "mean" or split not in self.splits:
            return super().describe_y(split, index)
        raw = self.raw[split]
        rows = (raw.x_of_y == self.splits[split].x_of_y[index]).nonzero()[:, 0]
        return " / ".join(str(raw.y.show(row)) for row in rows.tolist())

    def whole(self, counts: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """What ``read`` finds of whole data with these ``counts`` of images and captions."""
        one = self.captions in ("first", "random")
        return {split: (images, images if one else captions) for split, (images, captions) in counts.items()}

    def there(self, path: Path) -> Path:
        """A file of annotations that has to be there.

        Raises:
            UserError: it is not.
        """
        if not path.is_file():
            raise UserError(f"there is no {path}; {self.layout.obtain if self.layout else ''}")
        return path
