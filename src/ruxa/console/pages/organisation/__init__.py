"""The page organisation."""
