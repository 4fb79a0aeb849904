"""What has moved: modules go on working under their former names, and a former key is told where it is."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ground.errors import nearest

MOVED = {
    "aligners.base": ("aligner",),
    "aligners.features": ("kernels", "landmarks"),
    "aligners.spectral": (
        "aggregation", "choice", "convex", "coordinates", "moments", "negatives", "rows", "whitening",
    ),
    "datamodules.base": ("captioned", "extracted", "image_views", "transfer"),
    "datamodules.cache": ("extraction", "feature_cache", "mapped_rows", "shards"),
    "datamodules.doctor": ("diagnosis", "inspection"),
    "datamodules.images": ("augmentations", "labelled_images", "shift", "views"),
    "datamodules.items": ("audio", "captions", "image_arrays", "missing", "raw_pairs", "tar_members"),
    "datamodules.pairs": ("balanced", "checked_rows", "stratified"),
}  # fmt: skip
"""Modules that were in the package above, under the same name."""
FIGURES = (
    "comparison_plots", "contrast_weights", "embedding_plots", "fitted_text", "matrix_plots", "plot_style", "plots",
    "sheet_plots",
)  # fmt: skip
FORMER: dict[str, tuple[str, ...]] = {
    **{f"{room.partition('.')[0]}.{name}": (f"{room}.{name}",) for room, names in MOVED.items() for name in names},
    **{f"evaluation.{name}": (f"report.figures.{name}",) for name in FIGURES},
    **{f"evaluation.{name}": (f"report.{name}",) for name in ("pictures", "sweep_figures", "sweep_settings")},
    "datamodules.shift.blurs": ("datamodules.images.shift.blurs",),
    "datamodules.shift.corruptions": ("datamodules.images.shift.corruptions",),
    "datamodules.shift.weather": ("datamodules.images.shift.weather",),
    "datamodules.shift.shifts": ("datamodules.images.shifts",),
    "aligners.contrast": ("aligners.objectives.sweep",),
    "aligners.defaults": ("aligners.base.yaml_defaults",),
    "aligners.estimator": ("aligners.base.arrays",),
    "aligners.feature_maps": ("aligners.features.maps", "aligners.features.nystrom"),
    "aligners.objectives_base": ("aligners.objectives.base", "aligners.objectives.whole"),
    "aligners.objectives_unicon": ("aligners.objectives.softmax", "aligners.objectives.general"),
    "aligners.random_features": ("aligners.features.random",),
    "aligners.raw_features": ("aligners.features.maps",),
    "aligners.sampled_moments": ("aligners.spectral.sampling",),
    "aligners.spectral_settings": ("aligners.spectral.settings",),
    "aligners.strategies": ("aligners.base.ddp",),
    "aligners.warm_start": ("aligners.base.warm_start",),
    "datamodules.cache_entry": ("datamodules.cache.entry",),
    "datamodules.extraction": ("datamodules.cache.extraction", "ground.progress"),
    "datamodules.raw_pairs": ("datamodules.items.raw_pairs", "datamodules.base.extracted_pairs"),
    "evaluation.report": ("report.tables", "running.loggers"),
}
"""Where what each held is now."""
KEYS = {
    **{
        f"evaluation.{key}": f"report.{key}"
        for key in ("similarity_pairs", "sheet_items", "tsne_items", "weights_items")
    },
    "aligner.choice_items": "aligner.contrast_items",
}
"""Keys of a config, and what they are now."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The line about a key that there is not: its name now, where it had moved, else the nearest ones."""
    if key in KEYS:
        return f"unknown key '{key}': it is '{KEYS[key]}' now"
    known = list(known)
    owner, _, leaf = key.rpartition(".")
    # one that a user remembers by its last part alone: `lr`, `aligner.lr`
    deeper = [each for each in known if each.endswith(f".{leaf}") and each.startswith(f"{owner}." if owner else "")]
    hint = "did you mean " + " or ".join(f"'{each}'" for each in deeper[:3]) + "?" if deeper else nearest(key, known)
    return f"unknown key '{key}': {hint}"


def arguments_of_today(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a saved aligner; of an older one, with those that say what it did.

    Example:
        >>> arguments_of_today({"rank": 8, "choice_items": 4096})  # from before passes moved in a span
        {'rank': 8, 'subspace': 'all', 'contrast_items': 'all', 'contrast_redraw': False}
    """
    kept = {key: value for key, value in arguments.items() if key != "choice_items"}
    if "choice_items" in arguments:
        kept |= {"subspace": "all", "contrast_items": "all"}
    if "contrast_items" in kept:
        kept.setdefault("contrast_redraw", False)
    return kept


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in FORMER else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if len(FORMER[name]) == 1:  # the very module, not a copy: its classes are the same under both names
            sys.modules[name] = import_module(*FORMER[name])
            return

        def get(attribute: str) -> Any:
            for now in map(import_module, FORMER[name]):
                if hasattr(now, attribute):
                    return getattr(now, attribute)
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

        module.__getattr__ = get  # type: ignore[method-assign]


def install() -> None:
    """Make the former names importable; once, however often it is called."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # before a package's own path, which would make a second copy
