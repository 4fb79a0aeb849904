"""The complete samples of all shards, held as arrays and strings."""

import logging
from array import array
from collections import Counter
from pathlib import Path

import numpy as np

from datamodules.formats.tar_samples import Sample, samples
from datamodules.items.tar_members import Spans
from ground.errors import UserError

logger = logging.getLogger(__name__)


class TarIndex:
    """Samples that hold all of ``modalities`` and ``facts`` (of split, group, label, domain), shard by shard.

    Others are counted, logged and left out.

    Attributes:
        texts: all texts, sample after sample, where they are a modality.
        n_texts: (n,) how many of them are each sample's.

    Raises:
        UserError: none is complete.
    """

    def __init__(self, tars: list[Path], modalities: tuple[str, str], facts: list[str]) -> None:
        self.tars = tars
        self.texts: list[str] = []
        self.n_texts = array("q")
        self._tar = array("q")
        self._places = {name: (array("q"), array("q"), list[str]()) for name in modalities if name != "text"}
        self._facts = {name: (dict[str, int](), array("q")) for name in facts}
        needed = {*modalities, *facts}
        n_left_out, first, unused = 0, "", Counter[str]()
        for number, tar in enumerate(tars):
            for sample in samples(tar, unused):
                if not sample.problem and needed <= sample.holds:
                    self._add(number, sample)
                    continue
                n_left_out += 1
                lacks = f"without {', '.join(sorted(needed - sample.holds))}"
                first = first or f"{tar}: {sample.key}, {sample.problem or lacks}"
        if unused:
            counts = ", ".join(f"{n:,} .{extension}" for extension, n in unused.most_common(8))
            logger.info("members that are not used: %s", counts)
        n = len(self._tar)
        if n == 0:
            raise UserError(f"none of {n_left_out:,} samples holds {', '.join(sorted(needed))}; the first is {first}")
        if n_left_out:
            what = f"{n_left_out:,} of {n + n_left_out:,} samples are not complete and left out"
            logger.warning("%s; the first is %s", what, first)

    def _add(self, tar: int, sample: Sample) -> None:
        self._tar.append(tar)
        for name, (starts, sizes, names) in self._places.items():
            member, start, size = sample.media[name]
            names.append(member)
            starts.append(start)
            sizes.append(size)
        for name, (known, index) in self._facts.items():
            index.append(known.setdefault(sample.facts[name], len(known)))
        self.n_texts.append(len(sample.texts))
        self.texts += sample.texts

    def __len__(self) -> int:
        return len(self._tar)

    @property
    def tar(self) -> np.ndarray:
        """(n,) int64: the shard of each sample."""
        return np.frombuffer(self._tar, dtype=np.int64)

    def spans(self, modality: str) -> Spans:
        """Places of the images or sounds of the samples."""
        starts, sizes, names = self._places[modality]
        return Spans(self.tars, self.tar, np.frombuffer(starts, np.int64), np.frombuffer(sizes, np.int64), names)

    def fact(self, name: str) -> tuple[list[str], np.ndarray]:
        """The distinct values of a fact, and of each sample which it has (n,) int64."""
        known, index = self._facts[name]
        return list(known), np.frombuffer(index, dtype=np.int64)
