"""What a shift of distribution does to an image (Hendrycks and Dietterich 2019)."""

from ground.lazy import lazy

__getattr__ = lazy(__name__, {"corruptions": ("FORMULAS", "Corruption")})
