"""Clotho: sounds of 15 to 30 seconds with five captions each (Drossos, Lipping and Virtanen, ICASSP 2020)."""

import logging
from pathlib import Path
from typing import Any, Literal

import torch

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule, Layout
from datamodules.formats.clotho_files import CLIPS, commands, on_disk, read_captions
from datamodules.items.audio import AudioFiles
from datamodules.items.captions import Captions, captions_per_item, chosen, mean_of_captions
from datamodules.items.items import Texts
from datamodules.items.missing import names_in
from datamodules.items.raw_pairs import RawPairs, captioned
from datamodules.pairs.pairs import Pairs
from datamodules.pairs.splits import SPLITS, drawn_split
from ground.errors import UserError
from ground.home import path_at_home
from ground.ranges import Seed, Share

logger = logging.getLogger(__name__)

SPLIT_OF = {"development": "train", "validation": "val", "evaluation": "test"}


class ClothoDataModule(ExtractedDataModule):
    """The official CSV files ``clotho_captions_FOLDER.csv`` and the clips in ``FOLDER/``, all in ``data_dir``.

    FOLDER is development (train), validation (val) and evaluation (test). Data without a CSV of validation is
    version 1: the validation set is drawn from all that development names. Each clip is a group of its own,
    whatever captions of other clips say; an empty caption is left out, and so is a clip that has no other.

    Args:
        audio_backbone, text_backbone: frozen encoders of clips and captions.
        split: ``official``, or ``drawn``: the clips that are there, of all folders, are split at random.
        val_share, test_share, split_seed: of what is drawn.
        captions, caption_seed: which captions are y, as in ``datamodules.items.captions``.
        common: as in ``ExtractedDataModule``.

    Raises:
        UserError: an argument out of its range; on reading, CSV files that are missing or cannot be used.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with TemporaryDirectory() as folder, initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     Path(folder, "clotho_captions_validation.csv").touch()
        ...     data = instantiate(compose("train", ["datamodule=clotho", f"data_dir={folder}"]).datamodule)
        ...     data.version, data.layout.golden[0]["validation"]
        (2, (1045, 5225))
    """

    modalities = ("audio", "text")

    def __init__(
        self,
        audio_backbone: Backbone,
        text_backbone: Backbone,
        data_dir: str,
        split: Literal["official", "drawn"],
        val_share: Share,
        test_share: Share,
        split_seed: Seed,
        captions: Captions,
        caption_seed: Seed,
        **common: Any,
    ):
        super().__init__(audio_backbone, text_backbone, **common)
        self.root = path_at_home(data_dir)
        self.split, self.val_share, self.test_share, self.split_seed = split, val_share, test_share, split_seed
        self.captions, self.caption_seed = captions, caption_seed
        self.val_paths: set[Path] = set()  # the part of development that is val, in version 1

    def _csv(self, folder: str) -> Path:
        return self.root / f"clotho_captions_{folder}.csv"

    @property
    def version(self) -> int:
        """2 where there is a CSV of validation, else 1."""
        return 2 if self._csv("validation").is_file() else 1

    @property
    def layout(self) -> Layout:
        return Layout(
            obtain=commands(self.root, self.version if self._csv("development").is_file() else 2),
            folders=[self.root / folder for folder in CLIPS[self.version]],
            golden=[{folder: (n, 5 * n) for folder, n in CLIPS[self.version].items()}],
        )

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {"dataset": f"clotho version {self.version}", "captions": self.captions}
        if self.split == "drawn":
            facts["split"] = f"drawn from the clips there: {self.val_share} val, {self.test_share} test"
        else:
            facts["split"] = "official" if self.version == 2 else f"official, {self.val_share} of development is val"
        if facts["split"] != "official":
            facts["split_seed"] = self.split_seed
        if self.captions == "random":
            facts["caption_seed"] = self.caption_seed
        if self.raw:
            number = captions_per_item(self.raw["test"].x_of_y, self.raw["test"].n_x)
            facts["captions_per_item"] = f"1, the mean of {number}" if self.captions == "mean" else number
        return facts | {"equal_captions": "of different clips are no positives"} | super().protocol

    def read(self) -> dict[str, RawPairs]:
        folders = [folder for folder in SPLIT_OF if self._csv(folder).is_file()]
        needed = list(CLIPS[1]) if self.split == "official" else folders or list(CLIPS[1])
        for folder in needed:
            if folder not in folders:
                raise UserError(f"no captions at {self._csv(folder)}: set data_dir, or get them: {self.layout.obtain}")
        if self.version == 1 and (self.root / "validation").is_dir():
            raise UserError(f"{self.root / 'validation'} is of version 2, whose {self._csv('validation')} is missing")
        raw = {folder: self._named(folder) for folder in folders}
        if self.split == "official" and self.version == 1:
            paths = _clips(raw["development"]).paths
            order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(self.split_seed))
            n_val = max(1, round(len(paths) * self.val_share))
            self.val_paths = {paths[i] for i in order[:n_val].tolist()}
        return raw

    def _named(self, folder: str) -> RawPairs:
        captions = read_captions(self._csv(folder))
        names = on_disk(captions, names_in(self.root / folder))
        texts = [caption for each in captions.values() for caption in each]
        return captioned(
            AudioFiles([self.root / folder / name for name in names], f"clotho {folder} audio"),
            list(captions.values()),
            Texts(texts, f"clotho {folder} captions"),
            group=None,
            label=None,
        )

    def divided(self, raw: dict[str, RawPairs]) -> dict[str, RawPairs]:
        described = {folder: _described(pairs, folder) for folder, pairs in raw.items()}
        splits = self._drawn(described) if self.split == "drawn" else self._official(described)
        return {split: chosen(pairs, self.captions, self.caption_seed) for split, pairs in splits.items()}

    def _official(self, raw: dict[str, RawPairs]) -> dict[str, RawPairs]:
        for folder, pairs in raw.items():
            if not pairs.n_x:
                raise UserError(
                    f"no {folder} clip is there: datamodule.split=drawn splits what is there; "
                    f"all of it: {self.layout.obtain}"
                )
        if "validation" not in raw:
            development = raw["development"]
            val = torch.tensor([path in self.val_paths for path in _clips(development).paths])
            parts = {"development": (~val).nonzero()[:, 0], "validation": val.nonzero()[:, 0]}
            raw = raw | {folder: development.take_x(part) for folder, part in parts.items()}
        return {split: raw[folder] for folder, split in SPLIT_OF.items()}

    def _drawn(self, raw: dict[str, RawPairs]) -> dict[str, RawPairs]:
        pool = _pooled(list(raw.values()))
        if pool.n_x < 3:
            raise UserError(f"datamodule.split=drawn needs 3 clips, {pool.n_x} are there: {self.layout.obtain}")
        split = drawn_split(pool.group, self.val_share, self.test_share, self.split_seed)
        return {name: pool.take_x((split == number).nonzero()[:, 0]) for number, name in enumerate(SPLITS)}

    def finished(self, pairs: Pairs) -> Pairs:
        return mean_of_captions(pairs) if self.captions == "mean" else pairs

    def describe_y(self, split: str, index: int) -> str:
        if self.captions != "mean":
            return super().describe_y(split, index)
        raw = self.raw[split]
        rows = (raw.x_of_y == self.splits[split].x_of_y[index]).nonzero()[:, 0]
        return " / ".join(str(raw.y.show(row)) for row in rows.tolist())


