"""Recall and seconds of `unicon` over one of its settings: ``python -m benchmarks.curves``.

Over ``contrast_items``, on features of Flickr8k where their file is given and on synthetic ones of Flickr30K's shape,
with passes that are not chosen, so that every fit takes them; and over ``landmarks`` of the kernel map, on features of
clip art where their file is given. Fits take turns, a repeat is a seed, and each has a process of its own (see
``benchmarks.timed_fit``). A figure of each data set stands beside the record.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.record import ROOT, Parser, Record, command, path, positive, spread, table, told
from benchmarks.speed_contestants import Measure, own, quick_settings
from benchmarks.speed_shapes import FLICKR30K, NAMES, REAL, Data, chosen, data, title
from ground.progress import progress_bar
from report.figures.plot_style import BLUE, ORANGE, bare, new_figure

PASSES = ["aligner.tau=0.1", "aligner.weight_power=1.0", "aligner.lam=1.0", "aligner.passes=4"]
"""The first of each list of the defaults: a choice of no pass would hide what the sample does to them."""


@dataclass(frozen=True)
class Curve:
    """A setting whose values are tried, with what else is set."""

    setting: str
    values: tuple[str, ...]
    others: tuple[str, ...] = ()


CONTRAST = Curve("contrast_items", ("1024", "2048", "4096", "8192", "all"), tuple(PASSES))
LANDMARKS = Curve("landmarks", ("256", "512", "1024", "2048", "auto"), ("aligner.feature_map=nystrom",))
CURVES = {"clipart": LANDMARKS, "flickr8k": CONTRAST, FLICKR30K: CONTRAST}
QUICK_VALUES = ("16", "64")


def parsed(argv: Sequence[str]) -> Namespace:
    parser = Parser("python -m benchmarks.curves", description=__doc__)
    names = [name for name in NAMES if name in CURVES]
    parser.add_argument(
        "--shapes", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}; default: all"
    )
    for name in REAL:
        parser.add_argument(f"--{name}", type=path, metavar="FILE", help="its features; without them it is left out")
    parser.add_argument("--repeats", type=positive, default=3, help="of every fit, in turns; default: 3")
    parser.add_argument("--limit", type=positive, default=900, metavar="SECONDS", help="of a fit; default: 900")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    return parser.parse_args(argv)


def fits(name: str, of: Data, arguments: Namespace) -> dict[str, Measure]:
    """By the setting's value."""
    curve, quick = CURVES[name], arguments.quick
    below = [value for value in curve.values if not value.isdigit() or int(value) < of.train.n_x]
    base = [*curve.others, *(quick_settings("unicon") if quick else [])]
    return {
        value: own(ROOT, "unicon", [*base, f"aligner.{curve.setting}={value}"], of.file, arguments.limit)
        for value in (QUICK_VALUES if quick else below)
    }


def summarised(results: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """``val``, ``test`` and ``fit_seconds`` over the repeats of a value, or its note."""
    summary = {}
    for value, repeats in results.items():
        notes = [each["note"] for each in repeats if "note" in each]
        if notes:
            summary[value] = {"note": notes[0]}
        elif repeats:
            summary[value] = {key: spread([each[key] for each in repeats]) for key in ("val", "test", "fit_seconds")}
    return summary


def shown(name: str, summary: dict[str, dict[str, Any]], of: Data) -> Table:
    rows = [
        [value, each["note"], "", ""] if "note" in each
        else [value, told(each["fit_seconds"], 1), told(each["val"], 1), told(each["test"], 1)]
        for value, each in summary.items()
    ]  # fmt: skip
    return table(title(name, of), [CURVES[name].setting, "fit s", "validation", "test"], rows)


def drawn(name: str, summary: dict[str, dict[str, Any]]) -> Figure:
    """Mean recall on test and validation over the setting, and over the seconds of a fit; medians of the repeats."""
    measured = {value: each for value, each in summary.items() if "note" not in each}
    figure = new_figure(9.0, 3.8)
    over_setting, over_time = figure.subplots(1, 2, sharey=True)
    seconds = [each["fit_seconds"]["median"] for each in measured.values()]
    for key, label, colour, marker in (("val", "validation", BLUE, "o"), ("test", "test", ORANGE, "s")):
        recalls = [each[key]["median"] for each in measured.values()]
        over_setting.plot(range(len(recalls)), recalls, color=colour, marker=marker, label=label)
        over_time.plot(seconds, recalls, color=colour, marker=marker)
    over_setting.set_xticks(range(len(measured)), list(measured))
    over_setting.set_xlabel(CURVES[name].setting)
    over_setting.set_ylabel("mean recall (%)")
    over_setting.legend(frameon=False)
    over_time.set_xlabel("seconds of a fit")
    for number, (value, second, recall) in enumerate(zip(measured, seconds, recalls, strict=True)):
        place = 7 if number % 2 else -14  # neighbours may be close
        over_time.annotate(
            value, (second, recall), textcoords="offset points", xytext=(0, place), ha="center", fontsize=8
        )
    for axes in (over_setting, over_time):
        bare(axes)
        axes.margins(y=0.15)
    repeats = max(len(each["val"]["values"]) for each in measured.values())
    figure.suptitle(f"{CURVES[name].setting} on {name}, {'seed 0' if repeats == 1 else f'medians of {repeats} seeds'}")
    return figure


def main(argv: Sequence[str]) -> None:
    arguments = parsed(argv)
    files: dict[str, Path | None] = {name: getattr(arguments, name) for name in REAL}
    shapes, left_out = chosen(arguments.shapes, files)
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    record = Record("curves", plain | {"shapes": shapes, "left_out": left_out})
    sets = {name: data(name, files.get(name), arguments.quick) for name in shapes}
    fields = {name: fits(name, of, arguments) for name, of in sets.items()}
    results: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {value: [] for value in field} for name, field in fields.items()
    }

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        summary = {name: summarised(results[name]) for name in shapes}
        for name, each in summary.items():
            if any("val" in of for of in each.values()):
                drawn(name, each).savefig(record.path.with_name(f"{record.path.stem}_{name}.png"))
        return {"summary": summary}, [shown(name, each, sets[name]) for name, each in summary.items() if each]

    number = arguments.repeats * sum(map(len, fields.values()))
    with record.ending(summarise), progress_bar("fits", number, 0, visible=True) as advance:
        for repeat in range(arguments.repeats):
            for name, field in fields.items():
                for value, measure in field.items():
                    if not any("note" in each for each in results[name][value]):  # once is enough
                        results[name][value].append(measure(repeat))
                        record.save(results=results)
                    advance(1)


if __name__ == "__main__":
    command(main)
