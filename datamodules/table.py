"""A user's own pairs: a table with a row for each pair."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule
from datamodules.formats.own_pairs import (
    MODALITIES,
    by_split,
    numbered_labels,
    refuse_url,
    two_modalities,
    whole_split,
)
from datamodules.formats.table_file import Column, Table, read_header, read_table
from datamodules.formats.table_pairs import (
    ColumnNames,
    agree,
    distinct_pairs,
    first_rows,
    linked_groups,
    numbered_splits,
    read_from,
    refuse_typos,
    renamed,
    used_columns,
)
from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles, Items, Texts
from datamodules.items.raw_pairs import RawPairs
from ground.errors import UserError
from ground.home import path_at_home
from ground.ranges import Seed, Share

logger = logging.getLogger(__name__)

SOURCES: dict[str, Callable[[Sequence[str], str], Items]] = {"image": ImageFiles, "audio": AudioFiles, "text": Texts}


class TableDataModule(ExtractedDataModule):
    """The pairs of a CSV, TSV, JSON lines or Parquet file.

    Two of the columns ``image``, ``audio`` and ``text`` make the pairs; in this order the first is x. Images and
    audio are paths of files, absolute or from the table's folder. A file is one item, in however many rows it
    stands: an image with five captions stands in five rows. A text belongs to the x of its row alone: the same
    text on two x is two y. A row that stands twice counts once.

    Optional columns, which say the same of a file in all of its rows:

    - ``group``: rows of one group are positives of each other. Without it each x is a group, and x that share
      a file of y are one; that file belongs to the first of them, and is left out with it where it is missing.
    - ``split``: train, val (or validation, dev), test. Without val it is drawn from train, without the column
      all three are drawn, by group.
    - ``label``: the class of x, a string or an integer.
    - ``domain``: where x is from, photographs or drawings say, a string or an integer.

    Args:
        path: the table.
        columns: what these columns are called in the table, where it is something else.
        image_backbone, audio_backbone, text_backbone: frozen encoders, of which the table's two are used.
        val_share, test_share: of the groups, where a split is drawn, with ``split_seed``.
        common: as in ``ExtractedDataModule``.

    Raises:
        UserError: a table that cannot be used, in one line: its header on construction, its rows by ``read``.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from hydra import compose, initialize_config_dir
        >>> from hydra.utils import instantiate
        >>> from ground.configs import CONFIGS
        >>> with TemporaryDirectory() as folder, initialize_config_dir(str(CONFIGS), version_base="1.3"):
        ...     table = Path(folder, "pairs.csv")
        ...     _ = table.write_text("image,text\\ndog.png,a dog\\n")
        ...     data = instantiate(compose("train", ["datamodule=table", f"datamodule.path={table}"]).datamodule)
        >>> data.x_name, data.y_name
        ('image', 'text')
    """

    def __init__(
        self,
        path: str | None,
        columns: ColumnNames,
        image_backbone: Backbone,
        audio_backbone: Backbone,
        text_backbone: Backbone,
        val_share: Share,
        test_share: Share,
        split_seed: Seed,
        **common: Any,
    ):
        if path is None:
            raise UserError("datamodule=table needs a file: set datamodule.path=pairs.csv (or .tsv, .jsonl, .parquet)")
        refuse_url(path, "datamodule.path")
        table = path_at_home(path)
        in_table = read_header(table)
        try:
            self.read_from = read_from(in_table, columns)
            header = list(self.read_from)
            if sum(name in header for name in MODALITIES) < 2:
                refuse_typos(header, [name for name in MODALITIES if name not in header])
            modalities = _modalities(header)
            used, others = used_columns(header, modalities)
        except UserError as error:
            raise UserError(f"{table}: {error}") from error
        backbones = {"image": image_backbone, "audio": audio_backbone, "text": text_backbone}
        self.modalities = (modalities[0], modalities[1])
        super().__init__(*(backbones[name] for name in modalities), **common)
        self.path, self.used, self.others = table, used, others
        self.shares, self.split_seed = (val_share, test_share), split_seed

    @property
    def protocol(self) -> dict[str, str | int | float]:
        split = "of the table" if "split" in self.used else f"drawn by group, seed {self.split_seed}"
        return {"dataset": self.path.stem, "split": split} | super().protocol

    def read(self) -> dict[str, RawPairs]:
        if self.others:
            logger.info("%s: columns that are not used: %s", self.path, ", ".join(self.others))
        columns, strings = ([self.read_from[name] for name in names] for names in (self.used, self.modalities))
        table = read_table(self.path, columns, strings)
        named = {name: table.columns[column] for name, column in zip(self.used, columns, strict=True)}
        table = replace(table, columns=named)
        try:
            return self._pairs(table)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def _pairs(self, table: Table) -> dict[str, RawPairs]:
        x, y = (self._items(table.columns[name], name) for name in self.modalities)
        y_is_files = self.modalities[1] != "text"
        columns = {name: table.columns[name] for name in self.used[2:]}
        if "split" in columns:
            columns["split"] = numbered_splits(table, columns["split"])
        for name, column in columns.items():
            for items in [x, y] if y_is_files and name not in ("label", "domain") else [x]:
                agree(table, items, name, column)
        of_x = {name: column.index[first_rows(x)] for name, column in columns.items()}

        kept = distinct_pairs(x, y)
        if len(kept) < len(x.index):
            logger.info("%s: %d rows repeat a pair and count once", self.path, len(x.index) - len(kept))
        rows_of_y = first_rows(y) if y_is_files else kept
        x_of_y = x.index[rows_of_y]
        if "group" not in of_x:
            of_x["group"] = linked_groups(x, y) if y_is_files else x.index[first_rows(x)]
        group = torch.from_numpy(of_x["group"])
        split = torch.from_numpy(of_x["split"]) if "split" in of_x else None
        label = None
        if "label" in of_x:
            label, self.label_names = numbered_labels(columns["label"].values, of_x["label"])
        domain = numbered_labels(columns["domain"].values, of_x["domain"])[0] if "domain" in of_x else None

        def sources(name: str, x_rows: Tensor, y_rows: Tensor) -> tuple[Items, Items]:
            x_values = [x.values[i] for i in x_rows.tolist()]
            y_values = [y[row] for row in rows_of_y[y_rows.numpy()].tolist()]
            x_name, y_name = (f"{self.path.stem} {name} {modality}" for modality in self.modalities)
            return SOURCES[self.modalities[0]](x_values, x_name), SOURCES[self.modalities[1]](y_values, y_name)

        split = whole_split(split, group, self.shares, self.split_seed)
        return by_split(torch.from_numpy(x_of_y), group, split, label, domain, sources)

    def _items(self, column: Column, name: str) -> Column:
        """The column; of files by their whole paths."""
        if name == "text":
            return column
        folder = self.path.parent
        for value in column.values:
            refuse_url(value, f"the first {name} that is no file")
        return renamed(column, [os.path.normpath(folder / path_at_home(value)) for value in column.values])


def _modalities(header: Sequence[str]) -> tuple[str, str]:
    """The names of x and y, from those of the columns.

    Raises:
        UserError: not exactly two.
    """
    try:
        return two_modalities(header, f"the columns ({', '.join(header):.80})")
    except UserError as error:
        raise UserError(f"{error}; a column of another name is given as datamodule.columns.text=NAME") from error
