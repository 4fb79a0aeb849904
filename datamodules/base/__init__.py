"""What every dataset is built on."""

from ground.lazy import lazy

# not before it is asked for: views of images need torchvision, which takes a second to import
__getattr__ = lazy(
    __name__,
    {
        "datamodule": ("GroupBatches", "PairsDataModule", "ShareInOrder"),
        "extracted": ("ExtractedDataModule", "Layout"),
        "captioned": ("CaptionedDataModule",),
        "image_views": ("ImageViewsDataModule",),
        "transfer": ("check_transfer",),
    },
)
