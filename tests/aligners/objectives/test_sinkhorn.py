"""Sinkhorn's plans against POT's, the Pythagorean identity of its projections, and target plans."""

import warnings

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives.plans import domain_plan, positive_plan, uniform_marginals
from aligners.objectives.sinkhorn import DenseKernel, plan, potentials, sinkhorn
from aligners.objectives.transport import log_kernel
from tests.aligners.objectives.small_problems import asymmetric, problem


def divergence(A: Tensor, B: Tensor) -> Tensor:
    """The generalised Kullback-Leibler divergence."""
    return (torch.xlogy(A, A) - torch.xlogy(A, B) - A + B).sum()


@pytest.mark.parametrize(("n_x", "n_y", "eps"), [(6, 6, 0.5), (5, 8, 0.2), (7, 4, 0.05)])
def test_plans_are_pots(n_x: int, n_y: int, eps: float) -> None:
    similarity, positives = problem(3, n_x, n_y, 0)
    T, kernel = positive_plan(positives, similarity), DenseKernel(log_kernel(similarity, eps))
    mu, nu = T.sum(1), T.sum(0)
    ours = plan(kernel, *sinkhorn(kernel, mu.log(), nu.log(), 5000, tolerance=1e-14))
    theirs = ot.sinkhorn(mu, nu, 1 - similarity, eps, method="sinkhorn_log", numItermax=5000, stopThr=1e-13)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("weights", [(0.2, 0.2), (0.05, 3.0)])
def test_unbalanced_plans_are_pots(weights: tuple[float, float]) -> None:
    similarity, positives = problem(3, 5, 8, 1)
    T, eps = positive_plan(positives, similarity), 0.3
    mu, nu, kernel = T.sum(1), T.sum(0), DenseKernel(log_kernel(similarity, eps))
    damping = weights[0] / (weights[0] + eps), weights[1] / (weights[1] + eps)
    ours = plan(kernel, *sinkhorn(kernel, mu.log(), nu.log(), 500, damping))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "If reg_type = entropy", UserWarning)  # it tells what it is asked for
        theirs = ot.unbalanced.sinkhorn_unbalanced(
            mu, nu, 1 - similarity, eps, weights, reg_type="entropy", numItermax=500, stopThr=1e-14
        )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)

    def minimised(P: Tensor) -> Tensor:
        marginals = weights[0] * divergence(P.sum(1), mu) + weights[1] * divergence(P.sum(0), nu)
        return (P * (1 - similarity)).sum() + eps * (P * (P.log() - 1)).sum() + marginals

    leaf = ours.clone().requires_grad_()
    (slope,) = torch.autograd.grad(minimised(leaf), leaf)  # a convex problem: this is its certificate
    assert slope.abs().max() < 1e-10


@given(n_x=st.integers(2, 8), n_y=st.integers(2, 8), seed=st.integers(0, 999), eps=st.sampled_from([0.05, 0.5]))
@settings(max_examples=30, deadline=None)
def test_every_half_step_is_a_projection(n_x: int, n_y: int, seed: int, eps: float) -> None:
    """KL(T||P_k) - KL(T||P_k+1) = KL(P_k+1||P_k) for a target with the marginals that are projected on."""
    similarity, positives = asymmetric(n_x, n_y, 0.3, seed)
    T, kernel = positive_plan(positives, similarity), DenseKernel(log_kernel(similarity, eps))
    f, g = torch.zeros(n_x).double(), torch.zeros(n_y).double()
    before = plan(kernel, f, g)
    for k in range(6):
        if k % 2:
            g = T.sum(0).log() - kernel.columns(f)
        else:
            f = T.sum(1).log() - kernel.rows(g)
        after = plan(kernel, f, g)
        gained = divergence(T, before) - divergence(T, after)
        assert gained.item() == pytest.approx(divergence(after, before).item(), rel=1e-12, abs=1e-12)
        before = after


def test_a_tolerance_ends_it_and_says_how_far_rows_are() -> None:
    kernel, mu, nu = (
        DenseKernel(log_kernel(problem(4, 6, 9, 3)[0], 0.2)),
        torch.ones(6).double(),
        torch.ones(9).double(),
    )
    nu *= 6 / 9
    P = plan(kernel, *sinkhorn(kernel, mu.log(), nu.log(), 10_000, tolerance=1e-3))
    miss = (P.sum(1) / mu - 1).abs().max()
    assert 1e-9 < miss < 1e-3
    torch.testing.assert_close(P.sum(0), nu)


def test_potentials_of_a_plan_of_blocks_are_finite() -> None:
    """Two blocks: singular by a constant each."""
    P = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).double()
    a, b = potentials(P, P.sum(1), P.sum(0))
    torch.testing.assert_close((a[:, None] + b)[P > 0], torch.ones(13).double())


def test_plans_of_positives() -> None:
    _, one_to_one = problem(5, 5, 5, 0)
    like = torch.zeros(1, dtype=torch.float64)
    assert torch.equal(positive_plan(one_to_one, like), torch.eye(5).double())
    classes = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).bool()
    blocks = torch.block_diag(torch.full((2, 2), 1 / 2), torch.full((3, 3), 1 / 3))
    torch.testing.assert_close(positive_plan(classes, like), blocks.double())
    captions = torch.eye(3).bool().repeat_interleave(5, 1)
    torch.testing.assert_close(positive_plan(captions, like), 0.6 * captions.double())
    _, any_ = asymmetric(6, 9, 0.4, 0)
    torch.testing.assert_close(positive_plan(any_, like).T, positive_plan(any_.T, like))
    assert positive_plan(any_, like).sum().item() == pytest.approx((6 + 9) / 2)


def test_the_domain_plan_by_hand_and_its_limits() -> None:
    """One number for each kind of pair, where all domains are of one size: 1, a, b over a row's sum."""
    domain = torch.tensor([0, 0, 1, 1])
    same, positives = domain[:, None] == domain, torch.eye(4).bool()
    T = domain_plan(positives, same, a=0.5, b=0.25)
    row = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)  # 1, 0.5, 0.25, 0.25 over 2
    torch.testing.assert_close(T[0], row)
    torch.testing.assert_close(T[3], row.flip(0))
    torch.testing.assert_close(domain_plan(positives, same, a=0.0, b=0.0), torch.eye(4).double())
    uneven = torch.tensor([0, 0, 0, 1, 1])
    _, captions = problem(5, 5, 10, 0)
    U = domain_plan(captions, uneven[:, None] == uneven.repeat(2), a=0.7, b=0.1)
    torch.testing.assert_close(U.sum(1), torch.ones(5).double(), rtol=0, atol=1e-11)
    torch.testing.assert_close(U.sum(0), torch.full((10,), 0.5).double(), rtol=0, atol=1e-11)


def test_uniform_marginals_have_one_sum() -> None:
    log_mu, log_nu = uniform_marginals(torch.zeros(3), torch.zeros(7))
    assert log_mu.exp().sum().item() == pytest.approx(log_nu.exp().sum().item())
