"""The page payments."""
