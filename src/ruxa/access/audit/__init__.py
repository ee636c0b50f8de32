"""The audit log: what was done with whose data, by whom and why; written with the act, provable afterwards (F.7)."""
