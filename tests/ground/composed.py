"""The config of a run, composed without running it."""

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ground.configs import CONFIGS


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", overrides=["name=n", "aligner_name=a", "run_dir=r", *overrides])
