"""The page document."""
