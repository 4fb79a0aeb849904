"""Features files: what holds by default, what is refused and how, and what stays on disk."""

import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from datamodules.pairs import checked_rows
from datamodules.pairs.arrays import pairs_of_tensors
from datamodules.pairs.checked_rows import check_rows
from datamodules.pairs.splits import SPLITS, drawn_split
from ground.errors import UserError
from tests.datamodules.features_files import datamodule, loaded, tensors, written
from tests.problems import CLIPART_FEATURES


def test_defaults(tmp_path: Path) -> None:
    whole = tensors(captions=1)
    data = loaded(tmp_path, x_of_y=None, y=whole["y"])
    assert (data.x_name, data.y_name) == ("x", "y")
    assert data.dims == (6, 5)
    assert data.protocol == {"dataset": "pairs"}
    assert [data.splits[name].n_x for name in SPLITS] == [28, 4, 8]
    seen = []
    for pairs in data.splits.values():
        batch = pairs[torch.arange(pairs.n_x)]
        assert torch.equal(batch.positives, torch.eye(pairs.n_x, dtype=torch.bool))
        rows = pairs.group  # each x its own: the group is the row
        assert torch.equal(batch.x, whole["x"][rows])
        assert torch.equal(batch.y, whole["y"][rows])
        assert pairs.label is pairs.domain is None
        seen += rows.tolist()
    assert sorted(seen) == list(range(40))


