"""Runs of several gloo processes give what a run of one gives."""

from pathlib import Path

import pytest
import torch

from aligners.base.aligner import Aligner
from aligners.domains import GCADomains
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from tests.aligners.processes import fit, fit_all_by_two
from tests.aligners.runs import encoded, ranked, run_apart, run_here

REDRAWN = ["aligner.contrast_items=50", "aligner.passes=2"]
"""Each pass has other items, by default."""


@pytest.mark.parametrize(
    ("name", "cls", "processes", "recorded", "overrides"),
    [
        ("unicon", UniConSpectral, 2, 1, []),
        ("unicon", UniConSpectral, 4, 1, ["aligner.feature_map=identity", "aligner.lam=[0.3,1.0]"]),
        ("unicon", UniConSpectral, 2, 4, ["aligner.negatives=batch", "aligner.memory_mb=0", "aligner.passes=3"]),
        ("unicon", UniConSpectral, 2, 3, [*REDRAWN, "aligner.feature_map=identity", "aligner.laplacian=[0.0,1.0]"]),
        ("sgd_clip", SGDCLIP, 2, 3, ["trainer.max_epochs=3"]),
        ("gca_domains", GCADomains, 2, 3, ["trainer.max_epochs=3", "aligner.a=0.05", "aligner.b=0.01"]),
    ],
)
def test_processes_give_the_solution_of_one(
    features: Path, tmp_path: Path, name: str, cls: type[Aligner], processes: int, recorded: int, overrides: list[str]
) -> None:
    overrides = [f"aligner={name}", "aligner.rank=8", *overrides]
    one = run_here(features, tmp_path / "one", *overrides)
    many = run_apart(features, tmp_path / "many", processes, *overrides)
    assert {path.name for path in tmp_path.iterdir()} == {"one", "many"}  # one run directory for all processes
    for single, several in zip(encoded(cls, tmp_path / "one"), encoded(cls, tmp_path / "many"), strict=True):
        torch.testing.assert_close(single, several, rtol=0, atol=1e-5)
    records = [
        cls.load_from_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True).passes_record
        for run in ("one", "many")
    ]
    assert len(records[0]) >= recorded
    for alone, together in zip(*records, strict=True):
        assert together == pytest.approx(alone, rel=1e-3, abs=1e-4)
    assert ranked(one) == ranked(many)
    assert one["protocol/test_image"] == 51


def test_two_processes_give_the_closed_forms_of_one(pairs: Pairs, tmp_path: Path) -> None:
    kernel = {"features": "kernel", "landmarks": 20}
    made = {f"{name} {features}": (name, changed) for name in ("pls", "cca", "csa", "procrustes", "ridge", "asif")
            for features, changed in (("raw", {}), ("kernel", kernel))}  # fmt: skip
    every = {
        key: (name, {"rank": 6, **({"anchors": 90} if name == "asif" else {}), **changed}, pairs, 1)
        for key, (name, changed) in made.items()
    }
    first, second = fit_all_by_two(tmp_path, every)
    for key, arguments in every.items():
        for name, value in fit(*arguments).items():
            assert torch.equal(first[key][name], second[key][name])
            torch.testing.assert_close(first[key][name], value, rtol=1e-4, atol=1e-4, msg=lambda _, at=key: at)
