"""The page my_data."""
