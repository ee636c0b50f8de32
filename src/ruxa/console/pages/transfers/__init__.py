"""The page transfers."""
