"""The page data_map."""
