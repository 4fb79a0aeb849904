"""Kernel features: float32 scores what float64 does, at any ridge of the landmarks and of the whitening."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners import UniConSpectral
from aligners.features.kernels import KERNELS, NEEDS_BANDWIDTH
from aligners.spectral.coordinates import Statistics, statistics
from datamodules.pairs.pairs import Pairs

CONFIG = Path(__file__).parents[2] / "configs" / "datamodule" / "synthetic.yaml"
AS_PRINTED = {
    "whiten": False, "lam": 0.0, "tau": 1.0, "eta": 1.0, "safeguard": False, "passes": 2, "max_halvings": 0,
    "weight_power": 0.5, "svd": "exact", "unit": False,
}  # fmt: skip
WHITENED = {"lam": 0.3, "tau": 0.1, "passes": 2, "weight_power": 1.0}


@pytest.fixture(scope="module")
def splits() -> dict[str, Pairs]:
    return made(n_train=600)


@pytest.fixture(scope="module")
def few() -> dict[str, Pairs]:
    return made(n_train=150)


def made(n_train: int) -> dict[str, Pairs]:
    config = OmegaConf.create({"seed": 0, "datamodule": OmegaConf.load(CONFIG)})
    data = instantiate(OmegaConf.merge(config, {"datamodule": {"nonlinearity": "tanh", "n_train": n_train}}).datamodule)
    data.setup()
    return {name: pairs[torch.arange(pairs.n_x)] for name, pairs in data.splits.items()}


def recall(splits: dict[str, Pairs], dtype: torch.dtype, **settings: object) -> float:
    train, test = splits["train"], splits["test"]
    torch.manual_seed(0)
    aligner = UniConSpectral(rank=10, feature_map="nystrom", landmarks=600, **settings)
    with pytest.MonkeyPatch.context() as patch:
        if dtype == torch.float64:  # in all of it, whatever the ridges
            patch.setattr("aligners.spectral.training.LEAST_RIDGES", float("inf"))
            patch.setattr("aligners.features.nystrom.LEAST_IN_FLOAT32", float("inf"))
        aligner.fit(train.x.to(dtype), train.y.to(dtype))
    similarity = aligner.similarity(test.x.to(dtype), test.y.to(dtype))
    own = torch.arange(len(similarity))
    return 50 * sum(float((similarity.argmax(dim) == own).double().mean()) for dim in (0, 1))


@pytest.mark.parametrize("settings", [AS_PRINTED, WHITENED], ids=["as_printed", "whitened"])
@pytest.mark.parametrize("ridge", [0.0, 1e-10, 1e-6, 1e-2])
@pytest.mark.parametrize("kernel", ["cosine", "linear"])
def test_float32_scores_what_float64_does(
    splits: dict[str, Pairs], kernel: str, ridge: float, settings: dict[str, object]
) -> None:
    one, other = (
        recall(splits, dtype, kernel=kernel, landmark_ridge=ridge, **settings)
        for dtype in (torch.float32, torch.float64)
    )
    assert other > 75
    assert one == pytest.approx(other, abs=0.5)


@pytest.mark.parametrize("lam", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    ("kernel", "bandwidth"),
    [(kernel, 1.0) for kernel in KERNELS] + [(kernel, 20.0) for kernel in sorted(NEEDS_BANDWIDTH)],
)
def test_every_kernel_is_whitened_in_float32_as_in_float64(
    few: dict[str, Pairs], kernel: str, bandwidth: float, lam: float
) -> None:
    for ridge in (0.0, 1e-8, 1e-6, 1e-4):
        settings = WHITENED | {
            "passes": 1,
            "lam": lam,
            "kernel": kernel,
            "bandwidth": bandwidth,
            "landmark_ridge": ridge,
        }
        one, other = (recall(few, dtype, **settings) for dtype in (torch.float32, torch.float64))
        assert other > 20
        assert one == pytest.approx(other, abs=0.5), ridge


@pytest.mark.parametrize("bandwidth", [1.0, 100.0])
def test_matrices_are_float32_where_the_rows_and_the_ridges_allow_it(few: dict[str, Pairs], bandwidth: float) -> None:
    settings = WHITENED | {"passes": 0, "kernel": "rbf", "bandwidth": bandwidth, "landmark_ridge": 1e-4}
    kept: list[Statistics] = []

    def seen(*arguments: object, **named: object) -> Statistics:
        kept.append(statistics(*arguments, **named))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aligners.spectral.training.statistics", seen)
        aligner = UniConSpectral(rank=10, feature_map="nystrom", landmarks=150, **settings).fit(
            few["train"].x, few["train"].y
        )
    flat = bandwidth == 100.0  # its values differ in their last digits alone
    assert aligner.features.near_singular == flat
    assert kept[0].cross.dtype == kept[0].x.covariance.dtype == (torch.float64 if flat else torch.float32)


@pytest.mark.parametrize("kernel", ["rbf", "exp_cosine", "arc_cosine_1"])
def test_products_of_float32_kernel_rows_leave_the_covariance_whole(splits: dict[str, Pairs], kernel: str) -> None:
    settings = WHITENED | {"passes": 1, "lam": 0.01, "kernel": kernel, "landmark_ridge": 0.0}
    one, other = (recall(splits, dtype, **settings) for dtype in (torch.float32, torch.float64))
    assert other > 40
    assert one == pytest.approx(other, abs=0.5)


@pytest.mark.parametrize("negatives", ["all", "batch"])
@pytest.mark.parametrize("tau", [0.003, 0.001, 1e-4])
def test_a_small_temperature_that_leaves_no_weights_ends_the_fit(tau: float, negatives: str) -> None:
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    settings = {"feature_map": "identity", "lam": 1.0, "passes": 2, "weight_power": 1.0}
    aligner = UniConSpectral(rank=4, tau=tau, negatives=negatives, **settings).fit(x, x.flip(1))
    assert torch.isfinite(aligner.encode_x(x)).all()
    assert all(torch.isfinite(torch.tensor(each["objective"])) for each in aligner.passes_record)
