"""The evaluation callback under a Trainer."""

import itertools
import time
from typing import Any

import lightning
import pytest
import torch

from aligners.base.aligner import Aligner
from aligners.closed_form import CCA
from aligners.gradient import SGDCLIP
from aligners.unicon import UniConSpectral
from evaluation import callback
from evaluation.callback import Evaluation
from evaluation.judged import Foretells, Judged
from evaluation.retrieval import evaluate_retrieval
from ground.energy import Counter
from ground.errors import UserError
from tests.evaluation.fits import fitted, made, shared, synthetic
from tests.problems import random_features


def test_uneven_batches_give_the_metrics_of_the_whole() -> None:
    aligner, datamodule = CCA(rank=4), shared()
    evaluation = fitted(aligner, datamodule)
    pairs = datamodule.splits["test"]
    y_group = pairs.group[pairs.x_of_y]
    aligner.eval()
    with torch.no_grad():
        x, y = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    expected = evaluate_retrieval(x, y, pairs.group, y_group, "image", "text", 1024)
    for key, value in expected.items():
        assert evaluation.metrics[f"test/{key}"] == pytest.approx(value)
    judged = evaluation.tests["test"]
    torch.testing.assert_close(judged.x, x)
    torch.testing.assert_close(judged.y, y)
    assert evaluation.metrics["protocol/test_image"] == 31
    assert evaluation.metrics["protocol/test_text"] == 93


def test_the_sanity_check_logs_nothing() -> None:
    aligner = UniConSpectral(rank=4, feature_map="identity", passes=2, tolerance=0.0)
    evaluation = fitted(aligner, synthetic(), num_sanity_val_steps=-1)
    assert [record["pass"] for record in evaluation.history] == list(range(len(evaluation.history)))
    assert len(evaluation.history) == evaluation.metrics["fit/passes"] + 1  # the first solution is pass 0
    # and no part of it is left over in the first validation
    assert (
        evaluation.history
        == fitted(
            UniConSpectral(rank=4, feature_map="identity", passes=2, tolerance=0.0), synthetic(), num_sanity_val_steps=0
        ).history
    )


def test_a_sanity_check_of_some_batches_passes() -> None:
    evaluation = fitted(CCA(rank=4), shared(), num_sanity_val_steps=1)
    assert len(evaluation.history) == 1


def test_k_above_the_gallery_is_all_of_it() -> None:
    evaluation = fitted(CCA(rank=4), synthetic(n_val=3, n_test=4))
    assert evaluation.metrics["test/x_to_y/R@5"] == 100
    assert evaluation.metrics["test/y_to_x/R@10"] == 100


def test_validation_may_be_left_out() -> None:
    evaluation = fitted(CCA(rank=4), synthetic(), limit_val_batches=0)
    assert evaluation.history == []
    assert evaluation.metrics["test/mean_recall"] > 0
    assert evaluation.metrics["time/fit_seconds"] > 0


def test_fit_on_arrays_needs_no_validation() -> None:
    x, y, x_of_y = random_features(40, 2, 12, 9, seed=0)
    aligner = CCA(rank=4).fit(x.numpy(), y.numpy(), x_of_y=x_of_y.numpy())
    assert aligner.encode_y(y).shape == (80, 4)


def test_fit_time_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Evaluation.on_validation_batch_end

    def slow(self: Evaluation, *arguments: Any) -> None:
        time.sleep(0.5)
        once(self, *arguments)

    monkeypatch.setattr(Evaluation, "on_validation_batch_end", slow)
    evaluation = fitted(CCA(rank=4), synthetic(eval_batch_size=4))
    assert len(evaluation.history) == 1  # of five batches: 2.5 s
    assert 0 < evaluation.metrics["time/fit_seconds"] < 2


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("name", ["spectral", "gradient"])
def test_the_pass_that_is_kept_is_tested(keep: str, name: str) -> None:
    datamodule = shared()
    optimizer = {"_target_": "torch.optim.SGD", "lr": 500.0}  # so large that recall goes up and down
    aligner: Aligner = (
        UniConSpectral(rank=4, tau=0.01, eta=0.9, passes=5)
        if name == "spectral"
        else SGDCLIP(rank=4, optimizer=optimizer, scheduler=None)
    )
    torch.manual_seed(0)
    evaluation = fitted(aligner, datamodule, keep, max_epochs=6)
    recalls = [row["mean_recall"] for row in evaluation.history]
    best = recalls.index(max(recalls))
    assert best < len(recalls) - 1  # else the two would be one
    kept = best if keep == "best" else len(recalls) - 1
    # a first solution is pass 0, one epoch of gradient steps is pass 1
    assert evaluation.metrics["fit/kept_pass"] == kept + (name == "gradient")
    assert evaluation.history[kept]["pass"] == evaluation.metrics["fit/kept_pass"]
    pairs = datamodule.splits["val"]
    rows = (aligner.encode_x(pairs.x[torch.arange(pairs.n_x)]), aligner.encode_y(pairs.y[torch.arange(pairs.n_y)]))
    again = evaluate_retrieval(*(z.detach() for z in rows), pairs.group, pairs.y_group, "image", "text", 64)
    assert again["mean_recall"] == pytest.approx(recalls[kept])


