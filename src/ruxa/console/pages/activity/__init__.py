"""The page activity."""
