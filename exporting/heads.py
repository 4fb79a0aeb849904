"""The heads of a fitted aligner as files that need no project: ``heads.json`` and ``heads.safetensors``."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from aligners.base.aligner import Aligner
from aligners.features.steps import Step
from exporting.aligned_head import Head

FORMAT = 1
EXACT = ("mean",)
"""Tensors that stay float64: what they are taken from loses digits else."""


def head_of(aligner: Aligner, side: str) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The steps of x or y as ``heads.json`` has them, and their tensors, in the dtype of the rows they meet.

    Raises:
        UserError: an aligner that has no export.

    Example:
        >>> from aligners import CCA
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = CCA(rank=4).fit(x, x.flip(1))
        >>> steps, tensors = head_of(aligner, "x")
        >>> [step["op"] for step in steps], torch.allclose(Head(steps, tensors)(x), aligner.encode_x(x), atol=1e-5)
        (['centre', 'unit', 'linear'], True)
    """
    steps, tensors, dtype = [], {}, torch.float32
    for number, step in enumerate(aligner.steps(side)):
        names = {key: f"{side}.{number}.{key}" for key in step.tensors}
        for key, tensor in step.tensors.items():
            kept = tensor.detach().cpu().to(torch.float64 if key in EXACT else dtype)
            tensors[names[key]] = kept.clone(memory_format=torch.contiguous_format)
        steps.append({"op": step.op, "tensors": names, "values": step.values})
        dtype = _dtype_after(step, dtype)
    return steps, tensors


def _dtype_after(step: Step, dtype: torch.dtype) -> torch.dtype:
    return {"double": torch.float64, "float": torch.float32}.get(step.op, dtype)


def write_heads(aligner: Aligner, folder: Path, facts: dict[str, Any]) -> dict[str, Head]:
    """Write both heads, with ``facts`` of each side: its dimensions ``d`` and ``r``, what its items are; give them.

    Raises:
        UserError: an aligner that has no export.
    """
    record: dict[str, Any] = {"format": FORMAT, "score": "cosine"}
    every: dict[str, Tensor] = {}
    heads = {}
    for side in "xy":
        steps, tensors = head_of(aligner, side)
        heads[side] = Head(steps, tensors).eval()
        record[side] = facts[side] | {"steps": steps}
        every |= tensors
    (folder / "heads.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    save_file(every, folder / "heads.safetensors")
    source = Path(__file__).with_name("aligned_head.py")
    (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return heads
