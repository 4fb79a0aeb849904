"""Raw items through a backbone into rows of features: batches in worker threads, rows in the order of the items."""

import logging
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from datamodules.cache.workers import in_order
from datamodules.items.items import Items, Unreadable
from ground.errors import UserError

logger = logging.getLogger(__name__)


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


@runtime_checkable
class Replicated(Encoder, Protocol):
    """A backbone that several threads can encode with at once, each with a replica; another one they take in turns."""

    def replicas(self, n: int) -> list[Self]:
        """``n`` of it."""


class Extracted(NamedTuple):
    """Features (k, dim) of k items that could be read."""

    rows: Tensor
    unreadable: list[tuple[int, str]]  # the others, as (item, reason)
    notes: dict[str, int]  # what was odd about items that could be read, and how many of them


def extract(
    source: Items,
    backbone: Encoder,
    spans: Sequence[tuple[int, int]],
    dtype: torch.dtype,
    advance: Callable[[int], None],
) -> Generator[Extracted, None, None]:
    """Features of the items that can be read, of each of the ``spans`` (first, stop), one after another.

    Batches start at ``first`` and count unreadable items too, so they depend on nothing but the arguments. As many are
    read and encoded at once as torch has threads, each by one thread: the number of threads changes the last digits of
    a convolution, and here it changes nothing. ``advance`` is told of the items of a batch when it is done.

    Raises:
        UserError: a feature is not finite in ``dtype``.
        ValueError: the backbone returns another shape than it says.
    """
    size = backbone.batch_size
    batches = [range(start, min(start + size, stop)) for first, stop in spans for start in range(first, stop, size)]
    workers = [
        partial(_encoded, source, encoder, turn, dtype)
        for encoder, turn in _encoders(backbone, min(torch.get_num_threads(), len(batches)))
    ]
    with closing(in_order(batches, workers)) as parts:
        for first, stop in spans:
            rows, done = torch.empty(stop - first, backbone.dim, dtype=dtype), 0
            unreadable: list[tuple[int, str]] = []
            notes: Counter[str] = Counter()
            for start in range(first, stop, size):
                part = next(parts)
                rows[done : done + len(part.rows)] = part.rows
                done += len(part.rows)
                unreadable += part.unreadable
                notes.update(part.notes)
                advance(min(size, stop - start))
            yield Extracted(rows[:done], unreadable, dict(sorted(notes.items())))


def _encoders(backbone: Encoder, n: int) -> list[tuple[Encoder, AbstractContextManager[Any]]]:
    """An encoder for each of ``n`` threads, and what to hold while it is used."""
    if n and isinstance(backbone, Replicated):
        try:
            return [(replica, nullcontext()) for replica in backbone.replicas(n)]
        except (TypeError, RuntimeError, pickle.PicklingError) as error:  # what cannot be copied raises
            name = type(backbone).__name__
            logger.info("%s cannot be copied (%s): it encodes one batch at a time", name, " ".join(str(error).split()))
    turn = threading.Lock()
    return [(backbone, turn)] * n


def _encoded(
    source: Items, encoder: Encoder, turn: AbstractContextManager[Any], dtype: torch.dtype, numbers: range
) -> Extracted:
    """One batch, read and encoded."""
    items, unreadable = {}, []
    for i in numbers:
        try:
            items[i] = source[i]
        except Unreadable as error:
            unreadable.append((i, str(error)))
    notes: Counter[str] = Counter()
    for item in items.values():
        notes.update(getattr(item, "notes", ()))
    rows = torch.empty(0, encoder.dim, dtype=dtype)
    if items:
        with turn:
            n, note = encoder.too_long(list(items.values()))
            rows = encoder.encode(list(items.values())).detach().to("cpu", dtype)
        notes.update({note: n} if n else {})
        if rows.shape != (len(items), encoder.dim):
            raise ValueError(
                f"backbone {encoder.fingerprint} must return {(len(items), encoder.dim)}, got {tuple(rows.shape)}"
            )
        finite = rows.isfinite().all(dim=1)
        if not bool(finite.all()):
            i = list(items)[int(finite.int().argmin())]
            raise UserError(_not_finite(source.name, i, items[i], dtype))
    return Extracted(rows, unreadable, dict(notes))


def _not_finite(name: str, i: int, item: Any, dtype: torch.dtype) -> str:
    what = f"{item!r:.80}" if isinstance(item, str) else getattr(item, "filename", "")
    advice = "check the item and the backbone"
    if dtype == torch.float16:
        advice += ", or set precision: float32, since float16 ends at 65504"
    return f"{name}: the features of item {i} {what} contain NaN or Inf; {advice}".replace("  ", " ")
