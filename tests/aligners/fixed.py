from typing import Any

FIXED: dict[str, Any] = {"lam": 1.0, "tau": 0.1, "weight_power": 1.0, "passes": 4}
"""In the place of settings that are chosen."""
