"""Smoothed densities against integrals, scipy's distributions, full matrices and the losses that they are parts of."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives import CLIP, InfoNCE
from evaluation.densities import Densities, densities, densities_without, log_density, named_densities
from evaluation.geometry import potential
from evaluation.vmf import log_bessel_debye, log_normaliser

KAPPAS = [5.0, 10.0, 20.0, 50.0, 100.0]


def rows(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def series(order: float, kappa: float) -> float:
    """log I by its power series, all of whose terms are positive: exact at any order."""
    m = np.arange(2000.0)
    gamma = np.array([math.lgamma(each + 1) + math.lgamma(each + order + 1) for each in m])
    return float(np.logaddexp.reduce((2 * m + order) * math.log(kappa / 2) - gamma))


@pytest.mark.parametrize("kappa", [0.1, 5.0, 100.0, 300.0])
@pytest.mark.parametrize("d", [1, 2, 3, 10, 128, 512, 1280])
def test_the_normaliser_by_its_series(d: int, kappa: float) -> None:
    order = d / 2 - 1
    expected = d / 2 * math.log(2 * math.pi) + series(order, kappa) - order * math.log(kappa)
    assert log_normaliser(d, kappa) == pytest.approx(expected, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("kappa", [0.01, 1.0, 50.0, 300.0])
def test_debyes_expansion_agrees_with_the_series_where_it_takes_over(kappa: float) -> None:
    from scipy.special import ive

    for order in (60.0, 90.0, 300.0, 1000.0):
        assert log_bessel_debye(order, kappa) == pytest.approx(series(order, kappa), abs=1e-9)
    assert log_bessel_debye(60.0, kappa) == pytest.approx(math.log(ive(60.0, kappa)) + kappa, abs=1e-9)


@pytest.mark.parametrize("d", [2, 3, 10, 128, 1280])
def test_at_kappa_0_the_density_is_uniform(d: int) -> None:
    log_area = math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
    assert log_normaliser(d, 1e-6) == pytest.approx(log_area, rel=1e-12, abs=1e-9)
    at = log_density(rows(4, d, 0), rows(7, d, 1), 1e-6, 8)
    assert torch.allclose(at, torch.full_like(at, -log_area), atol=1e-5)


def test_the_normaliser_needs_a_sphere() -> None:
    for d, kappa in ((0, 1.0), (3, 0.0), (3, float("nan"))):
        with pytest.raises(ValueError, match="at least one dimension and a kappa above 0"):
            log_normaliser(d, kappa)


def test_a_density_on_the_circle_integrates_to_1() -> None:
    data = rows(5, 2, 0)

    def density(angle: float) -> float:
        at = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        return float(log_density(at, data, 20.0, 8).exp())

    assert integrate.quad(density, 0, 2 * math.pi, limit=200)[0] == pytest.approx(1, abs=1e-10)


def test_densities_are_scipys() -> None:
    angles, at = np.array([0.3, 2.0, -1.0]), np.array([0.0, 1.0, 3.0])
    circle = [torch.tensor(np.stack([np.cos(a), np.sin(a)], 1)) for a in (at, angles)]
    expected = np.log(stats.vonmises(7.0, loc=angles).pdf(at[:, None]).mean(1))
    assert log_density(*circle, 7.0, 2).numpy() == pytest.approx(expected, rel=1e-12)
    queries, data = (normalize(rows(n, 6, seed)) for n, seed in ((4, 0), (3, 1)))
    kernels = [stats.vonmises_fisher(mu.numpy(), 9.0).pdf(queries.numpy()) for mu in data]
    expected = np.log(np.mean(kernels, axis=0))
    assert log_density(5 * queries, 3 * data, 9.0, 2).numpy() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_losses_are_their_parts(shift: float) -> None:
    """InfoNCE and CLIP are ``mean U / tau`` and densities, exactly, where no item is left out."""
    n, d = 40, 7
    x, y = rows(n, d, 0), rows(n, d, 1, shift)
    eye, group = torch.eye(n, dtype=torch.bool), torch.arange(n)
    cosines = normalize(x) @ normalize(y).T
    for at in densities(x, y, KAPPAS, 16, leave_one_out=False):
        tau = 1 / at.kappa
        of_pairs = potential(x, y, group, group) / tau + math.log(n) + log_normaliser(d, at.kappa)
        clip = float(CLIP(tau)(cosines, eye)) / tau  # objectives are tau times a mean of logarithms
        assert clip == pytest.approx(of_pairs - sum(at.entropies) / 2 - at.divergence, abs=1e-12)
        one_way = float(InfoNCE(tau)(cosines, eye)) / tau
        of_y = float(log_density(x, y, at.kappa, 16).mean())
        assert one_way == pytest.approx(of_pairs + of_y, abs=1e-12)
        assert of_y == pytest.approx(-at.entropies[0] - at.divergences[0], abs=1e-12)


@pytest.mark.parametrize("partners", [False, True])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_by_full_matrices(leave_one_out: bool, partners: bool) -> None:
    x, y = rows(9, 4, 0), rows(14, 4, 1, 0.5)
    x[3] = 0  # a zero row has cosine 0 with all
    u, v = normalize(x), normalize(y)
    g = torch.Generator().manual_seed(0)
    groups = None if partners else (torch.arange(9) // 2, torch.randint(1, 6, (14,), generator=g))
    for at in densities(x, y, [0.3, *KAPPAS], 5, leave_one_out, groups):
        log_v = log_normaliser(4, at.kappa)
        own = []
        for z in (u, v):
            logits = at.kappa * z @ z.T
            if leave_one_out:
                logits.fill_diagonal_(-torch.inf)
            own.append(float((logits.logsumexp(1) - math.log(len(z) - leave_one_out) - log_v).mean()))
        cross = at.kappa * u @ v.T
        left = torch.ones(9, 14, dtype=torch.bool) if groups is None else groups[0][:, None] != groups[1]
        of_others = cross.masked_fill(~left, -torch.inf)
        other = [float((of_others.logsumexp(way) - left.double().sum(way).log() - log_v).mean()) for way in (1, 0)]
        assert at.entropies == pytest.approx((-own[0], -own[1]), abs=1e-12)
        assert at.divergences == pytest.approx((own[0] - other[0], own[1] - other[1]), abs=1e-12)
        entropy = [float(torch.special.entr(cross.softmax(way)).sum(way).mean()) for way in (1, 0)]
        assert at.conditional == pytest.approx(entropy, abs=1e-12)


@pytest.mark.parametrize("block_size", [1, 7, 16, 300])
def test_neither_blocks_nor_the_order_of_items_matter(block_size: int) -> None:
    x, y = rows(16, 5, 0), rows(23, 5, 1, 0.3)
    order = [torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in (16, 23)]
    whole = densities(x, y, KAPPAS, 1000, leave_one_out=True)
    for a, b in zip(whole, densities(x[order[0]], y[order[1]], KAPPAS, block_size, leave_one_out=True), strict=True):
        for one, other in zip(a, b, strict=True):
            assert other == pytest.approx(one, abs=1e-11)


def test_equal_sets_with_the_same_smoothing_do_not_diverge() -> None:
    x = rows(30, 6, 0)
    for at in densities(x, 2 * x.flip(0), KAPPAS, 8, leave_one_out=False):
        assert at.divergences == pytest.approx((0, 0), abs=1e-13)
        assert at.entropies[0] == pytest.approx(at.entropies[1], abs=1e-13)
    apart = densities(x + 1, x - 1, KAPPAS, 8, leave_one_out=True)
    same = densities(x, rows(30, 6, 1), KAPPAS, 8, leave_one_out=True)
    assert all(a.divergence > b.divergence + 0.5 for a, b in zip(apart, same, strict=True))


def test_partners_that_meet_are_no_sign_that_modalities_do() -> None:
    """Two samples of one law diverge by nothing; with partners in, few items that meet make D negative."""
    x, group = rows(60, 16, 0), torch.arange(60)
    y = x + 0.05 * rows(60, 16, 1)
    (known,) = densities(x, y, [20.0], 8, leave_one_out=True)
    left, shuffled = (at[0] for at in densities_without(
        x, y, [20.0], 8, leave_one_out=True, pairings=[(group, group), (group, group.roll(1))]
    ))  # fmt: skip
    assert known.divergence < -2
    assert abs(left.divergence) < 0.1
    assert shuffled.divergence == pytest.approx(known.divergence, abs=0.1)
    assert left.entropies == shuffled.entropies == known.entropies
    assert left.conditional == known.conditional
    with pytest.raises(ValueError, match="its density is of none"):
        densities(x, y, [20.0], 8, leave_one_out=True, partners=(0 * group, 0 * group))


def test_names() -> None:
    named = named_densities([Densities(0.5, (1.0, 2.0), (0.25, 0.75), (3.0, 4.0))], "image", "text")
    assert named == {
        "kappa0.5/divergence": 0.5,
        "image/kappa0.5/entropy": 1.0, "text/kappa0.5/entropy": 2.0,
        "image_to_text/kappa0.5/kl": 0.25, "text_to_image/kappa0.5/kl": 0.75,
        "image_to_text/kappa0.5/conditional_entropy": 3.0, "text_to_image/kappa0.5/conditional_entropy": 4.0,
    }  # fmt: skip


def test_misuse_is_refused() -> None:
    x = rows(3, 4, 0)
    for kappas in ([0.0], [5.0, -1.0], [301.0], [float("nan")]):
        with pytest.raises(ValueError, match="every kappa must be above 0 and at most 300"):
            densities(x, x, kappas, 8, leave_one_out=True)
    with pytest.raises(ValueError, match="at least two rows"):
        densities(x[:1], x, KAPPAS, 8, leave_one_out=True)
    with pytest.raises(ValueError, match="differ in width"):
        log_density(x, rows(3, 5, 0), 1.0, 8)
