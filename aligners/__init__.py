"""The methods, one file a family, on the rooms that they share."""

from ground.former import install
from ground.lazy import lazy

install()

__getattr__ = lazy(
    __name__,
    {
        "unicon": ("UniConSpectral",),
        "unicon_batches": ("UniConBatches",),
        "unicon_convex": ("UniConConvex",),
        "gradient": ("OfCosines", "SGDCLIP", "SGDSigLIP", "Triplet"),
        "hybrid": ("Hybrid",),
        "domains": ("GCADomains",),
        "closed_form": ("CCA", "Identity", "MomentAligner", "PLS"),
        "base.loading": ("load", "load_run"),
    },
)
