"""Steps of every aligner against what it encodes itself, by plain torch and by onnxruntime."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from aligners import CCA, SGDCLIP, UniConBatches, UniConSpectral
from aligners.base.aligner import Aligner
from aligners.features.kernels import KERNELS
from aligners.features.steps import Step
from datamodules.pairs.pairs import Pairs
from exporting.aligned_head import Head
from exporting.heads import head_of
from exporting.onnx_file import run_onnx, write_onnx
from exporting.parity import PARITY, own_difference
from ground.errors import UserError
from tests.aligners.made import NAMES, make
from tests.problems import random_features

WITHOUT_TAU = {"passes": 1, "tau": 0.1, "weight_power": 1.0, "lam": 0.1, "laplacian": 0.0, "step": "tangent"}


def difference(aligner: Aligner, rows: Tensor, side: str, folder: Path) -> tuple[float, float]:
    """The largest difference of unit embeddings of plain torch, and of onnxruntime, from the aligner's."""
    steps, tensors = head_of(aligner, side)
    head = Head(steps, tensors).eval()
    write_onnx(head, rows.shape[1], folder / "head.onnx")
    ours = normalize(aligner.encode_x(rows) if side == "x" else aligner.encode_y(rows))
    by_onnx = run_onnx(folder / "head.onnx", rows)
    assert by_onnx.shape == ours.shape
    assert by_onnx.dtype == head(rows).dtype == torch.float32
    return float((normalize(head(rows)) - ours).abs().max()), float((normalize(by_onnx) - ours).abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_an_export_encodes_as_its_aligner(name: str, pairs: Pairs, tmp_path: Path) -> None:
    x, y = pairs.x, pairs.y
    if name == "identity":
        aligner = make(name).fit(x, x.flip(1))
        y = x
    else:
        domain = {"domain": pairs.group % 2} if name == "gca_domains" else {}
        fit = {"x_of_y": pairs.x_of_y, "group": pairs.group, "batch_size": 32, "max_epochs": 3} | domain
        aligner = make(name, rank=6).fit(x, y, **fit)
    for side, rows in (("x", x), ("y", y)):
        if getattr(aligner, "score", None) is not None:
            with pytest.raises(UserError, match=r"scores pairs by more than a cosine of embeddings: it has no export$"):
                head_of(aligner, side)
        else:
            assert max(difference(aligner, rows, side, tmp_path)) <= PARITY


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("feature_map", ["nystrom", "random"])
def test_every_kernel_and_its_random_features(kernel: str, feature_map: str, tmp_path: Path) -> None:
    if feature_map == "random" and kernel in ("linear", "cosine"):
        pytest.skip("there are none")
    x, y, _ = random_features(120, 1, 12, 9, seed=0)
    x[0] = x.mean(0)  # nearly a zero row, centred
    landmarks = 40 if feature_map == "nystrom" else 64
    aligner = UniConSpectral(rank=5, feature_map=feature_map, kernel=kernel, landmarks=landmarks, **WITHOUT_TAU)
    assert max(difference(aligner.fit(x, y), x, "x", tmp_path)) <= PARITY


def test_a_map_that_needs_float64_has_it(tmp_path: Path) -> None:
    x, y, _ = random_features(200, 1, 6, 6, seed=1)
    aligner = UniConSpectral(
        rank=5, feature_map="nystrom", kernel="rbf", bandwidth=3.0, landmarks=150, landmark_ridge=0.0, **WITHOUT_TAU
    ).fit(x, y)
    steps, tensors = head_of(aligner, "x")
    assert [step["op"] for step in steps] == ["centre", "unit", "double", "kernel", "less", "linear"]
    assert tensors["x.3.landmarks"].dtype == torch.float64
    assert max(difference(aligner, x, "x", tmp_path)) <= PARITY


@pytest.mark.parametrize("features", ["whitened", "kernel", "kernel_whitened"])
def test_heads_on_features_of_the_solver(features: str, tmp_path: Path) -> None:
    x, y, _ = random_features(150, 1, 10, 8, seed=2)
    aligner = SGDCLIP(rank=4, features=features).fit(x, y, max_epochs=2)
    allowed = max(PARITY, 2 * own_difference(aligner, x, y))  # kernel rows divided by small numbers
    assert max(difference(aligner, x, "x", tmp_path)) <= allowed


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cca", {}), ("csa", {}), ("procrustes", {}), ("ridge", {}), ("ridge", {"direction": "y_to_x"}), ("asif", {}),
        ("asif", {"features": "raw", "neighbours": 20, "power": 8.0}),
    ],
)  # fmt: skip
def test_closed_forms_on_kernel_features_and_some_neighbours(
    name: str, changed: dict[str, object], tmp_path: Path
) -> None:
    x, y, _ = random_features(150, 1, 10, 8, seed=2)
    aligner = make(name, **{"rank": 4, "features": "kernel", **changed}).fit(x, y)
    allowed = max(PARITY, 2 * own_difference(aligner, x, y))
    for side, rows in (("x", x), ("y", y)):
        assert max(difference(aligner, rows, side, tmp_path)) <= allowed


def test_several_layers_in_a_row_are_scaled_each(tmp_path: Path) -> None:
    x, _, _ = random_features(80, 1, 12, 8, seed=3)
    aligner = CCA(rank=4)
    aligner.layers = (3, 1)
    aligner._build((12, 8), (3, 1))
    aligner.projection_x.copy_(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    assert head_of(aligner, "x")[0][1]["values"] == {"layers": 3}
    assert max(difference(aligner, x, "x", tmp_path)) <= PARITY
    assert max(difference(aligner, torch.zeros(2, 12), "x", tmp_path)) == 0  # no length to scale


def test_a_vote_of_models_is_no_cosine() -> None:
    x, y, _ = random_features(90, 1, 8, 8, seed=4)
    aligner = UniConBatches(rank=4, aggregate="majority").fit(x, y, batch_size=30)
    with pytest.raises(UserError, match=r"^UniConBatches scores pairs by more than a cosine of embeddings"):
        head_of(aligner, "x")


class Odd(CCA):
    def embed_x(self, x: Tensor) -> Tensor:
        return super().embed_x(x).abs()

    def embedding_steps(self, side: str) -> list[Step]:
        return Aligner.embedding_steps(self, side)


def test_an_aligner_that_does_not_say_its_steps_declines() -> None:
    x, y, _ = random_features(40, 1, 8, 8, seed=5)
    with pytest.raises(UserError, match=r"^Odd does not say its steps \(embedding_steps\): it has no export$"):
        head_of(Odd(rank=4).fit(x, y), "x")


def test_a_head_of_unknown_layers_declines() -> None:
    x, y, _ = random_features(40, 1, 8, 8, seed=5)
    aligner = SGDCLIP(rank=4).fit(x, y, max_epochs=1)
    aligner.head_x = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    with pytest.raises(UserError, match=r"^no step of an export does what Tanh does$"):
        head_of(aligner, "x")
