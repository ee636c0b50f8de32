"""The page proofs."""
