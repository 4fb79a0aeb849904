"""Few rows of very many features: a result, or one line before any matrix of their width is allocated."""

import pytest
import torch
from torch import Tensor

from aligners import CCA, PLS, SGDCLIP, Hybrid, UniConBatches, UniConConvex, UniConSpectral
from aligners.base.aligner import Aligner
from ground.errors import UserError

WIDTH = 40_000


@pytest.fixture(scope="module")
def wide() -> Tensor:
    return torch.randn(60, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "aligner",
    [
        lambda: CCA(rank=4),
        lambda: PLS(rank=4),
        lambda: UniConSpectral(rank=4, feature_map="identity"),
        lambda: UniConBatches(rank=4),
        lambda: UniConConvex(rank=4),
        lambda: Hybrid(rank=4, hidden=2),
        lambda: SGDCLIP(rank=4, warm_start="unicon"),
    ],
    ids=["cca", "pls", "unicon", "batches", "convex", "hybrid", "warm_start"],
)
def test_moments_too_large_for_memory_are_refused(aligner, wide: Tensor) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"second moments of features of dimensions 40000 and 40000 take 38.4 GB"):
        aligner().fit(wide, wide)


@pytest.mark.parametrize("aligner", [UniConSpectral(rank=4), SGDCLIP(rank=4)], ids=["unicon", "sgd_clip"])
def test_what_needs_no_matrix_of_the_width_fits(aligner: Aligner, wide: Tensor) -> None:
    fitted = aligner.fit(wide, wide, **({"max_epochs": 1} if isinstance(aligner, SGDCLIP) else {}))
    assert torch.isfinite(fitted.encode_x(wide)).all()
