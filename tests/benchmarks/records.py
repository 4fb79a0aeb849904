"""What a benchmark has written into the current folder."""

import json
from pathlib import Path
from typing import Any


def record_of(name: str) -> dict[str, Any]:
    (path,) = Path("outputs/benchmarks", name).glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
