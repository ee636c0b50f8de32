"""The page billing_details."""
