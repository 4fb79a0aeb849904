"""Aligners as their configs make them."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners.base.aligner import Aligner
from ground.configs import CONFIGS, composed

NAMES = sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))
LEARNING = [name for name in NAMES if name not in ("identity", "gca_domains")]
"""Those with a rank of their own that need no more than features; test_identity and test_domains have the others."""


def make(name: str, **changed: Any) -> Aligner:
    """The aligner of ``configs/aligner/NAME.yaml`` with some values changed."""
    config = composed(CONFIGS / "aligner" / f"{name}.yaml", "aligner")
    try:
        return instantiate(OmegaConf.merge(config, changed), _recursive_=False)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None
