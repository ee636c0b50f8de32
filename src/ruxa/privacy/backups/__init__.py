"""Backups and drills as records: what was made, when, and what the last drill measured (P53)."""
