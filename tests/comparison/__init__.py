"""Tests of ``comparison``."""
