"""The page outbound."""
