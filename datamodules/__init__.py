"""The datasets, one file each, on the rooms that they share."""

from ground.former import install
from ground.lazy import lazy

install()

__getattr__ = lazy(
    __name__,
    {
        "cifar10": ("CIFAR10DataModule",),
        "clipart": ("ClipartDataModule",),
        "clotho": ("ClothoDataModule",),
        "features": ("FeaturesDataModule",),
        "flickr30k": ("Flickr30KDataModule",),
        "image_folder": ("ImageFolderDataModule",),
        "mscoco": ("MSCOCODataModule",),
        "synthetic": ("SyntheticDataModule",),
        "table": ("TableDataModule",),
        "webdataset": ("WebDatasetDataModule",),
    },
)
