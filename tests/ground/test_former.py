"""Former names of modules."""

from importlib import import_module

import pytest

import aligners
import datamodules
import evaluation  # with these the former names are there
from ground.former import FORMER

HELD = {
    "aligners.feature_maps": ("Nystrom", "Identity", "feature_map"),
    "aligners.objectives_base": ("Objective", "FromRows", "FromLoss", "minus_gradient"),
    "aligners.objectives_unicon": ("UniCon", "DCL", "GeneralContrastive"),
    "datamodules.extraction": ("extract", "Encoder", "progress_bar"),
    "datamodules.raw_pairs": ("RawPairs", "captioned", "extract_pairs", "ExtractedPairs"),
    "evaluation.report": ("SweepTable", "run_table", "log_config", "log_result"),
}
"""What modules held that are several now."""


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_is_the_same_thing(name: str) -> None:
    assert {aligners.__name__, datamodules.__name__, evaluation.__name__} >= {name.partition(".")[0]}
    module = import_module(name)
    if len(FORMER[name]) == 1:
        assert module is import_module(*FORMER[name])
        assert module.__name__ == FORMER[name][0]
    for attribute in HELD.get(name, ()):
        (now,) = [each for each in map(import_module, FORMER[name]) if attribute in vars(each) and
                  getattr(each, attribute).__module__ == each.__name__]  # fmt: skip
        assert getattr(module, attribute) is getattr(now, attribute)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_what_is_several_now_is_tested() -> None:
    assert {name for name, now in FORMER.items() if len(now) > 1} == set(HELD)
