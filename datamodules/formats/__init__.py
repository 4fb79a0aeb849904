"""The layouts that datasets have on disk, read into raw pairs."""

from ground.lazy import lazy

__getattr__ = lazy(
    __name__,
    {
        "captioned_images": ("CaptionedImage", "NumberedImages", "NumberedTexts"),
        "class_folders": ("Tree", "scanned"),
        "clotho_files": ("read_captions",),
        "coco_captions": ("read_coco_captions",),
        "karpathy": ("read_karpathy",),
        "table_file": ("Column", "Table", "read_header", "read_table"),
    },
)
