"""A safetensors file that is written by rows, for tensors that do not fit into memory."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor

Tensors = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
"""Dtype and shape of each tensor by its name."""
DTYPES = {torch.float16: "F16", torch.int64: "I64", torch.uint8: "U8"}


class StreamedFile:
    """The open file; ``put`` writes rows of a tensor at their place."""

    def __init__(self, path: Path, tensors: Tensors, metadata: dict[str, str]):
        header: dict[str, object] = {"__metadata__": metadata}
        self._places: dict[str, tuple[int, int, torch.dtype]] = {}  # offset, bytes of a row, dtype
        end = 0
        # those of wide entries first: each then begins at a multiple of its entries' size
        for name, (dtype, shape) in sorted(tensors.items(), key=lambda each: -each[1][0].itemsize):
            start, end = end, end + math.prod(shape) * dtype.itemsize
            header[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [start, end]}
            self._places[name] = (start, math.prod(shape[1:]) * dtype.itemsize, dtype)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._begin = 8 + len(text)
        self._file = path.open("xb")
        self._file.write(len(text).to_bytes(8, "little") + text)

    def put(self, name: str, row: int, rows: Tensor) -> None:
        """Write ``rows`` (k, ...) from row ``row`` of the tensor on."""
        offset, of_row, dtype = self._places[name]
        self._file.seek(self._begin + offset + row * of_row)
        self._file.write(rows.to(dtype).contiguous().numpy().data)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@contextmanager
def streamed_file(path: Path, tensors: Tensors, metadata: dict[str, str]) -> Iterator[StreamedFile]:
    """A file of these tensors that is there whole or not at all.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from safetensors.torch import load_file
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "file.safetensors"
        ...     with streamed_file(path, {"x": (torch.uint8, (3, 2))}, {}) as file:
        ...         file.put("x", 2, torch.ones(1, 2))
        ...         file.put("x", 0, torch.zeros(2, 2))
        ...     load_file(path)["x"].tolist()
        [[0, 0], [0, 0], [1, 1]]
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        file = StreamedFile(temporary, tensors, metadata)
        try:
            yield file
        finally:
            file.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
