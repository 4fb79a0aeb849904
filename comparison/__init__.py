"""A contest of aligners: the same data, budget and judges for all, and what can be told from the results."""
