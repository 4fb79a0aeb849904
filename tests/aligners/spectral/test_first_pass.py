"""When the first solution is there, and what is found out after it."""

from collections.abc import Iterator
from typing import Any

import lightning
import pytest
import torch

from aligners.spectral import first, first_pass
from aligners.spectral.choice import Validation
from aligners.spectral.negatives import Place
from aligners.spectral.pull import Pull, places
from aligners.spectral.settings import Chosen
from aligners.spectral.start import Start
from aligners.spectral.trial import Trial
from aligners.unicon import UniConSpectral
from datamodules.base import PairsDataModule
from datamodules.pairs import Pairs, pairs_of_tensors
from tests.problems import random_features

OPEN: dict[str, Any] = {"rank": 4, "feature_map": "identity", "lam": 1.0, "weight_power": 1.0, "tolerance": 0.0}


class Watching(lightning.Callback):
    """What is done, in order, and the projections that are judged."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.seen: list[torch.Tensor] = []

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.done.append("judged")
        self.seen.append(pl_module.get_buffer("projection_x").clone())


def fitted(pairs: Pairs, **settings: Any) -> tuple[UniConSpectral, Watching]:
    data = PairsDataModule(batch_size=20, eval_batch_size=61, seed=0)
    data.splits = {"train": pairs, "val": pairs}
    aligner, watching = UniConSpectral(**OPEN | settings), Watching()
    trainer = lightning.Trainer(
        max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[watching],
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False, num_sanity_val_steps=0,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer.fit(aligner, datamodule=data)
    return aligner, watching


@pytest.mark.parametrize("passes", [[3, 2, 1], 3], ids=["chosen", "given"])
def test_the_first_solution_is_judged_before_any_pass_is_made(
    pairs: Pairs, passes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    made = Pull.add_all

    def told(pull: Pull) -> None:
        done.append("pull")
        made(pull)

    monkeypatch.setattr(Watching, "on_validation_end", lambda *_: done.append("judged"), raising=False)
    monkeypatch.setattr(Pull, "add_all", told)
    aligner, watching = fitted(pairs, tau=[0.1, 0.2], passes=passes)
    assert done[0] == "judged"
    assert "pull" in done
    assert len(watching.seen) == len(aligner.solution.passes) == aligner.solution.chosen["passes"] + 1
    alone, judged = fitted(pairs, tau=0.1, passes=0)
    assert torch.equal(watching.seen[0], judged.seen[0])
    assert alone.solution.chosen["passes"] == 0


def test_where_no_pass_is_better_the_judged_solution_stays(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "choose_passes", lambda _, at, *others: (at._replace(passes=0), []))
    aligner, watching = fitted(pairs, tau=[0.1, 0.2], passes=[2, 0])
    assert watching.done == ["judged"]
    assert torch.equal(watching.seen[0], aligner.projection_x)
    assert aligner.solution.chosen["passes"] == 0
    assert len(aligner.solution.passes) == 1


def test_a_first_pass_that_is_known_from_the_span_is_the_one_that_is_made_anew(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anew(start: Start, at: Chosen) -> tuple[Place, Iterator[Place]]:
        negatives = start.negatives(at)
        place = start.place(negatives)
        return place, places(negatives, place)

    settings: dict[str, Any] = {"tau": [0.1, 0.2], "passes": [2, 1], "subspace": 1}
    known, _ = fitted(pairs, **settings)
    monkeypatch.setattr(Start, "chain", anew)
    made, _ = fitted(pairs, **settings)
    assert known.solution.chosen == made.solution.chosen
    for one, other in zip(known.solution.trials, made.solution.trials, strict=True):
        assert one == pytest.approx(other)
    for one, other in zip(known.solution.passes, made.solution.passes, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)  # of float32 rows


RIDGES: dict[str, Any] = {"lam": [1.0, 0.03, 10.0], "weight_power": [1.0, 0.5], "tau": 0.1, "passes": 0, "subspace": 1}


def recalls(aligner: UniConSpectral) -> dict[tuple[float, float], float]:
    return {(trial["lam"], trial["weight_power"]): trial["recall"] for trial in aligner.solution.trials}


def at_ridge(pairs: Pairs, lam: float) -> dict[tuple[float, float], float]:
    return recalls(fitted(pairs, **RIDGES | {"lam": lam})[0])


@pytest.mark.parametrize("seed", range(4))
def test_the_ridge_that_is_chosen_was_tried_by_its_own_solution(seed: int) -> None:
    x, y, x_of_y = random_features(120, 2, 9, 9, seed=seed, noise=2.0)
    pairs = pairs_of_tensors(x, y, x_of_y=x_of_y)
    aligner, _ = fitted(pairs, **RIDGES)
    chosen, tried = aligner.solution.chosen, recalls(aligner)
    lam, power = chosen["lam"], chosen["weight_power"]
    assert len(tried) == len(aligner.solution.trials) == 6
    assert tried[lam, power] == at_ridge(pairs, lam)[lam, power]


def test_a_ridge_that_an_estimate_alone_prefers_is_not_chosen(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    def flattering(candidates: Any, validation: Validation, solution: Any) -> Trial:
        trials = [
            validation.trial(candidates.first._replace(lam=lam, passes=0), solution(1.0)(1.0))
            for lam in candidates.lam
        ]  # fmt: skip
        flattered = trials[1]._replace(hits=(100 + 0 * trials[1].hits[0], 100 + 0 * trials[1].hits[1]))
        validation.trials[1] = flattered
        return flattered

    monkeypatch.setattr(first, "choose_first", flattering)
    aligner, _ = fitted(pairs, **RIDGES | {"lam": [1.0, 1e4], "weight_power": 1.0})
    assert aligner.solution.chosen["lam"] == 1.0
    assert max(recalls(aligner).values()) < 100
