"""A theorem and a cost of the transport objectives: ``python -m benchmarks.transport``.

Theorem 6 of GCA (Chen et al., NeurIPS 2024) as printed says that GCA-RINCE is at most RINCE at q = 1. Random cases, of
unit x and noisy copies y, with a temperature, a weight and a number of iterations drawn, are counted where it is more.
Before, a step of each objective on one batch, loss and gradient in the embeddings, is timed beside the multiplications
of its loss.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.nn.functional import normalize

from aligners.objectives import named_objective
from benchmarks.record import Parser, Record, command, positive, spread, table

SIZES, DIMENSIONS = (4, 16, 64), 16
NOISES = (0.1, 0.5, 1.0, 2.0)
EPS = (0.1, 0.25, 0.5, 1.0)
LAMS = (0.01, 0.1, 0.5, 1.0)
ITERATIONS = (2, 10, 50)
ROUNDING = 1e-12
"""What a difference must exceed, as a share."""
PAPER = {"ince": 6.31, "gca_ince": 6.65, "gca_uot": 4.54}
"""MFlop of a step that the paper prints."""
TIMED = ("ince", "clip", "rince", "gca_ince", "gca_rince", "gca_uot", "iot", "iot_uni")


def multiplications(name: str, b: int, d: int, iterations: int) -> int:
    """Multiplications of a loss of b x and b y of d dimensions: the cosines, and b^2 for each pass over K.

    A pass is the division by eps, a half step of Sinkhorn, or a sum over P.

    Example:
        >>> multiplications("ince", 512, 128, 10) == 512**2 * (128 + 1 + 1)
        True
    """
    half_steps = 2 * iterations
    passes = {
        "ince": 1, "clip": 2, "rince": 1, "gca_ince": half_steps, "gca_rince": half_steps - 1, "iot": half_steps,
        "gca_uot": half_steps + 3, "iot_uni": half_steps + 1,
    }  # fmt: skip
    return b * b * (d + 1 + passes[name])


def difference(case: int) -> tuple[dict[str, Any], float]:
    """The settings of a case, by its number, and GCA-RINCE less RINCE of the same kernel as a share of the larger."""
    draws = torch.Generator().manual_seed(case)

    def drawn(values: tuple[Any, ...]) -> Any:
        return values[int(torch.randint(len(values), (), generator=draws))]

    b, noise, eps, lam, iterations = (drawn(each) for each in (SIZES, NOISES, EPS, LAMS, ITERATIONS))
    x = normalize(torch.randn(b, DIMENSIONS, generator=draws, dtype=torch.float64))
    y = normalize(x + noise * normalize(torch.randn(b, DIMENSIONS, generator=draws, dtype=torch.float64)))
    scaled, plain = (
        named_objective("gca_rince", eps, lam=lam, q=1.0, iterations=t)(x @ y.T, torch.eye(b, dtype=torch.bool)).item()
        for t in (iterations, 1)
    )
    return {"eps": eps, "lam": lam, "iterations": iterations}, (scaled - plain) / max(abs(scaled), abs(plain))


def seconds(name: str, b: int, d: int, repeats: int) -> list[float]:
    """What a loss and its gradient in b x and b y take, after one that is not measured."""
    generator, positives, took = torch.Generator().manual_seed(0), torch.eye(b, dtype=torch.bool), []
    x, y = (torch.randn(b, d, generator=generator).requires_grad_() for _ in range(2))
    objective = named_objective(name, 0.5)
    for _ in range(repeats + 1):
        began = time.perf_counter()
        loss: Tensor = objective(normalize(x) @ normalize(y).T, positives)
        torch.autograd.grad(loss, (x, y))
        took.append(time.perf_counter() - began)
    return took[1:]


def main(argv: Sequence[str]) -> None:
    """Count the cases, time the steps, and print both."""
    parser = Parser("python -m benchmarks.transport", description=__doc__)
    parser.add_argument("--cases", type=positive, default=12_000)
    parser.add_argument("--batch", type=positive, default=512)
    parser.add_argument("--dimensions", type=positive, default=128)
    parser.add_argument("--repeats", type=positive, default=20)
    given = parser.parse_args(argv)
    record = Record("transport", vars(given))
    against: list[tuple[dict[str, Any], bool]] = []
    steps: dict[str, dict[str, Any]] = {}

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        shares = {
            f"{key} {value:g}": [more for case, more in against if case[key] == value]
            for key, values in (("eps", EPS), ("lam", LAMS), ("iterations", ITERATIONS))
            for value in values
        }
        counted = {"all": [more for _, more in against], **shares}
        theorem = {name: {"cases": len(of), "against": sum(of)} for name, of in counted.items() if of}
        rows = [
            [name, f"{of['cases']:,}", f"{100 * of['against'] / of['cases']:.1f} %"] for name, of in theorem.items()
        ]
        costs = [
            [name, f"{of['multiplications'] / 1e6:.1f}", f"{PAPER[name]}" if name in PAPER else "",
             f"{1e3 * of['seconds']['median']:.1f}"]
            for name, of in steps.items()
        ]  # fmt: skip
        tables = [table("GCA-RINCE above RINCE at q = 1", ["cases with", "cases", "above"], rows)] if rows else []
        columns = ["objective", "million multiplications", "MFlop as printed", "median ms"]
        tables += [table(f"a step of {given.batch} x {given.dimensions}", columns, costs)] if costs else []
        return {"theorem_6": theorem, "steps": steps}, tables

    with record.ending(summarise):
        for name in TIMED:
            took = seconds(name, given.batch, given.dimensions, given.repeats)
            count = multiplications(name, given.batch, given.dimensions, iterations=10)
            steps[name] = {"multiplications": count, "seconds": spread(took)}
        for case in range(given.cases):
            settings, more = difference(case)
            against.append((settings, more > ROUNDING))


if __name__ == "__main__":
    command(main)
