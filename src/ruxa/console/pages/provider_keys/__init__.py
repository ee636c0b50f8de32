"""The page of an organisation's own keys at providers."""
