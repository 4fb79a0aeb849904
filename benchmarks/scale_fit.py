"""One fit on pairs in shards, in a process of its own: its time, its memory and what it has learned."""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from hydra.utils import instantiate

from benchmarks.record import Parser, child_environment, command, error_of
from benchmarks.runs import Clock, composed
from benchmarks.timed_fit import OwnMemory
from datamodules.base.datamodule import PairsDataModule
from datamodules.cache.mapped_rows import MappedRows
from datamodules.cache.shards import map_rows
from datamodules.pairs.pairs import Pairs, SelectedRows
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError

SHARD = 10_000
BATCH = 1024
"""Pairs in a shard, and in a batch."""


def peak_rss_mb() -> float:
    """The peak of this process's resident set."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mapped_pairs(folder: Path, n: int) -> Pairs:
    """The first ``n`` pairs of the shards in ``folder``, each its own group."""
    count = -(-n // SHARD)
    index = torch.arange(n)
    x, y = (_mapped(folder, side, [f"{number:05d}" for number in range(count)]) for side in "xy")
    if n < x.shape[0]:
        return Pairs(SelectedRows(x, index), SelectedRows(y, index), index, index)
    return Pairs(x, y, index, index)


def _validation(folder: Path) -> Pairs:
    x, y = (_mapped(folder, side, ["validation"]) for side in "xy")
    index = torch.arange(x.shape[0])
    return Pairs(x, y, index, index)


def _mapped(folder: Path, side: str, names: list[str]) -> MappedRows:
    paths = [folder / f"{side}-{name}.safetensors" for name in names]
    rows, _ = map_rows(paths[0])
    return MappedRows(paths, rows.shape[1], rows.dtype)


def measure(folder: Path, n: int, aligner: str, overrides: list[str]) -> dict[str, float]:
    """``fit_seconds``, ``rss_mb`` and ``own_mb`` beyond what the imports take, ``recall`` on held-out pairs."""
    config = composed(aligner, "shards", [*overrides, f"datamodule.batch_size={BATCH}"])
    module = instantiate(config.aligner, _recursive_=False)
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")  # the driver's own memory is none of the fit's
    before = peak_rss_mb()
    memory = OwnMemory()
    memory.start()
    datamodule = PairsDataModule(BATCH, BATCH, config.seed)
    datamodule.splits = {"train": mapped_pairs(folder, n), "val": _validation(folder)}
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=config.trainer.max_epochs, devices=1, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False,
        limit_val_batches=0, num_sanity_val_steps=0,
        callbacks=[clock],
    )  # fmt: skip
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    trainer.fit(module, datamodule=datamodule)
    result = {"fit_seconds": clock.total, "rss_mb": peak_rss_mb() - before, **memory.end()}
    every = torch.arange(_mapped(folder, "x", ["held_out"]).shape[0])
    x, y = (_mapped(folder, side, ["held_out"])[every].float().to(module.device) for side in "xy")
    module.eval()
    embeddings = (module.encode_x(x).cpu(), module.encode_y(y).cpu())
    return result | {"recall": evaluate_retrieval(*embeddings, every, every, "x", "y", 1024)["mean_recall"]}


def in_process(folder: Path, n: int, aligner: str, overrides: list[str]) -> dict[str, float]:
    """``measure`` in a fresh process.

    Raises:
        UserError: the process ended with an error, in its last line.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        arguments = [str(folder), str(n), str(result), aligner, *overrides]
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale_fit", *arguments],
            env=child_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ended.returncode:
            why = error_of(ended.stderr, ended.returncode)
            raise UserError(f"the fit of {aligner} on {n:,} pairs ended: {why}")
        values: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return values


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.scale_fit", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("result", type=Path)
    parser.add_argument("aligner")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args(argv)
    measured = measure(given.folder, given.n, given.aligner, given.overrides)
    given.result.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    command(main)
