"""STRUCTURE's regulariser against numbers computed otherwise."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from torch.nn.functional import normalize

from aligners.objectives.structure import divergence, neighbourhoods, structure


def drawn(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(features: torch.Tensor, embeddings: torch.Tensor, levels: int, tau: float) -> float:
    """By scipy, whose distance is the root of the divergence."""
    of = []
    for rows in (features.numpy(), embeddings.numpy()):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        centred = unit - unit.mean(0)
        of.append(softmax(centred @ centred.T / tau, axis=1))
    total = 0.0
    for level in range(1, levels + 1):
        P, Q = (np.linalg.matrix_power(each, level) for each in of)
        total += np.mean(jensenshannon(P, Q, axis=1) ** 2) / level
    return total / levels


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.05, 1.0])
def test_four_items(levels: int, tau: float) -> None:
    features, embeddings = drawn(4, 6, 0), drawn(4, 3, 1)
    value = structure(features, embeddings, levels, tau).item()
    assert value == pytest.approx(by_hand(features, embeddings, levels, tau), rel=1e-9)
    assert value > 1e-3


def test_two_items_on_paper() -> None:
    # opposite: the centred cosines are 1 and -1; at right angles: 1/2 and -1/2
    P = neighbourhoods(torch.tensor([[3.0], [-1.0]], dtype=torch.float64), tau=1.0)[0]
    Q = neighbourhoods(torch.eye(2, dtype=torch.float64), tau=1.0)[0]
    p, q = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))
    assert P.tolist() == pytest.approx([p, 1 - p])
    assert Q.tolist() == pytest.approx([q, 1 - q])
    m = (p + q) / 2
    expected = sum(a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b)) for a, b in ((p, m), (q, m))) / 2
    value = structure(torch.tensor([[3.0], [-1.0]]).double(), torch.eye(2).double(), 1, 1.0)
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize("levels", [1, 3])
def test_the_gradient_is_that_of_finite_differences(levels: int) -> None:
    features, embeddings = drawn(5, 6, 2), drawn(5, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: structure(features, z, levels, 0.3), embeddings)
    features.requires_grad_()
    structure(features, embeddings, levels, 0.3).backward()
    assert features.grad is None


def test_lengths_and_a_rotation_change_nothing() -> None:
    features = drawn(6, 4, 4)
    turned = torch.linalg.qr(drawn(4, 4, 5)).Q
    moved = features @ turned * torch.arange(1.0, 7)[:, None]
    assert structure(features, moved, 3, 0.1).item() == pytest.approx(0, abs=1e-12)


def test_far_apart_it_is_at_most_log_2_and_has_a_finite_gradient() -> None:
    """At a low temperature, where probabilities are 0 in float32."""
    features = torch.eye(4)
    embeddings = normalize(torch.ones(4, 4) + 0.1 * torch.eye(4)).requires_grad_()
    value = structure(features, embeddings, 2, 0.001)
    value.backward()
    assert value.item() <= np.log(2)
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    same, other = torch.eye(3), torch.eye(3).roll(1, 0)
    assert divergence(same, other).item() == pytest.approx(np.log(2))
    assert divergence(same, same).item() == 0


def test_one_item_has_no_neighbours() -> None:
    embedding = torch.ones(1, 3, requires_grad=True)
    value = structure(torch.ones(1, 2), embedding, 2, 0.1)
    value.backward()
    assert value.item() == 0
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()
