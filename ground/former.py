"""What has moved: modules go on working under their former names, and a former key is told where it is."""

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from ground.errors import nearest

FORMER = {
    "aligners.aligner": "aligners.base.aligner",
    "aligners.defaults": "aligners.base.yaml_defaults",
    "aligners.strategies": "aligners.base.ddp",
    "aligners.kernels": "aligners.features.kernels",
    "aligners.landmarks": "aligners.features.landmarks",
    "aligners.feature_maps": "aligners.features.maps",
    "aligners.objectives_base": "aligners.objectives.base",
    "aligners.contrast": "aligners.objectives.sweep",
    "aligners.aggregation": "aligners.spectral.aggregation",
    "aligners.convex": "aligners.spectral.convex",
    "aligners.moments": "aligners.spectral.moments",
    "aligners.whitening": "aligners.spectral.whitening",
    "datamodules.captioned": "datamodules.base.captioned",
    "datamodules.extracted": "datamodules.base.extracted",
    "datamodules.image_views": "datamodules.base.image_views",
    "datamodules.audio": "datamodules.items.audio",
    "datamodules.raw_pairs": "datamodules.items.raw_pairs",
    "datamodules.feature_cache": "datamodules.cache.feature_cache",
    "datamodules.mapped_rows": "datamodules.cache.mapped_rows",
    "evaluation.report": "report.tables",
}
"""Former names to those of now."""
KEYS = {
    f"evaluation.{key}": f"report.{key}" for key in ("similarity_pairs", "sheet_items", "tsne_items", "weights_items")
}
"""Keys of a config, and what they are now."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The line about a key that there is not: its name now, where it had moved, else the nearest ones."""
    return f"unknown key '{key}': " + (f"it is '{KEYS[key]}' now" if key in KEYS else nearest(key, known))


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in FORMER else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # the very module, not a copy: its classes are the same under both names
        sys.modules[module.__name__] = import_module(FORMER[module.__name__])


def install() -> None:
    """Make the former names importable; once, however often it is called."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
