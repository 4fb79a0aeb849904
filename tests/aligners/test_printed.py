"""The iteration as printed, against a dense loop in float64 that shares nothing with the solver."""

import pytest
import torch
from torch.nn.functional import normalize

from tests.aligners.dense_loop import printed, problem, similarity
from tests.aligners.made import make

TOLD_APART = 1.05  # s_r / s_{r+1}: below it the best rank r hangs on rounding


@pytest.mark.parametrize("many", [False, True], ids=["one-to-one", "many-to-many"])
@pytest.mark.parametrize("tau", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("dense_sweeps", [12, 0], ids=["whole", "sweeps"])
def test_unicon_paper_is_the_dense_iteration(
    many: bool, tau: float, dense_sweeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aligners.spectral.krylov.DENSE_SWEEPS", dense_sweeps)
    x, y, x_of_y, P = problem(many)
    cosines, gaps = printed(x, y, P, 4, tau)
    assert min(gaps) > TOLD_APART
    for passes, expected in enumerate(cosines):
        aligner = make("unicon_paper", rank=4, passes=passes, tau=tau).fit(x, y, x_of_y=x_of_y)
        torch.testing.assert_close(similarity(aligner, x, y), expected, rtol=0, atol=1e-8)


def test_damped_it_is_the_damped_iteration() -> None:
    x, y, x_of_y, P = problem(many=True)
    cosines, gaps = printed(x, y, P, 4, tau=0.1, eta=0.3)
    assert min(gaps) > TOLD_APART
    for passes, expected in enumerate(cosines):
        aligner = make("unicon_paper", rank=4, passes=passes, tau=0.1, eta=0.3).fit(x, y, x_of_y=x_of_y)
        torch.testing.assert_close(similarity(aligner, x, y), expected, rtol=0, atol=1e-8)


def test_a_small_full_step_goes_where_the_tangent_goes() -> None:
    x, y, x_of_y, _ = problem(many=True)
    start, tangent, full = (
        similarity(
            make("unicon_paper", rank=4, tau=0.1, eta=1e-4, step=step, passes=passes).fit(x, y, x_of_y=x_of_y), x, y
        )
        for step, passes in (("full", 0), ("tangent", 1), ("full", 1))
    )
    assert (tangent - start).norm() > 1e-6
    # of another length: one is that of C, the other of its projection
    assert torch.cosine_similarity((full - start).flatten(), (tangent - start).flatten(), dim=0) > 0.9999


def test_one_batch_of_everything_is_all_pairs() -> None:
    x, y, x_of_y, _ = problem(many=True)
    all_pairs, batch = (
        make("unicon_paper", rank=4, tau=0.1, negatives=negatives).fit(x, y, x_of_y=x_of_y, batch_size=40)
        for negatives in ("all", "batch")
    )
    torch.testing.assert_close(similarity(batch, x, y), similarity(all_pairs, x, y), rtol=0, atol=1e-8)


def test_the_papers_kernel_aligner_is_the_iteration_on_exact_kernel_features() -> None:
    x, y, _, P = problem(many=False)
    aligner = make("unicon_kernel_paper", rank=4, landmark_ridge=0.0).fit(x, y)
    roots = []
    for rows in (x, y):  # arc-cosine of order 1: the Moore-Penrose root of the kernel matrix
        angle = (normalize(rows) @ normalize(rows).T).clamp(-1, 1).acos()
        lengths = rows.norm(dim=1)
        K = torch.outer(lengths, lengths) / torch.pi * (angle.sin() + (torch.pi - angle) * angle.cos())
        values, vectors = torch.linalg.eigh(K)
        roots.append(vectors * values.clamp_min(0).sqrt() @ vectors.T)
    cosines, gaps = printed(*roots, P, 4, tau=1.0)
    assert min(gaps[:3]) > TOLD_APART
    torch.testing.assert_close(similarity(aligner, x, y), cosines[2], rtol=0, atol=1e-6)
