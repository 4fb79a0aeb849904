"""Pairs of raw items of two modalities, before any backbone has seen them, and their features."""

from dataclasses import dataclass
from dataclasses import replace as changed

import torch
from torch import Tensor

from datamodules.items.items import Items


@dataclass(frozen=True)
class RawPairs:
    """One split: all its x, all its y, and which x each y belongs to, as in ``Pairs``.

    ``x`` and ``y`` are sources of n_x and n_y items, ``x_of_y`` (n_y,) int64 the x that each y belongs to,
    ``group`` (n_x,) int64 the group of each x, ``label`` and ``domain`` (n_x,) int64 an optional class and domain of
    each x.

    Example:
        >>> from datamodules.items import Texts
        >>> x, y = Texts(["dog", "cat"], "x"), Texts(["Hund", "Katze", "Kater"], "y")
        >>> raw = RawPairs(x, y, x_of_y=torch.tensor([0, 1, 1]), group=torch.arange(2))
        >>> raw.take_x(torch.tensor([1])).y.strings
        ['Katze', 'Kater']
    """

    x: Items
    y: Items
    x_of_y: Tensor
    group: Tensor
    label: Tensor | None = None
    domain: Tensor | None = None

    @property
    def n_x(self) -> int:
        return len(self.x)

    @property
    def n_y(self) -> int:
        return len(self.y)

    def take_x(self, index: Tensor) -> "RawPairs":
        """The x ``index`` (k,), each once, and all y that belong to them in their own order."""
        new_row = torch.full((self.n_x,), -1)
        new_row[index] = torch.arange(len(index))
        owner = new_row[self.x_of_y]
        y_index = (owner >= 0).nonzero()[:, 0]
        return RawPairs(
            x=self.x.take(index),
            y=self.y.take(y_index),
            x_of_y=owner[y_index],
            group=self.group[index],
            label=None if self.label is None else self.label[index],
            domain=None if self.domain is None else self.domain[index],
        )

    def take_y(self, index: Tensor) -> "RawPairs":
        """All x, and of the y those ``index`` (k,)."""
        return changed(self, y=self.y.take(index), x_of_y=self.x_of_y[index])


def captioned(
    x: Items, captions: list[list[str]], texts: Items, group: Tensor | None, label: Tensor | None
) -> RawPairs:
    """x with the captions of each, where ``texts`` are all captions in the order of their x.

    Example:
        >>> from datamodules.items import Texts
        >>> captions = [["Hund"], ["Katze", "Kater"]]
        >>> texts = Texts([text for each in captions for text in each], "y")
        >>> captioned(Texts(["dog", "cat"], "x"), captions, texts, group=None, label=None).x_of_y
        tensor([0, 1, 1])
    """
    counts = torch.tensor([len(each) for each in captions], dtype=torch.int64)
    owner = torch.repeat_interleave(torch.arange(len(x)), counts)
    return RawPairs(x, texts, owner, torch.arange(len(x)) if group is None else group, label)
