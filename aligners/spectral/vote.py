r"""The majority vote of the batch models' predictions (UniCon, C.3), which is a score and no embedding.

What a prediction is in retrieval is not given. Here a model predicts of each pair (i, j) whether the two belong
together, and the score of the pair is the number of models that say yes:

.. math:: \#\{b : c^b_{ij} \ge t_b\} + \tfrac14 (1 + \bar c_{ij}),

with model b's cosine :math:`c^b_{ij}`, and its threshold :math:`t_b` such that on data outside its batch it predicts
as many pairs as there are. The mean cosine :math:`\bar c_{ij}` orders pairs of equally many votes, and outweighs none;
with one model the order is that of its cosines. A vote on the best-ranked item would depend on the gallery, and on
the direction.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.spectral.aggregation import BatchSolution, embedded
from datamodules.pairs.pairs import PairBatch

_GRID = 2.0**24  # cosines are multiples of its inverse: equal ones are equal in every block
_ITEMS = 2048  # of each modality that a threshold is taken from, at most


def threshold(solution: BatchSolution, rows: PairBatch, weight_power: float) -> float:
    """The cosine t at which the pairs with ``c >= t`` are as many as the positives, where no two cosines are equal.

    Of the first 2,048 rows of either modality; above every cosine where there is no positive among them.

    Example:
        >>> rows = PairBatch(torch.eye(3)[:, :2], torch.eye(3)[:, :2] + 0.1, *4 * [torch.arange(3)])
        >>> two = BatchSolution(torch.eye(2), torch.ones(2), torch.eye(2))
        >>> round(threshold(two, rows, weight_power=0.5), 4)  # the third largest of 9
        0.7071
    """
    rows = rows._replace(
        x=rows.x[:_ITEMS], y=rows.y[:_ITEMS], x_group=rows.x_group[:_ITEMS], y_group=rows.y_group[:_ITEMS]
    )
    x, y = embedded(solution, rows, weight_power)
    n_positives = int((rows.x_group[:, None] == rows.y_group).sum())
    if not n_positives:
        return 2.0
    return float(_cosines(x, y).flatten().topk(n_positives).values[-1])


def votes(x: Tensor, y: Tensor, thresholds: Tensor) -> Tensor:
    """The score (n, k) of embeddings (n, B r) and (k, B r), those of B models side by side.

    Example:
        >>> x, y = torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
        >>> votes(x, y, thresholds=torch.tensor([0.5, 0.5]))  # the first pair is one to the first model alone
        tensor([[1.3750, 0.2500]], dtype=torch.float64)
    """
    n_models = len(thresholds)
    total = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
    for of_x, of_y, least in zip(x.chunk(n_models, 1), y.chunk(n_models, 1), thresholds, strict=True):
        cosine = _cosines(of_x, of_y)
        total += (cosine >= least) + cosine / (4 * n_models)
    return total + 0.25


def _cosines(x: Tensor, y: Tensor) -> Tensor:
    x, y = normalize(x.double()), normalize(y.double())
    return (x * _GRID @ y.T).round_().div_(_GRID)
