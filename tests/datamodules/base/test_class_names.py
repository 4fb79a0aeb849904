"""Images paired with the names of their classes."""

from pathlib import Path

import pytest
import torch

from ground.errors import UserError
from tests.datamodules.fakes import CharacterCounts
from tests.datamodules.image_folders import COUNTS, made, numbers, rows, tree


def test_images_and_the_names_of_their_classes(tmp_path: Path) -> None:
    counts = {"red_cat": 8, "dog": 5, "ox": 3}
    path = tree(tmp_path / "data", train=counts, test=counts)
    first = sorted((path / "test" / "dog").iterdir())[0]
    first.write_bytes(b"damaged")  # the name of its class is still asked for
    data = made(tmp_path, path, pairs="names")
    data.setup()
    assert (data.x_name, data.y_name, data.one_modality) == ("image", "text", False)
    assert data.protocol["positives"] == "class"
    assert "views" not in data.protocol
    names = data.label_names
    assert names is not None
    train = data.splits["train"]
    assert train.label is not None
    assert train.x_of_y.tolist() == list(range(train.n_x))
    assert torch.equal(train.group, train.label)
    spoken = [names[c].replace("_", " ") for c in train.label.tolist()]
    assert [data.describe_y("train", i) for i in range(train.n_y)] == spoken
    test = data.splits["test"]
    assert test.label is not None
    assert sorted(test.y_group.tolist()) == test.label.unique().tolist()
    told = [data.describe_y("test", i) for i in range(test.n_y)]
    assert told == [names[c].replace("_", " ") for c in test.y_group.tolist()]
    assert rows(test.y) == [CharacterCounts().vector(name) for name in told]
    assert test.n_x == len(numbers(data, "test")) - 1
    assert sum(len(batch.x) for batch in data.train_dataloader()) == train.n_x
    probe = data.probe_train
    assert probe is not None
    assert rows(probe.x) == rows(train.x)
    prompts = data.class_prompts(["a photo of a {}.", "{}"])
    assert prompts is not None
    texts = [text for name in names for text in (f"a photo of a {name.replace('_', ' ')}.", name.replace("_", " "))]
    assert rows(prompts.rows) == [CharacterCounts().vector(text) for text in texts]
    assert prompts.label.tolist() == [c for c in range(len(names)) for _ in range(2)]
    assert prompts.told == "a photo of a {}.; {}"


def test_views_have_no_prompts_and_numbers_are_no_names(tmp_path: Path) -> None:
    assert made(tmp_path, tree(tmp_path / "data", train=COUNTS, test=COUNTS)).class_prompts(["{}"]) is None
    numbered = tree(tmp_path / "numbers", train={"0": 8, "1": 5}, test={"0": 2, "1": 2})
    with pytest.raises(UserError, match="pairs=names needs names of the classes, here they are numbers"):
        made(tmp_path, numbered, pairs="names").prepare_data()
    with pytest.raises(UserError, match=r"pairs=names needs a datamodule\.text_backbone"):
        made(tmp_path, numbered, pairs="names", text_backbone=None)
