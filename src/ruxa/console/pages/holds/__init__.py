"""The page holds."""
