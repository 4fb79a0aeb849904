from typing import Any

FIXED: dict[str, Any] = {
    "feature_map": "nystrom",
    "lam": 1.0,
    "tau": 0.1,
    "weight_power": 1.0,
    "passes": 4,
    "subspace": "all",
    "contrast_items": "all",
}
"""In the place of settings that are chosen; passes move in all directions, over all items."""
