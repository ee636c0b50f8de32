"""The page payment."""
