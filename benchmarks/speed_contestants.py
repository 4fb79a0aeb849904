"""Who takes part in ``benchmarks.speed``: every aligner at its defaults, settings tuned beforehand, peers."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import timed_fit
from benchmarks.peers import PEERS, in_process, missing
from benchmarks.record import ROOT, Record, error_of
from benchmarks.speed_floors import pass_products, products
from benchmarks.speed_shapes import FLICKR30K, Data
from ground.configs import CONFIGS
from ground.errors import UserError
from ground.progress import progress_bar
from running.compose import quoted

Measure = Callable[[int], dict[str, Any]]
"""From the number of a repeat to what is measured, or to a ``note`` that says why nothing is."""

SGD = "sgd_clip"
PRINTED = "unicon_paper"
DEFAULTS = {
    name: name
    for name in sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))
    if name == PRINTED or not name.endswith("_paper")
}
"""Aligners at their defaults; of those as printed the method alone, not what its paper compares it with."""
LINEAR_DEFAULTS = "unicon feature_map=identity"

RANK = 128
"""The tuned settings' and the peers'."""
LAM = 0.3
"""Ridge of every closed form that is tuned, the best of 0.03, 0.1, 0.3, 1 and 3 on validation."""
GIVEN = [f"aligner.lam={LAM}", "aligner.weight_power=0.5", "aligner.tau=0.1"]
"""UniCon's settings, chosen on validation beforehand as SGD-CLIP's are."""
LINEAR = ["aligner.feature_map=identity", *GIVEN]
CLOSED_FORM = [*LINEAR, "aligner.passes=0"]
KERNEL = ["aligner.feature_map=nystrom", "aligner.landmarks=2048", *GIVEN, "aligner.passes=0"]
PASS = [*LINEAR, "aligner.passes=1", "aligner.weight_power=1.0"]
"""At this power the first step is taken whole: one sweep for the pull and one for the objective."""
SAMPLE = "aligner.sample=0.7"
CLOSED = "unicon linear, closed form"
UNICON: dict[str, list[str]] = {
    CLOSED: CLOSED_FORM,
    "unicon linear, 70 % of the moments": [*CLOSED_FORM, SAMPLE],
    "unicon linear, a pass within batches": [*PASS, "aligner.negatives=batch"],
    "unicon kernel, closed form": KERNEL,
    "unicon kernel, 70 % of the moments": [*KERNEL, SAMPLE],
}
FULL_PASS = "unicon linear, a pass over all pairs"
FLOOR = "matrix products"
PASS_FLOOR = "matrix products of a pass"
SGD_TUNED = "sgd_clip tuned"
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
BESIDE = (SGD, "unicon")
"""Those that another checkout runs as well."""
PEER_LIMIT = 60
"""Seconds that a peer may take, with the start of its process."""
QUICK_RANK = 8
QUICK = ["trainer.max_epochs=2"]


def fitted(checkout: Path, overrides: list[str], limit: float) -> dict[str, Any]:
    """``timed_fit.measure`` with the code of a checkout in a fresh process, or a note where it fails or takes longer
    than ``limit`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        arguments = [str(checkout / "configs"), str(result), *overrides]
        try:
            ended = subprocess.run(
                [sys.executable, "-P", str(timed_fit.__file__), *arguments], timeout=limit,
                env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return stopped(limit)
        if ended.returncode:
            return {"note": error_of(ended.stderr, ended.returncode)}
        values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return values


def stopped(limit: float) -> dict[str, Any]:
    return {"note": f"stopped after {limit:.0f} s"}


def own(checkout: Path, aligner: str, overrides: list[str], file: Path, limit: float) -> Measure:
    """An aligner of a checkout on a features file; a repeat is a seed."""
    of_file = ["datamodule=features", f"datamodule.path={quoted(str(file))}"]
    return lambda repeat: fitted(checkout, [f"aligner={aligner}", *of_file, *overrides, f"seed={repeat}"], limit)


def peer(name: str, file: Path, rank: int, limit: float) -> Measure:
    def measure(repeat: int) -> dict[str, Any]:
        if reason := missing(name):
            return {"note": reason}
        try:
            return in_process(name, file, rank, LAM, limit) or stopped(limit)
        except UserError as error:
            return {"note": str(error)}

    return measure


def quick_settings(aligner: str) -> list[str]:
    """Overrides for tiny data; of its rank the identity has no choice."""
    return [*QUICK, *([] if aligner == "identity" else [f"aligner.rank={QUICK_RANK}"])]


def names(shapes: list[str]) -> list[str]:
    """The contestants on these data, other checkouts apart."""
    at_defaults = [FLOOR, *DEFAULTS, LINEAR_DEFAULTS]
    return [*at_defaults, *UNICON, SGD_TUNED, PASS_FLOOR, FULL_PASS, *PEERS] if FLICKR30K in shapes else at_defaults


def field(name: str, data: Data, sgd_setting: list[str], arguments: Namespace) -> dict[str, Measure]:
    """All contestants on the data of this name: tuned settings and peers are for Flickr30K's shape."""
    beside, limit, quick = arguments.beside, arguments.limit, arguments.quick

    def fit(aligner: str, overrides: list[str], checkout: Path = ROOT) -> Measure:
        # settings stand after those for tiny data, and so over them
        return own(checkout, aligner, [*(quick_settings(aligner) if quick else []), *overrides], data.file, limit)

    entered: dict[str, Measure] = {FLOOR: products(data.train)}
    entered |= {each: fit(aligner, []) for each, aligner in DEFAULTS.items()}
    entered[LINEAR_DEFAULTS] = fit("unicon", ["aligner.feature_map=identity"])
    if beside is not None:
        entered |= {beside_name(each, beside): fit(each, [], beside) for each in BESIDE}
    if name == FLICKR30K:
        rank = QUICK_RANK if quick else RANK
        of_rank = [f"aligner.rank={rank}"]
        entered |= {each: fit("unicon", [*overrides, *of_rank]) for each, overrides in UNICON.items()}
        entered[SGD_TUNED] = fit(SGD, [*sgd_setting, *of_rank])
        entered[PASS_FLOOR] = pass_products(data.train, rank)
        entered[FULL_PASS] = fit("unicon", [*PASS, *of_rank])
        entered |= {each: peer(each, data.file, rank, min(limit, PEER_LIMIT)) for each in PEERS}
    return entered


def beside_name(aligner: str, checkout: Path) -> str:
    return f"{aligner} of {checkout.name}"


def tune(file: Path, grid: dict[str, list[float]], settings: list[str], limit: float, record: Record) -> list[str]:
    """SGD-CLIP's setting: the quickest within ``CLOSE`` of the grid's best recall on validation."""
    curves: dict[str, dict[str, Any]] = {}
    points = [
        [f"{key}={value:g}" for key, value in zip(grid, point, strict=True)]
        for point in itertools.product(*grid.values())
    ]
    with progress_bar("tuning SGD-CLIP", len(points), 0, visible=True) as advance:
        for point in points:
            curves[" ".join(point)] = own(ROOT, SGD, [*settings, *point], file, limit)(0)
            record.save(tuning=curves)
            advance(1)
    best = max(each.get("val", 0.0) for each in curves.values())
    close = [point for point in points if curves[" ".join(point)].get("val", -1.0) >= best - CLOSE]
    if not close:
        raise UserError(f"no setting of {SGD} could be tuned: {next(iter(curves.values()))['note']}")
    return min(close, key=lambda point: curves[" ".join(point)]["seconds_to_best"])
