"""The choice of layers, on features of several layers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import layers
from evaluation.mutual_knn import mutual_knn
from ground.errors import UserError
from tests.benchmarks.records import record_of
from tests.problems import random_features


def written() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two captions of an image; of the three layers of a caption the middle one says what the image does."""
    x, y, x_of_y = random_features(90, 2, 8, 8, seed=0)
    noise = torch.randn(2, 180, 8, generator=torch.Generator().manual_seed(1))
    split = torch.zeros(90, dtype=torch.uint8)
    split[70:80], split[80:] = 1, 2
    tensors = {"x": x, "y": torch.cat([noise[0], y, noise[1]], 1), "x_of_y": x_of_y, "split": split}
    save_file(tensors, "layers.safetensors", metadata={"x_name": "image", "y_name": "text", "y_layers": "3"})
    return x, y, split


def test_the_layer_with_the_image_s_neighbours_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    x, y, split = written()
    layers.main(["datamodule=features", "datamodule.path=layers.safetensors", "--k", "6"])
    record = record_of("layers")
    ((first, middle, last),) = record["mutual_knn"]
    centred = [rows - rows.mean(0) for rows in (x[split == 0], y[::2][split == 0])]
    assert middle == pytest.approx(mutual_knn(*centred, 6))
    assert middle > 2 * max(first, last)
    assert record["chosen"] == {"image": "own", "text": "1", "mutual_knn": middle}
    assert (record["items"], record["neighbours"]) == (70, 6)
    told = capsys.readouterr().out
    assert "image: one layer, nothing to choose" in told
    assert "chosen: image layer own, text layer 1" in told


def test_items_are_drawn_and_neighbours_follow_from_their_number() -> None:
    written()
    layers.main(["datamodule=features", "datamodule.path=layers.safetensors", "--items", "27"])
    record = record_of("layers")
    assert (record["items"], record["neighbours"]) == (27, 6)  # 2 times the cube root


def test_layers_of_a_backbone_are_called_by_their_numbers(tmp_path: Path) -> None:
    from tests.docs_data import IMAGES, picture_table

    picture_table(tmp_path)
    table = ["datamodule=table", "datamodule.path=pairs.csv", *IMAGES[:3]]
    layers.main([*table, "datamodule.text_backbone.layers=[6,0]", "--k", "2"])
    record = record_of("layers")
    assert record["layers"]["y"] == ["6", "0"]
    assert record["chosen"]["text"] in ("6", "0")


def test_fewer_items_than_neighbours() -> None:
    written()
    with pytest.raises(UserError, match="70 training items have no 70 others each: take a smaller --k"):
        layers.main(["datamodule=features", "datamodule.path=layers.safetensors", "--k", "70"])
