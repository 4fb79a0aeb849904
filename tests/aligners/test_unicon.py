from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.base.arrays import fit_arrays
from aligners.closed_form import CCA, PLS
from aligners.features.kernels import KERNELS
from aligners.objectives.softmax import CLIP
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError
from tests.aligners.exact_kernel import exact_kernel_similarity
from tests.aligners.fixed import FIXED
from tests.aligners.objectives.named import OBJECTIVES
from tests.problems import random_features


def fitted(pairs: Pairs, **changed: object) -> UniConSpectral:
    aligner = UniConSpectral(**{**FIXED, "rank": 6, "feature_map": "identity", **changed})
    return aligner.fit(pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group, batch_size=20)


def cosines(aligner: UniConSpectral | CCA | PLS, pairs: Pairs) -> Tensor:
    return normalize(aligner.encode_x(pairs.x.double())) @ normalize(aligner.encode_y(pairs.y.double())).T


@pytest.mark.parametrize("tau", [0.01, 0.05, 0.1, 1.0])
@pytest.mark.parametrize(
    ("objective", "feature_map", "negatives", "eta"),
    [(objective, "identity", "all", 0.1) for objective in OBJECTIVES]
    + [("clip", "nystrom", "all", 1.0), ("clip", "identity", "batch", 0.1), ("dcl", "nystrom", "batch", 1.0)],
)
def test_objective_does_not_rise_at_any_temperature(
    pairs: Pairs, tau: float, objective: str, feature_map: str, negatives: str, eta: float
) -> None:
    aligner = fitted(
        pairs, tau=tau, feature_map=feature_map, objective=objective, objective_options=OBJECTIVES[objective],
        negatives=negatives, eta=eta, passes=8,
    )  # fmt: skip
    values = [record["objective"] for record in aligner.solution.passes]
    assert len(values) > 1
    assert all(later <= earlier for earlier, later in pairwise(values))
    assert values[-1] < values[0]


def test_reported_objective_is_that_of_the_embeddings(pairs: Pairs) -> None:
    aligner = fitted(pairs, passes=3)
    expected = CLIP(0.1)(cosines(aligner, pairs).double(), pairs.group[:, None] == pairs.y_group)
    assert aligner.solution.passes[-1]["objective"] == pytest.approx(expected.item(), abs=1e-6)


def test_it_stops_by_itself(pairs: Pairs) -> None:
    aligner = fitted(pairs, passes=1000, tolerance=1e-2)
    assert 2 < len(aligner.solution.passes) < 100


def test_undamped_without_safeguard_is_the_paper_and_rises_at_small_tau(pairs: Pairs) -> None:
    aligner = fitted(pairs, tau=0.02, eta=1.0, safeguard=False, whiten=False, passes=4)
    values = [record["objective"] for record in aligner.solution.passes]
    assert any(later > earlier for earlier, later in pairwise(values))


@pytest.mark.parametrize("lam", [0.01, 0.3, 1.0])
def test_no_pass_is_cca(pairs: Pairs, lam: float) -> None:
    cca = CCA(rank=6, lam=lam).fit(pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, passes=0, lam=lam)
    torch.testing.assert_close(cosines(ours, pairs), cosines(cca, pairs))


def test_no_pass_and_no_whitening_is_pls(pairs: Pairs) -> None:
    pls = PLS(rank=6).fit(pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, passes=0, whiten=False, weight_power=0.0)
    torch.testing.assert_close(cosines(ours, pairs), cosines(pls, pairs))


