"""The data sets of a contest, and what else is varied: each combination of the axes, and the config of its runs."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from comparison.rows import Row
from ground.configs import CONFIGS, composed
from ground.errors import UserError, nearest
from ground.home import expand_home
from ground.mistakes import parsed, refuse_additions, user_line

PATHS = ("path", "data_dir")
OWN = ("run_dir", "seed", "aligner", "resume", "test")
"""Keys of a run that the contest sets."""


class Data(NamedTuple):
    """One combination of the axes: its name in the tables, and the overrides of its runs."""

    label: str
    overrides: tuple[str, ...]


def combinations(overrides: Sequence[str]) -> list[Data]:
    """What the overrides of all runs come to, where those with commas are axes.

    Raises:
        UserError: a key that the contest sets by itself.

    Example:
        >>> [data.label for data in combinations(["datamodule=clipart", "datamodule.train_items=100,200"])]
        ['train_items=100', 'train_items=200']
    """
    read = parsed(list(overrides))
    for each in read:
        if each.key_or_group in OWN:
            instead = {"seed": "seeds=5", "aligner": "aligners=[...]"}.get(each.key_or_group, "run_dir of the contest")
            raise UserError(f"{each.input_line}: a contest sets {each.key_or_group} of its runs; set {instead}")
    choices = [_choices(each) for each in read]
    several = [len(each) > 1 for each in choices]
    found = list(product(*choices))
    varied = [[each for each, varies in zip(chosen, several, strict=True) if varies] for chosen in found]
    for short in (_short, _with_folder, str):
        labels = [", ".join(map(short, each)) for each in varied]
        if len(set(labels)) == len(labels):
            break
    return [Data(label, tuple(chosen)) for label, chosen in zip(labels, found, strict=True)]


def with_study(overrides: Sequence[str], name: str | None, folders: Sequence[Path] = ()) -> list[str]:
    """The overrides of all runs and those of ``configs/studies/NAME.yaml``, but for keys that are set already.

    ``folders`` hold configs beside those of the project.

    Raises:
        UserError: there is no such study, or it is no list of overrides.

    Example:
        >>> with_study(["datamodule=synthetic"], "noisy_pairs")
        ['datamodule=synthetic', 'datamodule.train_noise=0,0.2,0.4']
    """
    if name is None:
        return list(overrides)
    files = {path.stem: path for folder in (CONFIGS, *folders) for path in sorted((folder / "studies").glob("*.yaml"))}
    if name not in files:
        raise UserError(f"unknown study '{name}': {nearest(name, files)}")
    lines = yaml.safe_load(files[name].read_text(encoding="utf-8"))
    if not isinstance(lines, list) or not all(isinstance(each, str) for each in lines):
        raise UserError(f"{files[name]} must be a list of overrides, as datamodule.train_items=100,null, got {lines}")
    given = {each.key_or_group for each in parsed(list(overrides))}
    return [*overrides, *(str(each.input_line) for each in parsed(lines) if each.key_or_group not in given)]


def config_of(row: Row, data: Data) -> DictConfig:
    """The config of a run of ``row`` on ``data``, as ``train.py`` composes it, but for seed and run directory.

    Its interpolations are not resolved: they follow a seed that is set.

    Raises:
        UserError: what cannot be composed, in a line.
    """
    no_rank = _has_no_rank(row)
    of_data = [each for each in data.overrides if not (no_rank and each.startswith("aligner.rank="))]
    overrides = [*of_data, *row.overrides]
    try:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            whole = compose("train", overrides=overrides, return_hydra_config=True)
        choices = whole.hydra.runtime.choices
        OmegaConf.set_struct(whole, False)
        del whole["hydra"]
        if no_rank:  # an experiment may set it
            whole.aligner.pop("rank", None)
        refuse_additions(overrides, whole)
        if "hydra:" in str(OmegaConf.to_container(whole)["name"]):  # type: ignore[call-overload, index]
            whole.name = choices.datamodule
        whole.aligner_name = row.label
        whole.run_dir = ""
        whole.trainer.enable_progress_bar = False
        expand_home(whole)
    except Exception as error:
        line = user_line(error, list(overrides))
        if line is None:
            raise
        raise UserError(line) from error
    return whole


def name_of(data: Data, config: DictConfig) -> str:
    """What the data set is called: its label, or the name of the experiment where nothing is varied."""
    if data.label:
        return data.label
    path = config.datamodule.get("path")
    return Path(path).stem if config.name == "features" and path else str(config.name)


def _has_no_rank(row: Row) -> bool:
    """Whether it is an aligner of the project that has the features' own rank: what all others have is not its."""
    file = CONFIGS / "aligner" / f"{row.aligner}.yaml"
    return file.is_file() and "rank" not in composed(file, "aligner")


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _short(override: str) -> str:
    """``datamodule.train_items=100`` as ``train_items=100``, ``datamodule.path=a/b.safetensors`` as ``b``."""
    key, _, value = override.partition("=")
    last = key.rpartition(".")[2]
    if last in PATHS:
        return Path(value.strip("'\"")).stem
    return value if last in ("datamodule", "experiment") else f"{last}={value}"


def _with_folder(override: str) -> str:
    """``datamodule.path=a/b.safetensors`` as ``a``: files of one name lie in folders of other names."""
    key, _, value = override.partition("=")
    folder = Path(value.strip("'\"")).parent.name
    return folder if key.rpartition(".")[2] in PATHS and folder else _short(override)
