"""The page auto_top_up."""
