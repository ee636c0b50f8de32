"""The page keys."""
