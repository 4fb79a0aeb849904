"""The official captions of MSCOCO: ``captions_train2017.json`` and its like."""

from pathlib import Path

from datamodules.formats.annotation_json import field, read_json
from datamodules.formats.captioned_images import CaptionedImage, cleaned, refuse_doubles
from ground.errors import UserError

WHAT = "a captions file of http://images.cocodataset.org/annotations"
KEYS = ("images", "annotations", "id", "file_name", "image_id", "caption")


def read_coco_captions(path: Path, folder: Path) -> list[CaptionedImage]:
    """The images in the order of the file, which lie in ``folder``, each with its captions in the file's order.

    Raises:
        UserError: the file cannot be used, names an image twice, or has captions of an image that it does not name.
    """
    content = read_json(path, lambda record: {key: record[key] for key in KEYS if key in record}, WHAT)
    images: dict[int, CaptionedImage] = {}
    for i, record in enumerate(field(content, "images", list, str(path), WHAT)):
        where = f"{path}, image {i}"
        number = field(record, "id", int, where, WHAT)
        if number in images:
            raise UserError(f"{where}: a second image {number}; get the file again: it should be {WHAT}")
        images[number] = CaptionedImage(folder / field(record, "file_name", str, where, WHAT), number, [], [])
    for i, record in enumerate(field(content, "annotations", list, str(path), WHAT)):
        where = f"{path}, annotation {i}"
        image = images.get(field(record, "image_id", int, where, WHAT))
        if image is None:
            raise UserError(f"{where}: there is no image {record['image_id']}; get the file again: it should be {WHAT}")
        image.captions.append(field(record, "caption", str, where, WHAT))
        image.caption_ids.append(field(record, "id", int, where, WHAT))
    refuse_doubles(list(images.values()), f"{path}", WHAT)
    kept = cleaned(list(images.values()), path.name)
    if not kept:
        raise UserError(f"{path}: no image has a caption; get the file again: it should be {WHAT}")
    return kept
