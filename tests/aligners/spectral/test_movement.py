"""Norm and angles of a fit's passes, against scipy's angles and the embeddings of fits that stop earlier."""

from itertools import pairwise

import pytest
import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.solved import SolvedAligner
from aligners.spectral.factors import Factors
from aligners.spectral.movement import movement, principal_angles
from tests.aligners.dense_loop import problem
from tests.aligners.made import make
from tests.aligners.spectral.drawn import normal

PASSES = 3


@pytest.mark.parametrize(("k", "l"), [(4, 4), (5, 2), (2, 5), (1, 1)])
@pytest.mark.parametrize("apart", [10.0, 1e-3, 1e-9])
def test_angles_are_scipys(k: int, l: int, apart: float) -> None:  # noqa: E741
    m = 12
    B = normal(m, 5)
    A = B[:, :k] + apart * normal(m, k, seed=1)
    angles = principal_angles(A, B[:, :l])
    expected = torch.tensor(subspace_angles(A, B[:, :l])).rad2deg()
    torch.testing.assert_close(angles, expected, rtol=1e-6, atol=1e-12)
    assert torch.equal(angles, angles.sort(descending=True).values)


def test_lengths_of_columns_and_directions_of_weight_0_do_not_count() -> None:
    Q = torch.linalg.qr(normal(6, 3)).Q
    here = Factors(torch.cat([Q[:, :2], torch.zeros(6, 1)], 1), torch.tensor([2.0, 1.0, 0.0]), Q, gap=1.0)
    there = Factors(Q[:, :2] * torch.tensor([5.0, 1e-6]), torch.ones(2), Q[:, :2], gap=1.0)
    told = movement(here, there)
    assert told.pop("model_norm") == pytest.approx(5**0.5)
    assert sorted(told) == ["largest_angle_x", "largest_angle_y", "mean_angle_x", "mean_angle_y"]
    assert max(told.values()) < 1e-6


def embedded(name: str, passes: int, **changed: object) -> tuple[Aligner, Tensor, Tensor]:
    """An aligner that stops after ``passes``, and what it makes of the training rows, float64."""
    x, y, x_of_y, _ = problem(many=True)
    x, y = x.double(), y.double()
    aligner = make(name, rank=4, passes=passes, **changed).fit(x, y, x_of_y=x_of_y, batch_size=14)
    rows = (aligner.embed_x(aligner.prepare_x(x)), aligner.embed_y(aligner.prepare_y(y)))
    return aligner, *(each.detach() - each.mean(0) for each in rows)


LINEAR = {"feature_map": "identity", "lam": 0.0, "tau": 0.1, "tolerance": 0.0, "weight_power": 1.0}
FITS = {
    "tangent": ("unicon", LINEAR),
    "full": ("unicon", {**LINEAR, "step": "full"}),
    "within batches": ("unicon", {**LINEAR, "negatives": "batch"}),
    "rounds": ("unicon_batches", {"whiten": True, "lam": 0.0, "aggregate": "softmax", "tau": 0.1}),
}


@pytest.mark.parametrize("kind", FITS)
def test_a_record_has_the_norm_and_the_angles_of_what_passes_embed(kind: str) -> None:
    name, changed = FITS[kind]
    fits = [embedded(name, passes, **changed) for passes in range(PASSES + 1)]
    record = fits[-1][0].passes_record
    assert len(record) == PASSES + 1
    assert "largest_angle_x" not in record[0]
    for (aligner, *_), told in zip(fits, record, strict=True):
        assert isinstance(aligner, SolvedAligner)
        assert told["model_norm"] == pytest.approx(float(aligner.singular_values.norm()), rel=1e-9)
    # whitened without a ridge, the angles between directions are those between what they make of the training rows
    for ((_, *before), (_, *after)), told in zip(pairwise(fits), record[1:], strict=True):
        for side, there, here in zip("xy", before, after, strict=True):
            angles = torch.tensor(subspace_angles(here, there)).rad2deg()
            assert told[f"largest_angle_{side}"] == pytest.approx(float(angles.max()), rel=1e-5)
            assert told[f"mean_angle_{side}"] == pytest.approx(float(angles.mean()), rel=1e-5)
            assert float(angles.max()) > 0.1


@pytest.mark.parametrize("shared", [False, True])
def test_as_printed_the_norm_is_the_share_of_the_covariance_that_r_directions_hold(shared: bool) -> None:
    x, *_ = problem(many=False)
    aligner = make("unicon_paper", rank=4, passes=2, shared=shared).fit(x, x + 0.1 * x.flip(0))
    norms = [told["model_norm"] for told in aligner.passes_record]
    assert all(0 < norm <= 1 + 1e-12 for norm in norms)  # Z is the best rank r of C / |C|
    (last,) = aligner.passes_record[-1:]
    if shared:
        assert last["largest_angle_x"] == last["largest_angle_y"]


def test_votes_have_no_one_model() -> None:
    aligner, *_ = embedded("unicon_batches", 1, aggregate="majority")
    assert [set(told) for told in aligner.passes_record] == [{"models"}] * 2
