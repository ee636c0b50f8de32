"""The page sign_in."""
