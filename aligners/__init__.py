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
        "gradient": ("SAIL", "OfCosines", "SGDCLIP", "SGDSigLIP", "Triplet"),
        "hybrid": ("Hybrid",),
        "structure": ("Structure",),
        "point_sets": ("KMECLIP", "WPSE"),
        "closed_form": ("CCA", "CSA", "Identity", "MomentAligner", "PLS", "Procrustes"),
        "ridge": ("Ridge",),
        "asif": ("ASIF",),
        "two_views": ("BYOL", "BarlowTwins", "CyCLIP", "SimCLR", "VICReg"),
        "domains": ("GCADomains",),
        "base.loading": ("load", "load_run"),
    },
)
