"""What judges an aligner: it imports none, and knows nothing of how a model was fitted."""

from ground.former import install
from ground.lazy import lazy

install()

# not before it is asked for: probes need scikit-learn, and aligners that choose by their ranks need nothing but those.
# ``linear_probe.linear_probe``, ``nearest.nearest`` and ``densities.densities`` have the names of their files, and are
# imported from these
__getattr__ = lazy(
    __name__,
    {
        "callback": ("Evaluation",),
        "densities": ("Densities", "log_density"),
        "extended": ("extended_retrieval",),
        "geometry": (
            "alignment", "centroids", "effective_rank", "evaluate_geometry", "potential", "shuffled", "uniformity",
        ),
        "hubness": ("evaluate_hubness", "k_occurrences", "skewness"),
        "judged": ("Foretells", "Judge", "Judged", "Remembers"),
        "judges": ("Extended", "Geometry", "Hubness", "Retrieval"),
        "keeping": ("Keeping",),
        "linear_probe": ("FittedProbe", "ProbeResult", "fit_linear_probe", "knn_probe"),
        "nearest": ("class_accuracy", "top_matches"),
        "probes": ("Probe",),
        "prompts": ("ZeroShot",),
        "retrieval": (
            "CUTOFFS", "evaluate_retrieval", "ranks", "ranks_both_ways", "rates_both_ways", "retrieval_metrics",
        ),
        "scoring": ("COSINE", "Scorer", "own"),
        "zero_shot": ("ZeroShotResult", "class_embeddings"),
    },
)  # fmt: skip
