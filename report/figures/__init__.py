"""One function each a figure, from arrays alone."""

from ground.lazy import lazy

# not before it is asked for: a map of embeddings needs scikit-learn
__getattr__ = lazy(
    __name__,
    {
        "comparison_plots": ("accuracy_over_passes", "metric_bars", "metrics_against"),
        "contrast_weights": ("Departure", "departure"),
        "embedding_plots": ("embedding_map", "t_sne"),
        "geometry_plots": ("over_kappa",),
        "matrix_plots": ("confusion_matrices", "similarity_matrix", "weights_over_passes"),
        "plots": ("objective_over_passes", "recall_over_passes", "singular_values"),
        "sheet_plots": ("retrieval_sheet",),
    },
)
