"""ECCV Caption and CxC by hand on a small package of the same form, and against the real one's own code."""

import importlib.util
import json
import logging
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_r_precision

from evaluation.extended import extended_retrieval, judged_positives, judged_retrieval, ranked_rates

IMAGES = torch.tensor([700, 30, 500])
CAPTIONS = torch.tensor([41, 7, 30, 8, 9, 6])  # two of each image; 30 names an image and a caption
# places on a circle in degrees: the smaller the angle between an image and a caption, the higher the cosine
X = [0.0, 90.0, 180.0]
Y = [10.0, 60.0, 80.0, 125.0, 170.0, 140.0]
# captions in the order of each image      images in the order of each caption
# 700: 41  7 30  8  6  9                   41: 700  30 500        8:  30 500 700
# 30:  30  7  8  6 41  9                   7:   30 700 500        9: 500  30 700
# 500:  9  6  8 30  7 41                   30:  30 700 500        6: 500  30 700
FILES = {
    "original_image_to_caption": {700: [41, 7], 30: [30, 8], 500: [9, 6]},
    # 1000 is a positive that is in no gallery
    "eccv_image_to_caption": {700: [41, 30, 8], 500: [6, 8, 1000]},
    "eccv_caption_to_image": {7: [700], 6: [500, 30]},
    "cxc_image_to_caption": {700: [7], 30: [30], 500: [9, 6, 41]},
    "cxc_caption_to_image": {41: [500], 7: [700, 500], 30: [700, 30], 8: [30], 9: [500], 6: [500]},
}


def on_circle(degrees: list[float]) -> Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


