"""``ground.errors`` under its short name."""

from ground.errors import UserError, nearest

__all__ = ["UserError", "nearest"]
