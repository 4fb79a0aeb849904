"""The configs that compose a run; every default stands here."""
