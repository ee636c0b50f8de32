"""The page contact."""
