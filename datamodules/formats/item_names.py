"""Names of items in a features file: a tensor of bytes, read by memory map, a line an item."""

import torch
from torch import Tensor

from ground.errors import UserError

CHUNK = 1 << 24
"""Bytes searched for ends of lines at a time."""
END = ord("\n")


class ItemNames:
    """``n`` names from ``text`` (k,) uint8: UTF-8, each name a line, the last with or without an end of line.

    Kept are the ends of the lines, 8 bytes a name; a name is read when it is asked for.

    Raises:
        UserError: another type, or not one line for each item; on reading, a name that is not UTF-8.

    Example:
        >>> text = torch.frombuffer(bytearray("a.jpg\\nb.jpg".encode()), dtype=torch.uint8)
        >>> ItemNames("x_names", text, n=2)[1]
        'b.jpg'
    """

    def __init__(self, what: str, text: Tensor, n: int):
        if text.dtype != torch.uint8 or text.ndim != 1:
            kind = str(text.dtype).removeprefix("torch.")
            raise UserError(f"{what} must be uint8 (k,), names as UTF-8 lines, got {kind} {tuple(text.shape)}")
        parts = [(part == END).nonzero()[:, 0] + CHUNK * i for i, part in enumerate(text.split(CHUNK))]
        ends = torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)
        if len(text) and text[-1] != END:
            ends = torch.cat([ends, torch.tensor([len(text)])])
        if len(ends) != n:
            raise UserError(f"{what} holds {len(ends)} lines, one for each of {n} items is needed")
        self.what, self.text, self.ends = what, text, ends

    def __getitem__(self, i: int) -> str:
        start = int(self.ends[i - 1]) + 1 if i else 0
        line = bytes(self.text[start : int(self.ends[i])].numpy())
        try:
            return line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.what}, line {i + 1} is not UTF-8: encode the names as UTF-8") from error
