r"""Losses of embeddings: those of two views, which need more than the cosines between the two sides.

Embeddings are x (b, r) and y (c, r), ``positives`` (b, c) bool, rectangular and many-to-many. The published losses are
of one-to-one views; here an expectation over pairs is one under the weights W of ``pair_weights``, and an expectation
over the items of a side one under W's sums over the other side, so that the two belong together. One-to-one all of
them are plain means.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives.softmax import InfoNCE
from ground.errors import UserError

VARIANCE_EPSILON = 1e-4
"""What VICReg adds to a variance before its root (Bardes et al. 2022, section 4.1)."""


def pair_weights(positives: Tensor, like: Tensor) -> Tensor:
    r"""Weights (b, c) of the pairs, summing to 1: :math:`W_{ij} = P_{ij} (1/(b |P(i)|) + 1/(c |P(j)|)) / 2`.

    Every x counts alike and shares its weight among its y, and the other way round: the weights that the positives
    have in CLIP's loss. One-to-one it is the identity over n.

    Example:
        >>> pair_weights(torch.tensor([[True, True, False], [False, False, True]]), torch.zeros(()))
        tensor([[0.2917, 0.2917, 0.0000],
                [0.0000, 0.0000, 0.4167]])
    """
    P = positives.to(like)
    return (P / (P.sum(1, keepdim=True) * len(P)) + P / (P.sum(0) * P.shape[1])) / 2


def nt_xent(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, tau: float) -> Tensor:
    r"""NT-Xent over the views of both sides, a scalar (Chen et al. 2020, Eq. 1).

    .. math:: \ell_i = -\frac{1}{|P(i)|} \sum_{k \in P(i)}
                       \log \frac{e^{c_{ik} / \tau}}{\sum_{j \neq i} e^{c_{ij} / \tau}}

    i, j, k are any of the b + c views, c their cosines: a view's own side has negatives, too, and the view itself is
    none. All other views of its group, ``x_group`` (b,) and ``y_group`` (c,), are its positives (SupCon-out, Khosla et
    al. 2020, Eq. 2); one-to-one there is one. Both sides weigh alike, whatever their numbers.

    Example:
        >>> nt_xent(torch.eye(2), torch.eye(2), torch.arange(2), torch.arange(2), tau=1.0)
        tensor(0.5514)
    """
    views, group = normalize(torch.cat([x, y])), torch.cat([x_group, y_group])
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    logits = (views @ views.T / tau).masked_fill(itself, torch.finfo(views.dtype).min)
    losses = InfoNCE(1.0).rows(logits, (group[:, None] == group) & ~itself)
    return (losses[: len(x)].mean() + losses[len(x) :].mean()) / 2


def regression(prediction: Tensor, target: Tensor, positives: Tensor) -> Tensor:
    r"""BYOL's loss of predictions (b, r) of their positives' targets (c, r), one order (Grill et al. 2020, Eq. 2).

    .. math:: L = 2 - 2 \sum_{ij} W_{ij} \cos(q_i, z_j)

    Example:
        >>> regression(torch.eye(2), torch.eye(2).flip(0), torch.eye(2).bool())
        tensor(2.)
    """
    return 2 - 2 * (pair_weights(positives, target) * (normalize(prediction) @ normalize(target).T)).sum()


def vicreg(x: Tensor, y: Tensor, positives: Tensor, invariance: float, variance: float, covariance: float) -> Tensor:
    r"""VICReg (Bardes, Ponce, LeCun 2022, Eq. 1 to 6), a scalar of embeddings in their own scale.

    .. math:: L = \frac{\lambda}{r} \sum_{ij} W_{ij} |x_i - y_j|^2
                  + \mu \sum_{z \in x, y} \frac{1}{r} \sum_a \Big[1 - \sqrt{V^z_{aa} + \epsilon}\Big]_+
                  + \nu \sum_{z \in x, y} \frac{1}{r} \sum_{a \neq b} (V^z_{ab})^2

    V are the unbiased covariances (r, r) of the two sides, and :math:`\lambda, \mu, \nu` the weights of the arguments.

    Raises:
        UserError: a side of one item, which has no covariance.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg(x, x, torch.eye(2).bool(), invariance=25.0, variance=25.0, covariance=1.0)
        tensor(8.)
    """
    W = pair_weights(positives, x)
    row, column = positives.nonzero(as_tuple=True)
    distance = (W[row, column] * (x[row] - y[column]).square().mean(1)).sum()
    loss = invariance * distance
    for side, weights in ((x, W.sum(1)), (y, W.sum(0))):
        centred = _centred(side, weights)
        V = (centred.T * weights) @ centred / (1 - weights.square().sum())
        deviations = (V.diagonal() + VARIANCE_EPSILON).sqrt()
        loss = loss + variance * (1 - deviations).relu().mean() + covariance * _off_diagonal(V) / len(V)
    return loss


def barlow_twins(x: Tensor, y: Tensor, positives: Tensor, off_diagonal: float) -> Tensor:
    r"""Barlow Twins (Zbontar et al. 2021, Eq. 1 and 2), a scalar of the dimensions' correlations C (r, r).

    .. math:: L = \sum_a (1 - C_{aa})^2 + \lambda \sum_{a \neq b} C_{ab}^2, \quad
              C = \hat x^T W \hat y

    with the embeddings of each side centred and scaled to variance 1, and :math:`\lambda` the ``off_diagonal`` weight.

    Raises:
        UserError: a side of one item, which has no correlation.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins(x, x, torch.eye(2).bool(), off_diagonal=0.005)
        tensor(0.0100)
    """
    W = pair_weights(positives, x)
    C = _standardised(x, W.sum(1)).T @ W @ _standardised(y, W.sum(0))
    return (1 - C.diagonal()).square().sum() + off_diagonal * _off_diagonal(C)


def consistencies(x: Tensor, y: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    r"""CyCLIP's in-modal and cross-modal consistency (Goel et al. 2022, section 2), two scalars.

    .. math:: n \sum W_{ik} W_{jl} (\langle x_i, x_j \rangle - \langle y_k, y_l \rangle)^2, \quad
              n \sum W_{ik} W_{jl} (\langle x_i, y_l \rangle - \langle x_j, y_k \rangle)^2

    over all two pairs (x_i, y_k) and (x_j, y_l) of embeddings of length 1, with n = (b + c) / 2. In the second moments
    (r, r) of x, of y and of the pairs they are :math:`n (|C_x|^2 + |C_y|^2 - 2 |C|^2)` and
    :math:`2 n \langle C_x, C_y \rangle - 2 n \langle C, C^T \rangle`.

    Example:
        >>> consistencies(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2).bool())
        (tensor(1.), tensor(1.))
    """
    W = pair_weights(positives, x)
    x, y = normalize(x), normalize(y)
    of_x, of_y, of_pairs = (x.T * W.sum(1)) @ x, (y.T * W.sum(0)) @ y, x.T @ W @ y
    n = sum(positives.shape) / 2
    within = of_x.square().sum() + of_y.square().sum() - 2 * of_pairs.square().sum()
    across = 2 * ((of_x * of_y).sum() - (of_pairs * of_pairs.T).sum())
    return n * within, n * across


def _centred(z: Tensor, weights: Tensor) -> Tensor:
    if len(z) < 2:
        raise UserError("a batch of one item has no variance: take a larger datamodule.batch_size")
    return z - weights @ z


def _standardised(z: Tensor, weights: Tensor) -> Tensor:
    centred = _centred(z, weights)
    return centred * (weights @ centred.square()).clamp_min(torch.finfo(z.dtype).tiny).rsqrt()


def _off_diagonal(M: Tensor) -> Tensor:
    """The sum of squares off the diagonal."""
    return (M - M.diagonal().diag()).square().sum()


def participation_ratio(z: Tensor) -> Tensor:
    r"""Dimensions that embeddings (n, r) take up: :math:`1 / |M|_F^2`, M (r, r) the mean of :math:`z z^T` of unit z.

    From 1, where all lie on one line, to r, where they favour no direction.

    Example:
        >>> participation_ratio(torch.tensor([[1.0, 0.0], [0.0, 2.0]])), participation_ratio(torch.ones(5, 2))
        (tensor(2.), tensor(1.0000))
    """
    unit = normalize(z)
    return 1 / (unit.T @ unit / len(z)).square().sum()
