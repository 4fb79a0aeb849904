import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aligners.objectives.base import FromRows, Objective
from aligners.objectives.names import OBJECTIVES as NAMED
from aligners.objectives.names import chosen_objective, named_objective
from aligners.objectives.pairwise import SigLIP, Triplet
from aligners.objectives.robust import RINCE
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.objectives.whole import FromLoss
from ground.configs import CONFIGS
from ground.errors import UserError
from tests.aligners.objectives.small_problems import (
    assert_weights_are_minus_the_gradient,
    asymmetric,
    autograd_weights,
    problem,
    sizes,
)

OBJECTIVES: list[Objective] = [
    InfoNCE(0.07),
    CLIP(0.01),
    CLIP(0.1),
    CLIP(1.0),
    SigLIP(0.1, -10.0),
    SigLIP(1.0, 0.0),
    UniCon(0.01, 1.0),
    UniCon(0.1, 1.5),
    UniCon(1.0, 0.1),
    DCL(0.01),
    DCL(0.3),
    Triplet(0.2),
    RINCE(0.5, 0.01, 0.6),
    RINCE(0.2, 0.5, 1.0),
]
each_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)


@each_objective
@given(n_groups=st.integers(1, 6), more_x=st.integers(0, 5), more_y=st.integers(0, 9), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_weights_are_minus_the_gradient(
    objective: Objective, n_groups: int, more_x: int, more_y: int, seed: int
) -> None:
    assert_weights_are_minus_the_gradient(objective, *problem(n_groups, n_groups + more_x, n_groups + more_y, seed))


@each_objective
@given(**sizes, density=st.sampled_from([0.0, 0.2, 0.6, 1.0]))
@settings(max_examples=30, deadline=None)
def test_weights_with_asymmetric_positives(objective: Objective, n_x: int, n_y: int, seed: int, density: float) -> None:
    assert_weights_are_minus_the_gradient(objective, *asymmetric(n_x, n_y, density, seed))


@each_objective
def test_rows_come_by_blocks(objective: Objective) -> None:
    s, positives = asymmetric(7, 11, 0.3, 0)
    for of_rows in (objective.rows, objective.row_weights):
        blocks = [of_rows(s[rows], positives[rows]) for rows in torch.arange(7).split(3)]
        torch.testing.assert_close(torch.cat(blocks), of_rows(s, positives), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "objective", [o for o in OBJECTIVES if not isinstance(o, Triplet)], ids=lambda o: type(o).__name__
)
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_single_precision(objective: Objective, density: float) -> None:
    s, positives = asymmetric(40, 60, density, 0)
    s[0], s[1], s[:, 2], s[3, 3] = 1, -1, -1, 1  # the ends of the range, ties among them
    single = s.float()
    value, weights = objective(single, positives), objective.weights(single, positives)
    assert value.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(value.double(), objective(s, positives), rtol=1e-5, atol=1e-6)
    for each in (weights, autograd_weights(objective, single, positives)):
        scale = objective.weights(s, positives).abs().max().item()
        torch.testing.assert_close(each.double(), objective.weights(s, positives), rtol=0, atol=1e-4 * scale)


def test_clip_is_torchs_cross_entropy() -> None:
    similarity, positives = problem(7, 7, 7, 0)
    target = torch.arange(7)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(similarity / 0.1, target) + cross_entropy(similarity.T / 0.1, target)) / 2
    assert CLIP(0.1)(similarity, positives).item() == pytest.approx(0.1 * expected.item(), rel=1e-12)


def test_clip_weights_by_formula_and_sum_to_zero() -> None:
    similarity, positives = problem(4, 4, 4, 1)
    q_r, q_c = torch.softmax(similarity / 0.2, 1), torch.softmax(similarity / 0.2, 0)
    expected = (2 * torch.eye(4, dtype=torch.float64) - q_r - q_c) / 8
    torch.testing.assert_close(CLIP(0.2).weights(similarity, positives), expected.double())
    rectangular = CLIP(0.2).weights(*problem(4, 6, 11, 2))
    assert abs(rectangular.sum().item()) < 1e-15


def test_clip_at_equal_similarities_is_log_n() -> None:
    positives = torch.eye(9, dtype=torch.bool)
    value = CLIP(0.5)(torch.zeros(9, 9, dtype=torch.float64), positives)
    assert value.item() == pytest.approx(0.5 * math.log(9))


def test_siglip_by_hand() -> None:
    similarity = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    positives = torch.tensor([[True, False]])
    loss = SigLIP(0.1, -1.0).rows(similarity, positives)
    expected = math.log(1 + math.exp(-(3.0 - 1.0))) + math.log(1 + math.exp(-2.0 - 1.0))
    assert loss.item() == pytest.approx(expected)


