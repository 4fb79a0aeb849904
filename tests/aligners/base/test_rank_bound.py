"""A rank above what the data allow is refused before anything is built or fitted, and the largest one is not."""

import re

import pytest
import torch

from aligners import CCA
from aligners.base.aligner import Aligner
from aligners.base.rank_bound import RankBound
from ground.errors import UserError
from tests.aligners.made import make
from tests.problems import random_features

D = (24, 17)


def refused(aligner: Aligner, n_x: int = 40, d: tuple[int, int] = D, **arguments: object) -> str:
    """The line of a fit that is refused before it builds anything."""
    x, y, x_of_y = random_features(n_x, 2, *d, seed=0)
    with pytest.raises(UserError) as caught:
        aligner.fit(x, y, x_of_y=x_of_y, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert aligner.dims is None
    return str(caught.value)


def test_no_aligner_begins_to_fit_an_impossible_rank(ranked_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: Aligner, d_x: int, d_y: int) -> None:
        raise AssertionError("something was built")

    aligner = make(ranked_name, rank=100_000)
    monkeypatch.setattr(type(aligner), "build", build)
    line = refused(aligner)
    assert re.fullmatch(r"rank 100000 is above what the data allows: .*; set aligner\.rank=\d+ or less", line)


def test_the_largest_rank_that_is_allowed_is_named_and_fitted(ranked_name: str) -> None:
    most = int(re.findall(r"aligner\.rank=(\d+) or less", refused(make(ranked_name, rank=100_000)))[0])
    x, y, x_of_y = random_features(40, 2, *D, seed=0)
    fit = {"x_of_y": x_of_y, "batch_size": 50, "max_epochs": 1}
    # a choice holds a part of the items out, and a refusal is of those that are left
    aligner = make(ranked_name, rank=most).fit(x, y, **fit)
    assert (aligner.rank, len(aligner.encode_x(x))) == (most, 40)


@pytest.mark.parametrize(
    ("name", "changed", "most"),
    [
        ("cca", {}, 9), ("pls", {}, 9), ("csa", {}, 9), ("procrustes", {}, 9),
        ("cca", {"features": "kernel"}, 9), ("pls", {"features": "kernel", "landmarks": 5}, 5),
        ("hybrid", {}, 9), ("unicon_paper", {}, 10), ("unicon_batches", {}, 10),
        ("unicon_batches", {"aggregate": "majority"}, 17), ("unicon_convex", {}, 9),
        ("sgd_clip", {}, 41), ("sgd_clip", {"warm_start": "unicon"}, 9), ("sgd_clip", {"head": "mlp", "hidden": 5}, 12),
    ],
)  # fmt: skip
def test_few_items_allow_few_dimensions(name: str, changed: dict[str, object], most: int) -> None:
    line = refused(make(name, rank=most + 1, **changed), n_x=10)
    assert f"set aligner.rank={most} or less" in line


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_landmarks_bound_the_rank_of_kernel_features(kernel: str) -> None:
    fixed = {"lam": 1.0, "tau": 0.1, "weight_power": 1.0, "passes": 0, "kernel": kernel, "landmarks": 30}
    line = refused(make("unicon", rank=31, **fixed))
    assert f"aligner.rank={30 if kernel == 'rbf' else 17} or less" in line
    assert "aligner.landmarks" in line
    random = fixed | {"feature_map": "random", "kernel": "rbf"}
    assert "aligner.rank=30 or less" in refused(make("unicon", rank=31, **random))


def test_one_group_is_told_as_such() -> None:
    RankBound(0, "nothing").check(rank=4)
    x, y, _ = random_features(12, 1, 8, 7, seed=3)
    with pytest.raises(UserError, match="one group"):
        CCA(rank=4).fit(x, y, group=torch.zeros(12, dtype=torch.int64))
