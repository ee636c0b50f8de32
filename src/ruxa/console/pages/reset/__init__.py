"""The page reset."""
