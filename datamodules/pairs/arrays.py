"""Pairs of two arrays, checked."""

import torch
from torch import Tensor

from datamodules.pairs.checked_rows import check_rows, check_shape
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError

INTEGERS = {getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}


def pairs_of_tensors(
    x: Tensor,
    y: Tensor,
    *,
    x_of_y: Tensor | None = None,
    group: Tensor | None = None,
    label: Tensor | None = None,
    domain: Tensor | None = None,
) -> Pairs:
    """Checked pairs of ``x`` (n_x, d_x) and ``y`` (n_y, d_y).

    The features stay as they are, memory-mapped ones too: they are read once, for the check.

    Raises:
        UserError: shapes or row counts that do not fit, ``x_of_y`` out of range, and rows that hold NaN or
            infinity or nothing but zeros (naming the first of them).

    Example:
        >>> pairs = pairs_of_tensors(torch.ones(2, 3), torch.ones(5, 4), x_of_y=torch.tensor([0, 0, 0, 1, 1]))
        >>> pairs.n_x, pairs.n_y, pairs.dims
        (2, 5, (3, 4))
    """
    check_shape("x", x)
    check_shape("y", y)
    n_x, n_y = len(x), len(y)
    if x_of_y is None:
        if n_x != n_y:
            raise UserError(f"x has {n_x} rows and y has {n_y}: without x_of_y (the x of each y) both need as many")
        x_of_y = torch.arange(n_y)
    x_of_y = integers("x_of_y", x_of_y, n_y)
    group = torch.arange(n_x) if group is None else integers("group", group, n_x)
    label = None if label is None else integers("label", label, n_x)
    domain = None if domain is None else integers("domain", domain, n_x)
    outside = ((x_of_y < 0) | (x_of_y >= n_x)).nonzero()[:, 0]
    if len(outside):
        row = int(outside[0])
        raise UserError(
            f"x_of_y must be in 0 to {n_x - 1}, the rows of x: {len(outside)} are not, "
            f"the first is x_of_y[{row}] = {int(x_of_y[row])}"
        )
    check_rows("x", x)
    check_rows("y", y)
    return Pairs(x=x, y=y, x_of_y=x_of_y, group=group, label=label, domain=domain)


def integers(name: str, values: Tensor, n: int) -> Tensor:
    """``values`` as int64 (n,)."""
    if values.shape != (n,) or values.dtype not in INTEGERS:
        raise UserError(f"{name} must be {n} integers, got shape {tuple(values.shape)} of {values.dtype}")
    return values.long()
