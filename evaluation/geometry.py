"""The shape of a shared space: how close pairs lie, how spread each modality is, how far apart the two are.

All of it on unit-length embeddings, in float64. Zero rows stay zero.
"""

import math

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
    check_embeddings(x, y)
    check_groups(x, x_group)
    check_groups(y, y_group)
    u, v = unit_rows(x), unit_rows(y)
    group, inverse = torch.unique(torch.cat([x_group, y_group]), return_inverse=True)
    of_x, of_y = inverse.split([len(x), len(y)])
    count_x, count_y = (torch.bincount(g, minlength=len(group)).double() for g in (of_x, of_y))
    pairs = float((count_x * count_y).sum())
    if not pairs:
        raise ValueError("x and y have no group in common: there is no positive pair")
    sum_x, sum_y = (z.new_zeros(len(group), z.shape[1]).index_add_(0, g, z) for z, g in ((u, of_x), (v, of_y)))
    squares = ((u * u).sum(1) * count_y[of_x]).sum() + ((v * v).sum(1) * count_x[of_y]).sum()
    return max(0.0, float(squares - 2 * (sum_x * sum_y).sum()) / pairs)


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
    """``alignment``, ``centroid_gap``, ``cosine_of_means`` and, per modality, ``image/uniformity``, if of two items.

    Raises:
        ValueError: as the functions above; or when both names are the same.
    """
    if x_name == y_name:
        raise ValueError(f"the two modalities need two names, both are '{x_name}'")
    gap, cosine = centroids(x, y)
    spread = {f"{name}/uniformity": uniformity(z, block_size) for name, z in ((x_name, x), (y_name, y)) if len(z) > 1}
    return {
        "alignment": alignment(x, y, x_group, y_group),
        "centroid_gap": gap,
        "cosine_of_means": cosine,
        **spread,
    }
