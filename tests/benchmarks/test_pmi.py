"""The PMI of the latent mixture against full densities and integrals, and the experiment on tiny data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy.integrate import quad
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from benchmarks import pmi
from benchmarks.mixture_pmi import LatentMixture
from ground.errors import UserError
from tests.benchmarks.records import record_of
from tests.datamodules.test_synthetic import made


def test_it_is_that_of_the_densities_of_the_whole_rows() -> None:
    data = made(n_train=9, n_val=2, n_test=2, latent_dim=3, d_x=5, d_y=4, n_centres=4, latent_std=0.6, noise=0.8)
    pairs = data.splits["train"]
    rows = pairs[torch.arange(9)]
    x, y = rows.x.double(), rows.y.double()
    U = torch.cat([data.basis_x, data.basis_y]).double()
    mean, covariance = data.centres.double() @ U.T, 0.36 * U @ U.T + 0.64 * torch.eye(9).double()

    def log_density(rows: torch.Tensor, part: slice) -> torch.Tensor:
        of = MultivariateNormal(mean[:, part], covariance[part, part])
        return MixtureSameFamily(Categorical(torch.ones(4)), of).log_prob(rows)

    joint = torch.cat([x.repeat_interleave(9, 0), y.repeat(9, 1)], 1)
    expected = log_density(joint, slice(0, 9)).view(9, 9)
    expected = expected - log_density(x, slice(0, 5))[:, None] - log_density(y, slice(5, 9))
    ours = LatentMixture(data.centres, data.basis_x, data.basis_y, 0.6, 0.8).pmi(x, y)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)  # the bases are float32


@pytest.mark.parametrize("latent_std", [0.0, 0.7])
def test_it_is_the_integral_over_the_latent_factor(latent_std: float) -> None:
    """One dimension: p(x, y) and the marginals by quadrature; without a spread a sum over the centres."""
    centres = [-1.5, 0.25, 2.0]
    mixture = LatentMixture(torch.tensor(centres)[:, None].double(), torch.eye(1), -torch.eye(1), latent_std, 0.5)

    def normal(at: float, std: float) -> float:
        return math.exp(-((at / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))

    def density(x: float | None, y: float | None) -> float:
        def given(z: float) -> float:
            of_x = 1.0 if x is None else normal(x - z, 0.5)
            return of_x * (1.0 if y is None else normal(y + z, 0.5))

        if not latent_std:
            return float(np.mean([given(c) for c in centres]))
        return float(np.mean([quad(lambda z, c=c: given(z) * normal(z - c, latent_std), -9, 9)[0] for c in centres]))

    x, y = [-2.0, 0.0, 1.25], [-1.0, 0.5]
    expected = [[np.log(density(a, b) / density(a, None) / density(None, b)) for b in y] for a in x]
    ours = mixture.pmi(torch.tensor(x)[:, None], torch.tensor(y)[:, None])
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-7)


def test_the_error_is_up_to_one_constant() -> None:
    pmi_, shift = torch.zeros(2, 2), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    off = pmi.departure(pmi_ + shift + 5, pmi_.double())
    # what is left: 3 and 1 of the joint, 0 of the product; its mean at half the weight each is 1
    assert off["joint"] == pytest.approx(2**0.5)
    assert off["product"] == pytest.approx(1.0)
    assert off["both"] == pytest.approx(1.5**0.5)
    exact = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    of_itself = pmi.departure(2 * exact, exact.double())
    assert of_itself["correlation_joint"] == pytest.approx(1)
    assert of_itself["correlation_product"] == pytest.approx(1)
    assert of_itself["both"] > 0.1


def test_one_command_prints_the_table_and_draws_the_figure(capsys: pytest.CaptureFixture[str]) -> None:
    pmi.main(["--quick", "--points", "1", "3", "--seeds", "2"])
    results: dict[str, Any] = record_of("pmi")["results"]
    assert {name: list(of) for name, of in results.items()} == {
        pmi.SETS: ["1", "3"], pmi.ONE: ["1", "3"], pmi.CONSTANT: ["1"]
    }  # fmt: skip
    assert all(len(seeds) == 2 for of in results.values() for seeds in of.values())
    assert results[pmi.SETS]["1"] == results[pmi.ONE]["1"]  # one point of 4 dimensions
    assert results[pmi.SETS]["3"][0]["both"] != results[pmi.SETS]["3"][1]["both"]  # a seed has its own data
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("|  | m | numbers | error | joint |")
    assert [line.split("|")[1:4] for line in lines[2:7]] == [
        [" m points ", " 1 ", " 5 "], [" m points ", " 3 ", " 15 "],
        [f" {pmi.ONE} ", " 1 ", " 5 "], [f" {pmi.ONE} ", " 1 ", " 15 "], [" a constant ", "  ", "  "],
    ]  # fmt: skip
    assert imread(Path("docs/figures/pmi_over_points.png")).std() > 0.01


def test_a_mistake_is_told() -> None:
    with pytest.raises(UserError, match=r"--points: must be a whole number of at least 1, got 0"):
        pmi.main(["--points", "0"])
