"""``~``: the shell leaves it as it is inside ``key=~/folder``."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def at_home(text: str) -> str:
    """``text``, where ``~`` at its beginning, or after ``file://``, is the home folder.

    Example:
        >>> at_home("~/r") == f"{Path.home()}/r", at_home("a~/r"), at_home("~x")
        (True, 'a~/r', '~x')
    """
    scheme = "file://" if text.startswith("file://") else ""
    path = text.removeprefix(scheme)
    return f"{scheme}{Path.home()}{path[1:]}" if path == "~" or path.startswith("~/") else text


def expand_home(config: DictConfig | ListConfig) -> None:
    """Apply ``at_home`` to every text of ``config``: one that begins with ``~/`` is a path, whatever its key."""
    keys: Any = config if isinstance(config, DictConfig) else range(len(config))
    for key in list(keys):
        node: Any = config._get_node(key)
        if OmegaConf.is_config(node):
            if not (node._is_none() or node._is_missing() or node._is_interpolation()):
                expand_home(node)
        elif isinstance(text := node._value(), str) and at_home(text) != text:
            config[key] = at_home(text)
