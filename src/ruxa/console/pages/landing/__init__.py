"""The page landing."""
