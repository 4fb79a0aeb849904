"""Flickr30K (Young, Lai, Hodosh, Hockenmaier, TACL 2014): 31,783 photographs with five captions each."""

from pathlib import Path
from typing import Any, Literal

from backbones.backbone import Backbone
from datamodules.base.captioned import CaptionedDataModule
from datamodules.base.extracted import Layout
from datamodules.formats.captioned_images import CaptionedImage, cleaned
from datamodules.formats.karpathy import URL, read_karpathy
from ground.errors import UserError


class Flickr30KDataModule(CaptionedDataModule):
    """``flickr30k-images/`` (or ``flickr30k_images/``) with captions beside it: Karpathy's or the original ones.

    Equal captions of different images are not positives of each other.

    Args:
        split: ``karpathy``, of ``dataset_flickr30k.json``; or ``paper``, 0.8, 0.1 and 0.1 of all images drawn at
            random, as UniCon's authors did (of 31,783 images: 25,426, 3,178 and 3,179).
        annotations: ``json``, ``dataset_flickr30k.json``; ``token``, ``results_20130124.token``, which has no
            splits; or ``auto``, the first that is there.
        others: as in ``CaptionedDataModule``.

    Example:
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     data = instantiate(compose("train", ["datamodule=flickr30k", "datamodule.split=paper"]).datamodule)
        >>> data.sizes("all", 31783)
        {'train': 25426, 'val': 3178, 'test': 3179}
    """

    dataset = "flickr30k"
    split_names = ("karpathy", "paper")

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone,
        split: str,
        annotations: Literal["auto", "json", "token"],
        **others: Any,
    ):
        super().__init__(image_backbone, text_backbone, split=split, **others)
        if (split, annotations) == ("karpathy", "token"):
            raise UserError(
                "datamodule.split=karpathy needs dataset_flickr30k.json, results_20130124.token has no splits: "
                "set datamodule.annotations=json, or datamodule.split=paper"
            )
        self.annotations = annotations

    def annotated(self) -> dict[str, list[CaptionedImage]]:
        json, token = self.data_dir / "dataset_flickr30k.json", self.data_dir / "results_20130124.token"
        images = self._images()
        either = self.annotations == "auto" and self.split == "paper"
        if self.annotations == "token" or (either and token.is_file() and not json.is_file()):
            return {"all": read_token(self.there(token), images)}
        splits = read_karpathy(self.there(json), images)
        return splits if self.split == "karpathy" else {"all": [image for each in splits.values() for image in each]}

    def sizes(self, split: str, n: int) -> dict[str, int]:
        if split != "all":
            return {split: n}
        if n < 10:
            raise UserError(f"datamodule.split=paper draws from at least 10 images with captions, got {n}")
        train, val = 4 * n // 5, n // 10
        return {"train": train, "val": val, "test": n - train - val}

    @property
    def layout(self) -> Layout:
        return Layout(
            obtain=(
                "ask for the images and captions with the form at https://shannon.cs.illinois.edu/DenotationGraph/, "
                f"unpack flickr30k-images.tar.gz and results_20130124.token in {self.data_dir}, "
                f"and dataset_flickr30k.json of {URL} beside them"
            ),
            folders=[self._images()],
            # Karpathy's file has 31,014 images (splits: Multi30K's, which are the same). Copies that hold all of
            # the 31,783 images and 158,915 captions of Young et al. have 1,000 for validation and for test.
            golden=[
                self.whole({"train": (29000, 145000), "val": (1014, 5070), "test": (1000, 5000)}),
                self.whole({"train": (29783, 148915), "val": (1000, 5000), "test": (1000, 5000)}),
            ]
            if self.split == "karpathy"
            else [self.whole({"all": (31783, 158915)}), self.whole({"all": (31014, 155070)})],
        )

    def _images(self) -> Path:
        other = self.data_dir / "flickr30k_images"
        return other if other.is_dir() else self.data_dir / "flickr30k-images"


def read_token(path: Path, folder: Path) -> list[CaptionedImage]:
    """The images of the original captions: lines ``1000092795.jpg#0<tab>caption``, in the order of the file.

    Their numbers count the images, those of captions the lines.

    Raises:
        UserError: the file cannot be read, or a line is none of these.
    """
    images: dict[str, CaptionedImage] = {}
    try:
        # a caption may hold what Python takes for the end of a line
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file):
                if not line.strip():
                    continue
                key, tab, caption = line.partition("\t")
                name, mark, place = key.rpartition("#")
                if not (tab and mark and name and place.isdecimal()):
                    raise UserError(
                        f"{path}, line {number + 1}: not 'IMAGE.jpg#0<tab>caption' but {line.strip()!r:.60}; "
                        "get the file again"
                    )
                image = images.setdefault(name, CaptionedImage(folder / name, len(images), [], []))
                image.captions.append(caption)
                image.caption_ids.append(number)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); get it again") from error
    return cleaned(list(images.values()), path.name)
