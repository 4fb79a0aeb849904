"""What ``benchmarks.speed`` makes of its repeats: spreads, ratios, tables."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchmarks.record import spread, table, told
from benchmarks.speed_contestants import CLOSED, SGD, SGD_TUNED

Summary = dict[str, dict[str, Any]]
DIGITS = {"fit_seconds": 2, "seconds_to_best": 2, "val": 1, "test": 1, "own_mb": 0}


def reached(results: Sequence[dict[str, Any]], recall: float) -> list[float]:
    """Seconds of the fit after which each repeat's recall on validation was at least ``recall``; fewer if not all."""
    times = []
    for each in results:
        passes = [s for s, r in zip(each["seconds"], each["recalls"], strict=True) if r >= recall]
        times += passes[:1]
    return times


def summarised(results: dict[str, list[dict[str, Any]]]) -> Summary:
    """Spreads of what was measured of each contestant.

    ``share_of_sgd`` is its fit's time over that of SGD-CLIP at its defaults; ``times_sooner`` the time of SGD-CLIP to
    its best recall on validation over the contestant's to the same recall, None where that is not reached. That is of
    SGD-CLIP where it is tuned, or else at its defaults.
    """
    summary: Summary = {}
    for name, of_name in results.items():
        if not of_name:  # nothing was measured yet
            continue
        notes = [each["note"] for each in of_name if "note" in each]
        if notes:
            summary[name] = {"note": notes[0]}
            continue
        summary[name] = {key: spread([each[key] for each in of_name]) for key in DIGITS if key in of_name[0]}
    if "fit_seconds" in summary.get(SGD, {}):
        of_sgd = summary[SGD]["fit_seconds"]["median"]
        for each in summary.values():
            if "fit_seconds" in each:
                each["share_of_sgd"] = each["fit_seconds"]["median"] / of_sgd
    reference = next((name for name in (SGD_TUNED, SGD) if "val" in summary.get(name, {})), None)
    if reference is not None:
        target, slow = (summary[reference][key]["median"] for key in ("val", "seconds_to_best"))
        for name, each in summary.items():
            if name != reference and "val" in each and "recalls" in results[name][0]:
                times = reached(results[name], target)
                whole = len(times) == len(results[name])
                seconds = spread(times)["median"] if whole else None
                each |= {"seconds_to_sgd_best": seconds, "times_sooner": slow / seconds if seconds else None}
    return summary


def tables(summary: Summary, shares: Summary, title: str) -> list[Table]:
    """The contestants' table, and that of the shares of the images; those with nothing in them are left out."""
    columns = [
        "", "fit s, median (min to max)", "s to its best", "val recall", "test recall", "own MB",
        f"of {SGD}'s fit", f"to {SGD}'s best",
    ]  # fmt: skip
    keys = ("fit_seconds", "seconds_to_best", "val", "test", "own_mb")
    rows = []
    for name, of_name in summary.items():
        if "note" in of_name:
            rows.append([name, of_name["note"], *[""] * (len(columns) - 2)])
            continue
        share = f"{of_name['share_of_sgd']:.3g}" if "share_of_sgd" in of_name else ""
        rows.append([name, *_cells(of_name, keys), share, _sooner(of_name)])
    of_shares = [
        [share, row["note"], "", ""] if "note" in row else [share, *_cells(row, ("fit_seconds", "val", "test"))]
        for share, row in shares.items()
    ]
    share_columns = ["share of the images", "fit s", "val recall", "test recall"]
    shown = [(title, columns, rows), (CLOSED, share_columns, of_shares)]
    return [table(*each) for each in shown if each[-1]]


def _cells(of_name: dict[str, Any], keys: Sequence[str]) -> list[str]:
    return [told(of_name[key], DIGITS[key]) if key in of_name else "" for key in keys]


def _sooner(of_name: dict[str, Any]) -> str:
    if "times_sooner" not in of_name:
        return ""
    sooner = of_name["times_sooner"]
    if sooner is None:
        return "not reached"
    return f"{sooner:.1f} times sooner" if sooner >= 1 else f"{1 / sooner:.1f} times later"
