"""The page terms."""
