"""Constructor arguments that are not given come from the aligner's YAML: the defaults stand there alone."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from aligners.base.signature import KeywordDefaults
from aligners.objectives.names import chosen_objective
from ground.configs import CONFIGS, composed
from ground.errors import UserError, nearest
from ground.values import check_arguments, plain


def aligner_config(source: str | Path) -> dict[str, Any]:
    """The values of ``configs/aligner/NAME.yaml``, or of a YAML of the user's own, with those of its bases; plain.

    Raises:
        UserError: a file or a base that does not exist.
    """
    path = source if isinstance(source, Path) else CONFIGS / "aligner" / f"{source}.yaml"
    values: Any = OmegaConf.to_container(composed(path, "aligner"))
    return {str(key): value for key, value in values.items() if key != "_target_"}


def defaults_from(source: str | Path) -> Callable[[type], type]:
    """Class decorator: keyword arguments not given are those of ``aligner_config(source)``.

    All arguments are plain values, kept as the module's hyper-parameters and so in its checkpoints. Options of an
    objective are kept with those that its own YAML gives.

    Raises:
        UserError: at construction, for an argument that the YAML does not have.
    """

    def decorate(cls: type) -> type:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def filled(self: Any, **given: Any) -> None:
            if type(self).__init__ is not filled and fills(type(self)):
                init(self, **given)  # a child's arguments are those of its own YAML
                return
            given = {
                key: OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else plain(value)
                for key, value in given.items()
            }
            values = aligner_config(source)
            for key in given:
                if key not in values:
                    raise UserError(f"{cls.__name__} has no argument '{key}': {nearest(key, values)}")
            values |= given
            check_arguments(cls, values, "aligner.")
            if "objective_options" in values:
                options = chosen_objective(values["objective"], values["objective_options"]).options
                values["objective_options"] = options
            init(self, **values)
            self.save_hyperparameters(values, logger=False)

        cls.__signature__ = KeywordDefaults(cls, functools.partial(aligner_config, source))  # type: ignore[attr-defined]
        filled.fills = True  # type: ignore[attr-defined]
        cls.__init__ = filled  # type: ignore[misc]
        return cls

    return decorate


def fills(cls: type) -> bool:
    """Whether the constructor of ``cls`` itself has its defaults from a YAML, and so records its arguments."""
    return bool(getattr(inspect.getattr_static(cls, "__init__"), "fills", False))
