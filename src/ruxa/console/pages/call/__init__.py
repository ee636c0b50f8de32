"""The page call."""