def test_everything_that_a_file_may_hold(tmp_path: Path) -> None:
    split = torch.tensor([0, 1, 2, 0] * 10, dtype=torch.uint8)
    group = (torch.arange(40) // 8).to(torch.int32)
    data = loaded(
        tmp_path,
        {"x_name": "image", "y_name": "text"},
        x_of_y=tensors()["x_of_y"].to(torch.int32),
        group=group,
        split=split,
        label=torch.arange(40).to(torch.int16),
        domain=torch.arange(40).to(torch.uint8) // 2,
        x=tensors()["x"].half(),
        y=tensors()["y"].double(),
    )
    assert (data.x_name, data.y_name) == ("image", "text")
    for number, pairs in enumerate(data.splits.values()):
        rows = (split == number).nonzero()[:, 0]
        batch = pairs[torch.arange(pairs.n_x)]
        assert torch.equal(batch.x, tensors()["x"].half().float()[rows])
        assert torch.equal(batch.y, tensors()["y"].reshape(40, 2, 5)[rows].reshape(-1, 5))
        assert torch.equal(pairs.group, group[rows].long())
        assert pairs.label is not None
        assert pairs.label.tolist() == rows.tolist()
        assert pairs.domain is not None
        assert pairs.domain.tolist() == [row // 2 for row in rows.tolist()]
        assert {t.dtype for t in (pairs.group, pairs.label, pairs.x_of_y)} == {torch.int64}


@given(
    group=st.lists(st.integers(0, 30), min_size=3, max_size=80).filter(lambda g: len(set(g)) >= 3).map(torch.tensor),
    shares=st.sampled_from([(0.1, 0.1), (0.05, 0.4), (0.3, 0.3)]),
    seed=st.integers(-5, 2**40),
)
def test_a_drawn_split_is_seeded_by_group_and_in_its_shares(
    group: Tensor, shares: tuple[float, float], seed: int
) -> None:
    split = drawn_split(group, *shares, seed)
    assert torch.equal(split, drawn_split(group, *shares, seed))
    groups = [set(group[split == number].tolist()) for number in range(3)]
    n = len(set().union(*groups))
    assert sum(map(len, groups)) == n  # disjoint
    assert [len(g) for g in groups[1:]] == [max(1, round(n * share)) for share in shares]
    assert groups[0]


def test_another_seed_draws_another_split() -> None:
    splits = [drawn_split(torch.arange(100), 0.1, 0.1, seed) for seed in range(5)]
    assert all(not torch.equal(a, b) for i, a in enumerate(splits) for b in splits[:i])


def changed(name: str, row: int, value: float | int, **others: Tensor) -> dict[str, Tensor]:
    values = (tensors() | others)[name].clone()
    values[row] = value
    return others | {name: values}


SPLIT = torch.tensor([0, 1, 2, 0] * 10, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"y": None}, "has no tensor 'y'"),
        ({"x": None}, "has no tensor 'x'"),
        ({"xofy": torch.arange(3)}, "holds an unknown tensor 'xofy': did you mean 'x_of_y'"),
        (
            {"x": torch.ones(40, 6, dtype=torch.int64)},
            r"x must be features.*float64, got shape \(40, 6\) of torch.int64",
        ),
        ({"y": torch.ones(80)}, r"y must be features \(n, d\).*got shape \(80,\) of torch.float32"),
        ({"x": torch.ones(0, 6)}, r"x must be features.*got shape \(0, 6\)"),
        ({"y": torch.ones(80, 0)}, r"y must be features.*got shape \(80, 0\)"),
        ({"x": torch.ones(40, 6).to(torch.float8_e4m3fn)}, "x must be features.*of torch.float8_e4m3fn"),
        (changed("x", 3, float("nan")), "1 of 40 rows of x hold NaN or infinity: rows 3; extract them again"),
        (changed("y", 79, float("-inf")), "1 of 80 rows of y hold NaN or infinity: rows 79;"),
        (changed("x", 0, 0.0), "1 of 40 rows of x hold nothing but zeros: rows 0;"),
        ({"y": torch.zeros(80, 5)}, r"80 of 80 rows of y hold nothing but zeros: rows 0, 1, 2, 3, 4, \.\.\.;"),
        ({"x_of_y": None}, "x has 40 rows and y has 80: without x_of_y"),
        ({"x_of_y": torch.arange(40)}, r"x_of_y must be 80 integers, got shape \(40,\)"),
        ({"x_of_y": torch.zeros(80)}, r"x_of_y must be 80 integers, got shape \(80,\) of torch.float32"),
        (changed("x_of_y", 5, -1), r"x_of_y must be in 0 to 39, the rows of x: 1 are not.* x_of_y\[5\] = -1"),
        (changed("x_of_y", 7, 40), r"x_of_y must be in 0 to 39.*x_of_y\[7\] = 40"),
        ({"group": torch.zeros(39, dtype=torch.int64)}, "group must be 40 integers"),
        ({"group": torch.zeros(40, dtype=torch.bool)}, "group must be 40 integers.*of torch.bool"),
        ({"label": torch.zeros(40)}, "label must be 40 integers"),
        ({"domain": torch.zeros(39, dtype=torch.int64)}, "domain must be 40 integers"),
        ({"split": SPLIT[:39]}, r"split must be 40 integers, got shape \(39,\)"),
        ({"split": SPLIT[:0]}, r"split must be 40 integers, got shape \(0,\)"),
        ({"split": SPLIT.float()}, "split must be 40 integers, got shape.*torch.float32"),
        (changed("split", 2, 3, split=SPLIT), "split must hold 0.*got 0 to 3"),
        (changed("split", 2, -1, split=SPLIT.to(torch.int8)), "split must hold 0.*got -1 to 2"),
        ({"split": SPLIT.clamp(max=1)}, "the test split is empty"),
        ({"group": torch.arange(40) % 2}, r"2 group\(s\) cannot be split into train, val and test"),
        ({"x_of_y": torch.arange(80) % 2}, r"2 group\(s\) cannot be split"),  # the other x have no y
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_with_the_file(
    tmp_path: Path, parts: dict[str, Tensor | None], message: str
) -> None:
    data = datamodule(written(tmp_path, **parts))
    for _ in range(2):  # the second time too
        with pytest.raises(UserError, match=message) as error:
            data.setup()
        assert str(data.path) in str(error.value)
        assert "\n" not in str(error.value)
        assert data.splits == {}


def test_rows_of_several_layers(tmp_path: Path) -> None:
    assert loaded(tmp_path).layers == (1, 1)
    assert loaded(tmp_path, {"x_layers": "3", "y_layers": "5"}).layers == (3, 5)
    for wrong in ("0", "4", "-1", "three", ""):
        with pytest.raises(UserError, match="x_layers in the header metadata must be a number of equal parts of 6 col"):
            loaded(tmp_path, {"x_layers": wrong})


@pytest.mark.parametrize("names", [{"x_name": "image", "y_name": "image"}, {"x_name": "y"}])
def test_modalities_of_one_name(tmp_path: Path, names: dict[str, str]) -> None:
    with pytest.raises(UserError, match=f"both modalities are named '{names['x_name']}': write two different"):
        loaded(tmp_path, names)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs a file: set datamodule.path=FILE.safetensors"):
        datamodule(None)
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match=f"no features file at {path}"):
            datamodule(path).setup()
    path = written(tmp_path)
    whole = path.read_bytes()
    for broken in (whole[:-10], whole[:50], b"", b"no safetensors at all"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"is not a whole safetensors file.*write it again"):
            datamodule(path).setup()


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.1, -0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_out_of_range(shares: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="must be above 0 and together below 1"):
        drawn_split(torch.arange(9), *shares, 0)


