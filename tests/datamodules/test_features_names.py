"""Names of items in a features file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from aligners.closed_form import CCA
from ground.errors import UserError
from report.pictures import Pictures
from tests.datamodules.features_files import loaded, tensors
from tests.evaluation.fits import fitted, made
from tests.report.drawing import draw


def lines(*names: str, end: str = "\n") -> Tensor:
    return torch.frombuffer(bytearray(("\n".join(names) + end).encode()), dtype=torch.uint8)


def test_names_of_items_are_those_of_their_rows_in_every_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.formats.item_names.CHUNK", 7)  # lines run over chunks
    own = tensors(captions=2)
    lonely = own["x_of_y"].clone()
    lonely[lonely == 5] = 4  # x 5 has no y and is left out
    named = {
        "x_names": lines(*(f"föto {i}.jpg" for i in range(40))),
        "y_names": lines(*(f"y {i}" for i in range(80)), end=""),
    }
    data = loaded(tmp_path, {"x_name": "image", "y_name": "text"}, x_of_y=lonely, **named)
    assert data.describes
    for split, pairs in data.splits.items():
        batch = pairs[torch.arange(pairs.n_x)]
        for i in range(pairs.n_x):
            row = int((own["x"] == batch.x[i]).all(1).nonzero())
            assert data.describe_x(split, i) == f"föto {row}.jpg"
        for j in range(pairs.n_y):
            row = int((own["y"] == pairs.y[torch.tensor([j])]).all(1).nonzero())
            assert data.describe_y(split, j) == f"y {row}"


def test_names_of_one_side_or_of_none(tmp_path: Path) -> None:
    data = loaded(tmp_path, y_names=lines(*(f"caption {i}" for i in range(80))))
    assert data.describes
    assert data.describe_x("test", 3) == "x 3"
    assert data.describe_y("test", 0).startswith("caption ")
    assert not loaded(tmp_path).describes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (lines(*"abc"), "x_names holds 3 lines, one for each of 40 items is needed"),
        (torch.empty(0, dtype=torch.uint8), "x_names holds 0 lines"),
        (torch.zeros(40, dtype=torch.int64), r"x_names must be uint8 \(k,\), names as UTF-8 lines, got int64 \(40,\)"),
    ],
)
def test_names_that_do_not_fit_are_refused(names: Tensor, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path, x_names=names)
    assert str(caught.value).startswith(str(tmp_path))


def test_a_name_that_is_not_text_is_told_when_it_is_read(tmp_path: Path) -> None:
    data = loaded(tmp_path, x_names=lines(*["ä"] * 40)[:-1].clone().index_fill(0, torch.tensor([0]), 0xFF))
    bad = [(split, i) for split, pairs in data.splits.items() for i in range(pairs.n_x) if pairs.group[i] == 0]
    with pytest.raises(UserError, match="x_names, line 1 is not UTF-8"):
        data.describe_x(*bad[0])


def test_names_are_on_the_sheet_of_a_run(tmp_path: Path) -> None:
    names = {
        "x_names": lines(*(f"photo {i}" for i in range(40))),
        "y_names": lines(*(f"caption {i}" for i in range(80))),
    }
    data, evaluation = loaded(tmp_path, {"x_name": "image", "y_name": "text"}, **names), made()
    aligner = CCA(rank=3)
    fitted(aligner, data, evaluation=evaluation)
    pictures = Pictures(similarity_pairs=4, sheet_items=3, tsne_items=0, weights_items=0)
    texts = draw(pictures.draw(evaluation, aligner, data, "cca on features")["retrieval_sheet"])
    assert sum(text.startswith("photo ") for text in texts) == 3
    assert sum(text.startswith("caption ") for text in texts) >= 9
