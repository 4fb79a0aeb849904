"""Tests of ``report.html``."""
