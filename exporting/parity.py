"""Whether an export encodes to what its aligner does."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.aligner import Aligner
from datamodules.base.datamodule import PairsDataModule
from ground.errors import UserError

ROWS = 256
PARITY = 1e-5
"""The most by which cosines may differ, or twice what the aligner's own differ by when rows come one by one."""

Encoders = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def some_rows(aligner: Aligner, data: PairsDataModule) -> tuple[Tensor, Tensor, str]:
    """Features of x and y (k, d) to compare on, and what they are: of test items, or random where these are gone."""
    assert aligner.dims is not None
    try:
        data.setup("test")
    except UserError:
        draws = torch.Generator().manual_seed(0)
        x, y = (torch.randn(ROWS, d, generator=draws) for d in aligner.dims)
        return x, y, "random rows"
    test = data.splits["test"]
    x, y = (rows[torch.arange(min(ROWS, int(rows.shape[0])))].float() for rows in (test.x, test.y))
    return x, y, "test items"


def difference(aligner: Aligner, encoders: Encoders, x: Tensor, y: Tensor) -> float:
    """The largest difference of the cosines (k, l) of an export from the aligner's."""
    ours = _cosines((aligner.encode_x, aligner.encode_y), x, y)
    return float((_cosines(encoders, x, y) - ours).abs().max())


def own_difference(aligner: Aligner, x: Tensor, y: Tensor) -> float:
    """How much the aligner's own cosines differ when rows come one by one: what float32 leaves open."""

    def alone(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.cat([encode(row[None]) for row in rows])

    return difference(aligner, (alone(aligner.encode_x), alone(aligner.encode_y)), x[:32], y[:32])


def _cosines(encoders: Encoders, x: Tensor, y: Tensor) -> Tensor:
    return normalize(encoders[0](x)) @ normalize(encoders[1](y)).T


def checked(name: str, aligner: Aligner, encoders: Encoders, x: Tensor, y: Tensor) -> float:
    """``difference``, where it is no more than rounding.

    Raises:
        UserError: it is more.
    """
    found = difference(aligner, encoders, x, y)
    allowed = max(PARITY, 2 * own_difference(aligner, x, y))
    if not found <= allowed:
        raise UserError(f"{name} does not encode as {type(aligner).__name__} does: cosines differ by {found:.1e}")
    return found
