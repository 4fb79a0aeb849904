"""How time and memory grow with the number of pairs: ``python -m benchmarks.scale``.

Synthetic pairs (see ``benchmarks.latent``), 768-d float16 on both sides, in shards that are written one after the
other and read by memory map. Every fit runs in a process of its own. Memory is what the fit takes beyond the
interpreter with its imports: its own (anonymous), and the peak of the resident set, which counts the mapped pages of
the shards that the system happens to keep.
"""

import dataclasses
import itertools
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.features_file import FOLDER
from benchmarks.latent import LatentFactors
from benchmarks.record import Parser, Record, command, positive, spread, table, told
from benchmarks.scale_fit import SHARD, in_process
from datamodules.cache.shards import write_shard
from ground.errors import UserError
from ground.progress import progress_bar

MODEL = LatentFactors(
    d_x=768, d_y=768, shared=256, private=512, decay=1.0, nuisance=2.0, caption_noise=6.0, white=4.0, seed=0
)
SIZES = (10_000, 100_000, 1_000_000)
QUICK_MODEL = dataclasses.replace(MODEL, d_x=48, d_y=32, shared=16, private=16, caption_noise=1.0, white=1.0)
QUICK_SIZES = (1_000, 2_000)
RANK = 128
QUICK_RANK = 8
GIVEN = ["aligner.lam=0.3", "aligner.tau=0.1", "aligner.weight_power=1.0"]
LINEAR = "aligner.feature_map=identity"
CONTESTANTS: dict[str, tuple[str, list[str]]] = {
    "unicon linear, closed form": ("unicon", [LINEAR, *GIVEN, "aligner.passes=0"]),
    "unicon linear, choice and passes": ("unicon", [LINEAR]),
    "unicon": ("unicon", []),
}
"""The aligner and its overrides; the last has its defaults."""
HELD_OUT = 1_000


def write_shards(model: LatentFactors, sizes: Sequence[int], folder: Path) -> None:
    """Shards ``x-00000``, ``y-00000``, ... of ``SHARD`` pairs for the largest size, ``validation`` and ``held_out``."""
    n = max(sizes)
    with progress_bar("writing shards", n, 0, visible=True) as advance:
        for number, start in enumerate(range(0, n, SHARD)):
            rows = min(SHARD, n - start)
            _write(model, folder, f"{number:05d}", rows, number + 1)
            advance(rows)
    _write(model, folder, "held_out", HELD_OUT, 0)
    _write(model, folder, "validation", HELD_OUT, number + 2)


def _write(model: LatentFactors, folder: Path, name: str, rows: int, block: int) -> None:
    for side, values in zip("xy", model.rows(rows, 1, block), strict=True):
        write_shard(folder / f"{side}-{name}.safetensors", values.half(), {"rows": rows})


@contextmanager
def shards(model: LatentFactors, sizes: Sequence[int]) -> Iterator[Path]:
    """A folder of the cache with the shards, gone at the end."""
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="scale-", dir=FOLDER) as folder:
            write_shards(model, sizes, Path(folder))
            yield Path(folder)
    except OSError as error:
        raise UserError(
            f"cannot write shards under {FOLDER}: {error.strerror}; {max(sizes):,} pairs take "
            f"{max(sizes) * (model.d_x + model.d_y) * 2 / 1e9:.1f} GB, --sizes makes fewer"
        ) from error


def growth(sizes: Sequence[int], seconds: Sequence[float]) -> dict[str, Any]:
    """``exponents`` b of time = a n^b between consecutive sizes (1 is linear), and ``fitted``, by least squares."""
    logs = [(math.log(n), math.log(s)) for n, s in zip(sizes, seconds, strict=True)]
    between = [(s1 - s0) / (n1 - n0) for (n0, s0), (n1, s1) in itertools.pairwise(logs)]
    n, s = torch.tensor(logs, dtype=torch.float64).T
    n = n - n.mean()
    return {"exponents": between, "fitted": float((n @ s) / (n @ n)) if between else None}


