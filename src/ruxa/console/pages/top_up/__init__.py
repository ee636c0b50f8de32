"""The page top_up."""
