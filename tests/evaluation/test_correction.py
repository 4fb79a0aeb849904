"""Corrected scoring: inductive and transductive banks, settings chosen on validation, what ranks it gives."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.arrays import pairs_of_tensors
from evaluation.correction import Correction, Space, less_bias
from evaluation.corrections import inverted_softmax, nearest_mean
from evaluation.hubness import k_occurrences
from evaluation.judged import Judged, Scored
from evaluation.rescored import Remembering, Rescored
from evaluation.retrieval import ranks_both_ways
from evaluation.scoring import COSINE, own
from ground.errors import UserError

SETTINGS = {"items": 500, "neighbours": 3, "weights": [0.5], "temperatures": [1.0], "iterations": 5}


def rows(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two y an x, in a cone, so that there are hubs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    y = x.repeat_interleave(2, 0) + 0.9 * torch.randn(2 * n, 6, generator=generator)
    return x + 0.3, y + torch.rand(2 * n, 1, generator=generator)


def data(**sizes: int) -> PairsDataModule:
    made = PairsDataModule(batch_size=16, eval_batch_size=16, seed=0)
    for seed, (split, n) in enumerate(sizes.items()):
        x, y = rows(n, seed)
        made.splits[split] = pairs_of_tensors(x, y, x_of_y=torch.arange(n).repeat_interleave(2))
    return made


def judged_of(made: PairsDataModule, block_size: int = 16) -> Judged:
    test = made.splits["test"]
    return Judged(test.x[:], test.y[:], "test", made, torch.clone, torch.clone, block_size)


def corrected(made: PairsDataModule, rule: str, block_size: int = 16, **changed: object) -> dict[str, Tensor]:
    judged = judged_of(made, block_size)
    space, test = Space(torch.clone, torch.clone, COSINE), made.splits["test"]
    correction = Correction(**({"bank": "train"} | SETTINGS | changed))
    (x, y, scorer), _ = correction.corrected(rule, space, judged.scored, made, block_size)
    return ranks_both_ways(x, y, test.group, test.y_group, "x", "y", block_size, scorer)


def dense_ranks(scores: Tensor, positives: Tensor) -> Tensor:
    best = scores.masked_fill(~positives, -torch.inf).amax(1, keepdim=True)
    return 1 + ((scores >= best) & ~positives).sum(1)


@pytest.mark.parametrize("bank", ["train", "test"])
@pytest.mark.parametrize("rule", ["inverted_softmax", "csls"])
def test_ranks_are_those_of_a_dense_computation(bank: str, rule: str) -> None:
    made = data(train=40, test=25)
    test, queries = made.splits["test"], made.splits[bank]
    x, y = (normalize(side[:].double()) for side in (test.x, test.y))
    of_x, of_y = (normalize(side[:].double()) for side in (queries.x, queries.y))
    scores = x @ y.T

    def bias(of_bank: Tensor) -> Tensor:
        if rule == "csls":
            return nearest_mean(of_bank, 3) / 2
        return inverted_softmax(of_bank, float(of_bank.std()))

    positives = test.group[:, None] == test.y_group
    found = corrected(made, rule, bank=bank)
    assert torch.equal(found["x_to_y"], dense_ranks(scores - bias(of_x @ y.T), positives))
    assert torch.equal(found["y_to_x"], dense_ranks(scores.T - bias(of_y @ x.T), positives.T))


@pytest.mark.parametrize("rule", ["inverted_softmax", "nnn", "csls", "sinkhorn"])
def test_blocks_change_nothing(rule: str) -> None:
    made = data(train=40, test=25)
    one, many = corrected(made, rule, 7), corrected(made, rule, 64)
    assert all(torch.equal(one[way], many[way]) for way in one)


def test_the_setting_is_the_best_on_validation_in_each_direction() -> None:
    made = data(train=60, val=50, test=30)
    judged = judged_of(made)
    many = [0.3, 1.0, 5.0]
    correction = Correction(**({"bank": "train"} | SETTINGS | {"temperatures": many}))
    space = Space(torch.clone, torch.clone, COSINE)
    _, said = correction.corrected("inverted_softmax", space, judged.scored, made, 16)
    on_val = replace(made.splits["val"])
    as_test = data(train=60, val=50, test=30)
    as_test.splits["test"] = on_val
    recalls = []
    for each in many:
        found = corrected(as_test, "inverted_softmax", temperatures=[each])
        recalls.append([sum(float((found[way] <= k).double().mean()) for k in (1, 5, 10)) for way in found])
    for way, key in enumerate(("x", "y")):
        column = [recall[way] for recall in recalls]
        assert said[f"scoring_setting_{key}_queries"] == many[column.index(max(column))]


def test_a_bank_of_some_items_is_drawn_with_the_seed() -> None:
    made = data(train=60, test=30)
    few, again = (corrected(made, "inverted_softmax", items=10) for _ in range(2))
    assert all(torch.equal(few[way], again[way]) for way in few)
    whole = corrected(made, "inverted_softmax", items=999)
    assert any(not torch.equal(few[way], whole[way]) for way in few)


def test_a_choice_without_validation_is_refused() -> None:
    with pytest.raises(UserError, match=r"^evaluation.scoring=nnn chooses its setting on validation, and the data has"):
        corrected(data(train=20, test=10), "nnn", weights=[0.5, 1.0])


def test_equal_items_tie_and_flat_scores_rank_by_order() -> None:
    made = data(train=30, test=5)
    x = torch.ones(5, 6)
    made.splits["test"] = pairs_of_tensors(x, x)
    assert corrected(made, "inverted_softmax")["x_to_y"].tolist() == [1, 2, 3, 4, 5]


def test_a_score_of_ones_own_is_corrected() -> None:
    scorer = less_bias(own(lambda a, b: -torch.cdist(a, b)))
    x, y = torch.tensor([[0.0, 0.5]]), torch.tensor([[3.0, 1.0], [4.0, 0.25]])
    assert scorer.score(scorer.prepare(x), scorer.prepare(y)).tolist() == [[-4.0, -4.25]]
    assert scorer.back().score(scorer.prepare(y), scorer.prepare(x)).tolist() == [[-3.5], [-4.5]]


def test_hubness_falls_under_a_correction() -> None:
    made = data(train=80, test=60)
    judged = judged_of(made)
    correction = Correction(**({"bank": "test"} | SETTINGS))
    (x, y, scorer), _ = correction.corrected("csls", Space(torch.clone, torch.clone, COSINE), judged.scored, made, 16)
    of_y, of_x = k_occurrences(x, y, 3, 16, scorer)
    plain_y, plain_x = k_occurrences(judged.x, judged.y, 3, 16)
    assert of_y is not None
    assert plain_y is not None
    assert of_x is not None
    assert plain_x is not None
    assert of_y.double().std() < plain_y.double().std()
    assert of_x.double().std() < plain_x.double().std()


def test_a_memory_is_ranked_by_and_the_others_stand_beside() -> None:
    made = data(train=30, val=20, test=20)
    judged = judged_of(made)
    wide = Space(
        lambda z: torch.cat([z, 0 * z[:, :2]], 1), lambda z: torch.cat([z, 0 * z[:, :2]], 1), COSINE, columns=2
    )
    remembering = Remembering(wide, wide.embedded(made.splits["test"], 16))
    rescored = Rescored("cosine", ["csls"], Correction(**({"bank": "train"} | SETTINGS)))
    ranked, beside, said = rescored(judged, remembering, made)
    assert list(beside) == ["cosine/mean_recall", "csls/mean_recall", "memory/csls/mean_recall"]
    assert ranked.scored.x.shape[1] == 8
    assert beside["csls/mean_recall"] == beside["memory/csls/mean_recall"]  # of nothing remembered
    assert said == {"scoring": "cosine", "memory": "training items, weighed on validation"}


def test_a_bank_of_test_queries_is_told() -> None:
    made = data(train=30, test=20)
    rescored = Rescored("csls", ["inverted_softmax"], Correction(**({"bank": "test"} | SETTINGS)))
    _, beside, said = rescored(judged_of(made), None, made)
    assert list(beside) == ["cosine/mean_recall", "transductive/inverted_softmax/mean_recall"]
    assert said == {"scoring": "csls, transductive: the test queries are its bank"}


def test_the_scored_of_a_plain_test_are_its_embeddings() -> None:
    judged = judged_of(data(train=10, test=6))
    assert isinstance(judged.scored, Scored)
    assert judged.scored.x is judged.x
