"""The experiments on the geometry of contrastive losses, small."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import stats

from aligners.objectives import CLIP
from benchmarks.geometry import __main__ as geometry
from benchmarks.geometry import batches, equilibrium, mismatch, tables
from benchmarks.geometry.aligners import geometries
from ground.errors import UserError
from tests.benchmarks.records import record_of


def settings(name: str, **changed: Any) -> dict[str, Any]:
    return geometry.settings_of(geometry.QUICK)[name] | changed


def test_one_command_prints_the_tables_and_draws_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    geometry.main(["--quick", "mismatch.steps=4"])
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("##")] == [f"## {n}" for n in geometry.EXPERIMENTS]
    assert "| slope |" in shown
    assert "| raw features |  |  |" in shown  # of two dimensions: what each modality has alone
    names = {"batches", "mismatch", "equilibrium_2d", "equilibrium_3d"}
    assert {path.stem for path in Path("docs/figures").iterdir()} == {f"geometry_{name}" for name in names}
    assert all(imread(path).std() > 0.01 for path in Path("docs/figures").iterdir())
    record = record_of("geometry")
    assert record["settings"]["of"]["mismatch"]["steps"] == 4
    assert len(record["results"]["equilibrium"]) == 2 * 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["batches.repaets=3"], "unknown key 'batches.repaets' in 'batches.repaets=3': did you mean 'batches.repeats'"),
        (["repeats"], "unknown key 'repeats' in 'repeats'"),
        (["batches=3"], "unknown key 'batches' in 'batches=3'"),
        (["--only", "batch"], "invalid choice: 'batch'"),
        (["batches.repeats=0"], "batches.repeats must be at least 1, got 0"),
        (["equilibrium.dimensions=[4]", "--only", "equilibrium"], "equilibrium.dimensions must be from 2 to 3, got 4"),
        (["aligners.rows={cca: []}", "--only", "aligners"], "aligners.rows.cca must be an aligner and what is set"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str) -> None:
    with pytest.raises(UserError) as told:
        geometry.main(words)
    assert line in str(told.value)
    assert "\n" not in str(told.value)


def test_value_and_gradient_are_those_of_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BLOCK", 7)
    g = torch.Generator().manual_seed(0)
    x, y, a, b = (torch.randn(*shape, generator=g).double() for shape in ((20, 5), (20, 5), (5, 3), (5, 3)))
    value, gradient = batches.value_and_gradient(x, y, (a, b), 0.3)
    a.requires_grad_()
    b.requires_grad_()
    u, v = (torch.nn.functional.normalize(rows @ head) for rows, head in ((x, a), (y, b)))
    loss = CLIP(0.3)(u @ v.T, torch.eye(20).bool()) / 0.3 - math.log(20)
    assert value == pytest.approx(float(loss.detach()), abs=1e-12)
    expected = torch.cat([each.flatten() for each in torch.autograd.grad(loss, (a, b))])
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_errors_fall_as_the_root_of_the_batch() -> None:
    (found,) = batches.batch_errors(**settings("batches", taus=[1.0], sizes=[32, 128, 512], repeats=12))
    assert all(-0.75 < slope < -0.35 for slope in found.slopes)


def test_the_pull_is_the_losss_gradient_along_the_sphere() -> None:
    z = equilibrium.started("uniform", 12, 3, 1.5, torch.Generator().manual_seed(0)).requires_grad_()
    (slant,) = torch.autograd.grad(12 * equilibrium.unimodal_loss(z, 10.0, 1.5), z)
    z = z.detach()
    along = slant - (slant * z).sum(1, keepdim=True) * z
    assert torch.allclose(equilibrium.pull(z, 10.0, 1.5), along, atol=1e-12)


def test_bins_are_of_equal_measure() -> None:
    for dimension, bins in ((2, 32), (3, 32)):
        points = equilibrium.grid(dimension, bins)
        assert torch.allclose(points.norm(dim=1), torch.ones(len(points), dtype=torch.float64))
        counts = equilibrium.bins_of(points, bins).bincount()
        assert len(counts) == bins
        assert counts.max() <= 1.02 * counts.min()


def test_particles_without_a_potential_spread_and_in_one_are_gibbs() -> None:
    """From one point, to less than half of what as many independent draws are off."""
    small = settings("equilibrium", dimensions=[2], particles=200, steps=500, bins=16, draws=20)
    (*_, high) = equilibrium.equilibria(**(small | {"depth": 1.5}))
    assert high.start == "the highest point"
    assert high.total_variation < high.sampling / 2 + 0.03
    assert high.loss[1] < high.loss[0]
    assert high.histogram.max() > 2 / 16  # which is not uniform
    flat = equilibrium.equilibria(**(small | {"depth": 1e-9}))[1]
    assert flat.histogram == pytest.approx(np.full(16, 1 / 16), abs=0.03)


def test_the_angles_of_the_circle() -> None:
    circle = mismatch.Circle(0.7, 0.7, 6.0, 0.0, seed=0)
    x, y = circle.draw(20_000)
    angles = [torch.atan2(rows[:, 1], rows[:, 0]).numpy() for rows in (x, y)]
    turn = np.angle(np.exp(1j * (angles[1] - angles[0])))
    assert turn.std() == pytest.approx(0.7, rel=0.03)
    law = 0.7 * stats.vonmises(6.0).pdf(0.3) + 0.3 * stats.vonmises(6.0, loc=math.pi).pdf(0.3)
    assert np.mean(np.abs(angles[0] - 0.3) < 0.05) / 0.1 == pytest.approx(law, rel=0.1)


def test_a_mismatch_keeps_modalities_apart_and_a_match_does_not() -> None:
    found = mismatch.mismatches(**settings("mismatch", steps=300, items=500, lr=0.02))
    of = {each.spread: each for each in found if each.of == "embeddings"}
    assert of[0.0].cosine > 0.99
    assert abs(of[0.0].divergence[10]) < 0.02
    assert of[1.0].cosine > of[1.0].shuffled + 0.4
    assert of[1.0].divergence[10] > 0.05
    assert of[1.0].gap > of[0.0].gap


def test_aligners_of_one_dimension_have_raw_features_before() -> None:
    rows = {"as they are": ["identity"]}
    same = [*settings("aligners")["data"], "datamodule.d_x=12", "datamodule.d_y=12"]
    found = geometries(rows=rows, data=same, kappa=10)
    assert list(found) == ["raw features", "as they are"]
    raw, embedded = found.values()
    assert "mean recall" not in raw
    assert {key: value for key, value in embedded.items() if key != "mean recall"} == pytest.approx(raw, abs=2e-4)
    lines = tables.geometries(found).splitlines()
    assert lines[0].startswith("| row | mean recall | U | ")
    assert lines[2].startswith("| raw features |  | ")
