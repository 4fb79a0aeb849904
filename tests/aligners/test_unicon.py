from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from aligners.closed_form import CCA, PLS
from aligners.objectives import CLIP
from aligners.unicon import UniConSpectral
from datamodules.pairs import Pairs
from errors import UserError


def fitted(pairs: Pairs, **changed: object) -> UniConSpectral:
    aligner = UniConSpectral(**{"rank": 6, "feature_map": "identity", **changed})
    return aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=20)


def cosines(aligner: UniConSpectral | CCA | PLS, pairs: Pairs) -> Tensor:
    return normalize(aligner.encode_x(pairs.x)) @ normalize(aligner.encode_y(pairs.y)).T


@pytest.mark.parametrize("tau", [0.01, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
@pytest.mark.parametrize("objective", ["clip", "info_nce"])
@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_objective_does_not_rise_at_any_temperature(
    pairs: Pairs, tau: float, feature_map: str, objective: str, eta: float
) -> None:
    aligner = fitted(pairs, tau=tau, feature_map=feature_map, objective=objective, eta=eta, passes=8)
    values = [record["objective"] for record in aligner.history]
    assert len(values) > 1
    assert all(later <= earlier for earlier, later in pairwise(values))
    assert values[-1] < values[0]


def test_reported_objective_is_that_of_the_embeddings(pairs: Pairs) -> None:
    aligner = fitted(pairs, passes=3)
    expected = CLIP(0.1)(cosines(aligner, pairs).double(), pairs.group[:, None] == pairs.y_group)
    assert aligner.history[-1]["objective"] == pytest.approx(expected.item(), abs=1e-6)


def test_it_stops_by_itself(pairs: Pairs) -> None:
    aligner = fitted(pairs, passes=1000, tolerance=1e-2)
    assert 2 < len(aligner.history) < 100


def test_undamped_without_safeguard_is_the_paper_and_rises_at_small_tau(pairs: Pairs) -> None:
    aligner = fitted(pairs, tau=0.02, eta=1.0, safeguard=False, whiten=False, passes=4)
    values = [record["objective"] for record in aligner.history]
    assert any(later > earlier for earlier, later in pairwise(values))


@pytest.mark.parametrize("lam", [0.01, 0.3, 1.0])
def test_no_pass_is_cca(pairs: Pairs, lam: float) -> None:
    cca = CCA(rank=6, lam=lam).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, passes=0, lam=lam)
    torch.testing.assert_close(cosines(ours, pairs), cosines(cca, pairs))


def test_no_pass_and_no_whitening_is_pls(pairs: Pairs) -> None:
    pls = PLS(rank=6).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, passes=0, whiten=False, weight_power=0.0)
    torch.testing.assert_close(cosines(ours, pairs), cosines(pls, pairs))


def test_linear_kernel_is_the_linear_path(pairs: Pairs) -> None:
    # without whitening: the kernel's coordinates differ from the features' by a rotation alone
    common = {"whiten": False, "passes": 3}
    kernel = fitted(pairs, feature_map="nystrom", kernel="linear", landmark_ridge=1e-10, **common)
    linear = fitted(pairs, **common)
    torch.testing.assert_close(cosines(kernel, pairs), cosines(linear, pairs), rtol=1e-4, atol=1e-4)


def test_batches_do_not_matter(pairs: Pairs) -> None:
    one = fitted(pairs)
    other = UniConSpectral(rank=6, feature_map="identity").fit(
        pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=7, seed=5
    )
    torch.testing.assert_close(one.encode_x(pairs.x), other.encode_x(pairs.x), rtol=1e-6, atol=1e-7)


def test_permuted_samples_with_all_as_landmarks(pairs: Pairs) -> None:
    order = torch.randperm(pairs.n_x, generator=torch.Generator().manual_seed(1))
    permuted = UniConSpectral(rank=6).fit(
        pairs.x[order], pairs.y, x_of_y=torch.argsort(order)[pairs.x_of_y], group=pairs.group[order]
    )
    plain = fitted(pairs, feature_map="nystrom")
    torch.testing.assert_close(cosines(permuted, pairs), cosines(plain, pairs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"feature_map": "nystroem"}, "did you mean 'nystrom'"),
        ({"kernel": "arc_cosine"}, "did you mean 'arc_cosine_"),
        ({"objective": "cilp"}, "did you mean 'clip'"),
        ({"lam": -1.0}, "aligner.lam must be at least 0, got -1.0"),
        ({"landmarks": 0}, "aligner.landmarks must be at least 1, got 0"),
        ({"passes": -1}, "aligner.passes must be at least 0, got -1"),
        ({"eta": 0.0}, r"aligner.eta must be in \(0, 1\], got 0.0"),
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
