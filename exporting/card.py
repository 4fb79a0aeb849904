"""The model card of an export."""

import csv
import json
from pathlib import Path
from typing import Any

import yaml

from exporting.onnx_file import OPSET
from ground.files import folder_name

EXAMPLE = """import numpy as np
import onnxruntime

x_head, y_head = (onnxruntime.InferenceSession(f"head_{side}.onnx") for side in "xy")
x = np.random.default_rng(0).normal(size=(5, D_X)).astype("float32")  # yours: features of X_WHAT
y = np.random.default_rng(1).normal(size=(7, D_Y)).astype("float32")  # yours: features of Y_WHAT
a, b = x_head.run(None, {"features": x})[0], y_head.run(None, {"features": y})[0]
a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
print((a @ b.T).argmax(axis=1))  # the best y for each x
"""
TORCH = """from aligned_head import Head  # the file of this folder; needs torch and safetensors

embeddings = Head.load(".", "x")(features)  # (n, D_X) to (n, R)
"""
SENTENCES = """from sentence_transformers import SentenceTransformer

embeddings = SentenceTransformer("sentence_model_SIDE", trust_remote_code=True).encode(["a text"])  # (1, R)
"""


OF_TABLE = ("data", "row", "seeds", "mean_recall", "low", "high", "letters", "behind", "p")
"""Columns of a contest's table that a card has."""


def card(run: Path, facts: dict[str, Any], told: list[str], sentence_sides: str) -> str:
    """The card, Markdown. ``facts`` are those of ``heads.json``; ``told`` says how exact the files are."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    x, y = facts["x"], facts["y"]
    names = {"D_X": x["d"], "D_Y": y["d"], "X_WHAT": _what(x), "Y_WHAT": _what(y), "R": x["r"]}
    parts = [
        f"# {config['aligner_name']} on {config['name']}",
        f"Two heads that take features of frozen encoders, {_what(x)} (n, {x['d']}) and {_what(y)} (n, {y['d']}), into "
        f"one space of {x['r']} dimensions, where pairs are scored by the cosine. Fitted by "
        f"`{config['aligner']['_target_']}` with seed {config['seed']}.",
        "## What it reached\n\n" + _table(metrics, run),
        "## Files\n\n"
        "- `heads.json`, `heads.safetensors`: steps of both heads and their tensors, which `aligned_head.py` takes\n"
        f"- `head_x.onnx`, `head_y.onnx`: the same, opset {OPSET}, input `features` (n, d) float32 with any n, "
        "output `embeddings` (n, r) float32"
        + "".join(f"\n- `sentence_model_{side}/`: texts to embeddings, by that library" for side in sentence_sides),
        "\n".join(told),
        "## Use\n\n" + _code(EXAMPLE, names) + "\n\n" + _code(TORCH, names)
        + "".join("\n\n" + _code(SENTENCES, names | {"SIDE": side}) for side in sentence_sides),
        "## Limits\n\nOnly features of these very encoders mean anything to the heads. Figures are those of the test "
        "split of the data above; other data has to be judged anew.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _what(side: dict[str, Any]) -> str:
    return f"{side['name']} by {side['encoder']}" if side.get("encoder") else str(side["name"])


def _table(metrics: dict[str, Any], run: Path) -> str:
    """The row of the contest that the run belongs to, and its own metrics."""
    found = [(key, value) for key, value in metrics.items() if _shown(key) and isinstance(value, int | float)]
    lines = [
        "| metric, test split | this run |",
        "| --- | ---: |",
        *(f"| {key} | {value:.4g} |" for key, value in found),
    ]
    titles, row = contest_row(run)
    if row:
        lines += ["", "Its row among others, a mean over seeds:", "", f"| {' | '.join(titles)} |"]
        lines += [f"|{' --- |' * len(titles)}", f"| {' | '.join(row)} |"]
    return "\n".join(lines)


def _shown(key: str) -> bool:
    return key == "test/mean_recall" or ("/R@" in key and key.startswith("test/")) or key in (
        "time/fit_seconds", "memory/peak_rss_mb", "model/bytes")  # fmt: skip


def contest_row(run: Path) -> tuple[list[str], list[str]]:
    """Titles and cells of the run's row in the ``table.csv`` of its contest; empty of a run of none."""
    parents = run.resolve().parents
    if len(parents) < 4 or parents[2].name != "runs" or not (parents[3] / "table.csv").is_file():
        return [], []
    with (parents[3] / "table.csv").open(encoding="utf-8", newline="") as file:
        titles, *rows = list(csv.reader(file))
    for row in rows:
        cells = dict(zip(titles, row, strict=False))
        if (folder_name(cells["data"]), folder_name(cells["row"])) == (parents[1].name, parents[0].name):
            kept = [title for title in OF_TABLE if cells.get(title)]
            return kept, [_rounded(cells[title]) for title in kept]
    return [], []


def _rounded(cell: str) -> str:
    try:
        return f"{float(cell):.4g}"
    except ValueError:
        return cell


def _code(text: str, names: dict[str, Any]) -> str:
    for name, value in sorted(names.items(), key=lambda item: -len(item[0])):
        text = text.replace(name, str(value))
    return f"```python\n{text}```"
