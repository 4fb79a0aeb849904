"""What every method is built on."""

from aligners.base.aligner import Aligner
from aligners.base.of_cosines import OfCosines
from aligners.base.solved import SolvedAligner
from aligners.base.trained import TrainedAligner
from aligners.base.yaml_defaults import defaults_from

__all__ = ["Aligner", "OfCosines", "SolvedAligner", "TrainedAligner", "defaults_from"]
