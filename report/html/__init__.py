"""A page in one file, which opens from disk and asks nobody for anything."""
