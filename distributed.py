"""``ground.distributed`` under its short name."""

from ground.distributed import (
    add_over_processes,
    concatenate,
    each_alone,
    from_first,
    gather_rows,
    is_distributed,
    rank_and_world,
)

__all__ = [
    "add_over_processes",
    "concatenate",
    "each_alone",
    "from_first",
    "gather_rows",
    "is_distributed",
    "rank_and_world",
]
