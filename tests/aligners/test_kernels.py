import math

import pytest
import torch

from aligners.feature_maps import Nystrom
from aligners.kernels import KERNELS


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_symmetric_and_positive(name: str) -> None:
    x = normal(20, 4)
    gram = KERNELS[name](x, x)
    torch.testing.assert_close(gram, gram.T)
    assert torch.linalg.eigvalsh(gram).min() > -1e-7


def test_arc_cosines_by_hand() -> None:
    x = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    z = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(KERNELS["arc_cosine_0"](x, z), expected)
    expected = torch.tensor([[2.0, 6 / math.pi, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(KERNELS["arc_cosine_1"](x, z), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [0, 1])
def test_arc_cosine_is_the_mean_of_random_relu_features(order: int) -> None:
    """k(x, z) = 2 E[h(w.x) h(w.z)] with h the step (order 0) or the ReLU (order 1), w standard normal."""
    x, z, w = normal(3, 5, seed=1), normal(4, 5, seed=2), normal(200_000, 5, seed=3)
    h = (lambda t: (t > 0).double()) if order == 0 else torch.relu
    expected = 2 * h(x @ w.T) @ h(z @ w.T).T / len(w)
    torch.testing.assert_close(KERNELS[f"arc_cosine_{order}"](x, z), expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("name", KERNELS)
def test_nystrom_with_all_landmarks_is_the_kernel(name: str) -> None:
    x = normal(15, 20)
    feature_map = Nystrom(name, 20, ridge=1e-12)
    feature_map.fit(x)
    phi = feature_map(x)
    torch.testing.assert_close(phi @ phi.T, KERNELS[name](x, x), rtol=1e-6, atol=1e-8)


def test_the_root_folds_into_projections() -> None:
    feature_map = Nystrom("arc_cosine_1", 6, ridge=1e-6)
    feature_map.fit(normal(10, 6))
    x, M, H = normal(7, 6, seed=1), normal(10, 3, seed=2), normal(7, 3, seed=3)
    torch.testing.assert_close(feature_map.raw(x) @ feature_map.root(M), feature_map(x) @ M)
    torch.testing.assert_close(feature_map.root_transposed(feature_map.raw(x).T @ H), feature_map(x).T @ H)


def test_zero_rows_have_kernel_values() -> None:
    gram = KERNELS["arc_cosine_1"](torch.zeros(1, 3), torch.ones(2, 3))
    assert torch.equal(gram, torch.zeros(1, 2))
