"""One run and what surrounds it."""
