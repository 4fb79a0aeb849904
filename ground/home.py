"""``~``: the shell leaves it as it is inside ``key=~/folder``."""

import re
from os import PathLike
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

WHERE = re.compile(r"""(^--config-dir=|[=,\[]['"]?(?:file://)?)~(?=/|$|[,'"\]])""")


def at_home(text: str) -> str:
    """``text``, where ``~`` at its beginning, or after ``file://``, is the home folder.

    Example:
        >>> at_home("~/r") == f"{Path.home()}/r", at_home("a~/r"), at_home("~x")
        (True, 'a~/r', '~x')
    """
    scheme = "file://" if text.startswith("file://") else ""
    path = text.removeprefix(scheme)
    return f"{scheme}{Path.home()}{path[1:]}" if path == "~" or path.startswith("~/") else text


def path_at_home(path: str | PathLike[str]) -> Path:
    """The path, from the home folder where it begins with ``~/``; ``~name`` is a name like others.

    Example:
        >>> path_at_home("~/r") == Path.home() / "r", path_at_home("~nobody/r")
        (True, PosixPath('~nobody/r'))
    """
    return Path(at_home(str(path)))


def arguments_at_home(arguments: list[str]) -> list[str]:
    """The command line with ``~`` where a value begins: Hydra's own keys are paths too, and it cannot read a bare one.

    Example:
        >>> home = str(Path.home())
        >>> arguments_at_home(["run_dir=~/a,'~/b'", "--config-dir=~", "name=a~/b"]) == [
        ...     f"run_dir={home}/a,'{home}/b'", f"--config-dir={home}", "name=a~/b"
        ... ]
        True
    """
    return [WHERE.sub(lambda found: f"{found[1]}{Path.home()}", each) for each in arguments]


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
