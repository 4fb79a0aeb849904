"""The judge of classes that are told by texts: what labelled data and texts about its classes come to."""

from typing import Annotated, TypedDict

from evaluation.judged import Judged, encoded
from evaluation.zero_shot import zero_shot
from ground.errors import UserError
from ground.ranges import Natural, not_empty
from ground.values import checked

HOLE = "{}"
"""Where a template has the name of the class."""


class Templates(TypedDict):
    """Texts about a class, by the modality of x.

    Example:
        >>> Templates(image=["a photo of a {}."], audio=["this is a sound of {}."])["image"]
        ['a photo of a {}.']
    """

    image: Annotated[list[str], not_empty]
    audio: Annotated[list[str], not_empty]


class ZeroShot:
    """Zero-shot classification of labelled x at the test, under ``zero_shot/``, see ``evaluation.zero_shot``.

    Asked where the classes have texts: names, where y is text, which then take part as ``templates`` say them; or
    prompts of a features file. Without them it has nothing to judge.

    Args:
        templates: of the texts about a class, ``{}`` being its name.
        class_rows: the accuracy of each class is told too where there are no more of them.

    Raises:
        UserError: a template without ``{}``, an argument of a wrong type or out of its range.

    Example:
        >>> import torch
        >>> from datamodules.base import PairsDataModule
        >>> from datamodules.pairs import Prompts, pairs_of_tensors
        >>> class Named(PairsDataModule):
        ...     label_names = ["cat", "dog"]
        ...     def class_prompts(self, templates):
        ...         return Prompts(torch.eye(2), torch.tensor([0, 1]), "; ".join(templates))
        >>> data, x = Named(batch_size=8, eval_batch_size=8, seed=0), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> data.splits["test"] = pairs_of_tensors(x, x, label=torch.tensor([0, 0]))
        >>> judge = ZeroShot({"image": ["a photo of a {}."], "audio": ["{}"]}, class_rows=20)
        >>> judge(Judged(x, x, "test", data, torch.clone, torch.clone, block_size=8))
        {'zero_shot/top1': 50.0, 'zero_shot/top5': 100.0, 'zero_shot/mean_class': 50.0, 'zero_shot/class/cat': 50.0}
    """

    every_pass = False

    @checked("evaluation.zero_shot.")
    def __init__(self, templates: Templates, class_rows: Natural):
        for modality, texts in templates.items():
            for text in texts:  # type: ignore[attr-defined]
                if text.count(HOLE) != 1:
                    raise UserError(
                        f"evaluation.zero_shot.templates.{modality}: '{text}' must have {HOLE} once, "
                        "for the name of the class"
                    )
        self.templates = templates
        self.class_rows = class_rows

    def __call__(self, judged: Judged) -> dict[str, float]:
        label = judged.pairs.label
        templates: list[str] = list(self.templates.get(judged.names[0], []))  # type: ignore[call-overload]
        prompts = None if label is None else judged.datamodule.class_prompts(templates)
        if prompts is None or label is None:
            return {}
        rows = encoded(prompts.rows, judged.encode_y, judged.block_size)
        result = zero_shot(judged.x, label, rows, prompts.label, judged.block_size, judged.scorer)
        judged.protocol |= {"zero_shot_classes": len(result.classes), "zero_shot_prompts": prompts.told}
        of_class = result.per_class()
        metrics = {
            "zero_shot/top1": result.top(1),
            "zero_shot/top5": result.top(5),
            "zero_shot/mean_class": sum(of_class.values()) / len(of_class),
        }
        if len(result.classes) <= self.class_rows:
            names = judged.datamodule.label_names
            metrics |= {f"zero_shot/class/{names[c] if names else c}": value for c, value in of_class.items()}
        return metrics
