"""How the bundled clip art was chosen and captioned."""
