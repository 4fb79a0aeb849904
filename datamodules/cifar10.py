"""CIFAR-10 from its official files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.backbone import Backbone
from datamodules.base.extracted import Layout
from datamodules.base.image_views import ImageViewsDataModule
from datamodules.images.labelled_images import LabelledImages
from datamodules.images.shifts import GENERATED
from datamodules.items.image_arrays import ImageArrays
from datamodules.pairs.stratified import drawn
from ground.errors import UserError
from ground.ranges import Seed, Share

OBTAIN = (
    "unpack cifar-10-python.tar.gz (www.cs.toronto.edu/~kriz/cifar.html) in data_dir, or set datamodule.download=true"
)
TEST_IMAGES = 10_000


class CIFAR10DataModule(ImageViewsDataModule):
    """CIFAR-10 (Krizhevsky, 2009) aligned with its own views: 45,000 / 5,000 / 10,000 images of 32 x 32, 10 classes.

    Val is drawn from the official training images, of each class alike. Corrupted test images are read from the files
    of CIFAR-10-C where ``path/CIFAR-10-C`` has them, and else generated: see ``datamodules.images.shift.corruptions``.

    Args:
        image_backbone, text_backbone: as in ``ImageViewsDataModule``.
        path: the folder that holds ``cifar-10-batches-py``.
        download: fetch the official archive where it is not there.
        val_share: of the 50,000 training images.
        split_seed: of the draw.
        common: as in ``ImageViewsDataModule``.

    Raises:
        UserError: an argument out of its range; at ``prepare_data``, files that are missing or that their checksums
            refuse.

    Example:
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     data = instantiate(compose("train", ["datamodule=cifar10"]).datamodule)
        >>> data.layout.golden[0]
        {'train': (45000, 45000), 'val': (5000, 5000), 'test': (10000, 10000)}
    """

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone | None,
        path: str,
        download: bool,
        val_share: Share,
        split_seed: Seed,
        **common: Any,
    ):
        self.path = Path(path)
        super().__init__(image_backbone, text_backbone, **common)
        self.download, self.val_share, self.split_seed = download, val_share, split_seed

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {"dataset": "CIFAR-10", "split_seed": self.split_seed}
        if self.corruptions:
            made = [name for name in self.corruptions if self._corrupted_file(name) is None]
            facts["generated_corruptions"] = ", ".join(made) or "none"
        return facts | super().protocol

    @property
    def layout(self) -> Layout:
        n_val = round(self.val_share * 50_000)
        n_train = (50_000 - n_val) * self.views // 2
        golden = {"train": (n_train, n_train), "val": (n_val, n_val), "test": (TEST_IMAGES, TEST_IMAGES)}
        return Layout(obtain=OBTAIN, golden=[golden])

    def images(self) -> dict[str, LabelledImages]:
        train, test = self._official(train=True), self._official(train=False)
        self.label_names = list(train.classes)
        label = torch.tensor(train.targets)
        of_val = drawn(label, self.val_share, self.split_seed)
        splits = {}
        for split, chosen in (("train", ~of_val), ("val", of_val)):
            pixels: NDArray[np.uint8] = train.data[chosen.numpy()]
            splits[split] = LabelledImages(ImageArrays(pixels, f"CIFAR-10 {split} images"), label[chosen])
        official = ImageArrays(test.data, "CIFAR-10 test images")
        return splits | {"test": LabelledImages(official, torch.tensor(test.targets))}

    def _official(self, train: bool) -> Any:
        from torchvision.datasets import CIFAR10

        try:
            return CIFAR10(str(self.path), train=train, download=self.download)
        except (RuntimeError, OSError) as error:
            if self.download:
                raise UserError(f"CIFAR-10 cannot be had in {self.path}: {' '.join(str(error).split())}") from error
            raise UserError(
                f"CIFAR-10: no folder {self.path / CIFAR10.base_folder} with the official files, or their checksums "
                "differ; set data_dir to where it lies, or datamodule.download=true to fetch it; for a tree of image "
                "files set datamodule=image_folder"
            ) from error

    @property
    def known_corruptions(self) -> list[str]:
        return [*GENERATED, *(["frost"] if self._corrupted_file("frost") else [])]

    def corrupted(self, test: LabelledImages, name: str, severity: int) -> LabelledImages:
        file = self._corrupted_file(name)
        if file is None:
            return super().corrupted(test, name, severity)
        # rows: the test images in their order, once for each severity
        rows = slice((severity - 1) * TEST_IMAGES, severity * TEST_IMAGES)
        pixels, labels = _array(file, (5 * TEST_IMAGES, 32, 32, 3)), _array(file.with_name("labels.npy"), None)
        if labels.shape != (5 * TEST_IMAGES,):
            raise UserError(f"{file.with_name('labels.npy')} must hold {5 * TEST_IMAGES} labels, got {labels.shape}")
        label = torch.from_numpy(labels[rows].astype(np.int64))
        return LabelledImages(ImageArrays(pixels[rows], f"CIFAR-10-C {name} {severity}"), label)

    def _corrupted_file(self, name: str) -> Path | None:
        file = self.path / "CIFAR-10-C" / f"{name}.npy"
        return file if file.exists() else None


def _array(file: Path, shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}; take CIFAR-10-C anew") from error
    if shape is not None and (array.shape != shape or array.dtype != np.uint8):
        raise UserError(f"{file} must be uint8 {shape}, got {array.dtype} {array.shape}; take CIFAR-10-C anew")
    return array
