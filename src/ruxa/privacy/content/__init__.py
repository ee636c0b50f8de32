"""The content of calls that customers ask to keep: sealed, by the day on which it ends, seen and deleted by them."""