def test_triplet_by_hand() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.0, 0.5, 0.4], [0.2, 0.1, 0.3]], dtype=torch.float64)
    positives = torch.eye(3, dtype=torch.bool)
    rows = [0.1, 0.1, 0.1]  # m=0.2: [0.2+0.8-0.9] ; [0.2+0.4-0.5] ; [0.2+0.2-0.3] + [0.2+0.1-0.3]
    columns = [0.0, 0.5, 0.3]  # [.2+.8-.5] ; [.2+.4-.3]
    assert Triplet(0.2)(similarity, positives).item() == pytest.approx((sum(rows) + sum(columns)) / 6)


def test_triplet_weights_by_formula() -> None:
    s, positives = problem(6, 6, 6, 5)
    off = ~torch.eye(6, dtype=torch.bool)
    T = (off & (0.3 + s - s.diagonal()[:, None] > 0)).double()
    U = (off & (0.3 + s - s.diagonal()[None, :] > 0)).double()
    expected = -(T + U) / 12 + torch.diag(T.sum(1) + U.sum(0)) / 12
    torch.testing.assert_close(Triplet(0.3).weights(s, positives), expected)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        CLIP(0.1)(torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least one positive"):
        CLIP(0.1).weights(torch.zeros(2, 2), torch.tensor([[True, False], [True, False]]))


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_weights_of_any_loss_are_those_of_its_closed_form(context: type) -> None:
    """A closed form is the oracle for the two that take any function."""
    clip, tau = CLIP(0.1), 0.1

    def cross_entropy(s: Tensor, positives: Tensor) -> Tensor:
        return tau * torch.where(positives, -torch.log_softmax(s / tau, 1), 0).sum(1) / positives.sum(1)

    with context():
        s, positives = asymmetric(6, 9, 0.3, 1)
        for objective in (FromLoss(lambda s, p: clip(s, p)), FromRows(cross_entropy, symmetric=True)):
            assert objective(s, positives).item() == pytest.approx(clip(s, positives).item(), rel=1e-13)
            torch.testing.assert_close(objective.weights(s, positives), clip.weights(s, positives))
        one_way = FromRows(cross_entropy, symmetric=False)
        torch.testing.assert_close(one_way.weights(s, positives), InfoNCE(0.1).weights(s, positives))
    assert not s.requires_grad


def test_losses_of_the_wrong_shape_are_refused() -> None:
    s, positives = problem(3, 3, 3, 0)
    with pytest.raises(ValueError, match=r"one number a row, 3, got \(\)"):
        FromRows(lambda s, p: s.sum(), symmetric=False)(s, positives)
    with pytest.raises(ValueError, match=r"must be a scalar, got shape \(3,\)"):
        FromLoss(lambda s, p: s.sum(1)).weights(s, positives)
    with pytest.raises(ValueError, match="at least one positive"):
        FromLoss(lambda s, p: s.sum()).weights(s, torch.zeros_like(positives))


def test_names_and_temperatures_are_checked() -> None:
    assert type(named_objective("clip", 0.1)) is type(named_objective("supcon", 0.1)) is CLIP
    with pytest.raises(UserError, match="did you mean 'clip'"):
        named_objective("cilp", 0.1)
    with pytest.raises(UserError, match="tau must be above 0, got 0"):
        named_objective("clip", 0.0)


def test_every_name_has_its_defaults() -> None:
    assert {path.stem for path in (CONFIGS / "objective").glob("*.yaml")} == set(NAMED)
    for name, kind in NAMED.items():
        options = [each for each in inspect.signature(kind).parameters if each != "tau"]
        assert list(chosen_objective(name, {}).options) == options
        assert set(kind.learned) <= set(options)


def test_options_reach_the_objective() -> None:
    unicon, siglip = named_objective("unicon", 0.2, nu=1.5), named_objective("siglip", 0.1, bias=-3)
    assert isinstance(unicon, UniCon)
    assert (unicon.tau, unicon.nu) == (0.2, 1.5)
    assert isinstance(siglip, SigLIP)
    assert (siglip.tau, siglip.bias) == (0.1, -3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("siglip", {"bais": 1.0}, "unknown option 'bais' of objective 'siglip': did you mean 'bias'?"),
        ("clip", {"nu": 1.0}, "unknown option 'nu' of objective 'clip': there are none"),
        ("unicon", {"nu": "1"}, "option 'nu' of objective 'unicon' must be a finite number, got '1'"),
        ("unicon", {"nu": math.nan}, "option 'nu' of objective 'unicon' must be a finite number, got nan"),
    ],
)
def test_options_are_checked(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError) as error:
        named_objective(name, 0.1, **options)
    assert str(error.value) == message
