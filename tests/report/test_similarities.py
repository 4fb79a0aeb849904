"""The scores of the first validation pairs after each pass."""

import torch

from aligners.unicon import UniConSpectral
from report.similarities import Similarities
from tests.evaluation.fits import fitted, made, shared


def test_similarities_of_the_first_pairs_after_each_pass() -> None:
    aligner, datamodule = UniConSpectral(rank=4, feature_map="identity", passes=2, lam=1.0), shared()
    evaluation, kept = made(keep="last"), Similarities(5)
    evaluation.judges["similarities"] = kept
    fitted(aligner, datamodule, evaluation=evaluation)
    assert [number for number, _ in kept.passes] == list(range(len(evaluation.history)))
    pairs = datamodule.splits["val"]
    x, y = aligner.encode_x(pairs.x[torch.arange(5)]), aligner.encode_y(pairs.y[torch.arange(0, 15, 3)])
    expected = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T
    torch.testing.assert_close(kept.passes[-1][1], expected)


def test_a_checkpoint_holds_them_a_former_one_too() -> None:
    scores = [(0, torch.eye(2))]
    state = made().state_dict()
    assert state.pop("judges") == {}
    for held in ({"judges": {"similarities": {"passes": scores}}}, {"similarities": scores}):
        evaluation, kept = made(), Similarities(2)
        evaluation.judges["similarities"] = kept
        evaluation.load_state_dict(state | held)
        assert kept.passes == scores
        assert evaluation.state_dict()["judges"] == {"similarities": {"passes": scores}}
        made().load_state_dict(state | held)  # a run that has no such pictures
