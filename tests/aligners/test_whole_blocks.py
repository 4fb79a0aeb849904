"""Solved aligners form the same products in any number of processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.pairs import Pairs
from evaluation.retrieval import ranks
from tests.aligners.made import make
from tests.aligners.processes import fit, fit_by

FITS: dict[str, tuple[str, dict[str, Any]]] = {
    "unicon": ("unicon", {"passes": 3}),
    "linear": ("unicon", {"passes": 3, "feature_map": "identity", "memory_mb": 0}),
    "siglip": ("unicon", {"passes": 2, "objective": "siglip", "objective_options": {"bias": -5.0}}),
    "transport": ("unicon", {"passes": 2, "objective": "gca_ince", "feature_map": "identity"}),
    "batch": ("unicon", {"passes": 2, "negatives": "batch"}),
    "full": ("unicon", {"passes": 2, "step": "full", "feature_map": "identity"}),
    "printed": ("unicon_paper", {"negatives": "batch"}),
    "cca": ("cca", {}),
    "batches": ("unicon_batches", {}),
    "convex": ("unicon_convex", {"max_iterations": 20, "block_size": 7}),
}
FIXED = {"rank": 6}
ONE_OF_EACH = {"feature_map": "nystrom", "lam": 1.0, "tau": 0.1, "weight_power": 1.0}


def settings(name: str) -> tuple[str, dict[str, Any]]:
    aligner, changed = FITS[name]
    return aligner, FIXED | (ONE_OF_EACH if aligner == "unicon" else {}) | changed


def of_dtype(pairs: Pairs, dtype: torch.dtype) -> Pairs:
    return Pairs(pairs.x.to(dtype), pairs.y.to(dtype), pairs.x_of_y, pairs.group)


@pytest.mark.parametrize(
    ("name", "world", "dtype"),
    [
        ("unicon", 2, torch.float16),
        ("unicon", 3, torch.float32),
        ("unicon", 4, torch.float16),
        *((name, 3, torch.float16) for name in FITS if name != "unicon"),
    ],
)
def test_any_number_of_processes_agrees(
    name: str, world: int, dtype: torch.dtype, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = of_dtype(pairs, dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = fit(*settings(name), pairs, 100)
        many = fit_by(world, tmp_path, *settings(name), pairs, 100)
        for state in many:
            for side in ("x", "y"):
                difference = state[f"projection_{side}"] - one[f"projection_{side}"]
                assert difference.norm() <= 1e-9 * one[f"projection_{side}"].norm()
        for ours, theirs in zip(ranked(name, one, pairs), ranked(name, many[0], pairs), strict=True):
            assert torch.equal(ours, theirs)
    finally:
        torch.set_num_threads(threads)


def ranked(name: str, state: dict[str, Tensor], pairs: Pairs) -> list[Tensor]:
    """The rank of every item of both sides under the aligner of this state."""
    aligner = make(settings(name)[0], **settings(name)[1])
    aligner.shared = False
    aligner._build(pairs.dims)
    for key, value in state.items():  # some have the data's number of items in their shape
        owner, _, leaf = key.rpartition(".")
        setattr(aligner.get_submodule(owner), leaf, value)
    x, y = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    return [ranks(x, y, pairs.group, pairs.y_group, 64), ranks(y, x, pairs.y_group, pairs.group, 64)]
