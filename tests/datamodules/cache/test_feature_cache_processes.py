"""Extraction by several gloo processes: each writes its shards once, and the cache is that of one process."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from datamodules.cache import entry as cache_entry
from datamodules.cache.shards import write_shard
from ground.errors import UserError
from tests.datamodules.cached import Fake, Holes, build, everything, only_folder, tree
from tests.processes import exit_codes

STRINGS = [f"{'!' if i % 7 == 3 else ''}text {i}" for i in range(23)]
BROKEN = [i for i in range(23) if i % 7 == 3]


class Diverging(Fake):
    """Its features of one text are not finite."""

    def too_long(self, items: list[Any]) -> tuple[int, str]:
        return 0, ""

    def encode(self, items: list[Any]) -> torch.Tensor:
        rows = super().encode(items)
        return rows.where(torch.tensor(["16" not in item for item in items])[:, None], float("inf"))


def work(rank: int, world: int, folder: Path, case: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=timedelta(seconds=40)
    )
    written = []

    def counted(path: Path, *rest: Any) -> None:
        written.append(path.name)
        write_shard(path, *rest)

    cache_entry.write_shard = counted
    cache = build(folder / "cache", size=2)
    backbone = Diverging() if case == "diverging" else Fake()
    got: dict[str, Any] = {"error": ""}
    try:
        features = cache.features(Holes(STRINGS, "captions train"), backbone)
        got |= {"rows": everything(features), "kept": features.kept, "extracted": features.extracted_items}
    except UserError as error:
        got["error"] = str(error)
    torch.save(got | {"written": written}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def by_processes(world: int, folder: Path, case: str = "all") -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    (folder / "meet").unlink(missing_ok=True)
    assert exit_codes(work, ((rank, world, folder, case) for rank in range(world)), seconds=60) == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], torch.Tensor]:
    folder = tmp_path_factory.mktemp("alone")
    features = build(folder, size=2).features(Holes(STRINGS, "captions train"), Fake())
    return tree(folder), everything(features)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_extract_the_cache_of_one(world: int, tmp_path: Path, alone: Any) -> None:
    files, rows = alone
    results = by_processes(world, tmp_path / "many")
    assert tree(tmp_path / "many" / "cache") == files
    written = sorted(name for result in results for name in result["written"])
    assert written == [f"{number:05d}.safetensors" for number in range(12)]
    for result in results:
        assert len(result["written"]) == 12 // world
        assert torch.equal(result["rows"], rows)
        assert result["kept"].tolist() == [i for i in range(23) if i not in BROKEN]
        assert result["extracted"] == 23
    again = by_processes(world, tmp_path / "many")
    assert all(result["written"] == [] and result["extracted"] == 0 for result in again)


def test_processes_go_on_where_one_was_cut_off(tmp_path: Path, alone: Any) -> None:
    files, rows = alone
    by_processes(2, tmp_path / "many")
    folder = only_folder(tmp_path / "many" / "cache")
    (folder / "manifest.json").unlink()
    for number in (1, 4, 8):
        (folder / f"{number:05d}.safetensors").unlink()
    (folder / "00006.safetensors").write_bytes(b"cut")
    results = by_processes(2, tmp_path / "many")
    assert tree(tmp_path / "many" / "cache") == files
    assert [result["written"] for result in results] == [
        ["00001.safetensors", "00006.safetensors"], ["00004.safetensors", "00008.safetensors"],
    ]  # fmt: skip
    assert all(torch.equal(result["rows"], rows) and result["extracted"] == 8 for result in results)


def test_what_fails_in_one_process_is_told_in_all(tmp_path: Path) -> None:
    results = by_processes(2, tmp_path / "many", "diverging")
    assert all("the features of item 16" in result["error"] for result in results)
