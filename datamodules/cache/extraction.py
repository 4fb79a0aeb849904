"""Raw items through a backbone into rows of features, with a progress bar."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from datamodules.items.items import Items, Unreadable
from ground.errors import UserError


class Encoder(Protocol):
    """A frozen backbone, as far as extraction uses it."""

    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Changes with the weights and with the preprocessing."""

    @property
    def batch_size(self) -> int: ...

    def encode(self, items: list[Any]) -> Tensor:
        """(len(items), dim) float32."""

    def too_long(self, items: list[Any]) -> tuple[int, str]:
        """How many items it cuts, and a note of how."""


class Extracted(NamedTuple):
    """Features (k, dim) of k items that could be read."""

    rows: Tensor
    unreadable: list[tuple[int, str]]  # the others, as (item, reason)
    notes: dict[str, int]  # what was odd about items that could be read, and how many of them


def extract(
    source: Items,
    backbone: Encoder,
    first: int,
    stop: int,
    dtype: torch.dtype,
    advance: Callable[[int], None],
) -> Extracted:
    """Features of the items ``first`` to ``stop`` that can be read.

    Batches start at ``first`` and count unreadable items too, so they depend on nothing but the arguments.

    Raises:
        UserError: a feature is not finite in ``dtype``.
        ValueError: the backbone returns another shape than it says.
    """
    rows = torch.empty(stop - first, backbone.dim, dtype=dtype)
    done = 0
    unreadable = []
    notes: Counter[str] = Counter()
    for start in range(first, stop, backbone.batch_size):
        numbers = range(start, min(start + backbone.batch_size, stop))
        batch = {}
        for i in numbers:
            try:
                batch[i] = source[i]
            except Unreadable as error:
                unreadable.append((i, str(error)))
        for item in batch.values():
            notes.update(getattr(item, "notes", ()))
        if batch:
            n, note = backbone.too_long(list(batch.values()))
            notes.update({note: n} if n else {})
            encoded = backbone.encode(list(batch.values())).detach().to("cpu", dtype)
            if encoded.shape != (len(batch), backbone.dim):
                raise ValueError(
                    f"backbone {backbone.fingerprint} must return {(len(batch), backbone.dim)}, "
                    f"got {tuple(encoded.shape)}"
                )
            finite = encoded.isfinite().all(dim=1)
            if not bool(finite.all()):
                i = list(batch)[int(finite.int().argmin())]
                raise UserError(_not_finite(source.name, i, batch[i], dtype))
            rows[done : done + len(batch)] = encoded
            done += len(batch)
        advance(len(numbers))
    return Extracted(rows[:done], unreadable, dict(sorted(notes.items())))


def _not_finite(name: str, i: int, item: Any, dtype: torch.dtype) -> str:
    what = f"{item!r:.80}" if isinstance(item, str) else getattr(item, "filename", "")
    advice = "check the item and the backbone"
    if dtype == torch.float16:
        advice += ", or set precision: float32, since float16 ends at 65504"
    return f"{name}: the features of item {i} {what} contain NaN or Inf; {advice}".replace("  ", " ")
