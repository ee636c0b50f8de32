"""The page privacy."""
