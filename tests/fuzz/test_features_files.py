"""Features files with odd tensors, shapes and bytes: pairs as they were written, or one line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from datamodules.features import FeaturesDataModule
from datamodules.pairs.splits import SPLITS
from tests.datamodules.test_features import datamodule
from tests.fuzz.edits import Edit, edited, edits
from tests.fuzz.outcome import outcome, share

DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64,
]  # fmt: skip
VALUES = [float("nan"), float("inf"), -float("inf"), 0.0, 1e-45, 1e-30, 3e38, 1e300, -1.0, 255.0, 2.0**63, 65504.0]
NAMES = ["x", "y", "image", "", " ", "a/b", "two\nlines", "é", "x" * 3000, "\0"]
SHAPES = ["flat", "deep", "turned", "none", "no column", "fewer", "more", "one", "scalar"]
MISSING, EXTRA = "missing", "extra"


def whole(n: int, each: int) -> dict[str, Tensor]:
    """n x with ``each`` y: the first column of x, and of y, is the number of the x, from 1."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 3, generator=generator), torch.randn(n * each, 4, generator=generator)
    x_of_y = torch.randperm(n * each, generator=generator) % n
    x[:, 0] = torch.arange(n) + 1
    y[:, 0] = x_of_y + 1
    split = torch.arange(n, dtype=torch.uint8) % 3
    return {"x": x, "y": y, "x_of_y": x_of_y, "group": 7 * torch.arange(n), "split": split, "label": torch.arange(n)}


def reshaped(values: Tensor, shape: str) -> Tensor:
    match shape:
        case "flat":
            return values.flatten()
        case "deep":
            return values[:, None]
        case "turned":
            return values.mT if values.ndim > 1 else values[None]
        case "none":
            return values[:0]
        case "no column":
            return values[..., :0]
        case "fewer":
            return values[:-1]
        case "more":
            return torch.cat([values, values[:1]])
        case "one":
            return values[:1]
        case _:
            return values.flatten()[0]


def fitted(value: float, dtype: torch.dtype) -> Tensor:
    """The value as near as the type comes to it."""
    if dtype.is_floating_point:
        return torch.tensor(value, dtype=torch.float64).to(dtype)
    limits = torch.iinfo(dtype)
    return torch.tensor(0 if value != value else int(min(max(value, limits.min), limits.max)), dtype=dtype)


def rows(pairs: Any) -> tuple[Tensor, Tensor]:
    return pairs.x[torch.arange(pairs.n_x)].double(), pairs.y[torch.arange(pairs.n_y)].double()


def assert_sound(data: FeaturesDataModule) -> None:
    """Every split has finite rows and pairs that are in range, as batches have them."""
    for pairs in data.splits.values():
        x, y = rows(pairs)
        assert len(x) > 0
        assert len(y) > 0
        assert bool(x.isfinite().all())
        assert bool(y.isfinite().all())
        assert int(pairs.x_of_y.min()) >= 0
        assert int(pairs.x_of_y.max()) < pairs.n_x
        assert set(pairs.group.tolist()) == set(pairs.y_group.tolist())
        batch = pairs[torch.arange(pairs.n_x)]
        assert bool(batch.x.isfinite().all())
        assert bool(batch.y.isfinite().all())
        assert bool(batch.positives.any(1).all())


