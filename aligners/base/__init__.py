"""What every method is built on."""

from aligners.base.aligner import Aligner, GradientFreeAligner
from aligners.base.projected import ProjectedAligner
from aligners.base.yaml_defaults import defaults_from

__all__ = ["Aligner", "GradientFreeAligner", "ProjectedAligner", "defaults_from"]
