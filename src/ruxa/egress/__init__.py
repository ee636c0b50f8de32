"""The room egress."""
