"""How long a fit takes, every aligner beside SGD-CLIP: ``python -m benchmarks.speed``.

Data of four shapes: features of clip art and of Flickr8k where their files are given, and synthetic ones (see
``benchmarks.latent``) of Flickr30K's shape and of MSCOCO's; this one is measured only where it is named, for it takes
long. The data that is made is linear and Gaussian, CCA's home ground: who is quick shows here, who is good shows in a
contest (``compare.py``).

Contestants are every aligner at its defaults; at Flickr30K's shape, besides, settings chosen on validation, and other
libraries. They take turns, each fit in a process of its own that maps the file; what fails or takes longer than the
limit is told in its row. Time is that of all of ``Trainer.fit`` but validation, memory what the fit takes beside mapped
files. "Times sooner" is SGD-CLIP's time to its best recall on validation over the contestant's to the same recall. The
floor are the matrix products that no closed form can avoid. ``--tune`` gives SGD-CLIP its best setting at Flickr30K's
shape first: the grid is ``SGD_GRID``. ``--beside`` measures SGD-CLIP and UniCon of another checkout in the same turns.
"""

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import speed_contestants as contestants
from benchmarks.features_file import features_file
from benchmarks.record import ROOT, Parser, Record, command, path, positive
from benchmarks.speed_contestants import CLOSED, FLOOR, FULL_PASS, PASS_FLOOR, SGD_TUNED, Measure
from benchmarks.speed_shapes import FLICKR30K, MODEL, NAMES, QUICK_MODEL, REAL, SHAPE, Data, chosen, data, title
from benchmarks.speed_table import Summary, summarised, tables
from ground.errors import UserError, nearest
from ground.progress import progress_bar
from report.tables import screen

__all__ = ["MODEL", "SHAPE", "main"]

SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Parts of Flickr30K's images that the closed form is fitted on."""


def parsed(argv: Sequence[str]) -> Namespace:
    parser = Parser("python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--shapes", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}; default: all but mscoco"
    )
    for name in REAL:
        parser.add_argument(f"--{name}", type=path, metavar="FILE", help="its features; without them it is left out")
    parser.add_argument("--aligners", nargs="+", metavar="NAME", help="contestants; default: all")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    parser.add_argument("--beside", type=path, metavar="FOLDER", help="a checkout whose sgd_clip and unicon run too")
    parser.add_argument("--repeats", type=positive, default=5, help="of every contestant, in turns; default: 5")
    parser.add_argument(
        "--limit", type=positive, default=900, metavar="SECONDS",
        help=f"that a fit may take, with the start of its process; default: 900. A peer may take "
        f"{contestants.PEER_LIMIT} at most",
    )  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="tune SGD-CLIP on validation first, over the module's grid")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs, not who is fast")
    return parser.parse_args(argv)


def picked(entered: dict[str, Measure], arguments: Namespace) -> dict[str, Measure]:
    """Those that are asked for: with them their floors, and what another checkout has of them."""
    asked = set(arguments.aligners or entered) | {FLOOR}
    if FULL_PASS in asked:
        asked.add(PASS_FLOOR)
    if arguments.beside is not None:
        asked |= {contestants.beside_name(name, arguments.beside) for name in contestants.BESIDE if name in asked}
    return {name: measure for name, measure in entered.items() if name in asked and name not in arguments.skip}


def shares(of: Data, arguments: Namespace) -> dict[str, Measure]:
    """The closed form on shares of Flickr30K's images, each a file of its own with the same other splits."""
    assert of.shape is not None
    model, rank = (QUICK_MODEL, contestants.QUICK_RANK) if arguments.quick else (MODEL, contestants.RANK)
    setting = [*contestants.CLOSED_FORM, f"aligner.rank={rank}"]
    measures = {}
    for share in SHARES:
        shape = dataclasses.replace(of.shape, train=round(of.shape.train * share))
        if shape.train > rank:
            file = features_file(model, shape).resolve()
            measures[f"{share:.0%}"] = contestants.own(ROOT, "unicon", setting, file, arguments.limit)
    return measures


def main(argv: Sequence[str]) -> None:
    arguments = parsed(argv)
    files: dict[str, Path | None] = {name: getattr(arguments, name) for name in REAL}
    shapes, left_out = chosen(arguments.shapes, files)
    known = contestants.names(shapes)
    for name in (*(arguments.aligners or ()), *arguments.skip):
        if name not in known:
            raise UserError(f"unknown contestant '{name}': {nearest(name, known)}")
    if arguments.beside is not None:
        arguments.beside = arguments.beside.resolve()
        if not (arguments.beside / "train.py").is_file():
            raise UserError(f"--beside {arguments.beside} is no checkout: there is no train.py in it")
    if arguments.tune and FLICKR30K not in shapes:
        raise UserError(f"--tune is for {FLICKR30K}: name it in --shapes, or leave --tune out")
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    record = Record("speed", plain | {"shapes": shapes, "left_out": left_out})
    for line in left_out:
        screen().print(line, soft_wrap=True)

    sets: dict[str, Data] = {name: data(name, files.get(name), arguments.quick) for name in shapes}
    setting = contestants.SGD_START
    if arguments.tune:
        grid = contestants.SGD_GRID
        quick: list[str] = []
        if arguments.quick:
            grid = {key: values[-1:] for key, values in grid.items()}
            quick = contestants.quick_settings(contestants.SGD)
        setting = contestants.tune(sets[FLICKR30K].file, grid, quick, arguments.limit, record)
    fields: dict[str, dict[str, Measure]] = {}
    smaller: dict[str, Measure] = {}
    for name, of in sets.items():
        entered = contestants.field(name, of, setting, arguments)
        fields[name] = picked(entered, arguments)
        if CLOSED in fields[name]:
            smaller = shares(of, arguments)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {each: [] for each in field} for name, field in fields.items()
    }
    of_shares: dict[str, list[dict[str, Any]]] = {share: [] for share in smaller}

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        summary = {name: summarised(results[name]) for name in shapes}
        share_summary: Summary = summarised(of_shares)
        shown = []
        for name, of in sets.items():
            tuned = ""
            if SGD_TUNED in fields[name]:
                tuned = f"; {SGD_TUNED}: {'on validation' if arguments.tune else 'beforehand, --tune does it anew'}"
            shown += tables(summary[name], share_summary if name == FLICKR30K else {}, title(name, of) + tuned)
        return {"summary": summary, "shares": share_summary}, shown

    turns = [(results[name], field) for name, field in fields.items()] + [(of_shares, smaller)]
    with (
        record.ending(summarise),
        progress_bar("fits", arguments.repeats * sum(len(field) for _, field in turns), 0, visible=True) as advance,
    ):
        for field in fields.values():  # what libraries do once is in no time
            if FLOOR in field:
                field[FLOOR](0)
        for repeat in range(arguments.repeats):
            for kept, field in turns:
                for name, measure in field.items():
                    if not any("note" in each for each in kept[name]):  # once is enough
                        kept[name].append(measure(repeat))
                        record.save(results=results, of_shares=of_shares, sgd_setting=setting)
                    advance(1)


if __name__ == "__main__":
    command(main)
