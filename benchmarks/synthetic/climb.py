"""The best setting of a row on validation, by a climb over a grid.

The climb begins at the point nearest to the YAML's values, tries the neighbours along every axis, and moves to the best
of them until none is better. It tells how many settings were tried, and names the axes whose best is the grid's edge,
where the grid was too narrow.
"""

import math
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

Axes = dict[str, list[float]]
Point = tuple[int, ...]


def climb(axes: Axes, config: DictConfig, score: Callable[[list[str]], float]) -> dict[str, Any]:
    """The setting that no neighbour along an axis beats.

    ``score`` takes overrides to the mean recall on validation. Returns ``overrides`` and ``score`` of the best,
    ``tried``, the score of every setting by its overrides in one line, and ``at_edge``, the axes that end there.
    """
    scores: dict[Point, float] = {}

    def overrides(point: Point) -> list[str]:
        return [f"{key}={values[i]:g}" for (key, values), i in zip(axes.items(), point, strict=True)]

    def tried(point: Point) -> float:
        if point not in scores:
            scores[point] = score(overrides(point))
        return scores[point]

    best = tuple(_nearest(values, float(OmegaConf.select(config, key))) for key, values in axes.items())
    while True:
        # the first of equals, itself before its neighbours: the climb ends
        around = max([best, *_neighbours(best, axes)], key=tried)
        if around == best:
            break
        best = around
    return {
        "overrides": overrides(best),
        "score": scores[best],
        "tried": {" ".join(overrides(point)): value for point, value in scores.items()},
        "at_edge": [key for (key, values), i in zip(axes.items(), best, strict=True) if i in (0, len(values) - 1)],
    }


def _neighbours(point: Point, axes: Axes) -> list[Point]:
    return [
        (*point[:axis], moved, *point[axis + 1 :])
        for axis, values in enumerate(axes.values())
        for moved in (point[axis] - 1, point[axis] + 1)
        if 0 <= moved < len(values)
    ]


def _nearest(values: list[float], value: float) -> int:
    """The place of the value nearest by ratio; 0 is near 0 alone."""

    def distance(other: float) -> float:
        if other == value:
            return 0.0
        return math.inf if 0 in (other, value) else abs(math.log(other / value))

    return min(range(len(values)), key=lambda i: distance(values[i]))
