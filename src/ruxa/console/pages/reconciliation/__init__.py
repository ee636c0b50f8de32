"""The page reconciliation."""
