"""The items that a pass contrasts with each other: all whose rows there are, or others for each pass."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aligners.objectives.sweep import Contrast, Contrasted


@dataclass(frozen=True)
class Part:
    """A contrast of some of the items: those at the places ``x`` (k_x,) and ``y`` (k_y,) among all.

    Example:
        >>> from aligners.objectives import named_objective
        >>> ids, heads = torch.arange(4), torch.eye(4)
        >>> two = torch.tensor([0, 3])
        >>> part = Part(Contrast(named_objective("clip", 0.1), ids[two], ids[two], 1024), two, two)
        >>> SB, StA = part.products(heads, heads, heads, heads, part.value(heads, heads))
        >>> SB.shape, SB[1:3].count_nonzero()  # the others have no weights
        (torch.Size([4, 4]), tensor(0))
    """

    contrast: Contrast
    x: Tensor
    y: Tensor

    def value(self, x: Tensor, y: Tensor) -> Contrasted:
        """The objective of the part, at embeddings (n_x, r), (n_y, r) of all."""
        return self.contrast.value(x[self.x], y[self.y])

    def products(self, x: Tensor, y: Tensor, A: Tensor, B: Tensor, at: Contrasted) -> tuple[Tensor, Tensor]:
        """``S B`` (n_x, l) and ``S^T A`` (n_y, k), as of ``Contrast``; 0 of the items that are not in the part."""
        SB, StA = self.contrast.products(x[self.x], y[self.y], A[self.x], B[self.y], at)
        return (
            SB.new_zeros(len(x), SB.shape[1]).index_copy_(0, self.x, SB),
            StA.new_zeros(len(y), StA.shape[1]).index_copy_(0, self.y, StA),
        )


def parts(
    contrast: Callable[[Tensor, Tensor], Contrast], x_group: Tensor, y_group: Tensor, items: int | None
) -> list[Contrast] | list[Part]:
    """All items as one contrast, or, of at most ``items`` x each, as many parts as have every item in one at least.

    A part are whole groups, about ``items`` x, that follow those of the part before in one random order, the same in
    every process, and after the last group begin again with the first.
    """
    n = len(x_group)
    if items is None or items >= n:
        return [contrast(x_group, y_group)]
    groups, counts = torch.unique(x_group.cpu(), return_counts=True)
    generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
    order = torch.randperm(len(groups), generator=generator)
    before = torch.empty_like(counts)
    before[order] = counts[order].cumsum(0) - counts[order]
    of_x, of_y = (before[torch.searchsorted(groups, ids.cpu())] for ids in (x_group, y_group))
    made = []
    for start in range(0, n, items):
        x, y = (((of - start) % n < items).nonzero()[:, 0].to(x_group.device) for of in (of_x, of_y))
        if len(x):  # a group may be larger than a part
            made.append(Part(contrast(x_group[x], y_group[y]), x, y))
    return made
