"""Sums, gathers and gradients of real gloo processes."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from aligners.objectives.softmax import CLIP
from ground.distributed import add_over_processes, concatenate, gather_rows, is_distributed, rank_and_world
from tests.processes import exit_codes

# rows of x and of y that each process holds; every x has one group, and the groups of y are GROUP[y]
PARTS = {
    "uneven": ([[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10]], [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]),
    "interleaved": ([[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]], [[0, 4, 7, 2], [1, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14]]),
    "all in one": ([[], list(range(11))], [[], list(range(15))]),
    "crossed": ([list(range(11)), []], [[], list(range(15))]),
}
GROUP = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 3, 10]


class Heads(nn.Module):
    """Two linear heads and a temperature under CLIP's loss, joined over processes as gradient aligners do."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.x = nn.Parameter(torch.randn(6, 4, generator=generator, dtype=torch.float64))
        self.y = nn.Parameter(torch.randn(5, 4, generator=generator, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor, x_group: Tensor, y_group: Tensor) -> Tensor:
        a, b = normalize(concatenate(x @ self.x)), normalize(concatenate(y @ self.y))
        positives = concatenate(x_group)[:, None] == concatenate(y_group)[None, :]
        return CLIP(tau=1.0)(self.log_scale.exp() * a @ b.T, positives)


def gradients(wrap: Callable[[Heads], nn.Module], x_rows: list[int], y_rows: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(15, 5, generator=generator, dtype=torch.float64)
    heads = Heads()
    i, j = torch.tensor(x_rows, dtype=torch.int64), torch.tensor(y_rows, dtype=torch.int64)
    module = wrap(heads)  # has to live until the gradients are averaged
    loss = module(x[i], y[j], i, torch.tensor(GROUP)[j])
    loss.backward()
    return [loss.detach(), *(p.grad for p in heads.parameters() if p.grad is not None)]


def held(rows: list[int], of: Tensor) -> tuple[Tensor, Tensor]:
    index = torch.tensor(rows, dtype=torch.int64)
    return index, of[index]


def work(rank: int, world: int, folder: Path) -> None:
    """What process ``rank`` of ``world`` gets from everything, saved in ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=timedelta(seconds=40)
    )
    got: dict[str, Any] = {"rank_and_world": rank_and_world(), "is_distributed": is_distributed()}
    a, b = torch.tensor([1.0, 10.0]) * (rank + 1), torch.tensor([[rank]])
    add_over_processes(a, b)
    got["sums"] = (a.tolist(), b.tolist())

    whole = torch.arange(22.0).reshape(11, 2) / 3
    for name, rows in {
        "uneven": [[7, 3], [0, 1, 2, 4, 5, 6, 8, 9, 10], []],
        "repeated": [[0, 1, 2, 3, 4, 5], [5, 4, 6, 7, 8], [8, 0, 10, 9]],
        "empty": [[], list(range(11)), []],
    }.items():
        mine = rows[rank] if world == 3 else rows[rank] + (rows[2] if rank == 1 else [])
        got[f"gather {name}"] = gather_rows(11, *held(mine, whole))
        got[f"gather {name} of integers"] = gather_rows(11, *held(mine, torch.arange(11) * 3))
    apart = gather_rows(2, torch.arange(2), torch.full((2, 1), float(rank)))  # which process's row is taken
    got["gather differing"] = apart.flatten().tolist()
    got["gather nothing"] = gather_rows(0, torch.arange(0), torch.empty(0, 2)).shape
    try:
        gather_rows(11, *held([rank, rank + 1], whole))
    except RuntimeError as error:
        got["gather missing"] = str(error)

    for name, counts in {"uneven": [3, 1, 2], "empty first": [0, 2, 0], "all empty": [0, 0, 0]}.items():
        rows = 10 * rank + torch.arange(counts[rank])
        got[f"concatenate {name}"] = concatenate(rows).tolist()
        got[f"concatenate {name} of floats"] = concatenate(rows[:, None].float().repeat(1, 2)).tolist()
    if world == 2:
        for name, (x_rows, y_rows) in PARTS.items():
            got[f"gradients {name}"] = gradients(DistributedDataParallel, x_rows[rank], y_rows[rank])
    torch.save(got, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of 2 and of 3 processes got."""
    world, folder = request.param, tmp_path_factory.mktemp("processes")
    assert exit_codes(work, ((rank, world, folder) for rank in range(world)), seconds=60) == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def test_ranks_and_sums(results: list[dict[str, Any]]) -> None:
    world = len(results)
    total = world * (world + 1) // 2
    for rank, got in enumerate(results):
        assert got["rank_and_world"] == (rank, world)
        assert got["is_distributed"]
        assert got["sums"] == ([total, 10 * total], [[total - world]])


@pytest.mark.parametrize("name", ["uneven", "repeated", "empty"])
def test_gathered_rows_are_whole_and_in_order(results: list[dict[str, Any]], name: str) -> None:
    for got in results:
        # to the bit: a repeated row is taken, not averaged
        assert torch.equal(got[f"gather {name}"], torch.arange(22.0).reshape(11, 2) / 3)
        assert torch.equal(got[f"gather {name} of integers"], torch.arange(11) * 3)
        assert got["gather differing"] == [0, 0]
        assert got["gather nothing"] == (0, 2)


def test_a_row_that_no_process_holds_is_an_error_on_all(results: list[dict[str, Any]]) -> None:
    missing = 11 - (len(results) + 1)
    assert {got["gather missing"] for got in results} == {f"{missing} of 11 rows were held by no process"}


def test_concatenated_rows_are_those_of_all_processes(results: list[dict[str, Any]]) -> None:
    expected = {"uneven": [0, 1, 2, 10, 20, 21], "empty first": [10, 11], "all empty": []}
    for got in results:
        for name, rows in expected.items():
            rows = [row for row in rows if row < 10 * len(results)]
            assert got[f"concatenate {name}"] == rows
            assert got[f"concatenate {name} of floats"] == [[row, row] for row in rows]


def test_gradients_of_two_processes_are_those_of_one(results: list[dict[str, Any]]) -> None:
    if len(results) == 2:
        for name, (x_rows, y_rows) in PARTS.items():
            whole = ([row for part in rows for row in part] for rows in (x_rows, y_rows))
            expected = gradients(lambda heads: heads, *whole)
            for got in results:
                assert len(got[f"gradients {name}"]) == 4
                for one, two in zip(expected, got[f"gradients {name}"], strict=True):
                    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_single_process_keeps_what_it_has() -> None:
    rows = torch.arange(6.0).reshape(3, 2).requires_grad_()
    total = rows.detach().clone()
    add_over_processes(total)
    assert torch.equal(total, rows.detach())
    assert concatenate(rows) is rows
    assert rank_and_world() == (0, 1)
    assert not is_distributed()
    index = torch.tensor([2, 0, 1, 0])
    assert torch.equal(gather_rows(3, index, rows.detach()[index]), rows.detach())
    with pytest.raises(RuntimeError, match="1 of 3 rows were held by no process"):
        gather_rows(3, torch.tensor([0, 2]), total[:2])
