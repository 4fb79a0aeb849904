"""How far contrastive weights are from weighing all negatives alike."""

from typing import NamedTuple

from torch import Tensor


class Departure(NamedTuple):
    """In percent.

    Example:
        >>> import torch
        >>> uniform = torch.eye(2) - 0.5
        >>> departure(2 * uniform, uniform, torch.eye(2, dtype=torch.bool))
        Departure(matrix=100.0, negatives=100.0)
    """

    matrix: float  # Frobenius norm of the difference, relative to that of the uniform weights
    negatives: float  # the same over the negative pairs alone: the positives' weights are n times theirs, and hide them


def departure(weights: Tensor, uniform: Tensor, positives: Tensor) -> Departure:
    """The departure of weights S (n_x, n_y) from those at equal similarities, the centring matrix for CLIP.

    With one-to-one pairs CLIP's uniform weights are ``(I - 11^T / n) / n``: a solver with them is PLS-SVD.

    Raises:
        ValueError: shapes that differ.
    """
    if not weights.shape == uniform.shape == positives.shape:
        shapes = [tuple(each.shape) for each in (weights, uniform, positives)]
        raise ValueError(f"weights, uniform weights and positives must have one shape, got {shapes}")
    difference = weights - uniform
    negatives = ~positives
    return Departure(
        100 * float(difference.norm() / uniform.norm()),
        100 * float(difference[negatives].norm() / uniform[negatives].norm()),
    )
