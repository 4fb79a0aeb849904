"""Small folders in the official layouts of Flickr30K and MSCOCO, with what is wrong in real ones."""

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datamodules.base.datamodule import PairsDataModule
from tests.datamodules.fakes import CharacterCounts

ODD = (
    "  Two dogs, Über-happy, in a café\u2028near 東京 🐕 .\n",
    'A "sign" says \\"stop\\"\tto the man\'s dog; 50 % off, a,b.',
    "A man\nrides\r\n a bike . ",
    "The same words stand under two images.",
)
EMPTY = ("", " \n\t ")


@dataclass(frozen=True)
class Made:
    """An image of a folder: its number, colour and captions as the annotations have them."""

    number: int
    split: str
    name: str
    written: list[str]
    caption_ids: list[int]
    state: str = "there"  # missing, damaged or bare: without a caption

    @property
    def grey(self) -> int:
        return 7 * self.number % 251

    @property
    def captions(self) -> list[str]:
        """As they should be read."""
        return [" ".join(caption.split()) for caption in self.written if caption.strip()]

    @property
    def read_ids(self) -> list[int]:
        return [i for i, caption in zip(self.caption_ids, self.written, strict=True) if caption.strip()]


def made(splits: Sequence[str], names: Sequence[str], first_id: int = 1000) -> list[Made]:
    """An image for each of ``splits``: of 4 to 6 captions, of odd ones; some missing, damaged, one without any."""
    images = []
    for i, (split, name) in enumerate(zip(splits, names, strict=True)):
        texts = [f"{'xyz'[k % 3] * (i + 1)} is seen {'q' * k} here" for k in range(4 + (i % 5 + 1) // 2)]
        if i % 3 == 0:
            texts[i % 4] = ODD[i // 3 % len(ODD)]
        if i == 4:
            texts[1:1] = EMPTY
        if i == 5:
            texts = list(EMPTY)
        state = {2: "missing", 26: "missing", 3: "damaged", 36: "damaged", 5: "bare"}.get(i, "there")
        # ids that are no row numbers, and not in order
        ids = [first_id + 1000 * k - 10 * i for k in range(len(texts))]
        images.append(Made(3 * i + 1, split, name, texts, ids, state))
    return images


def draw(path: Path, grey: int, state: str = "there") -> None:
    """A JPEG of one colour, which decodes to exactly that; nothing where it is ``missing``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if state != "missing":
        Image.new("RGB", (9, 7), (grey, grey, grey)).save(path, quality=100)
    if state == "damaged":
        path.write_bytes(path.read_bytes()[:150])


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def flickr30k(
    folder: Path, annotations: Iterable[str] = ("json", "token"), images: str = "flickr30k-images"
) -> list[Made]:
    """Flickr30K with 27 images: 19 for training, 3 and 5; and one that no annotation names."""
    splits = ["train"] * 10 + ["test", "val"] * 3 + ["train"] * 9 + ["test"] * 2
    made_images = made(splits, [f"{1000092795 + 31 * i}.jpg" for i in range(27)])
    for image in made_images:
        draw(folder / images / image.name, image.grey, image.state)
    draw(folder / images / "36979.jpg", 255)
    if "json" in annotations:
        write_json(
            folder / "dataset_flickr30k.json",
            {"images": [karpathy_record(image) for image in made_images], "dataset": "flickr30k"},
        )
    if "token" in annotations:
        lines = [
            # in this format no caption can hold the end of a line
            f"{image.name}#{k}\t{on_one_line(caption)}\n"
            for image in made_images
            for k, caption in enumerate(image.written)
        ]
        (folder / "results_20130124.token").write_text("".join(lines), encoding="utf-8", newline="")
    return made_images


def on_one_line(text: str) -> str:
    return re.sub("[\r\n]", " ", text)


def karpathy_record(image: Made, filepath: str | None = None) -> dict[str, Any]:
    """An image in a split file of Karpathy; with ``filepath`` as MSCOCO's, where the number is the ``cocoid``."""
    sentences = [
        {"tokens": text.lower().split(), "raw": text, "imgid": image.number, "sentid": number}
        for text, number in zip(image.written, image.caption_ids, strict=True)
    ]
    record = {
        "sentids": image.caption_ids,
        "imgid": image.number if filepath is None else image.number + 7,
        "sentences": sentences,
        "split": image.split,
        "filename": image.name,
    }
    return record if filepath is None else record | {"filepath": filepath, "cocoid": image.number}


def coco(folder: Path, year: int, karpathy: bool = False) -> list[Made]:
    """MSCOCO with 24 images of train and 17 of val, official captions and, of 2014, Karpathy's splits.

    The splits are ``train`` and ``val``; with ``karpathy`` those of its file, ``restval`` among them.
    """
    official = ["train"] * 24 + ["val"] * 17
    splits = ["train"] * 24 + ["restval", "val", "test", "restval", "test"] * 3 + ["val"] * 2
    numbers = [3 * i + 1 for i in range(41)]
    prefix = "COCO_{}2014_" if year == 2014 else ""
    names = [f"{prefix.format(part)}{n:012d}.jpg" for part, n in zip(official, numbers, strict=True)]
    made_images = made(splits if karpathy else official, names)
    for part in ("train", "val"):
        here = [image for image, of in zip(made_images, official, strict=True) if of == part]
        for image in here:
            draw(folder / f"{part}{year}" / image.name, image.grey, image.state)
        draw(folder / f"{part}{year}" / "unnamed.jpg", 255)
        write_json(folder / "annotations" / f"captions_{part}{year}.json", coco_captions(here))
    if karpathy:
        records = [karpathy_record(image, f"{of}{year}") for image, of in zip(made_images, official, strict=True)]
        random.Random(0).shuffle(records)
        write_json(folder / "dataset_coco.json", {"images": records, "dataset": "coco"})
    return made_images


def coco_captions(images: list[Made]) -> dict[str, Any]:
    """The official file: images and captions each in an order of their own, those of an image not together."""
    annotations = [
        {"image_id": image.number, "id": number, "caption": text}
        for image in images
        for number, text in zip(image.caption_ids, image.written, strict=True)
        if image.state != "bare"  # the official way to have no caption
    ]
    annotations.sort(key=lambda each: each["id"])
    return {
        "info": {"description": "COCO Dataset", "year": 2014},
        "licenses": [{"id": 1, "name": "A licence", "url": "http://creativecommons.org"}],
        "images": [
            {"license": 1, "file_name": image.name, "height": 7, "width": 9, "id": image.number} for image in images
        ],
        "annotations": annotations,
    }


def assert_reads(data: PairsDataModule, split: str, images: Sequence[Made]) -> None:
    """The rows of ``split`` are those of ``images`` and their captions, in this order."""
    pairs = data.splits[split]
    assert pairs.x[torch.arange(pairs.n_x)].tolist() == [[image.grey + 1.0] * 3 for image in images]
    captions = [caption for image in images for caption in image.captions]
    assert pairs.y[torch.arange(pairs.n_y)].tolist() == [CharacterCounts().vector(caption) for caption in captions]
    assert pairs.x_of_y.tolist() == [row for row, image in enumerate(images) for _ in image.captions]
    assert len(set(pairs.group.tolist())) == len(images)
    assert [data.describe_y(split, row) for row in range(len(captions))] == captions
