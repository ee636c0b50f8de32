"""The page playground."""
