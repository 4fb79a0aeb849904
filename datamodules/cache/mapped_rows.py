"""Rows of features gathered across the memory maps of many shards."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.cache.shards import map_rows


class MappedRows:
    """The rows of the shards ``paths``, one after the other, as ``FeatureRows`` (n, dim) in the stored dtype.

    Nothing is read before it is asked for. What is pickled are the paths: each process maps the files itself.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from datamodules.cache.shards import write_shard
        >>> with TemporaryDirectory() as folder:
        ...     write_shard(Path(folder, "0"), torch.eye(2), {})
        ...     rows = MappedRows([Path(folder, "0"), Path(folder, "0")], 2, torch.float32)
        ...     rows.shape, rows[torch.tensor([3, 0])].tolist()
        ((4, 2), [[0.0, 1.0], [1.0, 0.0]])
    """

    def __init__(self, paths: list[Path], dim: int, dtype: torch.dtype) -> None:
        self._paths, self._dim, self._dtype = paths, dim, dtype
        self._map()

    def _map(self) -> None:
        self._rows = [map_rows(path)[0] for path in self._paths]
        self._ends = torch.tensor([len(rows) for rows in self._rows], dtype=torch.int64).cumsum(0)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, dim)."""
        return int(self._ends[-1]) if self._rows else 0, self._dim

    @property
    def dtype(self) -> torch.dtype:
        """The type of the rows, as stored."""
        return self._dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Rows ``index`` (k,) int64 as a new tensor (k, dim); negative ones count from the end.

        Raises:
            IndexError: an index is out of range, or ``index`` is no vector of int64.
        """
        if index.ndim != 1 or index.dtype != torch.int64:
            raise IndexError(f"index must be a vector of int64, got {tuple(index.shape)} {index.dtype}")
        n = len(self)
        index = index.cpu()
        index = torch.where(index < 0, index + n, index)
        if bool(((index < 0) | (index >= n)).any()):
            raise IndexError(f"index out of range for {n} rows")
        shard_of = torch.searchsorted(self._ends, index, right=True)
        order = torch.argsort(shard_of, stable=True)
        counts = torch.bincount(shard_of, minlength=len(self._rows))
        gathered = torch.empty(len(index), self._dim, dtype=self._dtype)
        done = 0
        for shard in counts.nonzero().flatten().tolist():
            part = slice(done, done + int(counts[shard]))
            rows = self._rows[shard]
            local = index[order[part]] - (self._ends[shard] - len(rows))
            torch.index_select(rows, 0, local, out=gathered[part])
            done = part.stop
        in_order = bool((shard_of[1:] >= shard_of[:-1]).all())
        return gathered if in_order else gathered[torch.argsort(order)]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()
