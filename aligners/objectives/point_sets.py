r"""Sets of weighted unit points, and how alike two of them are: KME-CLIP and WPSE.

An item is :math:`\{(w_k, v_k)\}`, m unit points and weights above 0 with sum 1. It is kept as one row of m (r + 1)
numbers: the points one after the other, then the logarithms of the weights. A kernel of two unit points is a function
of their cosine, as :math:`|u - v|^2 = 2 (1 - \langle u, v \rangle)`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

PointKernel = Literal["gaussian", "inverse_multiquadric"]
LOG_KERNELS: dict[PointKernel, Callable[[Tensor, Tensor | float], Tensor]] = {
    "gaussian": lambda cosine, square: (cosine - 1) / square,
    "inverse_multiquadric": lambda cosine, square: -torch.log1p(2 * (1 - cosine) / square) / 2,
}
r"""Logarithms of :math:`e^{-|u - v|^2 / (2 \sigma^2)}` and of :math:`c / \sqrt{c^2 + |u - v|^2}`, 1 where u is v.

Each of the cosine of u and v, and of the square of the width, :math:`\sigma^2` or :math:`c^2`.
"""

_GRID = 2.0**24  # scores are multiples of its inverse: equal ones are equal in every block
_IN_MEMORY = 2**22  # cosines of points at once, where sets are scored


class PointSets(NamedTuple):
    """The sets of n items: unit points (n, m, r), and the logarithms of their weights (n, m).

    Example:
        >>> sets = point_sets(torch.tensor([[3.0, 0.0, 0.0, 2.0, 1.0, 1.0]]), m=2)
        >>> sets.points, sets.log_weights.exp()
        (tensor([[[1., 0.],
                  [0., 1.]]]), tensor([[0.5000, 0.5000]]))
        >>> sets.rows().shape
        torch.Size([1, 6])
    """

    points: Tensor
    log_weights: Tensor

    def rows(self) -> Tensor:
        """One row (n, m (r + 1)) for each item."""
        return torch.cat([self.points.flatten(1), self.log_weights], dim=1)


def sets_of_rows(rows: Tensor, m: int) -> PointSets:
    """The sets that ``PointSets.rows`` has made rows (n, m (r + 1)) of."""
    return PointSets(rows[:, :-m].unflatten(1, (m, -1)), rows[:, -m:])


def point_sets(outputs: Tensor, m: int) -> PointSets:
    """Any rows (n, m (r + 1)) to sets: points at length 1, weights the softmax of the last m numbers."""
    points, logits = sets_of_rows(outputs, m)
    return PointSets(normalize(points, dim=2), logits.log_softmax(1))


def kme_logits(x: PointSets, y: PointSets, kernel: PointKernel, tau: Tensor | float) -> Tensor:
    r"""Logits (a, b) of KME-CLIP (Yoshida et al., arXiv 2510.15508): the log of an inner product of mean embeddings.

    .. math:: \log \sum_{k, l} w_k w'_l\, \kappa(v_k, v'_l)

    summed in the log domain, with the kernel's squared width ``tau``, :math:`\sigma^2` of a Gaussian. Such a logit
    models the pointwise mutual information: where x and y are independent given z,
    :math:`e^{PMI(x, y)} = \sum_z p(z | x) p(z | y) / p(z)`, an inner product of non-negative vectors. With one point
    and the Gaussian it is :math:`(\langle v, v' \rangle - 1) / \tau`, CLIP's but for a constant.

    Example:
        >>> sets = PointSets(torch.eye(2)[:, None], torch.zeros(2, 1))  # one point each
        >>> kme_logits(sets, sets, "gaussian", tau=0.5)
        tensor([[ 0., -2.],
                [-2.,  0.]])
    """
    weights = x.log_weights[:, :, None, None] + y.log_weights
    return torch.logsumexp(weights + LOG_KERNELS[kernel](_cosines(x, y), tau), dim=(1, 3))


def kme_similarity(x: PointSets, y: PointSets, kernel: PointKernel, tau: Tensor | float) -> Tensor:
    r"""``1 + tau * kme_logits``, (a, b) in [-1, 1]: a kernel is 1 at most, and e^(-2 / tau) at least.

    Divided by ``tau`` it is the logits but for a constant. With one point and the Gaussian it is the cosine.
    """
    return 1 + tau * kme_logits(x, y, kernel, tau)


def wpse_similarity(x: PointSets, y: PointSets, kernel: PointKernel, width: float, linear: float) -> Tensor:
    r"""Similarities (a, b) in [-1, 1] of WPSE (Uesaka et al., ICLR 2025): a mean of kernels over both sets.

    .. math:: \sum_{k, l} w_k w'_l\, \big(\alpha \langle v_k, v'_l \rangle + (1 - \alpha)\, \kappa(v_k, v'_l)\big)

    with :math:`\alpha` = ``linear``; weights of sum m, and the mean over the m m' pairs of points, are the same. With
    one point and ``linear`` 1 it is the cosine.

    Example:
        >>> x = PointSets(torch.eye(2)[None], torch.tensor([[0.75, 0.25]]).log())
        >>> wpse_similarity(x, x, "gaussian", width=0.5, linear=1.0)  # 0.75^2 + 0.25^2
        tensor([[0.6250]])
    """
    cosines = _cosines(x, y)
    kernels = linear * cosines + (1 - linear) * LOG_KERNELS[kernel](cosines, width**2).exp()
    return torch.einsum("ak,akbl,bl->ab", x.log_weights.exp(), kernels, y.log_weights.exp())


def scored(x: Tensor, y: Tensor, m: int, similarity: Callable[[PointSets, PointSets], Tensor]) -> Tensor:
    """Similarities (a, b) float64 of the sets of rows (a, m (r + 1)) and (b, m (r + 1)), on a grid, block by block.

    In float64 and multiples of 2^-24, as cosines are scored: two sums of the same terms differ by some 1e-16 with the
    block and with the order of points, and the grid hides that.
    """
    y_sets = _exact(y, m)
    size = max(1, _IN_MEMORY // max(1, len(y) * m * m))
    parts = [similarity(_exact(part, m), y_sets) for part in x.split(size)]
    return (torch.cat(parts) * _GRID).round_().div_(_GRID)


def _exact(rows: Tensor, m: int) -> PointSets:
    return point_sets(rows.double(), m)  # embeddings are rounded to float32


def _cosines(x: PointSets, y: PointSets) -> Tensor:
    """Cosines of all points, (a, m, b, m'), in the order of memory in which one product makes them."""
    a, m, r = x.points.shape
    b, l, _ = y.points.shape  # noqa: E741
    return (x.points.reshape(a * m, r) @ y.points.reshape(b * l, r).T).view(a, m, b, l)
