"""The page refunds_staff."""
