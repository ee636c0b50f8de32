"""The page books."""
