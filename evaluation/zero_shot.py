"""Classes told by their texts alone: zero-shot classification (CLIP, Radford et al. 2021, section 3.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.scoring import COSINE, Scorer, blocks, check_embeddings, check_groups, unit_rows


@dataclass(frozen=True)
class ZeroShotResult:
    """The place of each item's class among all classes.

    Example:
        >>> result = zero_shot(torch.eye(3), torch.tensor([0, 1, 1]), torch.eye(3), torch.arange(3), block_size=8)
        >>> result.ranks, round(result.top(1), 1), result.top(5)
        (tensor([1, 1, 3]), 66.7, 100.0)
        >>> result.per_class()
        {0: 100.0, 1: 50.0}
    """

    ranks: Tensor  # (n,) int64, from 1
    label: Tensor  # (n,) int64
    classes: Tensor  # (C,) int64, sorted: those that have prompts

    def top(self, k: int) -> float:
        """The share of items, in percent, whose class is among the first k; of fewer classes than k it is 100."""
        return 100 * float((self.ranks <= k).double().mean())

    def per_class(self) -> dict[int, float]:
        """``top(1)`` of each class that has items, by its number."""
        return {
            c: 100 * float((self.ranks[self.label == c] == 1).double().mean()) for c in self.label.unique().tolist()
        }


@torch.no_grad()
def class_embeddings(prompts: Tensor, prompt_class: Tensor) -> tuple[Tensor, Tensor]:
    r"""Unit rows (C, r) float64 of the sorted classes (C,), each :math:`\bar u_c / |\bar u_c|` of its prompts.

    :math:`\bar u_c` is the mean of the unit embeddings of the prompts of class c: ``prompts`` (p, r) and
    ``prompt_class`` (p,).

    Example:
        >>> class_embeddings(torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 3.0]]), torch.tensor([7, 7, 3]))[0]
        tensor([[0.0000, 1.0000],
                [0.7071, 0.7071]], dtype=torch.float64)
    """
    classes, inverse = torch.unique(prompt_class, return_inverse=True)
    return unit_rows(_means(unit_rows(prompts).T, inverse, len(classes)).T), classes


@torch.no_grad()
def zero_shot(
    x: Tensor, label: Tensor, prompts: Tensor, prompt_class: Tensor, block_size: int, scorer: Scorer = COSINE
) -> ZeroShotResult:
    r"""The rank of every item's own class, :math:`1 + \#\{c \ne l_i : s_{ic} \ge s_{i l_i}\}`: ties count against it.

    :math:`s_{ic}` is the cosine of the item and the class's embedding, see ``class_embeddings``. An aligner's own
    ``scorer`` need not know of a mean embedding: :math:`s_{ic}` is then the mean of its scores over the prompts of c.

    Args:
        x: (n, r) embeddings.
        label: (n,) int64, the class of each.
        prompts: (p, r) embeddings of texts about the classes.
        prompt_class: (p,) int64, the class of each; any number of texts for each class.
        block_size: items scored at a time; speed and memory only.
        scorer: the rule of scoring.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, or labels that no prompt is about.
    """
    check_embeddings(x, prompts)
    check_groups(x, label)
    check_groups(prompts, prompt_class)
    if not torch.isin(label, prompt_class).all():
        raise ValueError("some labels are of classes that no prompt is about")
    gallery, classes = class_embeddings(prompts, prompt_class)
    inverse = torch.searchsorted(classes, prompt_class)
    own = torch.searchsorted(classes, label)
    ranks = []
    for part in blocks(len(x), block_size):
        rows = scorer.prepare(x[part])
        if scorer is COSINE:
            scores = scorer.score(rows, gallery)
        else:
            scores = _means(scorer.score(rows, scorer.prepare(prompts)).double(), inverse, len(classes))
        ranks.append((scores >= scores.gather(1, own[part, None])).sum(1))  # its own is one of them
    return ZeroShotResult(torch.cat(ranks), label, classes)


def _means(values: Tensor, of: Tensor, n: int) -> Tensor:
    """(b, n): the means of the columns of ``values`` (b, p) that belong ``of`` (p,) each of the n."""
    totals = torch.zeros(len(values), n, dtype=values.dtype).index_add_(1, of, values)
    return totals / torch.bincount(of, minlength=n)
