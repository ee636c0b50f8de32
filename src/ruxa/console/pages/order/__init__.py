"""The page order."""
