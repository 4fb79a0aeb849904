"""What is written to disk: never over something else, and numbers as JSON knows them."""

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any


def keep_former(path: Path) -> Path:
    """Move what stands at ``path`` to the first free ``path.1``, ``path.2``, ..., which is returned."""
    number = 1
    while (former := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(former)
    logging.getLogger(__name__).warning("%s was there already: it is now %s", path, former)
    return former


def folder_name(label: str) -> str:
    """A label as the name of a folder; labels that differ do not share one.

    Example:
        >>> folder_name("cca"), folder_name("sgd_clip, mlp")
        ('cca', 'sgd_clip__mlp-97bef0')
    """
    name = "".join(each if each.isalnum() or each in "-_.=" else "_" for each in label)[:80].lstrip(".") or "_"
    return name if name == label else f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def to_json(value: Any) -> str:
    """JSON of metrics, where a number that is not finite is null.

    Example:
        >>> print(to_json({"b": float("nan"), "a": 1.5}), end="")
        {
          "a": 1.5,
          "b": null
        }
    """

    def finite(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: finite(each) for key, each in sorted(node.items())}
        if isinstance(node, list):
            return [finite(each) for each in node]
        return None if isinstance(node, float) and not math.isfinite(node) else node

    return json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"
