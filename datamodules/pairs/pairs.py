"""Pairs of items of two modalities as feature rows, and batches of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class FeatureRows(Protocol):
    """Rows of features, in memory or mapped from disk; a ``torch.Tensor`` (n, d) is one.

    Example:
        >>> rows: FeatureRows = torch.eye(3)
        >>> rows[torch.tensor([2])]
        tensor([[0., 0., 1.]])
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """Rows ``index`` (k,) as a tensor (k, d)."""


@dataclass(frozen=True)
class SelectedRows:
    """Rows ``index`` (k,) of other rows, read when they are asked for.

    Example:
        >>> rows = SelectedRows(torch.arange(5.0)[:, None], torch.tensor([4, 2]))
        >>> rows.shape, rows[torch.tensor([0])]
        ((2, 1), tensor([[4.]]))
    """

    rows: FeatureRows
    index: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.rows.shape[1:])

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.rows[self.index[index]]


class Members:
    """Which members each owner has: ``owner`` (n,) int64 in [0, n_owners) names the owner of each member.

    Example:
        >>> Members(torch.tensor([0, 1, 0]), 2).of(torch.tensor([1, 0]))
        tensor([1, 0, 2])
    """

    def __init__(self, owner: Tensor, n_owners: int):
        self.order = torch.argsort(owner, stable=True)
        self.counts = torch.bincount(owner, minlength=n_owners)
        self.starts = self.counts.cumsum(0) - self.counts

    def of(self, owners: Tensor) -> Tensor:
        """Members of ``owners`` (k,), one owner after another."""
        counts = self.counts[owners]
        skip = self.starts[owners] - (counts.cumsum(0) - counts)
        return self.order[torch.arange(int(counts.sum())) + torch.repeat_interleave(skip, counts)]


class PairBatch(NamedTuple):
    """b items of modality x with c items of modality y.

    Items are positives of each other exactly when their groups are equal: an image with five captions is
    one x and five y of one group. The index is the item's row in its split: gathered results are put in
    order, and repeats dropped, by it.

    Example:
        >>> group, row = torch.tensor([0, 0, 1]), torch.arange(3)  # an x with two y, one with a single y
        >>> batch = PairBatch(torch.ones(2, 4), torch.ones(3, 5), row[:2], group, row[:2], row)
        >>> batch.positives
        tensor([[ True,  True, False],
                [False, False,  True]])
    """

    x: Tensor  # (b, d_x)
    y: Tensor  # (c, d_y)
    x_group: Tensor  # (b,) int64
    y_group: Tensor  # (c,) int64
    x_index: Tensor  # (b,) int64
    y_index: Tensor  # (c,) int64

    @property
    def positives(self) -> Tensor:
        """(b, c) bool."""
        return self.x_group[:, None] == self.y_group[None, :]


@dataclass(frozen=True)
class Pairs:
    """One split: all its x, all its y, and which x each y belongs to.

    ``x`` (n_x, d_x) and ``y`` (n_y, d_y) are feature rows, ``x_of_y`` (n_y,) int64 the row of ``x`` that
    each y belongs to, ``group`` (n_x,) int64 the group of each x (a y has the group of its x), ``label``
    (n_x,) int64 an optional class of each x, ``domain`` (n_x,) int64 where it is from: photographs, drawings.
    ``pairs[x_index]`` is the batch of these x and all their y.

    Example:
        >>> pairs = Pairs(torch.eye(2), torch.eye(3), x_of_y=torch.tensor([0, 1, 1]), group=torch.arange(2))
        >>> batch = pairs[torch.tensor([1])]
        >>> batch.y_index, batch.y_group
        (tensor([1, 2]), tensor([1, 1]))
    """

    x: FeatureRows
    y: FeatureRows
    x_of_y: Tensor
    group: Tensor
    label: Tensor | None = None
    domain: Tensor | None = None

    @property
    def n_x(self) -> int:
        return int(self.x.shape[0])

    @property
    def n_y(self) -> int:
        return int(self.y.shape[0])

    @property
    def dims(self) -> tuple[int, int]:
        """(d_x, d_y)."""
        return int(self.x.shape[1]), int(self.y.shape[1])

    @cached_property
    def y_group(self) -> Tensor:
        """(n_y,)."""
        return self.group[self.x_of_y]

    @cached_property
    def first_y(self) -> Tensor:
        """(n_x,) the first y of each x, -1 where it has none."""
        first = torch.full((self.n_x,), self.n_y)
        first = first.scatter_reduce(0, self.x_of_y, torch.arange(self.n_y), "amin")
        return torch.where(first == self.n_y, -1, first)

    @cached_property
    def _y_of_x(self) -> Members:
        return Members(self.x_of_y, self.n_x)

    def __getitem__(self, x_index: Tensor) -> PairBatch:
        y_index = self._y_of_x.of(x_index)
        x, y = _computable(self.x[x_index]), _computable(self.y[y_index])
        if x.dtype != y.dtype:  # one of them float64: products of both need one dtype
            x, y = x.double(), y.double()
        return PairBatch(
            x=x,
            y=y,
            x_group=self.group[x_index],
            y_group=self.y_group[y_index],
            x_index=x_index,
            y_index=y_index,
        )


@dataclass(frozen=True)
class Labelled:
    """Feature rows ``x`` (n, d) and the class of each, ``label`` (n,) int64.

    Example:
        >>> Labelled(torch.eye(3), torch.tensor([0, 1, 1])).label.bincount()
        tensor([1, 2])
    """

    x: FeatureRows
    label: Tensor


@dataclass(frozen=True)
class Prompts:
    """Feature rows (p, d_y) of texts about classes, the class of each, ``label`` (p,) int64, and what they are.

    Example:
        >>> Prompts(torch.eye(2), torch.tensor([0, 1]), "a photo of a {}.").label
        tensor([0, 1])
    """

    rows: FeatureRows
    label: Tensor
    told: str


def _computable(rows: Tensor) -> Tensor:
    """float64 rows as they are, all others as float32."""
    return rows if rows.dtype == torch.float64 else rows.float()


def subset(pairs: Pairs, x_index: Tensor) -> Pairs:
    """The x rows ``x_index`` (k,), each once, and all y that belong to them in their own order.

    Rows are read when they are asked for.

    Example:
        >>> pairs = Pairs(torch.eye(3), torch.eye(4), x_of_y=torch.tensor([0, 1, 2, 2]), group=torch.arange(3))
        >>> subset(pairs, torch.tensor([2, 0])).x_of_y
        tensor([1, 0, 0])
    """
    new_row = torch.full((pairs.n_x,), -1)
    new_row[x_index] = torch.arange(len(x_index))
    owner = new_row[pairs.x_of_y]
    y_index = (owner >= 0).nonzero()[:, 0]
    return Pairs(
        x=SelectedRows(pairs.x, x_index),
        y=SelectedRows(pairs.y, y_index),
        x_of_y=owner[y_index],
        group=pairs.group[x_index],
        label=None if pairs.label is None else pairs.label[x_index],
        domain=None if pairs.domain is None else pairs.domain[x_index],
    )


def with_positives(pairs: Pairs) -> Pairs:
    """The pairs without the x whose group has no y: they are nobody's positive."""
    has_y = torch.isin(pairs.group, pairs.y_group)
    return pairs if has_y.all() else subset(pairs, has_y.nonzero()[:, 0])
