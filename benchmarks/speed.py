"""How long a fit takes at Flickr30K's size: ``python -m benchmarks.speed``.

Synthetic features (see ``benchmarks.latent``) of 29,000 images, 2048-d, with five captions each, 768-d, in memory as
float32. Contestants take turns; times are medians. The floor are the matrix products that no closed form can avoid.
"Times faster" is SGD-CLIP's time to its best recall on validation over the variant's time to the same recall;
validation is not part of any time. ``--tune`` gives SGD-CLIP its best setting first: the grid is ``SGD_GRID``. The data
is linear and Gaussian, CCA's home ground: who is quick shows here, who is good shows in ``benchmarks.quality``.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.features_file import Shape, features_file, read_splits
from benchmarks.latent import LatentFactors, caption_pairs
from benchmarks.peers import PEERS, in_process, missing
from benchmarks.record import Parser, Record, command, positive, spread, table, told
from benchmarks.runs import Outcome, composed, now, run
from datamodules.base.datamodule import PairsDataModule
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError, nearest
from ground.progress import progress_bar

MODEL = LatentFactors(
    d_x=2048, d_y=768, shared=256, private=512, decay=1.0, nuisance=2.0, caption_noise=6.0, white=4.0, seed=0
)
SHAPE = Shape(train=29_000, val=1_000, test=1_000, captions=5)
QUICK_MODEL = dataclasses.replace(MODEL, d_x=48, d_y=32, shared=16, private=16, caption_noise=1.0, white=1.0)
QUICK_SHAPE = Shape(train=200, val=40, test=40, captions=2)

RANK = 128
LAM = 0.3
"""Ridge of every closed form here, the best of 0.03, 0.1, 0.3, 1 and 3 on validation."""
GIVEN = [f"aligner.lam={LAM}", "aligner.weight_power=0.5", "aligner.tau=0.1"]
"""UniCon's settings, chosen on validation beforehand as SGD-CLIP's are."""
LINEAR = ["aligner.feature_map=identity", *GIVEN]
CLOSED_FORM = [*LINEAR, "aligner.passes=0"]
KERNEL = ["aligner.landmarks=2048", *GIVEN, "aligner.passes=0"]
PASS = [*LINEAR, "aligner.passes=1", "aligner.weight_power=1.0"]
"""At this power the first step is taken whole: one sweep for the pull and one for the objective."""
SAMPLE = "aligner.sample=0.7"
UNICON: dict[str, list[str]] = {
    "unicon linear, closed form": CLOSED_FORM,
    "unicon linear, 70 % of the moments": [*CLOSED_FORM, SAMPLE],
    "unicon linear, a pass within batches": [*PASS, "aligner.negatives=batch"],
    "unicon kernel, closed form": KERNEL,
    "unicon kernel, 70 % of the moments": [*KERNEL, SAMPLE],
}
FULL_PASS = "unicon linear, a pass over all pairs"
FLOOR = "matrix products"
PASS_FLOOR = "matrix products of a pass"
SGD = "sgd_clip"
SGD_START = ["aligner.optimizer.lr=0.003", "trainer.max_epochs=8", "datamodule.batch_size=512"]
"""The best on validation of seven points: lr 0.003, batches of 512 and 1024 for 8 epochs, of 256 and 512 for 16;
lr 0.002, 512, 16; lr 0.001, 256, 16. ``--tune`` runs the whole grid."""
SGD_GRID: dict[str, list[float]] = {
    "aligner.optimizer.lr": [0.001, 0.003, 0.01],
    "trainer.max_epochs": [4, 8, 16],
    "datamodule.batch_size": [256, 512, 1024],
}
CLOSE = 0.5
"""Settings whose recalls on validation differ by no more are told apart by their time."""
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
LIMIT = 60.0
"""Seconds that a peer may take, with the start of its process."""


def fit(aligner: str, overrides: list[str], splits: dict[str, Pairs], rank: int, seed: int) -> Outcome:
    """One of our aligners on features in memory."""
    config = composed(aligner, "latent", [*overrides, f"aligner.rank={rank}", f"seed={seed}"])
    datamodule = PairsDataModule(config.datamodule.batch_size, config.datamodule.eval_batch_size, seed)
    datamodule.splits = splits
    return run(config, datamodule)


def own(aligner: str, overrides: list[str], splits: dict[str, Pairs], rank: int) -> Callable[[int], dict[str, Any]]:
    def measure(repeat: int) -> dict[str, Any]:
        try:
            outcome = fit(aligner, overrides, splits, rank, repeat)
        except UserError as error:
            return {"note": str(error)}
        best = outcome.recalls.index(max(outcome.recalls))
        return {
            "fit_seconds": outcome.metrics["time/fit_seconds"],
            "seconds_to_best": outcome.seconds[best],
            "val": outcome.recalls[best],
            "test": outcome.metrics["test/mean_recall"],
            "recalls": outcome.recalls,
            "seconds": outcome.seconds,
        }

    return measure


def products(train: Pairs) -> Callable[[int], dict[str, Any]]:
    """``X^T X``, ``Y^T Y`` and ``X^T`` with the mean captions, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y = torch.as_tensor(train.x).to(device), torch.as_tensor(train.y).to(device)
    mean = y.view(len(x), -1, y.shape[1]).mean(1)

    def measure(repeat: int) -> dict[str, Any]:
        start = now()
        for one, other in ((x, x), (y, y), (x, mean)):
            one.T @ other
        return {"fit_seconds": now() - start}

    return measure


