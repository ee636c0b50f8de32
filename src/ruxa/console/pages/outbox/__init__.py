"""The page outbox."""
