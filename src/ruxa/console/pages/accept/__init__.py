"""The page accept."""
