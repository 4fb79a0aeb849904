"""Sums and gathers over processes that are plain identities in a single process."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)


def add_over_processes(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over all processes, in place.

    Raises:
        ValueError: a tensor that is not contiguous, which NCCL refuses and gloo does not.
    """
    if not all(tensor.is_contiguous() for tensor in tensors):
        raise ValueError("what is added over processes must be contiguous")
    if is_distributed():
        for tensor in tensors:
            dist.all_reduce(tensor)


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes or raises, in every process."""
    if not is_distributed():
        return make()
    made: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            made[0] = make()
        except Exception as error:
            made[1] = error
    dist.broadcast_object_list(made)
    if made[1] is not None:
        raise made[1]
    return made[0]  # type: ignore[no-any-return]


def each_alone(work: Callable[[], None]) -> None:
    """Every process does its own work; what one of them raises is raised in all, and nobody waits in vain."""
    if not is_distributed():
        return work()
    raised: list[Exception | None] = [None] * dist.get_world_size()
    mine: Exception | None = None
    try:
        work()
    except Exception as error:
        mine = error
    dist.all_gather_object(raised, mine)
    if mine is not None:
        raise mine
    for foreign in raised:
        if foreign is not None:
            raise foreign
    return None


def gather_objects(mine: list[T]) -> list[T]:
    """The lists of all processes, one after another; tensors in them belong on the CPU."""
    if not is_distributed():
        return mine
    lists: list[list[T]] = [[]] * dist.get_world_size()
    dist.all_gather_object(lists, mine)
    return [each for one in lists for each in one]


def gather_rows(n: int, index: Tensor, rows: Tensor) -> Tensor:
    """The whole (n, r) from every process's ``rows`` (k, r) at ``index`` (k,), in the order of the index.

    A row that several processes hold is taken from the first of them.

    Raises:
        RuntimeError: a row that no process holds.

    Example:
        >>> gather_rows(2, torch.tensor([1, 0]), torch.eye(2))
        tensor([[0., 1.],
                [1., 0.]])
    """
    rank, world = rank_and_world()
    holder = torch.full((n,), world, device=rows.device)
    holder[index] = rank
    if world > 1:
        dist.all_reduce(holder, dist.ReduceOp.MIN)
    missing = int((holder == world).sum())
    if missing:
        raise RuntimeError(f"{missing} of {n} rows were held by no process")
    mine = holder[index] == rank
    whole = rows.new_zeros(n, *rows.shape[1:])
    whole[index[mine]] = rows[mine]
    add_over_processes(whole)
    return whole


class _GatherWithGradient(torch.autograd.Function):
    """Concatenate padded blocks of all processes; the gradient of a block is summed over processes."""

    @staticmethod
    def forward(ctx, block: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        blocks = [torch.empty_like(block) for _ in range(dist.get_world_size())]
        dist.all_gather(blocks, block.contiguous())
        return torch.stack(blocks)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]


def concatenate(rows: Tensor) -> Tensor:
    """Rows of all processes, one after another, uneven numbers too; differentiable where ``rows`` is.

    Each process's loss of the concatenation adds to the gradient of each process's rows, so that after DDP's
    average the gradient is that of one process on the joined batch.
    """
    if not is_distributed():
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(counts))
    padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
    if rows.is_floating_point():
        blocks = _GatherWithGradient.apply(padded)
    else:
        blocks = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(blocks, padded)
    return torch.cat([block[: int(count)] for block, count in zip(blocks, counts, strict=True)])
