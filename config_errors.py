"""A mistake in the command line or in a YAML, told in one line with the nearest names."""

import re
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from errors import UserError, nearest

CONFIGS = Path(__file__).parent / "configs"
ConfigMistake = (HydraException, OmegaConfBaseException)


def explain(error: BaseException, overrides: list[str]) -> str:
    """One line for what Hydra or OmegaConf raised at the user's ``overrides``."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"unknown {group} '{name}': {nearest(name, error.options)}"
    text = " ".join(str(error).split())
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        return f"unknown key '{key[1]}': {nearest(key[1], _known_keys(overrides))}"
    return text


def refuse_additions(overrides: list[str]) -> None:
    """Refuse keys that are added at the top with ``+``, where nothing would read them.

    Raises:
        UserError: naming the key and the nearest known ones.
    """
    for override in overrides:
        key = override.lstrip("+").split("=")[0]
        if override.startswith("+") and "." not in key and key.split("@")[0] not in _groups():
            raise UserError(f"unknown key '{key}': {nearest(key, _known_keys(overrides))}")


def _known_keys(overrides: list[str]) -> list[str]:
    """All keys of the config that the user's choices of group files compose."""
    chosen = [o.split(",")[0] for o in overrides if o.split("=")[0].split("@")[0] in _groups()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return list(_leaves(compose("train", overrides=chosen)))


def _groups() -> list[str]:
    return [entry.name for entry in CONFIGS.iterdir() if entry.is_dir()]


def _leaves(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        name = f"{prefix}{key}"
        yield name
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _leaves(node, f"{name}.")
