"""KME-CLIP and WPSE as aligners: heads, losses, their own score in evaluation, processes."""

from pathlib import Path

import pytest
import torch

from aligners import KMECLIP, WPSE
from aligners.base.arrays import fit_arrays
from aligners.objectives import CLIP
from aligners.objectives.point_sets import point_sets
from aligners.point_sets import PointSetAligner
from datamodules.pairs.pairs import Pairs
from evaluation.scoring import COSINE, own
from ground.errors import UserError
from searching.finder import ScoredIndex
from tests.aligners.made import make
from tests.aligners.processes import fit, fit_by_two
from tests.evaluation.fits import fitted, shared

BOTH = pytest.mark.parametrize("kind", [KMECLIP, WPSE])
SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}


@BOTH
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_head_gives_points_and_weights(kind: type[PointSetAligner], head: str, pairs: Pairs) -> None:
    aligner = kind(rank=5, points=3, head=head, hidden=7).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    rows = aligner.encode_x(pairs.x)
    assert rows.shape == (pairs.n_x, 18)
    torch.testing.assert_close(rows[:, :5].norm(dim=1), torch.ones(pairs.n_x))
    torch.testing.assert_close(rows[:, 15:].exp().sum(1), torch.ones(pairs.n_x))
    with torch.no_grad():
        outputs = aligner.head_x(aligner.scaled(aligner.prepare_x(pairs.x)))
    torch.testing.assert_close(rows, point_sets(outputs, 3).rows())
    assert aligner.facts == {"points": 3, "numbers_per_item": 18}


@BOTH
def test_the_loss_is_that_of_the_score_at_the_fitted_objective(kind: type[PointSetAligner], pairs: Pairs) -> None:
    aligner = kind(rank=4, points=2, tau=0.2)
    trainer = fit_arrays(aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, max_epochs=2)
    batch = next(iter(trainer.train_dataloader))
    x, y = aligner.encode_x(batch.x), aligner.encode_y(batch.y)
    objective = aligner.fitted_objective
    assert isinstance(objective, CLIP)
    assert objective.tau != pytest.approx(0.2, abs=1e-4)  # learned
    expected = objective(aligner.score(x, y), batch.positives) / objective.tau
    torch.testing.assert_close(aligner.loss(x, y, batch).detach().double(), expected, rtol=1e-4, atol=1e-5)


def test_temperatures_stay_in_their_bounds() -> None:
    for aligner, low, high in ((KMECLIP(tau_min=0.02), 0.02, 20.0), (WPSE(tau_min=0.02, tau_max=0.5), 0.02, 0.5)):
        with torch.no_grad():
            taus = [1 / float(aligner.scale) for each in (10.0, -3.0) if aligner.log_scale.fill_(each) is not None]
        assert taus == pytest.approx([low, high], rel=1e-3, abs=0.1 if high > 1 else 0)
    assert not KMECLIP(learn_tau=False).log_scale.requires_grad


@BOTH
def test_pairs_are_ranked_by_the_aligner_s_own_score(kind: type[PointSetAligner]) -> None:
    evaluation = fitted(kind(rank=4, points=2), shared())
    judged = evaluation.tests["test"]
    aligner_s = judged.scorer.score(judged.x, judged.y)
    positive = judged.pairs.group[:, None] == judged.pairs.y_group
    best = aligner_s.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
    ranks = ((aligner_s >= best) & ~positive).sum(1) + 1
    assert judged.ranks["image_to_text"].tolist() == ranks.tolist()
    plain = COSINE.score(COSINE.prepare(judged.x), COSINE.prepare(judged.y))
    assert not torch.equal(plain.argsort(1), aligner_s.argsort(1))
    assert evaluation.metrics["fit/points"] == 2
    assert evaluation.metrics["fit/numbers_per_item"] == evaluation.metrics["protocol/rank"] == 10


@BOTH
def test_a_search_scores_as_the_evaluation(kind: type[PointSetAligner], pairs: Pairs) -> None:
    aligner = kind(rank=4, points=2).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=2)
    x, y = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    scores = own(aligner.score).score(x, y)
    found, places = ScoredIndex(y, aligner.score, asked="x").search(x[3], 5)
    assert torch.equal(found, scores[3].topk(5).values)
    assert torch.equal(scores[3, places], found)


@BOTH
def test_steps_of_two_processes_are_those_of_one(kind: type[PointSetAligner], pairs: Pairs, tmp_path: Path) -> None:
    """Plain gradient descent: what moves is the gradient, of the batch that both have together."""
    name = {KMECLIP: "kme_clip", WPSE: "wpse"}[kind]
    changed = {"rank": 4, "points": 3, "optimizer": SGD, "scheduler": None, "head": "mlp", "hidden": 8}
    alone = fit(name, changed, pairs, max_epochs=1, devices=1)
    torch.manual_seed(0)
    start = make(name, **changed)
    for state in fit_by_two(tmp_path, name, changed, pairs, max_epochs=1):
        assert state.keys() == alone.keys()
        assert abs(float(state["log_scale"]) - float(start.log_scale.detach())) > 1e-3
        for key, value in state.items():
            torch.testing.assert_close(value, alone[key], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"points": 0}, r"aligner.points must be at least 1, got 0"),
        ({"point_kernel": "gausian"}, r"unknown aligner.point_kernel 'gausian': did you mean 'gaussian'"),
        ({"warm_start": "unicon"}, r"has no argument 'warm_start'"),
        ({"tau": 0}, r"aligner.tau must be above 0, got 0"),
    ],
)
def test_a_mistake_is_one_line(changed: dict[str, object], line: str) -> None:
    for kind in (KMECLIP, WPSE):
        with pytest.raises(UserError, match=line):
            kind(**changed)
    with pytest.raises(UserError, match=r"aligner.linear must be at (least 0|most 1)|from 0 to 1"):
        WPSE(linear=1.5)
