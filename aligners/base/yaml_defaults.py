"""Constructor arguments that are not given come from the aligner's YAML: the defaults stand there alone."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from aligners.base.signature import KeywordDefaults
from ground.errors import UserError, nearest

CONFIGS = Path(__file__).parents[2] / "configs"


def aligner_config(name: str) -> dict[str, Any]:
    """The values of ``configs/aligner/NAME.yaml``, plain."""
    path = CONFIGS / "aligner" / f"{name}.yaml"
    values = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "_target_"}


def defaults_from(name: str) -> Callable[[type], type]:
    """Class decorator: keyword arguments not given are those of ``configs/aligner/NAME.yaml``.

    All arguments are plain values, kept as the module's hyper-parameters and so in its checkpoints.

    Raises:
        UserError: at construction, for an argument that the YAML does not have.
    """

    def decorate(cls: type) -> type:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def filled(self: Any, **given: Any) -> None:
            given = {
                key: OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else value
                for key, value in given.items()
            }
            values = aligner_config(name)
            for key in given:
                if key not in values:
                    raise UserError(f"{cls.__name__} has no argument '{key}': {nearest(key, values)}")
            values |= given
            init(self, **values)
            self.save_hyperparameters(values, logger=False)

        cls.__init__ = filled  # type: ignore[misc]
        cls.__signature__ = KeywordDefaults(cls, functools.partial(aligner_config, name))  # type: ignore[attr-defined]
        return cls

    return decorate
