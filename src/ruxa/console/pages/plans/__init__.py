"""The page plans."""