def assert_planted(data: FeaturesDataModule, written: dict[str, Tensor]) -> None:
    """Each y stands with the x whose number it has, and with what was written of it."""
    for number, split in enumerate(SPLITS):
        pairs = data.splits[split]
        x, y = rows(pairs)
        of_x = x[:, 0].round().long() - 1
        assert torch.equal(of_x[pairs.x_of_y], y[:, 0].round().long() - 1)
        if "group" in written:
            assert torch.equal(pairs.group, written["group"].long()[of_x])
        if "label" in written:
            assert pairs.label is not None
            assert torch.equal(pairs.label, written["label"].long()[of_x])
        if "split" in written:
            assert bool((written["split"].long()[of_x] == number).all())
    if len(written.keys() & {"x_of_y", "split"}) == 2:
        assert sum(pairs.n_y for pairs in data.splits.values()) == len(written["y"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


def read(path: Path, content: bytes) -> FeaturesDataModule:
    path.write_bytes(content)
    data = datamodule(path)
    data.setup()
    assert_sound(data)
    return data


names = st.sampled_from(["x", "y", "x_of_y", "group", "split", "label"])
metadata = st.none() | st.dictionaries(st.sampled_from(["x_name", "y_name", "z"]), st.sampled_from(NAMES), max_size=3)


@share(0.08)
@given(
    n=st.integers(1, 12) | st.integers(3, 12), each=st.integers(1, 3), metadata=metadata,
    left_out=st.sets(names, max_size=3), dtypes=st.dictionaries(names, st.sampled_from(DTYPES), max_size=2),
)  # fmt: skip
def test_dtypes(
    folder: Path, n: int, each: int, metadata: dict[str, str] | None, left_out: set[str], dtypes: dict[str, torch.dtype]
) -> None:
    written = {name: values.to(dtypes.get(name, values.dtype)) for name, values in whole(n, each).items()}
    written = {name: values for name, values in written.items() if name not in left_out}
    data = outcome("features dtype", lambda: read(folder / "dtypes.safetensors", save(written, metadata)))
    if data is not None:
        assert (data.x_name, data.y_name) == tuple((metadata or {}).get(f"{s}_name", s) for s in "xy")
        if "x_of_y" in written:
            assert_planted(data, written)


@share(0.08)
@given(
    n=st.integers(1, 12) | st.integers(3, 12), each=st.integers(1, 2), left_out=st.sets(names, max_size=3),
    values=st.lists(st.tuples(names, st.integers(0, 50), st.sampled_from(VALUES)), max_size=3),
    shapes=st.dictionaries(names, st.sampled_from(SHAPES), max_size=1),
    extra=st.none() | st.sampled_from(["X", "z", "labels", "", "x\n", "é"]),
    double=st.booleans(),
)  # fmt: skip
def test_values_and_shapes(
    folder: Path, n: int, each: int, left_out: set[str], values: list[tuple[str, int, float]], shapes: dict[str, str],
    extra: str | None, double: bool,
) -> None:  # fmt: skip
    written = {name: value for name, value in whole(n, each).items() if name not in left_out}
    for name in {"x", "y"} & written.keys() if double else ():
        written[name] = written[name].double()
    for name, place, value in values:
        if name in written:
            written[name].view(-1)[place % written[name].numel()] = fitted(value, written[name].dtype)
    before = {name: value.clone() for name, value in written.items()}
    for name, shape in shapes.items():
        if name in written and (shape != "deep" or written[name].ndim):
            written[name] = reshaped(written[name], shape).contiguous()
    if extra is not None:
        written[extra] = torch.ones(2)
    data = outcome("features values", lambda: read(folder / "values.safetensors", save(written)))
    # a square turned is as good a file, of other rows
    if data is not None and not values and "x_of_y" in written and "turned" not in shapes.values():
        assert_planted(data, before)


WORDS = [
    b"\0", b"\xff", b"{", b"}", b'"', b"[", b",", b"F32", b"F64", b"I64", b"BOOL", b"-1", b"99999999999", b"\\ud800",
    b"__metadata__", b"data_offsets", b"shape",
]  # fmt: skip


@share(0.07)
@given(
    n=st.integers(3, 9), changes=edits(WORDS), header=edits(WORDS, most=2, cut=False),
    length=st.none() | st.none() | st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 400),
)  # fmt: skip
def test_bytes(folder: Path, n: int, changes: list[Edit], header: list[Edit], length: int | None) -> None:
    """Damage anywhere, to the header alone, and to the header's length."""
    content = save(whole(n, 2), {"x_name": "image"})
    of_header = int.from_bytes(content[:8], "little")
    text = edited(content[8 : 8 + of_header], header)
    said = len(text) if length is None else length
    content = said.to_bytes(8, "little") + text + content[8 + of_header :]
    damaged = edited(content, changes)
    data = outcome("features bytes", lambda: read(folder / "bytes.safetensors", damaged))
    if data is not None and not changes and not header and length is None:
        assert_planted(data, whole(n, 2))
