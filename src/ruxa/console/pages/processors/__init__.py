"""The page processors."""
