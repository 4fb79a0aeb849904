"""Rows of features that can be used: of a dtype and shape that fit, finite, and not all zero."""

import torch
from torch import Tensor

from ground.errors import UserError
from ground.progress import progress_bar

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
VALUES_AT_ONCE = 2**21  # what a block's copy takes stays in the processor's caches
LONG = 2**32  # bytes: reading more takes long enough for a progress bar


def check_shape(name: str, rows: Tensor) -> None:
    """Floating-point rows (n, d), at least one.

    Raises:
        UserError: anything else.
    """
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype not in DTYPES:
        raise UserError(
            f"{name} must be features (n, d) in float16, bfloat16, float32 or float64, "
            f"got shape {tuple(rows.shape)} of {rows.dtype}"
        )


def check_rows(name: str, rows: Tensor) -> None:
    """One pass over ``rows`` (n, d), block by block, as the float32 that batches are.

    Raises:
        UserError: rows that hold NaN or infinity, or nothing but zeros, naming the first of them.
    """
    n, d = rows.shape
    largest = torch.empty(n, dtype=torch.float32)  # as batches are; NaN where a row has one
    with progress_bar(f"checking {name}", n, 0, visible=n * d * rows.element_size() > LONG) as advance:
        for start in range(0, n, max(1, VALUES_AT_ONCE // d)):
            block = rows[start : start + max(1, VALUES_AT_ONCE // d)]
            largest[start : start + len(block)] = block.abs().amax(1)
            advance(len(block))
    for what, bad in (
        ("NaN or infinity", ~largest.isfinite()),
        ("nothing but zeros", largest == 0),
    ):
        numbers = bad.nonzero()[:, 0].tolist()
        if numbers:
            first = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
            raise UserError(
                f"{len(numbers)} of {n} rows of {name} hold {what}: rows {first}; extract them again or leave them out"
            )
