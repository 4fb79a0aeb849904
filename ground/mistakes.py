"""A mistake in the command line or in a YAML, told in one line with the nearest names."""

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from ground.configs import CONFIGS
from ground.errors import UserError, nearest, shown
from ground.former import KEYS, unknown_key

SEARCH_PATH = "hydra.searchpath"
"""The override that names further folders of YAMLs, as ``file://FOLDER``."""

OPEN = "aligner.objective_options"
"""A node whose keys follow from another value: what takes it refuses unknown ones."""


AS_IN_RUN = "as_in_run"
"""The name under which ``test=RUN`` has RUN's config among the groups."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""What a disk says that is full, read-only or another's."""
NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
"""What a disk says of a path that cannot be."""
ROOMS = (
    "aligners",
    "backbones",
    "benchmarks",
    "comparison",
    "datamodules",
    "evaluation",
    "exporting",
    "ground",
    "report",
    "running",
    "searching",
)
COMPOSERS = ("hydra", "omegaconf", "antlr4", "yaml")
"""What reads a command line and composes a config: of odd input it raises anything."""
CHOSEN = ("aligner", "datamodule", "evaluation", "report", "trainer", "logger")
"""Groups of which every run has one."""


def user_line(error: BaseException, overrides: list[str]) -> str | None:
    """The line that tells a user's mistake, or None where the error is ours."""
    line = _line(error, overrides)
    return None if line is None else shown(line)


def _line(error: BaseException, overrides: list[str]) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, InstantiationException):
        cause = error.__cause__
        if isinstance(cause, UserError):
            return str(cause)
        if cause is None or (_is_ours(cause) and not isinstance(cause, TypeError | ValueError | ImportError)):
            return None
        key = re.search(r"full_key: (\S+)", str(error))
        return f"{key[1] if key else str(error).split(':')[0]}: {_one_line(cause) or type(cause).__name__}"
    if isinstance(error, HydraException | OmegaConfBaseException) or _is_of(error, COMPOSERS):
        return explain(error, overrides)
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return f"cannot write {error.filename or 'a file'}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in NO_NAME:
        return f"{error.filename or 'a path'} cannot be a file here: {error.strerror}"
    # by their modules: neither library is imported for an error that is not its own
    if _is_kind(error, "lightning.fabric.utilities.exceptions", "MisconfigurationException"):
        return _one_line(error)
    if type(error).__module__.startswith("wandb.errors"):
        return f"Weights & Biases: {_one_line(error)}; WANDB_MODE=offline goes without the service"
    return None


def _is_kind(error: BaseException, module: str, name: str) -> bool:
    """Whether it is an instance of the class that ``module`` calls ``name``, or of one below it."""
    return any((each.__module__, each.__name__) == (module, name) for each in type(error).__mro__)


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised by a line of this project, not by a library's or a user's."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return not files or any(Path(files[-1]).is_relative_to(CONFIGS.parent / room) for room in ROOMS)


def _is_of(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Whether it was raised by a line of one of these packages."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and bool({*Path(frames[-1].filename).parts} & {*packages})


def explain(error: BaseException, overrides: list[str]) -> str:
    """One line for what Hydra or OmegaConf raised at the user's ``overrides``."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"unknown {group} '{name}': {nearest(name, set(error.options) - {AS_IN_RUN, 'base'})}"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': write key=value, with quotes around a value that holds ',' or '='"
    text = _one_line(error).replace(f"experiment/{AS_IN_RUN}", "config.yaml of test=RUN")
    if isinstance(error, InterpolationResolutionError | InterpolationKeyError) and error.full_key:
        return f"{error.full_key}: {text}"
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        with suppress(HydraException, OmegaConfBaseException):  # an experiment's choices do not go with the user's
            known = _known_keys([o for o in overrides if not o.startswith(f"{key[1]}=")])
            return text if key[1] in known else unknown_key(key[1], known)
    return text


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def opened(arguments: list[str]) -> list[str]:
    """The command line's arguments, those that set ``OPEN`` with the ``++`` under which Hydra takes any key."""
    return [f"++{each.lstrip('+')}" if each.lstrip("+").startswith(OPEN) else each for each in arguments]


def refuse_repeated(overrides: list[str]) -> None:
    """Refuse a key that is given twice, as by a shell that made two words of ``path=a-{1,2}.tar``, and a group's null.

    Raises:
        UserError: naming the key and both values.
    """
    given: dict[str, str] = {}
    for each in parsed(overrides):
        key, text = each.get_key_element().lstrip("+~"), str(each.input_line)
        if key in given and not key.startswith("hydra."):
            raise UserError(f"{key} is given twice, {given[key]} and {text}: quote a pattern with braces or blanks")
        given[key] = text
        if key in CHOSEN and each.value() is None and not each.is_delete():
            raise UserError(f"{text} leaves out what every run has: name a file of configs/{key}, or leave {key} away")
    for folder in search_path(overrides):
        if folder.startswith("file://") and not Path(folder.removeprefix("file://")).is_dir():
            raise UserError(f"{SEARCH_PATH} names {folder}, which is no folder")


def refuse_additions(overrides: list[str], config: DictConfig) -> None:
    """Refuse keys that are added with ``+`` where nothing would read them.

    Raises:
        UserError: naming the key and the nearest known ones.
    """
    for override in overrides:
        key = override.lstrip("+").split("=")[0]
        if not override.startswith("+") or key.split("@")[0] in _groups(overrides) or key.startswith(OPEN):
            continue
        owner = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else None
        known = _known_keys(overrides)
        read = key in known or (isinstance(owner, DictConfig) and "_target_" in owner)
        if key in KEYS or not read:
            raise UserError(unknown_key(key, known))


def _known_keys(overrides: list[str]) -> list[str]:
    """All keys of the config that the user's choices of group files compose."""
    groups = _groups(overrides)
    chosen = [o.split(",")[0] for o in overrides if o.split("=")[0].split("@")[0] in groups]
    chosen += [o for o in overrides if o.startswith(f"{SEARCH_PATH}=")]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return list(_leaves(compose("train", overrides=chosen)))


def _groups(overrides: list[str]) -> set[str]:
    """The groups of the configs here and in the user's folders."""
    own = [Path(each.removeprefix("file://")) for each in search_path(overrides) if each.startswith("file://")]
    return {entry.name for folder in (CONFIGS, *own) if folder.is_dir() for entry in folder.iterdir() if entry.is_dir()}


def search_path(overrides: list[str]) -> list[str]:
    """The folders that ``hydra.searchpath`` names."""
    values = [each.value() for each in parsed([o for o in overrides if o.lstrip("+").startswith(f"{SEARCH_PATH}=")])]
    return [str(folder) for value in values if isinstance(value, list) for folder in value]


def parsed(overrides: list[str]) -> list[Override]:
    """Overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(overrides)


def _leaves(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        name = f"{prefix}{key!s}"
        yield name
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _leaves(node, f"{name}.")