def _clips(raw: RawPairs) -> AudioFiles:
    assert isinstance(raw.x, AudioFiles)
    return raw.x


def _texts(raw: RawPairs) -> list[str]:
    assert isinstance(raw.y, Texts)
    return raw.y.strings


def _described(raw: RawPairs, folder: str) -> RawPairs:
    """The pairs without empty captions, and without clips that have no other."""
    some = torch.tensor([bool(text) for text in _texts(raw)], dtype=torch.bool)
    if some.all():
        return raw
    kept = raw.take_y(some.nonzero()[:, 0])
    kept = kept.take_x(kept.x_of_y.unique())
    empty, bare = int((~some).sum()), raw.n_x - kept.n_x
    logger.warning("%s: %d empty captions and %d clips without a caption are left out", folder, empty, bare)
    return kept


def _pooled(parts: list[RawPairs]) -> RawPairs:
    """One split of them all, each clip a group of its own."""
    paths = [path for part in parts for path in _clips(part).paths]
    starts = torch.tensor([0, *(part.n_x for part in parts)]).cumsum(0)[:-1]
    return RawPairs(
        x=AudioFiles(paths, "clotho audio"),
        y=Texts([text for part in parts for text in _texts(part)], "clotho captions"),
        x_of_y=torch.cat([part.x_of_y + start for part, start in zip(parts, starts, strict=True)]),
        group=torch.arange(len(paths)),
    )
