"""The step to the whole of C against dense decompositions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aligners import spectral
from aligners.spectral import krylov
from aligners.spectral.factors import Factors


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def falling(m_x: int, m_y: int, symmetric: bool = False) -> Tensor:
    """A matrix whose singular values fall by a fifth each."""
    k = min(m_x, m_y)
    left, right = torch.linalg.qr(normal(m_x, k)).Q, torch.linalg.qr(normal(m_y, k, seed=1)).Q
    return left * 0.8 ** torch.arange(k) @ (left if symmetric else right).T


def counted(C: Tensor) -> tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], list[tuple[int, int]]]:
    """The products of C, and the widths that were asked of them."""
    widths: list[tuple[int, int]] = []

    def products(D_x: Tensor, D_y: Tensor) -> tuple[Tensor, Tensor]:
        widths.append((D_x.shape[1], D_y.shape[1]))
        return C @ D_y, C.T @ D_x

    return products, widths


def moved(factors: Factors, step: spectral.Step, eta: float) -> tuple[Tensor, float]:
    new = spectral.rotated(factors, step, *step.trial(factors.s, eta))
    return new.U * new.s @ new.V.T, new.gap


def best(matrix: Tensor, rank: int) -> tuple[Tensor, float]:
    U, s, Vt = torch.linalg.svd(matrix)
    return U[:, :rank] * s[:rank] @ Vt[:rank], float(s[rank - 1] / s[rank])


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (200, 200)])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "sweeps"])
@pytest.mark.parametrize("eta", [1.0, 0.4])
def test_it_is_the_best_of_the_whole(
    shape: tuple[int, int], whole: bool, eta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(krylov, "DENSE_SWEEPS", 10**6 if whole else 0)
    monkeypatch.setattr(krylov, "STRIP", 64)
    C, here = falling(*shape), spectral.truncated_svd(normal(*shape, seed=2), 4)
    products, widths = counted(C)
    step = spectral.full_step(here, C @ here.V, C.T @ here.U, products, shared=False, exact=True)
    expected, gap = best((1 - eta) * (here.U * here.s @ here.V.T) + eta * C / C.norm(), 4)
    Z, of_step = moved(here, step, eta)
    if whole:  # strips of one side alone
        assert all(0 in width for width in widths)
        assert sum(map(max, widths)) == min(shape)
        torch.testing.assert_close(Z, expected)
        assert of_step == pytest.approx(gap)
    else:
        assert step.direction.shape[0] < min(shape)
        if eta == 1:  # the length of C is that of what the sweeps found, so a damped step is a little longer
            torch.testing.assert_close(Z / Z.norm(), expected / expected.norm(), rtol=0, atol=1e-9)


def test_it_leaves_an_invariant_plane_that_is_not_the_leading_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(krylov, "DENSE_SWEEPS", 0)
    C = torch.diag(torch.arange(40, 0, -1)).double()
    last = torch.eye(40).double()[:, -3:]
    products, _ = counted(C)
    here = Factors(last, torch.ones(3).double(), last, gap=1.0)
    step = spectral.full_step(here, C @ last, C.T @ last, products, shared=False, exact=True)
    Z, _ = moved(here, step, 1.0)
    torch.testing.assert_close(Z / Z.norm(), best(C, 3)[0] / best(C, 3)[0].norm())


def test_one_that_need_not_be_exact_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(krylov, "DENSE_SWEEPS", 0)
    left, right = torch.linalg.qr(normal(300, 300)).Q, torch.linalg.qr(normal(300, 300, seed=1)).Q
    C = left * torch.linspace(1, 0.9, 300) @ right.T  # no direction is far above another
    here = spectral.truncated_svd(normal(300, 300, seed=2), 4)
    products, widths = counted(C)
    spectral.full_step(here, C @ here.V, C.T @ here.U, products, shared=False, exact=False)
    assert len(widths) == krylov.SWEEPS
    products, widths = counted(C)
    step = spectral.full_step(here, C @ here.V, C.T @ here.U, products, shared=False, exact=True)
    assert step.direction.shape == C.shape  # the sweeps would have cost more than C itself


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "sweeps"])
def test_shared_it_is_the_best_of_the_symmetric_part(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(krylov, "DENSE_SWEEPS", 10**6 if whole else 0)
    skew = normal(60, 60, seed=3)
    C = falling(60, 60, symmetric=True) + 0.1 * (skew - skew.T)
    here = spectral.positive_part(normal(60, 60, seed=2) @ normal(60, 60, seed=2).T, 4)
    products, _ = counted(C)
    step = spectral.full_step(here, C @ here.V, C.T @ here.U, products, shared=True, exact=True)
    exact = spectral.positive_part((C + C.T) / 2, 4)
    Z, _ = moved(here, step, 1.0)
    expected = exact.U * exact.s @ exact.V.T
    torch.testing.assert_close(Z / Z.norm(), expected / expected.norm(), rtol=0, atol=1e-9)
    assert torch.equal(step.Q_x, step.Q_y)