def test_shares_that_leave_nothing_for_train() -> None:
    with pytest.raises(UserError, match="3 groups split into 1 for val and 2 for test leave none for train"):
        drawn_split(torch.arange(3), 0.1, 0.8, 0)


def test_x_without_y_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x_of_y = tensors()["x_of_y"].clone()
    x_of_y[x_of_y == 4] = 5  # train; one whose group has no y is val
    x_of_y[x_of_y == 1] = 0
    x_of_y[x_of_y == 8] = 9
    group = torch.arange(40)
    group[8] = 12  # train, without a y of its own but with those of 12
    with caplog.at_level(logging.WARNING):
        data = loaded(tmp_path, x_of_y=x_of_y, split=SPLIT, group=group)
    assert [data.splits[name].n_x for name in SPLITS] == [19, 9, 10]
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "1 of 20 x of the train split have no y and are left out",
        "1 of 10 x of the val split have no y and are left out",
    ]
    for pairs in data.splits.values():
        assert bool(pairs[torch.arange(pairs.n_x)].positives.any(1).all())
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        drawn = loaded(tmp_path, x_of_y=x_of_y, group=group)
    assert sum(pairs.n_x for pairs in drawn.splits.values()) == 38
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == ["2 of 40 x have no y and are left out"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("values_at_once", [1, 13, 2**21])
def test_rows_are_checked_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, values_at_once: int
) -> None:
    monkeypatch.setattr(checked_rows, "VALUES_AT_ONCE", values_at_once)
    rows = torch.full((23, 4), -1.0, dtype=dtype)
    rows[5] = torch.tensor([0, 0, 0, -(2.0**-14)])  # small is not zero
    rows[6] = min(torch.finfo(dtype).max, torch.finfo(torch.float32).max)  # large is not infinite
    check_rows("x", rows)
    for bad in (float("nan"), float("inf"), float("-inf")):
        broken = rows.clone()
        broken[[2, 9, 22], [0, 3, 2]] = bad
        with pytest.raises(UserError, match="3 of 23 rows of x hold NaN or infinity: rows 2, 9, 22;"):
            check_rows("x", broken)
    rows[[0, 22]] = 0
    with pytest.raises(UserError, match="2 of 23 rows of x hold nothing but zeros: rows 0, 22;"):
        check_rows("x", rows)


def test_rows_that_float32_cannot_hold() -> None:
    rows = torch.tensor([[1.0, 2.0], [1e39, 0.0], [1e-60, 0.0]], dtype=torch.float64)
    with pytest.raises(UserError, match="1 of 3 rows of x hold NaN or infinity: rows 1;"):
        check_rows("x", rows)
    with pytest.raises(UserError, match="1 of 2 rows of x hold nothing but zeros: rows 1;"):
        check_rows("x", rows[[0, 2]])


def anonymous_memory() -> int:
    """Bytes of this process that no file backs."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_features_stay_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    n, d = 40_000, 800
    save_file({"x": torch.ones(n, d), "y": torch.ones(n, 2)}, path)
    assert path.stat().st_size > 120_000_000
    data = datamodule(path)
    before = anonymous_memory()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch.x.shape[1] == d
    assert anonymous_memory() - before < 40_000_000


def test_features_in_memory_are_not_copied() -> None:
    parts = tensors()
    pairs = pairs_of_tensors(parts["x"], parts["y"], x_of_y=parts["x_of_y"])
    assert pairs.x is parts["x"]
    assert pairs.y is parts["y"]


@pytest.mark.skipif(not CLIPART_FEATURES.exists(), reason=f"{CLIPART_FEATURES.name} of 3,552 clip arts is not there")
def test_the_clipart_features_file() -> None:
    data = datamodule(CLIPART_FEATURES)
    data.setup()
    assert (data.x_name, data.y_name) == ("image", "text")
    assert [data.splits[name].n_x for name in SPLITS] == [2446, 373, 733]
    assert sum(pairs.n_y for pairs in data.splits.values()) == 7984
    assert data.dims == (1280, 768)
    groups = [set(pairs.group.tolist()) for pairs in data.splits.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
