"""What is read of a New API or One API database (SQLite): channels and tokens, whole rows, nothing else."""

from __future__ import annotations

CHANNELS = "select * from channels order by id"
TOKENS = "select * from tokens order by id"
