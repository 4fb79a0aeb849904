"""Feature maps of the spectral aligners: kernels, their landmarks, random features."""

from aligners.features.kernels import KERNELS
from aligners.features.maps import RawFeatures, feature_map
from aligners.features.nystrom import Nystrom
from aligners.features.random import RandomFeatures

__all__ = ["KERNELS", "Nystrom", "RandomFeatures", "RawFeatures", "feature_map"]
