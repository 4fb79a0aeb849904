"""Aligners as their configs make them."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aligners.base.aligner import Aligner
from aligners.base.yaml_defaults import aligner_config
from ground.configs import CONFIGS, composed

NAMES = sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml"))
LEARNING = [name for name in NAMES if name not in ("identity", "gca_domains")]
"""Those that need no more than features of two dimensions; test_identity and test_domains have the others."""
RANKED = [name for name in NAMES if "rank" in aligner_config(name)]
"""Those that have a rank of their own."""


def make(name: str, **changed: Any) -> Aligner:
    """The aligner of ``configs/aligner/NAME.yaml`` with some values changed, but no rank where it has none."""
    if name not in RANKED:
        changed.pop("rank", None)
    config = composed(CONFIGS / "aligner" / f"{name}.yaml", "aligner")
    try:
        return instantiate(OmegaConf.merge(config, changed), _recursive_=False)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None
