"""Objectives as parts: any of them under the gradient engine, as under the spectral solver."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.base.arrays import fit_arrays
from aligners.base.yaml_defaults import aligner_config
from aligners.gradient import SGDCLIP, OfCosines, SGDSigLIP, Triplet
from aligners.objectives import OBJECTIVES, Objective, WholeObjective, named_objective
from aligners.unicon import UniConSpectral
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError

OWN = '''
"""An objective of one's own."""

import torch
from torch import Tensor

from aligners.objectives import Objective


class SoftMargin(Objective):
    """The softplus of every negative against the mean positive."""

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        positive = torch.where(positives, similarity, 0).sum(1) / positives.sum(1)
        softplus = torch.nn.functional.softplus(5 * (similarity - positive[:, None]))
        return torch.where(positives, 0, softplus).mean(1)


class Tempered(SoftMargin):
    """With a temperature, and a gain and a shift that are learned."""

    learned = ("gain", "shift")

    def __init__(self, tau: float, gain: float, shift: float = 0.5):
        self.tau, self.gain, self.shift = tau, gain, shift

    def rows(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return self.gain * super().rows(similarity / self.tau, positives) - self.shift * similarity.mean(1)


class Nothing:
    pass
'''


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A module of one's own, on the path."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_objectives.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop("own_objectives", None)


def recall(aligner: Aligner, pairs: Pairs) -> float:
    x, y = aligner.encode_x(pairs.x), aligner.encode_y(pairs.y)
    return evaluate_retrieval(x, y, pairs.group, pairs.y_group, "x", "y", 16)["mean_recall"]


def fitted(aligner: Aligner, pairs: Pairs, **changed: Any) -> Aligner:
    arguments = {"x_of_y": pairs.x_of_y, "group": pairs.group, "batch_size": 32, "max_epochs": 30, "seed": 0}
    return aligner.fit(pairs.x, pairs.y, **{**arguments, **changed})


def of_cosines(objective: str, **changed: Any) -> OfCosines:
    optimizer = {**aligner_config("base/trained")["optimizer"], "lr": 0.02}
    return OfCosines(rank=6, objective=objective, optimizer=optimizer, **changed)


@pytest.mark.parametrize("objective", [*OBJECTIVES, "own_objectives.SoftMargin"])
def test_an_objective_runs_under_both_engines(pairs: Pairs, objective: str) -> None:
    fixed = {"tau": 0.5, "learn_tau": False} if objective in ("rince", "gca_rince") else {}  # fall with tau alone
    trained = fitted(of_cosines(objective, **fixed), pairs)
    linear = {"feature_map": "identity", "lam": 1.0, "tau": 0.2, "weight_power": 1.0, "passes": 2}
    linear |= {"negatives": "batch"} if objective == "iot_uni" else {}  # the one that is not streamed
    solved = fitted(UniConSpectral(rank=6, objective=objective, **linear), pairs, max_epochs=None)
    assert recall(trained, pairs) > 50  # chance is 12 %
    assert recall(solved, pairs) > 50
    assert type(trained.fitted_objective) is type(solved.fitted_objective)
    assert type(trained.fitted_objective).__name__ in (*(kind.__name__ for kind in OBJECTIVES.values()), "SoftMargin")


def test_options_and_temperature_of_ones_own_class_are_learned(pairs: Pairs) -> None:
    aligner = fitted(of_cosines("own_objectives.Tempered", objective_options={"gain": 2.0}), pairs)
    objective = aligner.fitted_objective
    assert aligner.hparams["objective_options"] == {"gain": 2.0, "shift": 0.5}
    assert {"gain", "shift", "log_scale"} <= set(aligner.state_dict())
    for name, start in (("gain", 2.0), ("shift", 0.5), ("tau", 0.07)):
        assert isinstance(getattr(objective, name), float)
        assert abs(getattr(objective, name) - start) > 1e-3


def test_learned_options_get_the_gradient_of_the_loss() -> None:
    aligner = of_cosines("siglip", tau=0.5, objective_options={"bias": -2.0})
    cosines, positives = torch.randn(4, 6).clamp(-1, 1), torch.eye(4, 6, dtype=torch.bool)
    positives[0, 4:] = True
    aligner.loss_of_cosines(cosines, positives).backward()
    logits = cosines / 0.5 - 2.0
    residual = (torch.sigmoid(logits) - positives.float()) / len(cosines)
    torch.testing.assert_close(aligner.bias.grad, residual.sum())
    torch.testing.assert_close(aligner.log_scale.grad, (residual * cosines / 0.5).sum())


class Entropic(WholeObjective):
    """The temperature is not a scale of the cosines alone."""

    def __init__(self, tau: float | Tensor):
        self.tau = tau

    def whole(self, similarity: Tensor, positives: Tensor) -> Tensor:
        return (similarity**2 / self.tau - positives * similarity).mean() + self.tau

    def of_cosines(self, cosines: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
        return Entropic(1 / scale)(cosines, positives)


def test_an_objective_may_say_what_a_learned_temperature_is() -> None:
    aligner = of_cosines(f"{__name__}.Entropic", tau=0.25)
    cosines, positives = torch.randn(5, 5).clamp(-1, 1), torch.eye(5, dtype=torch.bool)
    loss = aligner.loss_of_cosines(cosines, positives)
    torch.testing.assert_close(loss, Entropic(0.25)(cosines, positives))
    loss.backward()
    # of log(1 / tau)
    torch.testing.assert_close(aligner.log_scale.grad, cosines.square().mean() / 0.25 - 0.25)


def test_what_is_no_sum_over_rows_is_refused_over_all_pairs() -> None:
    whole = {"rank": 6, "objective": f"{__name__}.Entropic", "feature_map": "identity", "lam": 1.0}
    with pytest.raises(UserError, match=r"is no sum over rows, .*: take aligner.negatives=batch"):
        UniConSpectral(**whole, tau=1.0)
    with pytest.raises(UserError, match=r"give one aligner\.tau, one aligner\.step and one aligner\.passes"):
        UniConSpectral(**whole, negatives="batch")


def test_what_is_no_sum_over_rows_runs_within_batches(pairs: Pairs) -> None:
    solver = UniConSpectral(
        rank=6, objective=f"{__name__}.Entropic", feature_map="identity", negatives="batch", tau=1.0, lam=1.0,
        passes=4, weight_power=1.0,
    )  # fmt: skip
    solver.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=61)
    values = [each["objective"] for each in solver.solution.passes]
    assert len(values) > 2
    assert values == sorted(values, reverse=True)
    one_batch = solver.similarity(pairs.x, pairs.y)
    value = solver.fitted_objective(one_batch, pairs.group[:, None] == pairs.y_group)
    assert value.item() == pytest.approx(values[-1], rel=1e-4)


def test_the_loss_is_the_objective_up_to_tau() -> None:
    """In CLIP's own scale, where a temperature can be learned, not UniCon's."""
    cosines, positives = torch.randn(5, 7).clamp(-1, 1), torch.eye(5, 7, dtype=torch.bool)
    positives[0, 5:] = True
    for name in ("clip", "info_nce", "dcl", "unicon"):
        loss = of_cosines(name, tau=0.2).loss_of_cosines(cosines, positives)
        torch.testing.assert_close(loss * 0.2, named_objective(name, 0.2)(cosines, positives))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("own_objectives.Nope", "objective 'own_objectives.Nope' cannot be imported: module 'own_objectives' has no"),
        ("nowhere.Nope", "objective 'nowhere.Nope' cannot be imported: No module named 'nowhere'"),
        ("own_objectives.Nothing", "'own_objectives.Nothing' must be a class that extends"),
        ("own_objectives.Tempered", "objective 'own_objectives.Tempered' needs a value for: gain"),
        ("siglp", "unknown objective 'siglp': did you mean 'siglip'?"),
    ],
)
@pytest.mark.parametrize("engine", [OfCosines, UniConSpectral])
def test_what_is_no_objective_is_named(engine: type[Aligner], objective: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        engine(objective=objective)
    assert message in str(error.value)


def test_one_without_a_temperature_has_none() -> None:
    assert not hasattr(Triplet(), "log_scale")
    assert not hasattr(of_cosines("own_objectives.SoftMargin"), "log_scale")
    assert isinstance(of_cosines("own_objectives.SoftMargin").fitted_objective, Objective)


@pytest.mark.parametrize(
    ("kind", "names"), [(SGDCLIP, {"log_scale"}), (SGDSigLIP, {"log_scale", "bias"}), (Triplet, set())]
)
def test_names_in_a_checkpoint(pairs: Pairs, kind: type[OfCosines], names: set[str]) -> None:
    heads = {"mean_x", "mean_y", "head_x.weight", "head_y.weight"}
    assert set(fitted(kind(rank=4), pairs, max_epochs=1).state_dict()) == heads | names


def test_a_checkpoint_from_before_an_argument_existed_loads(pairs: Pairs, tmp_path: Path) -> None:
    aligner = SGDCLIP(rank=4)
    trainer = fit_arrays(aligner, pairs.x, pairs.y, x_of_y=pairs.x_of_y, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for key in ("objective", "objective_options"):
        del checkpoint["hyper_parameters"][key]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    loaded = SGDCLIP.load_from_checkpoint(tmp_path / "old.ckpt", weights_only=True)
    assert torch.equal(loaded.encode_x(pairs.x), aligner.encode_x(pairs.x))
    checkpoint["hyper_parameters"]["tau"] = 0.5
    with pytest.raises(UserError, match=r"made with aligner.tau=0.5, this run has 0.07"):
        aligner.on_load_checkpoint(checkpoint)
