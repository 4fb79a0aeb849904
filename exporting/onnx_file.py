"""A head as ONNX, for onnxruntime and what else reads it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exporting.aligned_head import Head
from ground.errors import UserError

OPSET = 18
INPUT, OUTPUT = "features", "embeddings"
"""(n, d) float32 and (n, r) float32, n as it comes."""


def write_onnx(head: Head, d: int, file: Path) -> None:
    """Write the head of features (n, d) as ``file``, one file with its weights, in opset 18, any n.

    Raises:
        UserError: a head that ONNX has no operations for.
    """
    with _quiet():
        try:
            program: Any = torch.onnx.export(
                head, (torch.zeros(2, d),), dynamo=True, opset_version=OPSET, input_names=[INPUT],
                output_names=[OUTPUT], dynamic_shapes={"rows": {0: torch.export.Dim("n")}}, verbose=False,
            )  # fmt: skip
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(f"the head cannot be written as ONNX: {' '.join(str(error).split())}") from error
        program.save(file)


def run_onnx(file: Path, features: Tensor) -> Tensor:
    """Embeddings (n, r) of features (n, d) by onnxruntime, on the CPU."""
    import onnxruntime  # where a file is run alone

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run([OUTPUT], {INPUT: features.float().numpy()})
    return torch.from_numpy(embeddings)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of every optimisation that it makes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
