"""The page organisations."""
