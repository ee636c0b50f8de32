"""The page billing."""
