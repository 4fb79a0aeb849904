"""Zero-shot classification: numbers by hand, ties, few classes; the judge and what it refuses."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from torch import Tensor

from aligners.closed_form import CCA
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs import Prompts
from evaluation.scoring import own
from evaluation.zero_shot import class_embeddings, zero_shot
from ground.mistakes import user_line
from tests.evaluation.fits import fitted, made, shared


def test_a_class_is_the_mean_of_its_unit_prompts() -> None:
    prompts = torch.tensor([[0.0, 3.0], [10.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    rows, classes = class_embeddings(prompts, torch.tensor([5, 5, 9, 9]))
    assert classes.tolist() == [5, 9]
    half = math.sqrt(0.5)  # whatever the lengths; and what cancels has no direction
    torch.testing.assert_close(rows, torch.tensor([[half, half], [0.0, 0.0]], dtype=torch.float64))
    # at 30 degrees: cosine to class 5 is cos 15, to class 9 it is 0
    x = torch.tensor([[math.sqrt(3) / 2, 0.5], [-1.0, -0.2]])
    result = zero_shot(x, torch.tensor([5, 5]), prompts, torch.tensor([5, 5, 9, 9]), block_size=1)
    assert result.ranks.tolist() == [1, 2]  # of the second it is -0.83
    assert (result.top(1), result.top(5), result.per_class()) == (50.0, 100.0, {5: 50.0})


@pytest.mark.parametrize("scorer", ["cosine", "own"])
def test_ranks_are_those_of_a_sort_and_ties_count_against(scorer: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, prompts = torch.randn(40, 6, generator=generator), torch.randn(24, 6, generator=generator)
    prompt_class = torch.arange(8).repeat(3) * 3  # eight classes, three prompts each, in no order of theirs
    label = torch.randint(8, (40,), generator=generator) * 3
    if scorer == "cosine":
        gallery, _ = class_embeddings(prompts, prompt_class)
        scores = (x.double() / x.double().norm(dim=1, keepdim=True)) @ gallery.T
        result = zero_shot(x, label, prompts, prompt_class, block_size=7)
    else:
        rule = own(lambda a, b: -torch.cdist(a, b))
        scores = torch.stack([rule.score(x, prompts[prompt_class == 3 * c]).double().mean(1) for c in range(8)], 1)
        result = zero_shot(x, label, prompts, prompt_class, block_size=7, scorer=rule)
    order = scores.argsort(dim=1, descending=True) * 3
    assert result.ranks.tolist() == [row.tolist().index(c) + 1 for row, c in zip(order, label.tolist(), strict=True)]
    tied = zero_shot(x, label, torch.cat([prompts, prompts]), torch.cat([prompt_class, prompt_class + 1]), block_size=7)
    assert (tied.ranks > 1).all()  # every class has a twin
    flat = zero_shot(torch.zeros(3, 6), label[:3], prompts, prompt_class, block_size=7)
    assert flat.ranks.tolist() == [8, 8, 8]


def test_top_5_of_fewer_classes_is_all() -> None:
    x = torch.eye(4)[[3, 2, 1, 0]]
    result = zero_shot(x, torch.arange(4), torch.eye(4), torch.arange(4), block_size=8)
    assert result.top(5) == 100
    assert result.top(1) == 0
    with pytest.raises(ValueError, match="classes that no prompt is about"):
        zero_shot(x, torch.arange(4), torch.eye(4)[:3], torch.arange(3), block_size=8)


def prompted(names: list[str] | None = None, **changed: Any) -> PairsDataModule:
    """Labelled data of three classes with two prompts each, features of y."""

    class Prompted(PairsDataModule):
        asked: Sequence[str] = ()

        def class_prompts(self, templates: Sequence[str]) -> Prompts | None:
            self.asked = templates
            rows = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
            return Prompts(rows, torch.tensor([0, 0, 1, 1, 2, 2]), "six texts")

    made_of = shared(label=True, **changed)
    datamodule = Prompted(batch_size=16, eval_batch_size=7, seed=0)
    datamodule.x_name, datamodule.y_name = "image", "text"
    datamodule.splits, datamodule.label_names = made_of.splits, names
    return datamodule


def test_the_judge_encodes_prompts_as_y_and_tells_its_protocol() -> None:
    datamodule, aligner = prompted(["cat", "dog", "ox"]), CCA(rank=4)
    metrics = fitted(aligner, datamodule).metrics
    test, prompts = datamodule.splits["test"], datamodule.class_prompts([])
    assert prompts is not None
    assert test.label is not None
    x, y = aligner.encode_x(test.x[torch.arange(31)]), aligner.encode_y(prompts.rows)
    expected = zero_shot(x, test.label, y, prompts.label, block_size=64)
    assert metrics["test/zero_shot/top1"] == expected.top(1)
    assert metrics["test/zero_shot/top5"] == 100
    of_class = {name: metrics[f"test/zero_shot/class/{name}"] for name in ("cat", "dog", "ox")}
    assert list(of_class.values()) == list(expected.per_class().values())
    assert metrics["test/zero_shot/mean_class"] == pytest.approx(sum(map(float, of_class.values())) / 3)
    assert metrics["protocol/zero_shot_classes"] == 3
    assert metrics["protocol/zero_shot_prompts"] == "six texts"
    assert not [key for key in metrics if key.startswith("val/zero_shot")]


def test_templates_are_those_of_the_modality_and_many_classes_have_no_rows() -> None:
    datamodule = prompted()
    evaluation = made(zero_shot={"class_rows": 2, "templates": {"image": ["a {}", "the {}"]}})
    metrics = fitted(CCA(rank=4), datamodule, evaluation=evaluation).metrics
    assert datamodule.asked == ["a {}", "the {}"]  # type: ignore[attr-defined]
    assert "test/zero_shot/top1" in metrics
    assert not [key for key in metrics if "zero_shot/class/" in key]
    assert "test/zero_shot/class/0" in fitted(CCA(rank=4), datamodule).metrics  # without names, by number
    assert not [key for key in fitted(CCA(rank=4), shared(label=True)).metrics if "zero_shot" in key]
    off = fitted(CCA(rank=4), datamodule, evaluation=made(zero_shot=None)).metrics
    assert not [key for key in off if "zero_shot" in key]


def test_an_aligner_with_a_score_is_asked_of_every_prompt() -> None:
    class Opposed(CCA):
        def score(self, x: Tensor, y: Tensor) -> Tensor:
            return -(x @ y.T)

    datamodule, aligner = prompted(), Opposed(rank=4)
    metrics = fitted(aligner, datamodule).metrics
    test, prompts = datamodule.splits["test"], datamodule.class_prompts([])
    assert prompts is not None
    scores = -(aligner.encode_x(test.x[torch.arange(31)]) @ aligner.encode_y(prompts.rows).T)
    best = scores.reshape(31, 3, 2).mean(2).argmax(1)
    assert metrics["test/zero_shot/top1"] == pytest.approx(100 * float((best == test.label).double().mean()))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"templates": {"image": ["a photo"]}}, "evaluation.zero_shot.templates.image: 'a photo' must have {} once"),
        ({"templates": {"image": ["{} and {}"]}}, "'{} and {}' must have {} once, for the name of the class"),
        ({"templates": {"audio": []}}, "evaluation.zero_shot.templates.audio must be a list of at least one"),
        ({"class_rows": -1}, "evaluation.zero_shot.class_rows must be at least 0, got -1"),
    ],
)
def test_mistakes_of_the_judge(changed: dict[str, Any], line: str) -> None:
    with pytest.raises(InstantiationException) as told:
        made(zero_shot=changed)
    assert line in str(user_line(told.value, []))