class Second:
    """Judges the second epoch to be the best."""

    every_pass = True

    def __call__(self, judged: Judged) -> dict[str, float]:
        return {"second": float(judged.after == 2)}


def test_the_pass_is_selected_by_the_metric_that_is_named() -> None:
    evaluation, datamodule = made(select="second"), shared()
    evaluation.judges["second"] = Second()
    aligner = SGDCLIP(rank=4)
    torch.manual_seed(0)
    fitted(aligner, datamodule, evaluation=evaluation, max_epochs=4)
    assert evaluation.metrics["fit/kept_pass"] == 2
    assert evaluation.metrics["protocol/pass"] == "best second on validation"
    recalls = [row["mean_recall"] for row in evaluation.history]
    assert recalls[1] != max(recalls)
    pairs = datamodule.splits["val"]
    x, y = aligner.encode_x(pairs.x[torch.arange(pairs.n_x)]), aligner.encode_y(pairs.y[torch.arange(pairs.n_y)])
    again = evaluate_retrieval(x, y, pairs.group, pairs.y_group, "image", "text", 64)
    assert again["mean_recall"] == pytest.approx(recalls[1])


@pytest.mark.parametrize(
    ("select", "near"),
    [("mean_recal", "did you mean 'mean_recall'"), ("linear_prob/accuracy", "did you mean 'linear_probe/accuracy'")],
)
def test_an_unknown_metric_to_select_by_is_told_before_anything_is_fitted(select: str, near: str) -> None:
    aligner = CCA(rank=4)
    with pytest.raises(UserError, match=f"no validation metric '{select}': {near}"):
        fitted(aligner, shared(label=True), evaluation=made(select=select))
    assert aligner.dims is None


def test_a_judge_that_does_not_say_what_it_gives_is_waited_for() -> None:
    evaluation, aligner = made(select="secnd"), CCA(rank=4)
    evaluation.judges["second"] = Second()
    with pytest.raises(UserError, match="no validation metric 'secnd': did you mean 'second'"):
        fitted(aligner, shared(), evaluation=evaluation)
    assert aligner.dims is not None


@pytest.mark.parametrize("label", [False, True])
def test_judges_foretell_the_metrics_of_every_pass(label: bool) -> None:
    datamodule = shared(label=label)
    evaluation = fitted(CCA(rank=4), datamodule)
    judges = [judge for judge in evaluation.judges.values() if judge.every_pass]
    assert all(isinstance(judge, Foretells) for judge in judges)
    names = [name for judge in judges if isinstance(judge, Foretells) for name in judge.names(datamodule)]
    assert sorted(names) == sorted(set(evaluation.history[0]) - {"pass"})


def test_features_of_other_dimensions_are_refused() -> None:
    aligner = CCA(rank=4)
    fitted(aligner, shared())
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, callbacks=[made()]
    )
    with pytest.raises(UserError, match=r"fitted on features of dimensions \(12, 9\), the test data has \(40, 30\)"):
        trainer.test(aligner, datamodule=synthetic(), verbose=False)


def test_a_fit_that_diverged_is_said_so() -> None:
    optimizer = {"_target_": "torch.optim.SGD", "lr": 1e38}
    with pytest.raises(UserError, match="after pass 1: the fit diverged"):
        fitted(SGDCLIP(rank=4, head="mlp", optimizer=optimizer, scheduler=None), shared())


def test_a_fit_tells_its_energy_where_the_machine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    joules = itertools.count()
    monkeypatch.setattr(callback, "of_processors", lambda: [Counter(lambda: next(joules), wraps_at=1e9)])
    # one before the validation and one after it
    assert fitted(CCA(rank=4), shared()).metrics["energy/fit_cpu_joules"] == 2
    monkeypatch.setattr(callback, "of_processors", lambda: [])
    assert not [name for name in fitted(CCA(rank=4), shared()).metrics if name.startswith("energy/")]


def test_the_number_of_training_pairs_is_told() -> None:
    assert fitted(CCA(rank=4), shared()).metrics["data/train_pairs"] == 180  # three captions of each of 60 images
