"""The configs of experiments, and of the aligners that each runs."""

from functools import cache
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ground.configs import CONFIGS
from ground.configs import composed as with_bases

NAMES = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
PAPER = [name for name in NAMES if name.endswith("_paper")]
MEASURED = [name for name in NAMES if not name.startswith("synthetic") and not name.endswith("_sample")]
FAIR = [name for name in MEASURED if name not in PAPER]


@cache
def composed(name: str) -> tuple[DictConfig, dict[str, list[str]]]:
    """The config of a run of the experiment, and the values of each key that it sweeps."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        overrides = [f"experiment={name}", "run_dir=r", "aligner_name=a"]
        config = compose("train", overrides=overrides, return_hydra_config=True)
    params = config.hydra.sweeper.params or {}
    assert bool(params) == (config.hydra.mode is not None)
    run = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(run, True)
    return run, {str(key): str(values).split(",") for key, values in params.items()}


def of_aligner(name: str) -> dict[str, Any]:
    """What the experiment sets of its aligner."""
    content = yaml.safe_load((CONFIGS / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    values: dict[str, Any] = {}
    for each in content["defaults"]:
        if isinstance(each, str) and each != "_self_":
            values |= of_aligner(each)
    values |= content.get("aligner", {})
    return values


def aligners(name: str) -> dict[str, Any]:
    """The aligners of all runs of the experiment, under the names of their configs."""
    config, sweep = composed(name)
    if "aligner" not in sweep:
        return {"": config.aligner}
    found: dict[str, Any] = {}
    for aligner in sweep["aligner"]:
        found[aligner] = OmegaConf.merge(
            with_bases(CONFIGS / "aligner" / f"{aligner}.yaml", "aligner"), of_aligner(name)
        )
    return found
