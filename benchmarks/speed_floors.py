"""The matrix products that no fit of ``benchmarks.speed`` can avoid."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.runs import now
from datamodules.pairs.pairs import Pairs

BLOCK = 8192
"""Images in memory at once."""


def products(train: Pairs) -> Callable[[int], dict[str, Any]]:
    """``X^T X``, ``Y^T Y`` and ``X^T`` with the mean captions, on the GPU where there is one; reading is not in it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def measure(repeat: int) -> dict[str, Any]:
        seconds = 0.0
        for images in torch.arange(train.n_x).split(BLOCK):
            batch = train[images]
            x, y = batch.x.to(device), batch.y.to(device)
            owner = torch.searchsorted(images, train.x_of_y[batch.y_index]).to(device)
            mean = torch.zeros(len(x), y.shape[1], device=device).index_add_(0, owner, y)
            mean /= owner.bincount(minlength=len(x)).clamp(min=1)[:, None]
            start = now()
            for one, other in ((x, x), (y, y), (x, mean)):
                one.T @ other
            seconds += now() - start
        return {"fit_seconds": seconds}

    return measure


def pass_products(train: Pairs, rank: int) -> Callable[[int], dict[str, Any]]:
    """What a pass over all pairs cannot avoid: rows by (d, r) matrices three times, for A and B, for the pull and for
    the new directions, and of each block of similarities A B^T twice, S B and S^T A."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def measure(repeat: int) -> dict[str, Any]:
        batch = train[torch.arange(train.n_x)]
        x, y = batch.x.to(device), batch.y.to(device)
        P, Q = torch.randn(x.shape[1], rank, device=device), torch.randn(y.shape[1], rank, device=device)
        start = now()
        A, B = x @ P, y @ Q
        for rows in A.split(1024):
            for columns in B.split(4096):
                S = rows @ columns.T
                S = rows @ columns.T
                S @ columns
                S.T @ rows
        for _ in range(2):
            x.T @ A
            y.T @ B
        return {"fit_seconds": now() - start}

    return measure
