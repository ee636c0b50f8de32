"""How often one key has sealed, at most: AES-GCM with random nonces is good for far fewer than 2^32 values a key (F.2).

Every column has a key of its own per subject (and day), so no key has sealed more than was ever written to one table;
that number PostgreSQL counts. It is an upper bound, and nearly always far above what any one key did.
"""

from __future__ import annotations

from typing import Final

from ruxa.store.work import Work

# NIST SP 800-38D 8.3 allows 2^32 values; from a sixteenth of it on somebody should look.
SEALINGS_MAX: Final = 2**28


async def most(work: Work) -> tuple[str, int]:
    """(table, rows written to it since statistics were begun) of the sealed table, or keystore, written to most."""
    row = await work.row(
        r"""
        SELECT coalesce(i.inhparent, s.relid)::regclass::text, sum(s.n_tup_ins + s.n_tup_upd)::bigint
        FROM pg_stat_user_tables s LEFT JOIN pg_inherits i ON i.inhrelid = s.relid
        WHERE s.schemaname = 'keystore' OR EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = coalesce(i.inhparent, s.relid) AND a.attnum > 0
                AND col_description(a.attrelid, a.attnum) ~ '\mseal=(subject|day|dual)\M')
        GROUP BY 1 ORDER BY 2 DESC LIMIT 1
        """
    )
    return ("", 0) if row is None else (row[0], row[1])
