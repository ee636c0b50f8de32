"""The page team."""
