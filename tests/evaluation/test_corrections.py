"""Corrections for hubs against numbers by hand, each other, and transport plans of an independent library."""

import math

import numpy as np
import pytest
import torch

from evaluation.corrections import inverted_softmax, nearest_mean, sinkhorn

BANK = torch.tensor([[0.5, 0.1, -0.2, 0.0], [0.4, 0.3, 0.1, -0.1], [0.6, -0.3, 0.2, 0.2]], dtype=torch.float64)


def test_inverted_softmax_by_hand() -> None:
    expected = 0.2 * math.log((math.exp(2.5) + math.exp(2.0) + math.exp(3.0)) / 3)
    assert float(inverted_softmax(BANK, 0.2)[0]) == pytest.approx(expected, abs=1e-14)


def test_inverted_softmax_lies_between_the_mean_and_the_highest() -> None:
    torch.testing.assert_close(inverted_softmax(BANK, 1e6), BANK.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(inverted_softmax(BANK, 1e-4), BANK.amax(0), rtol=0, atol=2e-4)


def test_the_nearest_mean_by_hand() -> None:
    torch.testing.assert_close(nearest_mean(BANK, 2), torch.tensor([0.55, 0.2, 0.15, 0.1]).double())
    torch.testing.assert_close(nearest_mean(BANK, 9), BANK.mean(0))


def test_one_step_of_sinkhorn_is_the_inverted_softmax() -> None:
    torch.testing.assert_close(sinkhorn(BANK, 0.2, 1), inverted_softmax(BANK, 0.2))


def test_sinkhorn_makes_the_plan_of_another_library() -> None:
    ot = pytest.importorskip("ot")
    temperature = 0.15
    bias = sinkhorn(BANK, temperature, 500)
    plan = torch.exp((BANK - bias) / temperature)
    plan /= plan.sum(1, keepdim=True) * len(BANK)  # the queries' own scaling
    uniform = [np.full(n, 1 / n) for n in BANK.shape]
    expected = ot.sinkhorn(*uniform, -BANK.numpy(), reg=temperature, stopThr=1e-14, numItermax=5000)
    np.testing.assert_allclose(plan.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("rule", [lambda s: inverted_softmax(s, 0.1), lambda s: nearest_mean(s, 2),
                                  lambda s: sinkhorn(s, 0.1, 7)])  # fmt: skip
def test_what_all_items_have_more_is_taken_off(rule) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(rule(BANK + 3.0) - 3.0, rule(BANK), rtol=0, atol=1e-12)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(rule(BANK[order]), rule(BANK))  # the bank has no order
