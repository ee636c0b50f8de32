"""The page api_docs."""
