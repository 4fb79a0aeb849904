"""A user's own pairs in WebDataset shards: tars whose members KEY.jpg, KEY.txt, ... make a sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule
from datamodules.formats.own_pairs import by_split, numbered_labels, split_number, two_modalities, whole_split
from datamodules.formats.tar_index import TarIndex
from datamodules.formats.tar_samples import first_sample, shards, split_of
from datamodules.items.items import Items, Texts
from datamodules.items.raw_pairs import RawPairs
from datamodules.items.tar_members import AudioMembers, ImageMembers, Spans
from ground.errors import UserError
from ground.ranges import Seed, Share

MEMBERS: dict[str, Callable[[Spans, str], Items]] = {"image": ImageMembers, "audio": AudioMembers}


class WebDatasetDataModule(ExtractedDataModule):
    """The samples of tar shards, read in place.

    A sample is the members of one key in one shard: an image (jpg, jpeg, png, webp), a sound (wav, flac, ogg,
    mp3), texts (txt; JSON with ``captions``, ``caption`` or ``text``), and optionally a label (cls or JSON), a
    ``split``, a ``group`` and a ``domain`` (JSON). The first sample with two modalities says what all must hold:
    samples that lack any of it are counted and left out, and what only others hold is passed over. A key that stands in
    two shards is two samples.

    The split is JSON's, or else what the names of the shards say (``train-000.tar``, ``val/000.tar``), or else
    drawn by group; without val it is drawn from train. Without ``group`` each sample is one.

    Args:
        path: a folder of tars, a glob, or a range such as ``shards/{000..012}.tar``; not compressed.
        image_backbone, audio_backbone, text_backbone: frozen encoders, of which two are used.
        val_share, test_share: of the groups, where a split is drawn, with ``split_seed``.
        common: as in ``ExtractedDataModule``.

    Raises:
        UserError: shards that cannot be used, in one line: the first on construction, the others by ``read``.

    Example:
        >>> import tarfile
        >>> from tempfile import TemporaryDirectory
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with TemporaryDirectory() as folder, initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     shard = Path(folder, "train-000.tar")
        ...     with tarfile.open(shard, "w") as tar:
        ...         for name, content in (("a.jpg", ""), ("a.txt", "a dog")):
        ...             _ = Path(folder, name).write_text(content)
        ...             tar.add(Path(folder, name), name)
        ...     data = instantiate(compose("train", ["datamodule=webdataset", f"datamodule.path={shard}"]).datamodule)
        >>> data.x_name, data.y_name, data.protocol["shards"]
        ('image', 'text', 1)
    """

    def __init__(
        self,
        path: str | None,
        image_backbone: Backbone,
        audio_backbone: Backbone,
        text_backbone: Backbone,
        val_share: Share,
        test_share: Share,
        split_seed: Seed,
        **common: Any,
    ):
        if path is None:
            raise UserError("datamodule=webdataset needs shards: set datamodule.path to a folder of tars or a glob")
        tars = shards(path)
        first = first_sample(tars)
        modalities = two_modalities(first.modalities, f"{path}: samples such as '{first.key}'")
        backbones = {"image": image_backbone, "audio": audio_backbone, "text": text_backbone}
        self.modalities = (modalities[0], modalities[1])
        super().__init__(*(backbones[name] for name in modalities), **common)
        self.path, self.tars = path, tars
        self.facts = sorted(first.facts)
        self.shares, self.split_seed = (val_share, test_share), split_seed

    @property
    def protocol(self) -> dict[str, str | int | float]:
        if "split" in self.facts:
            split = "of the samples"
        elif any(map(split_of, self.tars)):
            split = "of the shards"
        else:
            split = f"drawn by group, seed {self.split_seed}"
        facts: dict[str, str | int | float] = {"dataset": Path(self.path).name, "shards": len(self.tars)}
        return facts | {"split": split} | super().protocol

    def read(self) -> dict[str, RawPairs]:
        index = TarIndex(self.tars, self.modalities, self.facts)
        n = len(index)
        label = None
        if "label" in self.facts:
            label, self.label_names = numbered_labels(*index.fact("label"))
        domain = numbered_labels(*index.fact("domain"))[0] if "domain" in self.facts else None
        group = torch.tensor(index.fact("group")[1]) if "group" in self.facts else torch.arange(n)
        split = whole_split(self._split(index), group, self.shares, self.split_seed)
        n_y = torch.tensor(index.n_texts) if self.modalities[1] == "text" else torch.ones(n, dtype=torch.int64)

        def items(modality: str, split: str, rows: Tensor) -> Items:
            name = f"webdataset {split} {modality}"
            if modality == "text":
                return Texts([index.texts[i] for i in rows.tolist()], name)
            return MEMBERS[modality](index.spans(modality).take(rows.numpy()), name)

        def sources(split: str, x_rows: Tensor, y_rows: Tensor) -> tuple[Items, Items]:
            return items(self.modalities[0], split, x_rows), items(self.modalities[1], split, y_rows)

        return by_split(torch.repeat_interleave(torch.arange(n), n_y), group, split, label, domain, sources)

    def _split(self, index: TarIndex) -> Tensor | None:
        """(n,) what JSON says, or else the names of the shards."""
        if "split" in self.facts:
            values, which = index.fact("split")
            first = [index.spans(self.modalities[0]).where(int((which == i).argmax())) for i in range(len(values))]
            numbers = [split_number(value, where) for value, where in zip(values, first, strict=True)]
            return torch.tensor(numbers)[torch.tensor(which)]
        names = [split_of(tar) for tar in self.tars]
        if not any(names):
            return None
        if not all(names):
            raise UserError(
                f"{self.tars[names.index(None)]} does not say its split, other shards do: "
                "begin its name with train-, val- or test-, or put it into a folder of that name"
            )
        numbers = [split_number(name, str(tar)) for name, tar in zip(names, self.tars, strict=True) if name]
        return torch.tensor(numbers)[torch.tensor(index.tar)]
