"""The splits of Karpathy and Fei-Fei (CVPR 2015): ``dataset_flickr30k.json`` and ``dataset_coco.json``."""

from pathlib import Path
from typing import Any

from datamodules.formats.annotation_json import field, is_number, read_json
from datamodules.formats.captioned_images import CaptionedImage, cleaned, refuse_doubles
from ground.errors import UserError

URL = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
WHAT = f"a split file of {URL}"
SPLIT_OF = {"train": "train", "restval": "train", "val": "val", "test": "test"}
KEYS = ("images", "split", "filepath", "filename", "cocoid", "imgid", "sentids", "sentences")


def read_karpathy(path: Path, folder: Path) -> dict[str, list[CaptionedImage]]:
    """The images of each split, ``train`` with what the file calls ``restval``, in the order of the file.

    An image lies at ``folder / filepath / filename``; Flickr30K has no ``filepath``. Its number is its
    ``cocoid`` or, where there is none, its ``imgid``; those of its captions are its ``sentids``.

    Raises:
        UserError: the file cannot be used, names an image twice, or a split has no image with a caption.
    """
    content = read_json(path, _slim, WHAT)
    parts: dict[str, list[CaptionedImage]] = {split: [] for split in ("train", "val", "test")}
    for i, record in enumerate(field(content, "images", list, str(path), WHAT)):
        where = f"{path}, image {i}"
        split = field(record, "split", str, where, WHAT)
        if split not in SPLIT_OF:
            raise UserError(f"{where}: split '{split}' is none of {', '.join(SPLIT_OF)}; get the file again: {URL}")
        parts[SPLIT_OF[split]].append(_image(record, folder, where))
    refuse_doubles([image for images in parts.values() for image in images], f"{path}", WHAT)
    kept = {split: cleaned(images, f"{path.name} {split}") for split, images in parts.items()}
    for split, images in kept.items():
        if not images:
            raise UserError(f"{path}: no image of the {split} split has a caption; get the file again: {URL}")
    return kept


def _slim(record: dict[str, Any]) -> Any:
    """A sentence as its text alone, without its tokens, which are most of the file."""
    return record["raw"] if "raw" in record else {key: record[key] for key in KEYS if key in record}


def _image(record: dict[str, Any], folder: Path, where: str) -> CaptionedImage:
    name = field(record, "filename", str, where, WHAT)
    if "filepath" in record:
        folder = folder / field(record, "filepath", str, where, WHAT)
    number = field(record, "cocoid" if "cocoid" in record else "imgid", int, where, WHAT)
    captions = field(record, "sentences", list, where, WHAT)
    ids = field(record, "sentids", list, where, WHAT)
    if not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"{where}: a sentence has no text 'raw'; get the file again: it should be {WHAT}")
    if len(ids) != len(captions) or not all(map(is_number, ids)):
        raise UserError(f"{where}: {len(captions)} sentences with sentids {ids!r:.40}; get the file again: {URL}")
    return CaptionedImage(folder / name, number, captions, ids)
