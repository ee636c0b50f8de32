"""The page quarantine."""