@pytest.mark.parametrize("whiten", [True, False])
def test_linear_kernel_is_the_linear_path(whiten: bool) -> None:
    x, y, x_of_y = random_features(60, 2, 12, 12, seed=4)

    def solved(**changed: Any) -> UniConSpectral:
        common = {**FIXED, "whiten": whiten, "passes": 3, "landmark_ridge": 1e-10, "kernel": "linear"}
        aligner = UniConSpectral(rank=6, **{**common, **changed})
        return aligner.fit(x.double(), y.double(), x_of_y=x_of_y)

    # of 36 landmarks those are kept that span the 12 dimensions
    kernel, linear = solved(feature_map="nystrom", landmarks=36, lam=1.0), solved(feature_map="identity", lam=1.0)
    assert kernel.features.dims == (12, 12)
    similarities = [normalize(a.encode_x(x.double())) @ normalize(a.encode_y(y.double())).T for a in (kernel, linear)]
    torch.testing.assert_close(*similarities, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", ["arc_cosine_1", "rbf", "matern_32"])
def test_all_items_as_landmarks_are_the_exact_kernel_solution(kernel: str) -> None:
    x, y, _ = random_features(50, 1, 9, 7, seed=6)
    new_x, new_y, _ = random_features(20, 1, 9, 7, seed=8)
    settings: dict[str, Any] = {"passes": 0, "lam": 0.5, "weight_power": 1.0, "tau": 0.1, "feature_map": "nystrom"}
    aligner = UniConSpectral(rank=5, kernel=kernel, landmark_ridge=1e-11, **settings)
    aligner.fit(x.double(), y.double())
    assert aligner.features.dims == (50, 50)

    def similarity(rows: Tensor, others: Tensor) -> Tensor:
        return normalize(aligner.encode_x(rows.double())) @ normalize(aligner.encode_y(others.double())).T

    def gram(a: Tensor, b: Tensor) -> Tensor:
        side = aligner.features.map_x if a.shape[1] == 9 else aligner.features.map_y
        return KERNELS[kernel](a, b, float(side.fitted_bandwidth))

    prepare_x, prepare_y = aligner.prepare_x, aligner.prepare_y
    prepared = (prepare_x(x.double()), prepare_y(y.double())), (prepare_x(new_x.double()), prepare_y(new_y.double()))
    exact = exact_kernel_similarity(gram, *prepared[0], torch.eye(50, dtype=torch.bool), *prepared[1], 0.5, 5, 1.0)
    torch.testing.assert_close(similarity(new_x, new_y).double(), exact, rtol=0, atol=1e-5)


def test_batches_do_not_matter(pairs: Pairs) -> None:
    one = fitted(pairs)
    other = UniConSpectral(rank=6, **FIXED | {"feature_map": "identity"}).fit(
        pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group, batch_size=7, seed=5
    )
    torch.testing.assert_close(one.encode_x(pairs.x), other.encode_x(pairs.x), rtol=1e-6, atol=1e-7)


def test_rows_read_again_give_what_kept_rows_give(pairs: Pairs) -> None:
    for negatives in ("all", "batch"):
        kept = fitted(pairs, feature_map="nystrom", negatives=negatives)
        read = fitted(pairs, feature_map="nystrom", negatives=negatives, memory_mb=0)
        assert torch.equal(kept.encode_x(pairs.x), read.encode_x(pairs.x))


def test_one_batch_contrasts_with_all(pairs: Pairs) -> None:
    def solved(negatives: str) -> UniConSpectral:
        return UniConSpectral(rank=6, negatives=negatives, **FIXED | {"feature_map": "identity"}).fit(
            pairs.x.double(), pairs.y.double(), x_of_y=pairs.x_of_y, group=pairs.group, batch_size=100
        )

    torch.testing.assert_close(cosines(solved("all"), pairs), cosines(solved("batch"), pairs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
def test_permuted_samples(pairs: Pairs, feature_map: str) -> None:
    order = torch.randperm(pairs.n_x, generator=torch.Generator().manual_seed(1))
    permuted = UniConSpectral(rank=6, **FIXED | {"feature_map": feature_map}).fit(  # all items are landmarks
        pairs.x[order].double(), pairs.y.double(), x_of_y=torch.argsort(order)[pairs.x_of_y], group=pairs.group[order]
    )
    plain = fitted(pairs, feature_map=feature_map)
    atol = 1e-6 if feature_map == "identity" else 1e-4  # of kernel rows the solver's matrices are float32
    torch.testing.assert_close(cosines(permuted, pairs), cosines(plain, pairs), rtol=0, atol=atol)


@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
def test_float32_features_have_nearly_the_solution_of_float64(pairs: Pairs, feature_map: str) -> None:
    single = UniConSpectral(rank=6, **FIXED | {"feature_map": feature_map}).fit(
        pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group
    )
    double = fitted(pairs, feature_map=feature_map)
    torch.testing.assert_close(cosines(single, pairs), cosines(double, pairs), rtol=0, atol=2e-3)


def test_settings_given_as_lists_are_chosen(pairs: Pairs) -> None:
    aligner = fitted(pairs, lam=[0.1, 1.0, 100.0], tau=[0.1, 0.2], weight_power=[0.5, 1.0], passes=[0, 2, 4])
    chosen, trials = aligner.solution.chosen, aligner.solution.trials
    assert any({k: v for k, v in trial.items() if k != "recall"} == chosen for trial in trials)
    assert chosen["lam"] != 100.0
    assert len(aligner.solution.passes) == chosen["passes"] + 1
    assert aligner.facts["lam"] == chosen["lam"]


def test_a_bandwidth_is_chosen(pairs: Pairs) -> None:
    aligner = fitted(pairs, feature_map="nystrom", kernel="rbf", bandwidth=[0.01, 1.0], passes=0)
    assert aligner.solution.chosen["bandwidth"] == 1.0  # at 0.01 every item is like itself alone
    assert [trial["bandwidth"] for trial in aligner.solution.trials] == [0.01, 1.0]
    alone = fitted(pairs, feature_map="nystrom", kernel="rbf", bandwidth=1.0, passes=0)
    assert alone.facts["lam"] == aligner.facts["lam"]


def test_a_sample_that_is_enough_is_nearly_as_good() -> None:
    x, y, x_of_y = random_features(4000, 1, 10, 10, seed=3)

    def solved(sample: float | str) -> UniConSpectral:
        aligner = UniConSpectral(
            rank=6, feature_map="identity", lam=0.1, passes=0, weight_power=1.0, tau=0.1, sample=sample
        )
        return aligner.fit(x, y, x_of_y=x_of_y, batch_size=100)

    def recall(aligner: UniConSpectral) -> float:
        index = torch.arange(300)
        embedded = aligner.encode_x(x[:300]), aligner.encode_y(y[:300])
        return evaluate_retrieval(*embedded, index, index, "x", "y", 100)["mean_recall"]

    whole = solved(1.0)
    for some in (solved("enough"), solved(0.5)):
        assert not torch.equal(some.projection_x, whole.projection_x)  # it did stop
        assert recall(some) > recall(whole) - 3


def test_the_record_is_in_the_checkpoint(pairs: Pairs, tmp_path: Path) -> None:
    aligner = UniConSpectral(**{**FIXED, "rank": 6, "feature_map": "identity", "passes": 2})
    fit_arrays(aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y).save_checkpoint(tmp_path / "last.ckpt")
    loaded = UniConSpectral.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert loaded.solution == aligner.solution
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    angles = {f"{size}_angle_{side}" for size in ("largest", "mean") for side in "xy"}
    assert [set(entry) for entry in loaded.solution.passes] == [
        {"step", "gap", "objective", "model_norm"},
        {"step", "gap", "objective", "model_norm", *angles},
        {"step", "gap", "objective", "model_norm", *angles, "gradient_norm"},
    ]
    for U in (loaded.U, loaded.V):
        torch.testing.assert_close(U.T @ U, torch.eye(6, dtype=torch.float64))


def test_two_views_of_one_modality_share_an_encoder() -> None:
    x, y, _ = random_features(80, 1, 12, 12, seed=2)
    views = torch.stack([x, x + 0.3 * torch.randn(80, 12, generator=torch.Generator().manual_seed(0))])
    aligner = UniConSpectral(rank=4, shared=True, **FIXED | {"feature_map": "nystrom"}).fit(*views.double())
    assert torch.equal(aligner.encode_x(x), aligner.encode_y(x))
    swapped = UniConSpectral(rank=4, shared=True, **FIXED | {"feature_map": "identity"}).fit(*views.flip(0).double())
    straight = UniConSpectral(rank=4, shared=True, **FIXED | {"feature_map": "identity"}).fit(*views.double())
    torch.testing.assert_close(swapped.encode_x(x), straight.encode_x(x), rtol=0, atol=1e-5)
    values = [entry["objective"] for entry in straight.solution.passes]
    assert values[-1] < values[0]
    with pytest.raises(UserError, match=r"aligner.shared=true needs features of one dimension.* 12 and 7"):
        UniConSpectral(rank=4, shared=True).fit(x, y[:, :7])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"feature_map": "nystroem"}, "did you mean 'nystrom'"),
        ({"kernel": "arc_cosine"}, "did you mean 'arc_cosine_"),
        ({"objective": "cilp"}, "did you mean 'clip'"),
        ({"lam": -1.0}, "aligner.lam must be at least 0, got -1.0"),
        ({"landmarks": 0}, "aligner.landmarks must be at least 1, got 0"),
        ({"passes": -1}, "aligner.passes must be at least 0, got -1"),
        ({"sample": "some"}, r"aligner.sample must be a number or 'enough', got 'some'"),
        ({"eta": 0.0}, r"aligner.eta must be above 0 and at most 1, got 0.0"),
        ({"tau": -0.1}, "tau must be above 0, got -0.1"),
    ],
)
def test_bad_arguments_get_one_line(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UniConSpectral(**changed)


def test_rank_above_the_data_says_what_it_allows(pairs: Pairs) -> None:
    with pytest.raises(UserError, match=r"rank 18 is above what the data allows.*aligner.rank=17 or less"):
        fitted(pairs, rank=18)


def test_constant_features_are_refused() -> None:
    with pytest.raises(UserError, match="features that vary"):
        UniConSpectral(rank=2, feature_map="identity").fit(torch.full((9, 4), 0.3), torch.rand(9, 4))
