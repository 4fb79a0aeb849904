"""The shape of a shared space: how close pairs lie, how spread each modality is, how far apart the two are.

All of it on unit-length embeddings, in float64, whatever an aligner scores by. Zero rows stay zero.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.scoring import blocks, check_embeddings, check_groups, unit_rows


@torch.no_grad()
def alignment(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> float:
    """``mean |u_i - v_j|^2`` over the positive pairs (Wang and Isola 2020): 0 together, 4 opposite.

    ``u``, ``v`` are the unit rows of ``x`` (n_x, r) and ``y`` (n_y, r); (i, j) is a pair when
    ``x_group[i] == y_group[j]``. By sums per group: many-to-many groups cost no more than their items.

    Raises:
        ValueError: for NaN or infinity, shapes that do not fit, or no pair at all.
    """
    x_side, y_side = _sides(x, y, x_group, y_group)
    pairs = float((x_side.counts * y_side.counts).sum())
    squares = sum(
        ((side.unit * side.unit).sum(1) * other.counts[side.of]).sum()
        for side, other in ((x_side, y_side), (y_side, x_side))
    )
    return max(0.0, float(squares - 2 * (x_side.sums * y_side.sums).sum()) / pairs)


@torch.no_grad()
def potential(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> float:
    """The alignment potential (Cai et al. 2026): the mean of ``U_i``, minus the mean cosine to i's positives.

    The mean of both directions' means, as in CLIP's loss; -1 where all positives are together. Arguments as those of
    ``alignment``; an item without a positive has no potential.

    Raises:
        ValueError: as ``alignment``.
    """
    x_side, y_side = _sides(x, y, x_group, y_group)
    means = []
    for side, other in ((x_side, y_side), (y_side, x_side)):
        count = other.counts[side.of]
        cosines = (side.unit * other.sums[side.of]).sum(1)[count > 0] / count[count > 0]
        means.append(float(cosines.mean()))
    return -sum(means) / 2


class _Side(NamedTuple):
    """Unit rows (n, r), the number (n,) of each row's group, and each group's sum (g, r) and count (g,)."""

    unit: Tensor
    of: Tensor
    sums: Tensor
    counts: Tensor


def _sides(x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> tuple[_Side, _Side]:
    check_embeddings(x, y)
    check_groups(x, x_group)
    check_groups(y, y_group)
    if not torch.isin(x_group, y_group).any():
        raise ValueError("x and y have no group in common: there is no positive pair")
    group, inverse = torch.unique(torch.cat([x_group, y_group]), return_inverse=True)

    def side(unit: Tensor, of: Tensor) -> _Side:
        sums = unit.new_zeros(len(group), unit.shape[1]).index_add_(0, of, unit)
        return _Side(unit, of, sums, torch.bincount(of, minlength=len(group)).double())

    of_x, of_y = inverse.split([len(x), len(y)])
    return side(unit_rows(x), of_x), side(unit_rows(y), of_y)


def shuffled(y_group: Tensor, seed: int) -> Tensor | None:
    """Groups (n_y,) that pair no y with its own x: each group's y, together, go to the next group of a random round.

    None where all are of one group.

    Example:
        >>> shuffled(torch.tensor([7, 7, 9]), seed=0)
        tensor([9, 9, 7])
    """
    group, inverse = torch.unique(y_group, return_inverse=True)
    if len(group) < 2:
        return None
    order = torch.randperm(len(group), generator=torch.Generator().manual_seed(seed))
    following = torch.empty_like(order)
    following[order] = order.roll(-1)
    others: Tensor = group[following[inverse]]
    return others


@torch.no_grad()
def effective_rank(z: Tensor) -> float:
    """``exp H(s / sum s)`` of the singular values s of the unit rows of ``z`` (n, r) (Roy and Vetterli 2007).

    1 when all rows are one, up to r (or n) when all directions are met alike; 0 of rows that are zero.

    Raises:
        ValueError: for NaN or infinity.

    Example:
        >>> round(effective_rank(torch.eye(3)), 6), round(effective_rank(torch.ones(3, 5)), 6)
        (3.0, 1.0)
    """
    check_embeddings(z)
    u = unit_rows(z)
    gram = u @ u.T if len(u) < u.shape[1] else u.T @ u
    values = torch.linalg.eigvalsh(gram)
    # below this a value is a rounding error of the largest
    values = values[values > len(values) * torch.finfo(values.dtype).eps * values.max()].sqrt()
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp()) if len(values) else 0.0


@torch.no_grad()
def uniformity(z: Tensor, block_size: int) -> float:
    """``log mean exp(-2 |u_i - u_j|^2)`` over the pairs i < j of unit rows (Wang and Isola 2020).

    0 when all rows are one, towards -4 when they are spread over a sphere of many dimensions. ``z`` is
    (n, r); the pairs are formed ``block_size`` x ``block_size`` at a time.

    Raises:
        ValueError: for NaN or infinity, or fewer than two rows.
    """
    check_embeddings(z)
    n = len(z)
    if n < 2:
        raise ValueError("uniformity needs at least two rows")
    total = 0.0
    for rows in blocks(n, block_size):
        u = unit_rows(z[rows])
        for columns in blocks(rows.stop, block_size):
            v = unit_rows(z[columns])
            # -2 |u - v|^2 = 4 u.v - 2 |u|^2 - 2 |v|^2, where |u| is 1, or 0 for a zero row.
            potential = (4 * u @ v.T).exp_()
            if columns.start == rows.start:  # each pair once: blocks left of the diagonal, and below it on it
                potential.tril_(-1)
            total += float(_weight(u) @ potential @ _weight(v))
    return math.log(total / (n * (n - 1) / 2))


def _weight(unit: Tensor) -> Tensor:
    return (-2 * (unit * unit).sum(1)).exp()


@torch.no_grad()
def centroids(x: Tensor, y: Tensor) -> tuple[float, float]:
    """``|m_x - m_y|``, the modality gap (Liang et al. 2022), and ``cos(m_x, m_y)``.

    ``m_x``, ``m_y`` are the means of the unit rows of ``x`` (n_x, r) and ``y`` (n_y, r). The cosine of a mean
    that is exactly zero is 0; that of centred embeddings, whose means are rounding errors, says nothing.

    Raises:
        ValueError: for NaN or infinity, or widths that differ.
    """
    check_embeddings(x, y)
    m_x, m_y = (unit_rows(z).mean(0, keepdim=True) for z in (x, y))
    return float((m_x - m_y).norm()), float((unit_rows(m_x) * unit_rows(m_y)).sum())


def evaluate_geometry(
    x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor, x_name: str, y_name: str, block_size: int
) -> dict[str, float]:
    """Those above by name, one number a modality as ``image/effective_rank``; a uniformity if of two items.

    Raises:
        ValueError: as the functions above; or when both names are the same.
    """
    if x_name == y_name:
        raise ValueError(f"the two modalities need two names, both are '{x_name}'")
    gap, cosine = centroids(x, y)
    spread = {f"{name}/uniformity": uniformity(z, block_size) for name, z in ((x_name, x), (y_name, y)) if len(z) > 1}
    return {
        "alignment": alignment(x, y, x_group, y_group),
        "potential": potential(x, y, x_group, y_group),
        "centroid_gap": gap,
        "cosine_of_means": cosine,
        **spread,
        **{f"{name}/effective_rank": effective_rank(z) for name, z in ((x_name, x), (y_name, y))},
    }
