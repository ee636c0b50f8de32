"""The page subprocessors."""
