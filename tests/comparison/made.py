"""Run directories of a contest as runs leave them, made from ranks."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from comparison.job import Ended, Job
from comparison.results import Result


def finished(
    root: Path, row: str, seed: int, ranks: tuple[Tensor, Tensor], captions: int, data: str = "made", **metrics: Any
) -> Job:
    """A job whose run has these ranks of its images, and of their captions, so many each; its recall follows."""
    job = Job(row, data, seed, {"aligner": {"name": row}, "seed": seed}, root / "runs")
    job.folder.mkdir(parents=True)
    group = torch.arange(len(ranks[0]))
    tensors = {}
    for way, rank, of in zip(
        ("image_to_text", "text_to_image"), ranks, (group, group.repeat_interleave(captions)), strict=True
    ):
        values = {"rank": rank, "index": torch.arange(len(rank)), "group": of, "gallery_size": torch.tensor(len(of))}
        tensors |= {f"test/{way}/{name}": value.clone() for name, value in values.items()}
    save_file(tensors, job.folder / "ranks.safetensors", {"x_name": "image", "y_name": "text"})
    told = {
        f"test/{way}/R@{k}": 100 * float((rank <= k).double().mean())
        for way, rank in zip(("image_to_text", "text_to_image"), ranks, strict=True)
        for k in (1, 5, 10)
    }
    told |= {"test/mean_recall": sum(told.values()) / 6, "time/fit_seconds": 1.0 + seed, "time/feature_seconds": 0.0}
    told |= {"memory/peak_rss_mb": 500.0, "model/bytes": 2_000_000, **metrics}
    (job.folder / "metrics.json").write_text(json.dumps(told))
    job.write(Ended("finished"))
    return job


def result(job: Job) -> Result:
    metrics = job.metrics()
    assert metrics is not None
    return Result(job.row, job.data, job.seed, metrics, job.folder)


def drawn_ranks(n: int, captions: int, chance: float, seed: int) -> tuple[Tensor, Tensor]:
    """Ranks of n images and of their captions that are 1 with this chance, and else 2 to 40."""
    generator = torch.Generator().manual_seed(seed)

    def of(k: int) -> Tensor:
        first = torch.rand(k, generator=generator) < chance
        return torch.where(first, 1, torch.randint(2, 41, (k,), generator=generator))

    return of(n), of(n * captions)
