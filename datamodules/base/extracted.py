"""The datamodule of raw items on disk: read, checked for missing files, put through frozen backbones."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from backbones.audio import Clip
from backbones.backbone import Backbone
from datamodules.base.datamodule import PairsDataModule
from datamodules.base.extracted_pairs import ExtractedPairs, extract_pairs
from datamodules.cache.feature_cache import FeatureCache, Precision, UnreadableShare
from datamodules.items.audio import AudioFiles
from datamodules.items.items import Files, Items, Texts
from datamodules.items.missing import present
from datamodules.items.raw_pairs import RawPairs
from datamodules.items.tar_members import AudioMembers, TarMembers
from datamodules.pairs.pairs import Pairs, Prompts, subset
from datamodules.pairs.training import of_y
from ground.errors import UserError
from ground.ranges import Count

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """What the whole of an official dataset looks like on disk, for ``datamodules.doctor``.

    Example:
        >>> Layout("download it", golden=[{"train": (1000, 5000), "test": (100, 500)}]).golden[0]["test"]
        (100, 500)
    """

    obtain: str
    """How it is got: the commands of a lawful download, or what to put where."""
    folders: list[Path] = field(default_factory=list)
    """Folders whose files should all be named by the annotations."""
    golden: list[dict[str, tuple[int, int]]] = field(default_factory=list)
    """Numbers of x and of y of each split that ``read`` names, of the whole data: one for each edition of it."""


class ExtractedDataModule(PairsDataModule):
    """Pairs of raw items through two frozen backbones and the feature cache.

    A dataset writes ``read``. ``prepare_data`` reads and finds missing files, ``setup`` extracts: within the
    Trainer, each process some of the cache's shards.

    Args:
        x_backbone, y_backbone: frozen encoders; their modalities name x and y.
        cache_dir, precision, shard_size, max_unreadable_share: as in ``FeatureCache``.
        strict: a missing file is an error; else it is counted and left out.
        common: as in ``PairsDataModule``. Of ``train_items`` no others are extracted.

    Attributes:
        raw: of each split, the raw items that are there, and after ``setup`` those that can be read.
        missing: of each split, how many files of x and of y are missing.

    Raises:
        UserError: an argument out of its range, a backbone of another modality than the data's, annotations that cannot
            be used, missing files where ``strict``, or none that is there.
    """

    modalities: tuple[str, str]
    """What x and y are: image, text, audio."""

    def __init__(
        self,
        x_backbone: Backbone,
        y_backbone: Backbone,
        *,
        cache_dir: str,
        precision: Precision,
        shard_size: Count,
        max_unreadable_share: UnreadableShare,
        strict: bool,
        **common: Any,
    ):
        super().__init__(**common)
        for modality, backbone in zip(self.modalities, (x_backbone, y_backbone), strict=True):
            if backbone.modality != modality:
                raise UserError(
                    f"datamodule.{modality}_backbone is {type(backbone).__name__}, which encodes {backbone.modality}"
                )
        self.x_backbone, self.y_backbone = x_backbone, y_backbone
        self.x_name, self.y_name = self._names()
        self.layers = (x_backbone.n_layers, y_backbone.n_layers)
        self.cache = FeatureCache(cache_dir, precision, shard_size, max_unreadable_share)
        self.strict = strict
        self.raw: dict[str, RawPairs] = {}
        self.missing: dict[str, tuple[int, int]] = {}
        self.notes: dict[str, int] = {}

    def _names(self) -> tuple[str, str]:
        """Names of x and y in the metrics."""
        return self.x_backbone.modality, self.y_backbone.modality

    @abstractmethod
    def read(self) -> dict[str, RawPairs]:
        """All items of every split that the annotations name, files that are missing among them; opens none."""

    def divided(self, raw: dict[str, RawPairs]) -> dict[str, RawPairs]:
        """The splits train, val and test, of what is there of all that ``read`` names."""
        return raw

    def finished(self, pairs: Pairs) -> Pairs:
        """What becomes of the extracted pairs of a split."""
        return pairs

    @property
    def layout(self) -> Layout | None:
        """What the whole data looks like, where that is known."""
        return None

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {}
        for name, backbone in ((self.x_name, self.x_backbone), (self.y_name, self.y_backbone)):
            facts[f"{name}_backbone"] = f"{type(backbone).__name__} {backbone.fingerprint[:12]}"
        for split, counts in self.missing.items():
            for name, n in zip((self.x_name, self.y_name), counts, strict=True):
                if n:
                    facts[f"{split}_{name}_missing"] = n
        return facts | {f"note/{note}": n for note, n in self.notes.items()}

    def prepare_data(self) -> None:
        if self.raw:
            return
        raw = self.read()
        found = {split: present(pairs, split, (self.x_name, self.y_name), self.strict) for split, pairs in raw.items()}
        self.missing = {split: missing for split, (_, missing) in found.items() if any(missing)}
        divided = self.divided({split: pairs for split, (pairs, _) in found.items()})
        for split, pairs in divided.items():
            if pairs.n_x == 0 or pairs.n_y == 0:
                obtain = f"; {self.layout.obtain}" if self.layout else ""
                raise UserError(f"the {split} split has no pair whose files are there{obtain}")
        self.raw = divided | {"train": self._fewer(divided["train"])}

    def _fewer(self, pairs: RawPairs) -> RawPairs:
        """The training split with as many x as are asked for, and their y."""
        rows = self.training.rows(pairs.n_x)
        return pairs if len(rows) == pairs.n_x else pairs.take_x(rows)

    def setup(self, stage: str | None = None) -> None:
        self.prepare_data()  # in every process: it reads annotations alone
        # a test needs no more than its split, but where probes are fitted
        probed = self.raw["test"].label is not None or self.raw["test"].domain is not None
        needed = ["test"] if stage == "test" and not probed else list(self.raw)
        extracted = {
            split: extract_pairs(self.raw[split], self.x_backbone, self.y_backbone, self.cache)
            for split in needed
            if split not in self.splits
        }
        usable = {split: self._with_y(split, each) for split, each in extracted.items()}
        self.raw |= {split: raw for split, (_, raw) in usable.items()}
        self.feature_seconds += sum(each.seconds for each in extracted.values())
        self.extracted_items += sum(each.extracted_items for each in extracted.values())
        for each in extracted.values():
            for note, n in each.notes.items():
                self.notes[note] = self.notes.get(note, 0) + n
        finished = {split: self.finished(pairs) for split, (pairs, _) in usable.items()}
        self.splits |= {
            split: self.training.noisy(pairs) if split == "train" else pairs for split, pairs in finished.items()
        }

    def _with_y(self, split: str, extracted: ExtractedPairs) -> tuple[Pairs, RawPairs]:
        """The pairs without the x whose group has no y: they are nobody's positive."""
        pairs, raw = extracted.pairs, extracted.raw
        if split == "train" and self.training.unpaired:
            y_index = self.training.paired(pairs.x_of_y, pairs.n_x)
            pairs, raw = of_y(pairs, y_index), raw.take_y(y_index)
        kept = torch.isin(pairs.group, pairs.y_group).nonzero()[:, 0]
        if split == "train" and self.training.unpaired:
            self.training.facts["train_x_left_out"] = pairs.n_x - len(kept)
        if len(kept) == pairs.n_x:
            return pairs, raw
        left_out = f"{pairs.n_x - len(kept):,} of {pairs.n_x:,} {self.x_name} items"
        logger.warning("%s: %s have no %s and are left out", split, left_out, self.y_name)
        return subset(pairs, kept), raw.take_x(kept)

    @property
    def spoken_names(self) -> list[str] | None:
        """The names of the classes as texts, underscores being blanks; None where they are numbers, or have none."""
        names = [name.replace("_", " ") for name in self.label_names or []]
        return None if all(name.strip().isdecimal() for name in names) else names

    def class_prompts(self, templates: Sequence[str]) -> Prompts | None:
        names = self.spoken_names
        if self.y_backbone.modality != "text" or names is None or not templates:
            return None
        texts = [template.replace("{}", name) for name in names for template in templates]
        features = self.cache.features(Texts(texts, "texts about the classes"), self.y_backbone)
        self.feature_seconds += features.seconds
        self.extracted_items += features.extracted_items
        return Prompts(features, torch.arange(len(names)).repeat_interleave(len(templates)), "; ".join(templates))

    def describe_x(self, split: str, index: int) -> object:
        return self.raw[split].x.show(index)

    def name_x(self, split: str, index: int) -> str:
        source = self.raw[split].x
        return source.file_name(index) if isinstance(source, Files | TarMembers) else super().name_x(split, index)

    def describe_y(self, split: str, index: int) -> str:
        shown = self.raw[split].y.show(index)
        return shown if isinstance(shown, str) else f"{self.y_name} {index}"

    def sound_x(self, split: str, index: int) -> Clip | None:
        return _sound(self.raw[split].x, index)

    def sound_y(self, split: str, index: int) -> Clip | None:
        return _sound(self.raw[split].y, index)


def _sound(source: Items, index: int) -> Clip | None:
    return source[index] if isinstance(source, AudioFiles | AudioMembers) else None
