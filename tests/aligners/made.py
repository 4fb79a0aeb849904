"""Aligners as their configs make them."""

from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners.base.aligner import Aligner

CONFIGS = Path(__file__).parents[2] / "configs" / "aligner"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def make(name: str, **changed: Any) -> Aligner:
    """The aligner of ``configs/aligner/NAME.yaml`` with some values changed."""
    config = OmegaConf.load(CONFIGS / f"{name}.yaml")
    try:
        return instantiate(OmegaConf.merge(config, changed), _recursive_=False)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None
