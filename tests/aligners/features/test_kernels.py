import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from torch import Tensor

from aligners.features import kernels
from aligners.features.kernels import KERNELS, NEEDS_BANDWIDTH, fitted_bandwidth, median_distance
from ground.errors import UserError


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bandwidth", [0.4, 3.0])
def test_kernels_are_scikit_learns(bandwidth: float) -> None:
    rows = normal(20, 4), normal(9, 4, seed=1)
    x, z = (part.numpy() for part in rows)
    cosine = cosine_similarity(x, z)
    expected = {
        "linear": x @ z.T,
        "cosine": cosine,
        "exp_cosine": np.exp((cosine - 1) / bandwidth),
        "rbf": rbf_kernel(x, z, gamma=1 / (2 * bandwidth**2)),
        "matern_12": Matern(bandwidth, nu=0.5)(x, z),
        "matern_32": Matern(bandwidth, nu=1.5)(x, z),
        "matern_52": Matern(bandwidth, nu=2.5)(x, z),
    }
    assert expected.keys() == KERNELS.keys() - {"arc_cosine_0", "arc_cosine_1"}
    for name, values in expected.items():
        ours = KERNELS[name](*rows, bandwidth)
        torch.testing.assert_close(ours, torch.as_tensor(values), rtol=1e-12, atol=1e-12, msg=name)


def test_arc_cosines_at_known_angles() -> None:
    x = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    z = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(KERNELS["arc_cosine_0"](x, z, 1.0), expected)
    expected = torch.tensor([[2.0, 6 / math.pi, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(KERNELS["arc_cosine_1"](x, z, 1.0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [0, 1])
def test_arc_cosine_is_the_mean_of_random_relu_features(order: int) -> None:
    """k(x, z) = 2 E[h(w.x) h(w.z)] with h the step (order 0) or the ReLU (order 1), w standard normal."""
    x, z, w = normal(3, 5, seed=1), normal(4, 5, seed=2), normal(200_000, 5, seed=3)
    h = (lambda t: (t > 0).double()) if order == 0 else torch.relu
    expected = 2 * h(x @ w.T) @ h(z @ w.T).T / len(w)
    torch.testing.assert_close(KERNELS[f"arc_cosine_{order}"](x, z, 1.0), expected, rtol=0.03, atol=0.03)


def test_exp_cosine_is_a_gaussian_between_unit_rows() -> None:
    x, z = normal(6, 4), normal(5, 4, seed=1)
    unit_x, unit_z = (torch.nn.functional.normalize(rows).numpy() for rows in (x, z))
    gaussian = rbf_kernel(unit_x, unit_z, gamma=1 / (2 * 0.3))
    torch.testing.assert_close(KERNELS["exp_cosine"](x, z, 0.3), torch.as_tensor(gaussian))


@pytest.mark.parametrize("name", KERNELS)
@given(
    rows=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.floats(-100, 100).map(lambda v: round(v, 3)),
    ),
    bandwidth=st.floats(0.05, 50),
)
@settings(max_examples=40, deadline=None)
def test_gram_matrices_are_symmetric_and_positive(name: str, rows: np.ndarray, bandwidth: float) -> None:
    """Also with zero rows, equal rows and opposite rows."""
    x = torch.as_tensor(rows)
    gram = KERNELS[name](x, x, bandwidth)
    scale = float(gram.diagonal().max()) + 1e-300
    torch.testing.assert_close(gram, gram.T, rtol=1e-10, atol=1e-7 * scale)
    assert torch.linalg.eigvalsh(gram).min() > -1e-5 * scale
    # equal rows: the square root of rounding, over the bandwidth
    rounding = 1e-7 * float(x.abs().max() / bandwidth if name == "matern_12" else 1)
    torch.testing.assert_close(
        KERNELS[name].diagonal(x, bandwidth), gram.diagonal(), rtol=1e-9, atol=1e-7 * scale + rounding
    )


def test_zero_rows_have_the_values_of_a_zero_cosine() -> None:
    zero, z = torch.zeros(1, 3), torch.ones(2, 3)
    expected = {
        "linear": 0.0,
        "cosine": 0.0,
        "exp_cosine": math.exp(-2),
        "arc_cosine_0": 0.5,
        "arc_cosine_1": 0.0,
        "rbf": math.exp(-6),
        "matern_12": math.exp(-2 * math.sqrt(3)),
    }
    for name, value in expected.items():
        torch.testing.assert_close(KERNELS[name](zero, z, 0.5), torch.full((1, 2), value), msg=name)


@pytest.mark.parametrize("name", KERNELS)
def test_float32_follows_float64(name: str) -> None:
    x, z = normal(60, 40), normal(50, 40, seed=1)
    single = KERNELS[name](x.float(), z.float(), 6.0)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), KERNELS[name](x, z, 6.0), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_values_do_not_depend_on_blocks_and_inputs_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, z = normal(11, 5), normal(7, 5, seed=1)
    copies = x.clone(), z.clone()
    lengths = z.norm(dim=1)
    whole = KERNELS[name](x, z, 2.0, lengths)
    monkeypatch.setattr(kernels, "BLOCK", 20)  # two rows at once
    torch.testing.assert_close(KERNELS[name](x, z, 2.0), whole, rtol=1e-14, atol=1e-14)
    assert torch.equal(x, copies[0])
    assert torch.equal(z, copies[1])
    torch.testing.assert_close(lengths, z.norm(dim=1), rtol=0, atol=0)


@pytest.mark.parametrize("name", KERNELS)
def test_no_rows_give_no_values(name: str) -> None:
    assert KERNELS[name](torch.zeros(0, 3), torch.ones(2, 3), 1.0).shape == (0, 2)
    assert KERNELS[name](torch.ones(2, 3), torch.zeros(0, 3), 1.0).shape == (2, 0)


def test_kernels_without_a_scale_ignore_the_bandwidth() -> None:
    x = normal(6, 3)
    for name, kernel in KERNELS.items():
        same = torch.equal(kernel(x, x, 0.5), kernel(x, x, 2.0))
        assert same == (name not in NEEDS_BANDWIDTH), name


def test_median_distance_by_hand() -> None:
    rows = torch.tensor([[0.0], [1.0], [4.0], [4.0], [0.0], [0.0]])  # distinct: 0, 1, 4; distances 1, 3, 4
    assert median_distance(rows) == pytest.approx(3.0)
    assert median_distance(rows + 1e6) == pytest.approx(3.0)
    with pytest.raises(UserError, match="rows that differ"):
        median_distance(torch.ones(5, 3))


def test_fitted_bandwidths() -> None:
    sample = normal(30, 4) * 7
    assert fitted_bandwidth("linear", torch.ones(3, 2), 2.0) == 1.0
    assert fitted_bandwidth("matern_32", sample, 2.0) == pytest.approx(2 * median_distance(sample))
    temperature = fitted_bandwidth("exp_cosine", sample, 2.0)
    assert temperature == pytest.approx(fitted_bandwidth("exp_cosine", sample / 7, 2.0))
    unit = torch.nn.functional.normalize(sample)
    torch.testing.assert_close(  # the same kernel as the Gaussian's between unit rows
        KERNELS["exp_cosine"](unit, unit, temperature), KERNELS["rbf"](unit, unit, fitted_bandwidth("rbf", unit, 2.0))
    )
