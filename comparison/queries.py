"""Query by query: the ranks of each row, on one seed, and how often one row is better than another."""

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from comparison.results import Standing

Ranks = dict[str, NDArray[np.int64]]
"""The rank of each query, by direction."""


def ranks_of_rows(table: Sequence[Standing]) -> dict[str, Ranks]:
    """Those of each row that finished, on the first seed that all of these have; empty where there is none."""
    rows = [row for row in table if row.results]
    shared = set.intersection(*({each.seed for each in row.results} for row in rows)) if rows else set()
    if not shared:
        return {}
    found: dict[str, Ranks] = {}
    for row in rows:
        result = next(each for each in row.results if each.seed == min(shared))
        with safe_open(result.folder / "ranks.safetensors", framework="np") as file:
            names = [name for name in list(file.keys()) if re.fullmatch("test/.*/rank", name)]
            found[row.row] = {name.split("/")[1]: file.get_tensor(name) for name in names}
    sizes = {tuple(len(rank) for rank in ranks.values()) for ranks in found.values()}
    return found if len(sizes) == 1 else {}


def win_shares(ranks: dict[str, Ranks]) -> list[dict[str, Any]]:
    """Of each pair of rows, the shares of queries that ``one`` ranks better, as well, and worse than the ``other``."""
    every = {row: np.concatenate(list(of.values())) for row, of in ranks.items()}
    shares = []
    for one, other in product(every, every):
        if one != other:
            better, worse = float((every[one] < every[other]).mean()), float((every[one] > every[other]).mean())
            shares.append(
                {"one": one, "other": other, "better": better, "worse": worse, "equal": 1 - better - worse,
                 "margin": better - worse}
            )  # fmt: skip
    return shares


def with_items(ranks: dict[str, Ranks], items: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ranks and items as a page of queries has them; both empty where the data say nothing of their items.

    ``items`` are those of ``comparison.items``. Of each direction the queries that are shown, with their partners, and
    of each row the ranks of these.
    """
    if not items.get("x") or not ranks:
        return {}, {}
    names, sides = items["names"], (items["x"], items["y"])
    shown: dict[str, Any] = {}
    for query, other in ((0, 1), (1, 0)):
        way = f"{names[query]}_to_{names[other]}"
        shown[way] = [
            {key: value for key, value in item.items() if key != "group"}
            | {"partners": [_plain(each) for each in sides[other] if each["group"] == item["group"]][:2]}
            for item in sides[query]
        ]
    kept = {
        row: {way: [int(of[way][item["row"]]) for item in shown[way]] for way in shown} for row, of in ranks.items()
    }
    for queries in shown.values():
        for place, item in enumerate(queries):
            item["row"] = place
    return kept, shown


def within(items: dict[str, Any], room: int) -> dict[str, Any]:
    """The same items, sounds alone from the first on as long as all of them take no more than ``room`` characters."""
    sides: dict[str, Any] = {}
    for side in ("x", "y"):
        sides[side] = []
        for item in items.get(side, []):
            room -= len(item.get("sound", ""))
            sides[side].append(item if room >= 0 else {key: value for key, value in item.items() if key != "sound"})
    return items | sides


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in ("text", "image", "sound") if key in item}