def pass_products(train: Pairs, rank: int) -> Callable[[int], dict[str, Any]]:
    """What a pass over all pairs cannot avoid: rows by (d, r) matrices three times, for A and B, for the pull and for
    the new directions, and of each block of similarities A B^T twice, S B and S^T A."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y = torch.as_tensor(train.x).to(device), torch.as_tensor(train.y).to(device)
    P, Q = torch.randn(x.shape[1], rank, device=device), torch.randn(y.shape[1], rank, device=device)

    def measure(repeat: int) -> dict[str, Any]:
        start = now()
        A, B = x @ P, y @ Q
        for rows in A.split(1024):
            for columns in B.split(4096):
                S = rows @ columns.T
                S = rows @ columns.T
                S @ columns
                S.T @ rows
        for _ in range(2):
            x.T @ A
            y.T @ B
        return {"fit_seconds": now() - start}

    return measure


def peer(name: str, file: Path, rank: int, limit: float) -> Callable[[int], dict[str, Any]]:
    def measure(repeat: int) -> dict[str, Any]:
        if reason := missing(name):
            return {"note": reason}
        try:
            return in_process(name, file, rank, LAM, limit) or {"note": f"stopped after {limit:.0f} s"}
        except UserError as error:
            return {"note": str(error)}

    return measure


def first(train: Pairs, share: float) -> Pairs:
    """The first ``share`` of the images, which are in no order, with their captions."""
    n = max(2, round(train.n_x * share))
    return caption_pairs(torch.as_tensor(train.x)[:n], torch.as_tensor(train.y)[: n * (train.n_y // train.n_x)])


def reached(results: list[dict[str, Any]], recall: float) -> list[float]:
    """Seconds of training after which each repeat's recall on validation was at least ``recall``; fewer if not all."""
    times = []
    for each in results:
        passes = [s for s, r in zip(each["seconds"], each["recalls"], strict=True) if r >= recall]
        times += passes[:1]
    return times


