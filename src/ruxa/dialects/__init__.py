"""The room dialects."""
