"""The page audit_staff."""