def summarised(results: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Spreads of what was measured of each contestant, and for ours the ratio to SGD-CLIP."""
    summary: dict[str, dict[str, Any]] = {}
    for name, of_name in results.items():
        if not of_name:  # nothing was measured yet
            continue
        notes = [each["note"] for each in of_name if "note" in each]
        if notes:
            summary[name] = {"note": notes[0]}
            continue
        keys = [key for key in ("fit_seconds", "seconds_to_best", "val", "test") if key in of_name[0]]
        summary[name] = {key: spread([each[key] for each in of_name]) for key in keys}
    if "val" in summary.get(SGD, {}):
        target = summary[SGD]["val"]["median"]
        for name in UNICON:
            if "val" in summary.get(name, {}):
                times = reached(results[name], target)
                whole = len(times) == len(results[name])
                seconds = spread(times)["median"] if whole else None
                ratio = summary[SGD]["seconds_to_best"]["median"] / seconds if seconds else None
                summary[name] |= {"seconds_to_sgd_best": seconds, "times_faster": ratio}
    return summary


def tables(summary: dict[str, dict[str, Any]], shares: dict[str, dict[str, Any]], title: str) -> list[Table]:
    rows = []
    for name, of_name in summary.items():
        if "note" in of_name:
            rows.append([name, of_name["note"], "", "", "", ""])
            continue
        ratio = ""
        if "times_faster" in of_name:
            faster = of_name["times_faster"]
            ratio = "not reached" if faster is None else f"{faster:.1f} times faster"
        rows.append(
            [
                name,
                told(of_name["fit_seconds"], 2),
                *(told(of_name[key], digits) if key in of_name else "" for key, digits in
                  (("seconds_to_best", 2), ("val", 1), ("test", 1))),
                ratio,
            ]
        )  # fmt: skip
    columns = ["", "fit s, median (min to max)", "s to its best", "val recall", "test recall", "to SGD-CLIP's best"]
    of_shares = [
        [share, row["note"], "", ""] if "note" in row else
        [share, *(told(row[key], digits) for key, digits in (("fit_seconds", 2), ("val", 1), ("test", 1)))]
        for share, row in shares.items()
    ]  # fmt: skip
    share_columns = ["share of the images", "fit s", "val recall", "test recall"]
    shown = [(title, columns, rows), ("unicon linear, closed form", share_columns, of_shares)]
    return [table(*each) for each in shown if each[-1]]


def tune(splits: dict[str, Pairs], rank: int, grid: dict[str, list[float]], record: Record) -> list[str]:
    """SGD-CLIP's setting: the quickest within ``CLOSE`` of the grid's best recall on validation."""
    curves: dict[str, dict[str, Any]] = {}
    points = itertools.product(*grid.values())
    settings = [[f"{key}={value:g}" for key, value in zip(grid, point, strict=True)] for point in points]
    with progress_bar("tuning SGD-CLIP", len(settings), 0, visible=True) as advance:
        for setting in settings:
            curves[" ".join(setting)] = own(SGD, setting, splits, rank)(0)
            record.save(tuning=curves)
            advance(1)
    best = max(each.get("val", 0.0) for each in curves.values())
    close = [setting for setting in settings if curves[" ".join(setting)].get("val", -1.0) >= best - CLOSE]
    return min(close, key=lambda setting: curves[" ".join(setting)]["seconds_to_best"])


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--repeats", type=positive, default=5, help="of every contestant, in turns; default: 5")
    parser.add_argument("--tune", action="store_true", help="tune SGD-CLIP on validation first, over the module's grid")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs, not who is fast")
    arguments = parser.parse_args(argv)
    names = [FLOOR, *UNICON, SGD, PASS_FLOOR, FULL_PASS, *PEERS]
    for name in arguments.skip:
        if name not in names:
            raise UserError(f"unknown contestant '{name}': {nearest(name, names)}")
    model, shape, rank = (QUICK_MODEL, QUICK_SHAPE, 8) if arguments.quick else (MODEL, SHAPE, RANK)
    limit = 60.0 if arguments.quick else LIMIT
    settings = vars(arguments) | {"model": dataclasses.asdict(model), "shape": dataclasses.asdict(shape), "rank": rank}
    record = Record("speed", settings)
    file = features_file(model, shape)
    splits = read_splits(file)
    train = splits["train"]
    grid = {key: values[-1:] for key, values in SGD_GRID.items()} if arguments.quick else SGD_GRID
    setting = tune(splits, rank, grid, record) if arguments.tune else SGD_START

    field: dict[str, Callable[[int], dict[str, Any]]] = {FLOOR: products(train)}
    field |= {name: own("unicon", overrides, splits, rank) for name, overrides in UNICON.items()}
    field[SGD] = own(SGD, setting, splits, rank)
    field[PASS_FLOOR] = pass_products(train, rank)
    field[FULL_PASS] = own("unicon", PASS, splits, rank)
    field |= {name: peer(name, file, rank, limit) for name in PEERS}
    field = {name: measure for name, measure in field.items() if name not in arguments.skip}
    smaller = {
        f"{share:.0%}": own("unicon", CLOSED_FORM, splits | {"train": first(train, share)}, rank)
        for share in SHARES
        if first(train, share).n_x > rank
    }
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in (*field, *smaller)}
    tuned = "tuned on validation" if arguments.tune else "not tuned, --tune does"
    title = f"{shape.train:,} images with {shape.captions} captions; {SGD} {tuned}"

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        summary, shares = (summarised({name: results[name] for name in each}) for each in (field, smaller))
        return {"summary": summary, "shares": shares}, tables(summary, shares, title)

    with (
        record.ending(summarise),
        progress_bar("fits", arguments.repeats * len(results), 0, visible=True) as advance,
    ):
        for warm_up in (field.get(FLOOR), next(iter(smaller.values()))):  # what libraries do once is in no time
            if warm_up:
                warm_up(0)
        for repeat in range(arguments.repeats):
            for name, measure in (field | smaller).items():
                if not any("note" in each for each in results[name]):  # once is enough
                    results[name].append(measure(repeat))
                    record.save(results=results, sgd_setting=setting)
                advance(1)


if __name__ == "__main__":
    command(main)
