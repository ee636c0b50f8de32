"""The page verify."""
