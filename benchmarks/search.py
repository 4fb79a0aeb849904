"""How long the search page takes for a text: ``python -m benchmarks.search --run RUN``.

The run's items are repeated with noise to as many as are asked for; texts go through the real encoder and the real
server. No two queries are the same.
"""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import torch
from rich.table import Table

from aligners.base.loading import load_run
from benchmarks.record import Parser, Record, command, path, positive, spread, table
from datamodules.base.extracted import ExtractedDataModule
from ground.errors import UserError
from searching.collection import Collection, modality_of, of_splits
from searching.finder import Finder
from searching.server import server_of

NOISE = 0.3
"""The noise's length in lengths of the embedding."""
WARM = 3
"""Texts before those that are measured."""


def grown(collection: Collection, n: int) -> Collection:
    """A collection of n items: those of ``collection`` again and again, each time with other noise."""
    draws = torch.Generator().manual_seed(0)
    rows = collection.embeddings
    rows = rows.repeat(-(-n // len(rows)), 1)[:n]
    noise = torch.randn(rows.shape, generator=draws) * rows.norm(dim=1, keepdim=True) * NOISE / rows.shape[1] ** 0.5
    names = [collection.name(i) for i in range(len(collection.embeddings))]

    def name(i: int) -> str:
        return names[i % len(names)]

    return Collection("text", rows + noise, name, name, lambda _: None)


def measured(finder: Finder, texts: list[str]) -> list[float]:
    """Milliseconds of each text, from the request to the whole answer."""
    server = server_of(finder, takes_text=True, port=0, top=10)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    took = []
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        for text in texts:
            began = time.perf_counter()
            connection.request("GET", f"/search?text={quote(text)}")
            json.loads(connection.getresponse().read())
            took.append(1e3 * (time.perf_counter() - began))
        connection.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return took


def main(argv: Sequence[str]) -> None:
    """Measure each number of items, and print the medians."""
    parser = Parser("python -m benchmarks.search", description=__doc__)
    parser.add_argument("--run", type=path, required=True, help="a run directory on images and texts")
    parser.add_argument("--items", type=positive, nargs="+", default=[100_000, 1_000_000, 1_200_000])
    parser.add_argument("--queries", type=positive, default=200, help="texts, after three that are not measured")
    parser.add_argument("--exact-items", type=positive, default=1_000_000, help="more have inverted lists")
    given = parser.parse_args(argv)
    record = Record("search", vars(given) | {"run": str(given.run)})
    aligner, data = load_run(given.run)
    if not isinstance(data, ExtractedDataModule) or modality_of(data, "y") != "text":
        raise UserError(f"{given.run} is no run on images and texts")
    items = of_splits(aligner, data, "x", "all")
    captions = [data.describe_y("train", i) for i in range(data.splits["train"].n_y)]
    texts = list(dict.fromkeys(captions))[: given.queries + WARM]
    results: dict[str, dict[str, Any]] = {}

    def summarise() -> tuple[dict[str, Any], list[Table]]:
        rows = [
            [name, of["index"], f"{of['built']:.1f}", f"{of['ms']['median']:.1f}", f"{of['ms']['max']:.1f}"]
            for name, of in results.items()
        ]
        columns = ["items", "index", "built in s", "median ms", "longest ms"]
        return {"summary": results}, [table(f"{len(texts) - WARM} texts", columns, rows)] if rows else []

    with record.ending(summarise):
        for n in given.items:
            began = time.perf_counter()
            finder = Finder(aligner, grown(items, n), asked="y", searched="x", exact_items=given.exact_items)
            built = time.perf_counter() - began
            took = spread(measured(finder, texts)[WARM:])
            results[f"{n:,}"] = {"index": type(finder.index).__name__, "built": built, "ms": took}
            record.save(results=results)


if __name__ == "__main__":
    command(main)
