"""Searching with a finished run, and embedding new items with it."""
