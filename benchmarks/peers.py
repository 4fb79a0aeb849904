"""Linear aligners of other libraries, each a function of two arrays of pairs, in a process that can be stopped.

They take one y for each x: the mean of an item's captions, a fifth of the rows, which serves them better. On the data
of ``benchmarks.speed``, at one ridge, CCA has a mean recall of 59.1 on validation with it, and 57.8 with all captions.
All see unit rows after centring, as ``aligners`` do. ``python -m benchmarks.peers NAME FILE RESULT RANK LAM`` fits on
a file of ``benchmarks.speed`` and writes times and recalls as JSON.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.features_file import read_splits
from benchmarks.record import Parser, child_environment, command, error_of, path, positive
from datamodules.pairs.pairs import Pairs
from evaluation.retrieval import evaluate_retrieval
from ground.errors import UserError, nearest

Array = NDArray[Any]
Projections = tuple[Array, Array]
BLOCK = 1024


def scipy_cca(x: Array, y: Array, rank: int, lam: float) -> Projections:
    """Regularised CCA by LAPACK: Cholesky whitening and the SVD of the whitened cross-covariance, float64."""
    from scipy.linalg import cholesky, solve_triangular, svd

    def whitening(rows: Array) -> Array:
        covariance = rows.T @ rows / len(rows)
        covariance[np.diag_indices_from(covariance)] += lam * covariance.diagonal().mean()
        inverse: Array = solve_triangular(cholesky(covariance, lower=True), np.eye(len(covariance)), lower=True).T
        return inverse

    x, y = x.astype(np.float64), y.astype(np.float64)
    W_x, W_y = whitening(x), whitening(y)
    U, s, Vt = svd(W_x.T @ (x.T @ y / len(x)) @ W_y, full_matrices=False)
    return W_x @ U[:, :rank] * s[:rank], W_y @ Vt[:rank].T * s[:rank]


def cca_zoo_ridge(x: Array, y: Array, rank: int, lam: float) -> Projections:
    """cca-zoo's RidgeCCA; its shrinkage c stands for the ridge c/(1 - c) beside the identity."""
    from cca_zoo.linear import RidgeCCA

    x, y = _unit_variance(x), _unit_variance(y)
    model = RidgeCCA(n_components=rank, shrinkage=lam / (1 + lam)).fit([x, y])
    return _by_correlation(x, y, *model.weights_)


def cca_zoo_cca(x: Array, y: Array, rank: int, lam: float) -> Projections:
    """cca-zoo's CCA, without a ridge."""
    from cca_zoo.linear import CCA

    return _by_correlation(x, y, *CCA(n_components=rank).fit([x, y]).weights_)


def sklearn_cca(x: Array, y: Array, rank: int, lam: float) -> Projections:
    """scikit-learn's CCA: by power iterations, one direction after another."""
    from sklearn.cross_decomposition import CCA

    model = CCA(n_components=rank, scale=False).fit(x, y)
    return _by_correlation(x, y, model.x_rotations_, model.y_rotations_)


def sklearn_pls(x: Array, y: Array, rank: int, lam: float) -> Projections:
    """scikit-learn's PLSSVD."""
    from sklearn.cross_decomposition import PLSSVD

    model = PLSSVD(n_components=rank, scale=False).fit(x, y)
    return model.x_weights_, model.y_weights_


PEERS: dict[str, Callable[[Array, Array, int, float], Projections]] = {
    "scipy CCA": scipy_cca,
    "cca-zoo RidgeCCA": cca_zoo_ridge,
    "cca-zoo CCA": cca_zoo_cca,
    "scikit-learn CCA": sklearn_cca,
    "scikit-learn PLSSVD": sklearn_pls,
}


def missing(name: str) -> str | None:
    """What to install for a peer that is not there, or None."""
    if name.startswith("cca-zoo") and importlib.util.find_spec("cca_zoo") is None:
        return "not installed: pip install cca-zoo"
    return None


def _unit_variance(rows: Array) -> Array:
    """Scaled so that the mean variance of the columns is 1."""
    scaled: Array = rows / np.sqrt(rows.var(axis=0).mean())
    return scaled


def _by_correlation(x: Array, y: Array, P_x: Array, P_y: Array) -> Projections:
    """Directions at unit variance, weighted by their correlations as in ``configs/aligner/cca.yaml``."""
    a, b = x @ P_x, y @ P_y
    a, b = a - a.mean(0), b - b.mean(0)
    s_a, s_b = np.sqrt((a**2).mean(0)), np.sqrt((b**2).mean(0))
    correlation = (a * b).mean(0) / (s_a * s_b)
    return P_x * (correlation / s_a), P_y * (correlation / s_b)


def measure(name: str, splits: dict[str, Pairs], rank: int, lam: float) -> dict[str, float]:
    """``fit_seconds``, from features in memory to projections, and the mean recalls ``val`` and ``test``."""
    train = splits["train"]
    every_x, every_y = np.asarray(train.x), np.asarray(train.y)
    start = time.perf_counter()
    mean_x, mean_y = every_x.mean(0), every_y.mean(0)
    x, y = _unit_rows(every_x - mean_x), _unit_rows(every_y - mean_y)
    y = y.reshape(len(x), -1, y.shape[1]).mean(1)
    P_x, P_y = PEERS[name](x, y, rank, lam)
    result = {"fit_seconds": time.perf_counter() - start}
    for split in ("val", "test"):
        pairs = splits[split]
        a = torch.from_numpy(_unit_rows(np.asarray(pairs.x) - mean_x) @ P_x)
        b = torch.from_numpy(_unit_rows(np.asarray(pairs.y) - mean_y) @ P_y)
        recalls = evaluate_retrieval(a, b, pairs.group, pairs.y_group, "x", "y", BLOCK)
        result[split] = recalls["mean_recall"]
    return result


def _unit_rows(rows: Array) -> Array:
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def in_process(name: str, file: Path, rank: int, lam: float, limit: float) -> dict[str, float] | None:
    """``measure`` in a process of its own; None when it was stopped after ``limit`` seconds.

    Raises:
        UserError: the process ended with an error, in its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        arguments = [name, str(file), str(result), str(rank), str(lam)]
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.peers", *arguments],
                timeout=limit, env=child_environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        if ended.returncode:
            raise UserError(f"{name}: {error_of(ended.stderr, ended.returncode)}")
        values: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return values


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("file", type=path)
    parser.add_argument("result", type=path)
    parser.add_argument("rank", type=positive)
    parser.add_argument("lam", type=float)
    given = parser.parse_args(argv)
    if given.name not in PEERS:
        raise UserError(f"unknown peer '{given.name}': {nearest(given.name, PEERS)}")
    if reason := missing(given.name):
        raise UserError(f"{given.name} is {reason}")
    measured = measure(given.name, read_splits(given.file), given.rank, given.lam)
    given.result.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    command(main)