@pytest.fixture
def small_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``eccv_caption`` with ``FILES``; importing it fails."""
    data = tmp_path / "eccv_caption" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('its code is not wanted')")
    for name, content in FILES.items():
        (data / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.delitem(sys.modules, "eccv_caption", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


BY_HAND = {
    # of 700: hits at 1 and 3 of R = 3: (1 + 2/3) / 3 and 2/3; of 500: at 2 and 3 of R = 3: (1/2 + 2/3) / 3 and 2/3
    "eccv/image_to_text/mAP@R": 100 * ((1 + 2 / 3) / 3 + (1 / 2 + 2 / 3) / 3) / 2,
    "eccv/image_to_text/R-Precision": 100 * 2 / 3,
    "eccv/image_to_text/R@1": 50.0,
    # of 7: none at 1 of R = 1; of 6: both of R = 2
    "eccv/text_to_image/mAP@R": 50.0,
    "eccv/text_to_image/R-Precision": 50.0,
    "eccv/text_to_image/R@1": 50.0,
    # the first positive stands at 2, 1, 1
    "cxc/image_to_text/R@1": 100 * 2 / 3,
    "cxc/image_to_text/R@5": 100.0,
    "cxc/image_to_text/R@10": 100.0,
    # the first positive stands at 3, 2, 1, 1, 1, 1
    "cxc/text_to_image/R@1": 100 * 4 / 6,
    "cxc/text_to_image/R@5": 100.0,
    "cxc/text_to_image/R@10": 100.0,
}


@pytest.mark.usefixtures("small_package")
@pytest.mark.parametrize("block_size", [1, 2, 100])
def test_rates_by_hand(block_size: int) -> None:
    rates = extended_retrieval(on_circle(X), on_circle(Y), IMAGES, CAPTIONS, block_size)
    assert rates == pytest.approx(BY_HAND, rel=1e-12)


@pytest.mark.usefixtures("small_package")
def test_items_that_were_not_judged_are_no_part_of_the_gallery() -> None:
    """An image and a caption more, each nearer to queries than any other, in between the rest."""
    x, y = on_circle([170.0, *X]), on_circle([*Y[:3], 0.0, *Y[3:]])
    images = torch.cat([torch.tensor([1]), IMAGES])
    captions = torch.cat([CAPTIONS[:3], torch.tensor([1000]), CAPTIONS[3:]])
    assert extended_retrieval(x, y, images, captions, 4) == pytest.approx(BY_HAND, rel=1e-12)


@pytest.mark.usefixtures("small_package")
def test_the_order_of_the_items_does_not_matter() -> None:
    p, q = torch.tensor([2, 0, 1]), torch.tensor([5, 3, 0, 1, 4, 2])
    rates = extended_retrieval(on_circle(X)[p], on_circle(Y)[q], IMAGES[p], CAPTIONS[q], 4)
    assert rates == pytest.approx(BY_HAND, rel=1e-12)


@pytest.mark.usefixtures("small_package")
def test_equal_scores_stand_in_the_order_of_the_gallery() -> None:
    rates = extended_retrieval(torch.ones(3, 2), torch.ones(6, 2), IMAGES, CAPTIONS, 4)
    assert rates["cxc/image_to_text/R@1"] == pytest.approx(100 / 3)  # 41 comes first: right for 500 alone
    assert rates["cxc/text_to_image/R@1"] == pytest.approx(100 / 3)  # 700 comes first: right for 7 and 30


@pytest.mark.usefixtures("small_package")
@pytest.mark.parametrize("lost", ["image", "caption"])
def test_a_part_of_the_split_has_no_rates_and_says_so(lost: str, caplog: pytest.LogCaptureFixture) -> None:
    x, y, images, captions = on_circle(X), on_circle(Y), IMAGES, CAPTIONS
    if lost == "image":
        x, images = x[:2], images[:2]
    else:
        y, captions = y[1:], captions[1:]
    with caplog.at_level(logging.INFO):
        assert extended_retrieval(x, y, images, captions, 4) == {}
    (record,) = caplog.records
    there = "2 of the 3 images and 6 of the 6" if lost == "image" else "3 of the 3 images and 5 of the 6"
    assert there in record.getMessage()


def test_without_the_package_there_are_no_rates(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "eccv_caption", None)
    with caplog.at_level(logging.INFO):
        assert extended_retrieval(on_circle(X), on_circle(Y), IMAGES, CAPTIONS, 4) == {}
    assert not caplog.records


@pytest.mark.parametrize("n", [2, 4])
def test_ids_must_fit_the_embeddings(n: int) -> None:
    with pytest.raises(ValueError, match="3 embeddings"):
        extended_retrieval(on_circle(X), on_circle(Y), torch.arange(n), CAPTIONS, 4)


def test_a_query_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        judged_retrieval(on_circle(X), on_circle(Y), IMAGES, CAPTIONS, {701: {41}}, 4)


@st.composite
def ranked_lists(draw: st.DrawFn) -> list[tuple[list[bool], int]]:
    """Queries: which of the first k items are positives, and how many positives there are, some beyond the k-th."""
    k = draw(st.integers(1, 12))
    query = st.tuples(st.lists(st.booleans(), min_size=k, max_size=k), st.integers(0, 3))
    lists = draw(st.lists(query, min_size=1, max_size=6))
    return [(hits, max(1, sum(hits) + beyond)) for hits, beyond in lists]


@given(ranked_lists())
def test_rates_are_their_definitions(lists: list[tuple[list[bool], int]]) -> None:
    of_map, of_precision = [], []
    for hits, n in lists:
        top = hits[:n]
        of_map.append(sum(sum(top[: i + 1]) / (i + 1) for i, hit in enumerate(top) if hit) / n)
        target = torch.tensor(hits + [True] * (n - sum(hits)))  # the rest of the positives after all others
        target = torch.cat([target[: len(hits)], torch.zeros(n, dtype=torch.bool), target[len(hits) :]])
        of_precision.append(float(retrieval_r_precision(torch.arange(len(target), 0, -1.0), target)))
    rates = ranked_rates(torch.tensor([hits for hits, _ in lists]), torch.tensor([n for _, n in lists]))
    assert rates["mAP@R"] == pytest.approx(100 * math.fsum(of_map) / len(lists), abs=1e-9)
    assert rates["R-Precision"] == pytest.approx(100 * math.fsum(of_precision) / len(lists), abs=1e-4)
    for k in (1, 5, 10):
        assert rates[f"R@{k}"] == pytest.approx(100 * sum(any(hits[:k]) for hits, _ in lists) / len(lists))


def real_metrics() -> Any:
    """The package's own evaluation; it warns of libraries that it can do without."""
    if importlib.util.find_spec("eccv_caption") is None:
        pytest.skip("the package eccv-caption is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eccv_caption

        return eccv_caption.Metrics()


def ranked_ids(queries: Tensor, gallery: Tensor, ids: Tensor) -> Tensor:
    """The ids (q, 50) of the best by cosine on the grid of 2^-24, equal ones in the gallery's order."""
    queries, gallery = (torch.nn.functional.normalize(rows.double(), dim=1) for rows in (queries, gallery))
    order = torch.arange(len(gallery))
    keys = (((part @ gallery.T) * 2**24).round_().mul_(2**15).sub_(order) for part in queries.split(1000))
    return ids[torch.cat([key.topk(50, dim=1).indices for key in keys])]


def test_rates_are_those_of_the_package() -> None:
    """Random embeddings of the real ids, captions near their image, and ten captions more than were judged."""
    metrics = real_metrics()
    g = torch.Generator().manual_seed(0)
    captions = torch.cat([torch.from_numpy(metrics.coco_ids), 10_000_000 + torch.arange(10)])
    captions = captions[torch.randperm(len(captions), generator=g)]
    images = torch.tensor(sorted(metrics.coco_gts["i2t"]))
    row = {each: row for row, each in enumerate(images.tolist())}
    x_of_y = [row[image] for each in captions.tolist() for image in metrics.coco_gts["t2i"].get(each, [int(images[0])])]
    x = torch.randn(len(images), 16, generator=g)
    y = x[x_of_y] + 0.7 * torch.randn(len(captions), 16, generator=g)
    rates = extended_retrieval(x, y, images, captions, 1024)

    judged = captions < 10_000_000
    y, captions = y[judged], captions[judged]
    theirs = metrics.compute_all_metrics(
        dict(zip(images.tolist(), ranked_ids(x, y, captions).tolist(), strict=True)),
        dict(zip(captions.tolist(), ranked_ids(y, x, images).tolist(), strict=True)),
        target_metrics=("eccv_r1", "eccv_map_at_r", "eccv_rprecision", "cxc_recalls"),
        Ks=(1, 5, 10),
    )
    keys = {
        "eccv_map_at_r": "eccv/{}/mAP@R",
        "eccv_rprecision": "eccv/{}/R-Precision",
        "eccv_r1": "eccv/{}/R@1",
        **{f"cxc_r{k}": f"cxc/{{}}/R@{k}" for k in (1, 5, 10)},
    }
    ways = {"i2t": "image_to_text", "t2i": "text_to_image"}
    expected = {keys[key].format(ways[way]): 100 * value for key, both in theirs.items() for way, value in both.items()}
    assert min(expected.values()) > 5
    assert rates == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["eccv_image_to_caption", "eccv_caption_to_image", "cxc_image_to_caption", "cxc_caption_to_image"]
)
def test_a_perfect_ranking_of_the_real_positives_scores_100(name: str) -> None:
    """Each item has a dimension of its own, and a query those of its positives."""
    real_metrics()
    judged = judged_positives(name)
    assert judged is not None
    judged = {query: judged[query] for query in sorted(judged)[:60]}
    items = torch.tensor(sorted(set().union(*judged.values())))
    queries = torch.stack([torch.isin(items, torch.tensor(sorted(positives))) for positives in judged.values()])
    rates = judged_retrieval(queries.float(), torch.eye(len(items)), torch.tensor(list(judged)), items, judged, 256)
    assert rates == pytest.approx(dict.fromkeys(("mAP@R", "R-Precision", "R@1", "R@5", "R@10"), 100.0), rel=1e-12)
