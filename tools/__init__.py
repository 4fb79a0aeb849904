"""Tools that made what the project ships; not part of the package."""
