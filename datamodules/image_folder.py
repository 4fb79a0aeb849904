"""Images in class folders."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.base.image_views import ImageViewsDataModule
from datamodules.formats.class_folders import Tree, scanned, scanned_domains
from datamodules.images.labelled_images import LabelledImages
from datamodules.items.items import ImageFiles
from datamodules.pairs.splits import SPLITS
from datamodules.pairs.stratified import drawn
from ground.errors import UserError
from ground.home import path_at_home
from ground.ranges import Seed, Share


class ImageFolderDataModule(ImageViewsDataModule):
    """Any tree of images with a folder for each class, aligned with their own views.

    ``path/{train,val,test}/CLASS/IMAGE``, or ``path/CLASS/IMAGE``; ``validation`` is ``val``. Val and test, where
    they have no folder, are drawn from the rest, of each class alike. With ``domains`` each folder of ``path`` is such
    a tree, of a domain of its name, all of the same classes: ``path/DOMAIN/CLASS/IMAGE``, as PACS has it.

    Args:
        image_backbone, text_backbone: as in ``ImageViewsDataModule``.
        path: the folder, or one that holds nothing but it.
        domains: the folder holds one tree for each domain.
        val_share, test_share: of the images of each class, drawn where the tree has no such folder.
        split_seed: of the draw.
        common: as in ``ImageViewsDataModule``.

    Raises:
        UserError: an argument out of its range; at ``prepare_data``, a folder that is not such a tree.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with TemporaryDirectory() as tree, initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     for i in range(10):
        ...         Path(tree, f"class {i % 2}").mkdir(exist_ok=True)
        ...         Path(tree, f"class {i % 2}", f"{i}.png").touch()
        ...     data = instantiate(compose("train", ["datamodule=image_folder", f"datamodule.path={tree}"]).datamodule)
        ...     data.prepare_data()
        >>> data.label_names, {split: raw.n_x for split, raw in data.raw.items()}
        (['class 0', 'class 1'], {'train': 7, 'val': 1, 'test': 2})
    """

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone | None,
        path: str | None,
        domains: bool,
        val_share: Share,
        test_share: Share,
        split_seed: Seed,
        **common: Any,
    ):
        super().__init__(image_backbone, text_backbone, **common)
        if path is None:
            raise UserError("datamodule=image_folder needs a folder of class folders: set datamodule.path=FOLDER")
        if val_share + test_share >= 1:
            raise UserError(f"datamodule.val_share and test_share leave nothing to train: {val_share} + {test_share}")
        self.path = path_at_home(path)
        self.shares = {"val": val_share, "test": test_share}
        self.split_seed = split_seed
        self.domains = domains
        self.trees: dict[str, Tree] = {}  # by the domain, sorted; one without a name where there are none
        self.drawn_splits: list[str] = []

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {"dataset": f"image folder {self.path.resolve().name}"}
        if self.drawn_splits:
            facts |= {"split": f"{' and '.join(self.drawn_splits)} drawn by class", "split_seed": self.split_seed}
        if ignored := sum(tree.ignored for tree in self.trees.values()):
            facts["ignored_files"] = ignored
        if self.domains:
            facts["domains"] = ", ".join(self.trees)
        return facts | super().protocol

    def images(self) -> dict[str, LabelledImages]:
        self.trees = scanned_domains(self.path) if self.domains else {"": scanned(self.path)}
        self.label_names = next(iter(self.trees.values())).classes
        of_domains = [self._split(tree) for tree in self.trees.values()]
        name = self.path.resolve().name
        images = {}
        for split in SPLITS:
            parts = [of_domain[split] for of_domain in of_domains]
            files = ImageFiles([path for paths, _ in parts for path in paths], f"{name} {split} images")
            counts = torch.tensor([len(paths) for paths, _ in parts])
            domain = torch.arange(len(parts)).repeat_interleave(counts) if self.domains else None
            images[split] = LabelledImages(files, torch.cat([label for _, label in parts]), domain)
        return images

    def _split(self, tree: Tree) -> dict[str, tuple[list[Path], Tensor]]:
        """The files and classes of each split of a tree, drawn where it has no folder."""
        listed = {split: self._listed(of_class) for split, of_class in tree.files.items()}
        rest, label = listed.pop("train" if "train" in listed else "all")
        self.drawn_splits = [split for split in ("val", "test") if split not in listed]
        remaining = torch.ones(len(rest), dtype=torch.bool)
        share_left = 1.0
        for split in self.drawn_splits:
            kept = remaining.nonzero()[:, 0]
            taken = kept[drawn(label[kept], self.shares[split] / share_left, self.split_seed)]
            if not len(taken):
                raise UserError(
                    f"datamodule.{split}_share={self.shares[split]} of {len(rest)} images draws none: raise it, "
                    f"or put images into a folder {split}"
                )
            listed[split] = [rest[i] for i in taken.tolist()], label[taken]
            remaining[taken] = False
            share_left -= self.shares[split]
        kept = remaining.nonzero()[:, 0]
        listed["train"] = [rest[i] for i in kept.tolist()], label[kept]
        return listed

    def _listed(self, of_class: dict[str, list[Path]]) -> tuple[list[Path], Tensor]:
        assert self.label_names is not None
        files = [path for name in self.label_names for path in of_class[name]]
        counts = torch.tensor([len(of_class[name]) for name in self.label_names])
        return files, torch.arange(len(counts)).repeat_interleave(counts)
