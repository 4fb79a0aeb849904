"""The spectral contrastive loss: its value, and the factorisation that it is."""

import pytest
import torch
from torch.nn.functional import normalize

from aligners.objectives.factorised import SpectralContrastive
from tests.aligners.objectives.small_problems import asymmetric
from tests.aligners.objectives.three_by_four import POSITIVES, X, Y


def test_by_hand() -> None:
    rows = [
        2 * (1 + 0.64) / 4 - 2 * 1,
        2 * (1 + 0.36 + 1) / 4 - 2 * (1 + 0.6) / 2,
        2 * (0.36 + 0.64 + 0.9216 + 0.64) / 4 - 2 * -0.8,
    ]
    columns = [2 * 1.36 / 3 - 2, 2 * 1.64 / 3 - 2, 2 * 1.9216 / 3 - 1.2, 2 * 1.64 / 3 + 1.6]
    value = SpectralContrastive(tau=0.5)(normalize(X) @ normalize(Y).T, POSITIVES)
    assert value.item() == pytest.approx((sum(rows) / 3 + sum(columns) / 4) / 2, rel=1e-13)
    assert value.item() == pytest.approx(0.310266666666667)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_it_is_a_factorisation_of_the_pairs(density: float) -> None:
    """In Frobenius' norm, of embeddings of squared length 1 / tau, up to a constant of the pairs alone."""
    _, P = asymmetric(5, 8, density, 1)
    generator = torch.Generator().manual_seed(0)
    tau, pairs = 0.3, P.double()
    of_pairs = (pairs / pairs.sum(1, keepdim=True) / 5 + pairs / pairs.sum(0) / 8) / 2
    constants = []
    for _ in range(3):
        x, y = (normalize(torch.randn(n, 4, generator=generator, dtype=torch.float64)) for n in (5, 8))
        F, G = x / (tau * 5) ** 0.5, y / (tau * 8) ** 0.5
        distance = (40**0.5 * of_pairs - F @ G.T).square().sum()
        constants.append((distance - SpectralContrastive(tau)(x @ y.T, P) / tau).item())
    assert constants == pytest.approx([40 * of_pairs.square().sum().item()] * 3, rel=1e-12)
