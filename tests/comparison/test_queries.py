"""Queries: who ranks them better, and what of them a page shows."""

from pathlib import Path

import torch

from comparison.queries import ranks_of_rows, win_shares, with_items
from comparison.results import standings
from tests.comparison.made import finished, result

ONE = (torch.tensor([1, 2, 3]), torch.tensor([1, 1, 1]))
OTHER = (torch.tensor([1, 5, 2]), torch.tensor([1, 4, 9]))
ITEMS = {
    "names": ["image", "text"],
    "x": [{"row": 0, "group": 0, "image": "data:a"}, {"row": 2, "group": 2, "image": "data:c"}],
    "y": [{"row": 0, "group": 0, "text": "a"}, {"row": 2, "group": 2, "text": "c"}],
}


def test_shares_of_queries(tmp_path: Path) -> None:
    jobs = [finished(tmp_path, "one", 0, ONE, 1), finished(tmp_path, "other", 0, OTHER, 1)]
    table = standings([result(job) for job in jobs], {})["made"]
    ranks = ranks_of_rows(table)
    assert ranks["one"]["image_to_text"].tolist() == [1, 2, 3]
    first = next(each for each in win_shares(ranks) if each["one"] == "one")
    assert (first["better"], first["worse"]) == (3 / 6, 1 / 6)
    kept, shown = with_items(ranks, ITEMS)
    assert kept["other"] == {"image_to_text": [1, 2], "text_to_image": [1, 9]}
    assert [(item["row"], item["image"]) for item in shown["image_to_text"]] == [(0, "data:a"), (1, "data:c")]
    assert shown["text_to_image"][1]["partners"] == [{"image": "data:c"}]


def test_rows_of_other_seeds_or_without_items(tmp_path: Path) -> None:
    jobs = [finished(tmp_path, "one", 0, ONE, 1), finished(tmp_path, "other", 1, OTHER, 1)]
    table = standings([result(job) for job in jobs], {})["made"]
    assert ranks_of_rows(table) == {}
    assert ranks_of_rows([]) == {}
    assert with_items({}, ITEMS) == ({}, {})
    assert with_items({"one": {}}, {"names": ["image", "text"], "x": [], "y": []}) == ({}, {})
