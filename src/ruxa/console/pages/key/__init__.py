"""The page key."""
