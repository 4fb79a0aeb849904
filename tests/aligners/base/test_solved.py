"""What encodes by one projection of raw features."""

from typing import Any

import pytest
import torch
from torch import Tensor

from aligners import spectral
from aligners.base.solved import SolvedAligner, solving
from aligners.base.yaml_defaults import aligner_config
from aligners.spectral.coordinates import uniform_solution
from aligners.spectral.moments import Moments
from aligners.spectral.passes import Solved
from aligners.unicon import UniConSpectral
from datamodules.pairs import PairBatch, Pairs


class Squared(SolvedAligner):
    """Has x and its squares as raw features of x, of y itself."""

    def build(self, d_x: int, d_y: int) -> None:
        self.register_solution(2 * d_x + 3, d_y)  # more than there will be

    def raw_x(self, x: Tensor) -> Tensor:
        return torch.cat([x, x.square()], 1)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_embeddings_are_the_centred_whitened_weighted_raw_features(pairs: Pairs, power: float) -> None:
    aligner = Squared(rank=4, unit=False, shared=False, **aligner_config("base/memory"))
    aligner._build(pairs.dims)
    x, y = pairs.x.double(), pairs.y.double()
    raw_x, raw_y = aligner.raw_x(x), aligner.raw_y(y)
    moments = Moments(raw_x.shape[1], raw_y.shape[1], pairs.n_x, pairs.n_y, "cpu")
    moments.add(PairBatch(raw_x, raw_y, pairs.group, pairs.y_group, torch.arange(pairs.n_x), torch.arange(pairs.n_y)))
    moments.tensors()
    statistics = spectral.statistics(moments)
    coordinates = statistics.coordinates(0.3)
    factors = uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, 4)
    aligner.hold(Solved(coordinates.embedding(factors, power), factors))
    for embedded, raw, W, D in (
        (aligner.embed_x(x), raw_x, coordinates.W_x, factors.U),
        (aligner.embed_y(y), raw_y, coordinates.W_y, factors.V),
    ):
        expected = (raw - raw.mean(0)) @ (W @ torch.eye(raw.shape[1], dtype=torch.float64)) @ D * factors.s**power
        torch.testing.assert_close(embedded, expected, rtol=0, atol=1e-10)
    assert torch.equal(aligner.singular_values, factors.s)
    assert aligner.embed_x(x.float()).dtype == torch.float32


def test_the_solution_is_its_state(pairs: Pairs) -> None:
    aligner = Squared(rank=4, unit=False, shared=False, **aligner_config("base/memory"))
    aligner._build(pairs.dims)
    shapes = {name: tuple(value.shape) for name, value in aligner.state_dict().items() if not name.startswith("mean")}
    d_x, d_y = pairs.dims
    assert shapes == {
        "projection_x": (2 * d_x + 3, 4), "projection_y": (d_y, 4),
        "offset_x": (4,), "offset_y": (4,), "singular_values": (4,),
    }  # fmt: skip


@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
def test_memory_is_not_filled_while_it_solves_and_none_is_read_unwritten(
    pairs: Pairs, feature_map: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def projection() -> Tensor:
        settings: Any = {"feature_map": feature_map, "lam": 1.0, "tau": 0.1, "weight_power": 1.0, "passes": 2}
        return UniConSpectral(rank=4, **settings).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y).projection_x

    plain = projection()
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    with solving():
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        assert not torch.is_grad_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="stops"), solving():
        raise ValueError("stops")
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    try:  # unwritten memory is NaN from here on
        monkeypatch.setattr("aligners.base.solved.solving", torch.no_grad)
        assert torch.equal(projection(), plain)
    finally:
        torch.use_deterministic_algorithms(False)
