"""What ``help`` and an editor show of a class whose defaults stand in a YAML."""

import inspect
import pydoc

import pytest

from aligners.base.yaml_defaults import aligner_config
from aligners.closed_form import CCA
from aligners.gradient import SGDSigLIP
from aligners.unicon import UniConSpectral


@pytest.mark.parametrize(("cls", "name"), [(UniConSpectral, "unicon"), (SGDSigLIP, "sgd_siglip"), (CCA, "cca")])
def test_defaults_are_those_of_the_yaml(cls: type, name: str) -> None:
    parameters = inspect.signature(cls).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == aligner_config(name)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert not any(parameter.annotation is parameter.empty for parameter in parameters.values())


def test_help_shows_types_and_defaults() -> None:
    shown = pydoc.plain(pydoc.render_doc(UniConSpectral))
    assert "UniConSpectral(*, rank: int = 128, unit: bool = True, memory: float | list[float] = 0.0," in shown
    assert "lam: float | list[float] = [1.0, 0.3, 3.0]," in shown
    assert "tau: float = 0.1, learn_tau: bool = True" in str(inspect.signature(SGDSigLIP))  # of its bases


def test_a_child_with_a_constructor_of_its_own_has_its_own() -> None:
    class Mine(CCA):
        def __init__(self, *, width: int = 3) -> None:
            super().__init__(rank=width)

    assert str(inspect.signature(Mine)).startswith("(*, width: int = 3)")
