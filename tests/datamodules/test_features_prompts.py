"""Prompts in a features file: features of texts about the classes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ground.errors import UserError
from tests.datamodules.features_files import loaded


def test_prompts_of_a_file(tmp_path: Path) -> None:
    label = torch.arange(40) % 3
    prompt, of = torch.randn(5, 5), torch.tensor([2, 0, 1, 1, 7], dtype=torch.int32)
    data = loaded(tmp_path, label=label, prompt=prompt, prompt_class=of)
    prompts = data.class_prompts(["unused {}"])
    assert prompts is not None
    assert torch.equal(prompts.rows[torch.arange(5)], prompt)
    assert (prompts.label.tolist(), prompts.label.dtype) == ([2, 0, 1, 1, 7], torch.int64)
    assert prompts.told == "5 of the file"
    assert loaded(tmp_path, label=label).class_prompts(["unused {}"]) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt_class": None}, "prompt without prompt_class: zero-shot needs prompt, prompt_class and label"),
        ({"prompt": None}, "prompt_class without prompt: zero-shot needs"),
        ({"label": None}, "prompt and prompt_class without label"),
        ({"prompt": torch.ones(3, 4)}, "prompt has rows of 4 numbers and y of 5: both are of one encoder"),
        ({"prompt": torch.full((3, 5), torch.nan)}, "3 of 3 rows of prompt hold NaN or infinity"),
        ({"prompt_class": torch.arange(2)}, "prompt_class must be 3 integers"),
        ({"prompt_class": torch.tensor([0, 1, 1])}, "no prompt is of class 2, which label has: each class needs one"),
    ],
)
def test_mistakes_of_prompts(tmp_path: Path, changed: dict[str, Tensor | None], message: str) -> None:
    whole = {"label": torch.arange(40) % 3, "prompt": torch.randn(3, 5), "prompt_class": torch.arange(3)}
    with pytest.raises(UserError, match=message):
        loaded(tmp_path, **(whole | changed))
