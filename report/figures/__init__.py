"""One function each a figure, from arrays alone."""
