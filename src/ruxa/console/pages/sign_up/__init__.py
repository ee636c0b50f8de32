"""The page sign_up."""
