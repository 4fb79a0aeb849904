"""Feature maps of the spectral aligners: kernels, their landmarks, random features."""

from aligners.features.kernels import KERNELS, KernelName
from aligners.features.landmarks import LandmarkNumber, Selection
from aligners.features.maps import FeatureMapName, RawFeatures, feature_map
from aligners.features.nystrom import Nystrom
from aligners.features.random import RandomFeatures

__all__ = [
    "KERNELS",
    "FeatureMapName",
    "KernelName",
    "LandmarkNumber",
    "Nystrom",
    "RandomFeatures",
    "RawFeatures",
    "Selection",
    "feature_map",
]
