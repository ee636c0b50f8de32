"""After a restore: quarantine until what happened since the backup is done again and checked from outside (D41)."""