def summarised(results: dict[str, dict[int, list[dict[str, float]]]]) -> dict[str, dict[str, Any]]:
    """Spreads for each contestant and size that was measured, and how its time grows."""
    summary: dict[str, dict[str, Any]] = {}
    for name, by_size in results.items():
        sizes = {
            n: {key: spread([each[key] for each in of_size]) for key in of_size[0]}
            for n, of_size in by_size.items()
            if of_size
        }
        if not sizes:
            continue
        medians = [of_size["fit_seconds"]["median"] for of_size in sizes.values()]
        summary[name] = {"sizes": {str(n): of_size for n, of_size in sizes.items()}, **growth(list(sizes), medians)}
    return summary


def tables(summary: dict[str, dict[str, Any]], failed: dict[str, dict[str, str]]) -> list[Table]:
    columns = [
        "",
        "pairs",
        "fit s, median (min to max)",
        "µs a pair",
        "growth",
        "own MB",
        "peak RSS MB",
        "recall",
    ]
    rows = []
    for name, of_name in summary.items():
        exponents = ["", *(f"n^{b:.2f}" for b in of_name["exponents"])]
        for (n, of_size), exponent in zip(of_name["sizes"].items(), exponents, strict=True):
            rows.append(
                [
                    name,
                    f"{int(n):,}",
                    told(of_size["fit_seconds"], 2),
                    f"{of_size['fit_seconds']['median'] / int(n) * 1e6:.1f}",
                    exponent,
                    told(of_size["own_mb"], 0) if "own_mb" in of_size else "not known",
                    told(of_size["rss_mb"], 0),
                    f"{of_size['recall']['median']:.1f}",
                ]
            )
    shown = [table(f"streamed from shards; recall: mean recall on {HELD_OUT} held-out pairs", columns, rows)]
    lost = [[name, f"{int(n):,}", line] for name, of_name in failed.items() for n, line in of_name.items()]
    return [*shown, table("not measured", ["", "pairs", "why"], lost)] if lost else shown


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=positive, metavar="N", help="numbers of pairs")
    parser.add_argument("--repeats", type=positive, default=5, help="of every fit, in turns; default: 5")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs, not how it grows")
    arguments = parser.parse_args(argv)
    if arguments.quick and arguments.sizes:
        raise UserError("--quick has sizes of its own: leave --sizes out")
    sizes = sorted(set(QUICK_SIZES if arguments.quick else arguments.sizes or SIZES))
    model, rank = (QUICK_MODEL, QUICK_RANK) if arguments.quick else (MODEL, RANK)
    given = vars(arguments) | {"sizes": sizes, "model": dataclasses.asdict(model), "rank": rank, "shard": SHARD}
    record = Record("scale", given)
    results: dict[str, dict[int, list[dict[str, float]]]] = {name: {n: [] for n in sizes} for name in CONTESTANTS}
    failed: dict[str, dict[str, str]] = {name: {} for name in CONTESTANTS}

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        summary = summarised(results)
        return {"summary": summary}, tables(summary, failed) if summary else []

    with (
        record.ending(summarise),
        shards(model, sizes) as folder,
        progress_bar("fits", arguments.repeats * len(sizes) * len(CONTESTANTS), 0, visible=True) as advance,
    ):
        for _ in range(arguments.repeats):
            for n in sizes:
                for name, (aligner, overrides) in CONTESTANTS.items():
                    advance(1)
                    if str(n) in failed[name]:
                        continue
                    try:
                        results[name][n].append(in_process(folder, n, aligner, [*overrides, f"aligner.rank={rank}"]))
                    except UserError as error:  # too few pairs, or more than fit into memory: the others go on
                        failed[name][str(n)] = str(error)
                    of_sizes = {name: {str(n): r for n, r in of.items()} for name, of in results.items()}
                    record.save(results=of_sizes, failed=failed)
    if not summarised(results):
        raise UserError(next(line for of in failed.values() for line in of.values()))


if __name__ == "__main__":
    command(main)
