"""ranks.safetensors: what it holds, and that it is what the metrics were made from."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from evaluation.retrieval import rates_both_ways
from running.ranks import write_ranks
from tests.cli import SMALL, metrics_of, small
from tests.running.judged import judged


def test_ranks_by_hand(tmp_path: Path) -> None:
    write_ranks(tmp_path / "ranks.safetensors", {"test": judged(), "transfer": judged()})
    tensors = load_file(tmp_path / "ranks.safetensors")
    names = {"rank", "index", "group", "gallery_size"}
    ways = ("image_to_text", "text_to_image")
    assert set(tensors) == {f"{p}/{way}/{name}" for p in ("test", "transfer") for way in ways for name in names}
    assert all(each.dtype == torch.int64 for each in tensors.values())
    # y 1 stands before the own y 0 of x 0, and x 0 and x 2 before the own x 1 of y 1
    assert tensors["test/image_to_text/rank"].tolist() == [2, 1, 1, 1]
    assert tensors["test/text_to_image/rank"].tolist() == [1, 3, 1, 1, 1]
    assert tensors["test/image_to_text/index"].tolist() == [0, 1, 2, 3]
    assert tensors["test/text_to_image/index"].tolist() == [0, 1, 2, 3, 4]
    assert tensors["test/image_to_text/group"].tolist() == [5, 7, 5, 9]
    assert tensors["test/text_to_image/group"].tolist() == [5, 7, 7, 9, 5]
    assert (tensors["test/image_to_text/gallery_size"], tensors["test/text_to_image/gallery_size"]) == (5, 4)
    with safe_open(tmp_path / "ranks.safetensors", "pt") as file:
        assert file.metadata() == {"x_name": "image", "y_name": "text"}


def test_a_runs_metrics_are_those_of_its_ranks(tmp_path: Path) -> None:
    other = ("eval_datamodule=synthetic", *(f"eval_{each}" for each in SMALL if each.startswith("datamodule.")))
    assert small(*other, "eval_datamodule.data_seed=5", "eval_datamodule.n_test=30", f"run_dir={tmp_path}") == 0
    tensors, metrics = load_file(tmp_path / "ranks.safetensors"), metrics_of(tmp_path)
    for prefix, n in (("test", 20), ("transfer", 30)):
        ranks = {way: tensors[f"{prefix}/{way}/rank"] for way in ("x_to_y", "y_to_x")}
        assert all(len(each) == n == tensors[f"{prefix}/{way}/gallery_size"] for way, each in ranks.items())
        for key, value in rates_both_ways(ranks).items():
            assert metrics[f"{prefix}/{key}"] == value
