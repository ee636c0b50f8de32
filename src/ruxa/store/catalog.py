"""What a database's schemas are, as lines of text: equal lists are equal schemas, however they came about.

Proves that the present (``store/schema``) and the way there (``store/steps``) end in the same place.
"""

# ruff: noqa: S608 - the pieces are this file's own
from __future__ import annotations

from typing import Final, LiteralString

import psycopg

# Everything the migrations' owner made, but the log of how it was made. Partitions come and go with the days.
_MINE: Final[LiteralString] = "n.nspowner = 'ruxa_owner'::regrole"
_QUERIES: Final[tuple[LiteralString, ...]] = (
    # Schemas, and the rights on them.
    f"SELECT 'schema', n.nspname, n.nspacl::text FROM pg_namespace n WHERE {_MINE}",
    # Relations: kind, rights, settings, how partitioned.
    "SELECT 'relation', n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relacl::text,"
    " c.reloptions::text, c.relrowsecurity, pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class'),"
    " CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END"
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_MINE} AND NOT c.relispartition"
    " AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')",
    # Columns by name: their order is not part of the meaning.
    "SELECT 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
    " pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text, a.attacl::text,"
    " nullif(a.attstattarget, -1), col_description(c.oid, a.attnum)"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    f" WHERE {_MINE} AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition"
    " AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')",
    # Constraints and indexes, as they would be written.
    "SELECT 'constraint', n.nspname, c.relname, o.conname, pg_get_constraintdef(o.oid)"
    " FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_MINE} AND NOT c.relispartition AND o.contype <> 'n'",
    "SELECT 'index', n.nspname, i.relname, pg_get_indexdef(i.oid)"
    " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid"
    f" JOIN pg_namespace n ON n.oid = i.relnamespace WHERE {_MINE} AND NOT c.relispartition",
    # Functions (not those of extensions), triggers, policies, types, default rights, extensions.
    "SELECT 'function', n.nspname, p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text"
    f" FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_MINE} AND p.prokind IN ('f', 'p')"
    " AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid"
    " AND e.deptype = 'e')",
    "SELECT 'trigger', n.nspname, c.relname, pg_get_triggerdef(t.oid), t.tgenabled::text"
    " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_MINE} AND NOT t.tgisinternal AND NOT c.relispartition",
    "SELECT 'policy', n.nspname, c.relname, p.polname, p.polcmd::text, pg_get_expr(p.polqual, p.polrelid),"
    " pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_MINE}",
    "SELECT 'enum', n.nspname, t.typname, array_agg(e.enumlabel ORDER BY e.enumsortorder)::text"
    f" FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_MINE}"
    " GROUP BY 2, 3",
    "SELECT 'domain', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull"
    f" FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_MINE} AND t.typtype = 'd'",
    "SELECT 'default rights', defaclnamespace::regnamespace::text, defaclobjtype::text, defaclacl::text"
    " FROM pg_default_acl WHERE defaclrole = 'ruxa_owner'::regrole",
    "SELECT 'extension', extname::text FROM pg_extension",
)


def describe(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """One sorted line for each thing the schemas hold."""
    # Names are written in full whoever asks.
    connection.execute("SET LOCAL search_path = pg_catalog")
    lines: list[str] = []
    for query in _QUERIES:
        for row in connection.execute(query):
            lines.append(" | ".join("" if value is None else str(value) for value in row))
    return sorted(lines)
