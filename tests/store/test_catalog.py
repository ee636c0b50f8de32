"""The catalog: equal for equal schemas, different for every small difference."""

from __future__ import annotations

import psycopg

from fixtures_database import Database
from ruxa.store import catalog


def lines(url: str) -> list[str]:
    """The schemas of a database."""
    with psycopg.connect(url) as connection:
        return catalog.describe(connection)


def test_the_proof_sees_every_small_difference(fresh_database: Database) -> None:
    owner = fresh_database.url("ruxa_owner")
    before = lines(owner)
    differences = [
        "GRANT SELECT ON ruxa.instance TO PUBLIC",
        "GRANT SELECT (id) ON keystore.key TO ruxa_console",
        "ALTER TABLE ruxa.instance ALTER COLUMN simulated SET DEFAULT true",
        "ALTER TABLE ruxa.instance ALTER COLUMN mode DROP NOT NULL",
        "COMMENT ON COLUMN ruxa.instance.id IS 'data: none\n\nother'",
        "CREATE INDEX ON ruxa.instance (id)",
        "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql RETURN '2020-01-01'::timestamptz",
        "ALTER TABLE keystore.key DROP CONSTRAINT key_shape",
        "DROP TRIGGER procrastinate_trigger_delete_jobs_v1 ON jobs.procrastinate_jobs",
        "CREATE SCHEMA zoo",
        "ALTER TYPE jobs.procrastinate_job_status ADD VALUE 'lost'",
    ]
    for difference in differences:
        with psycopg.connect(owner) as connection:
            connection.execute(difference)  # type: ignore[call-overload]
            assert catalog.describe(connection) != before, difference
            connection.rollback()
    assert lines(owner) == before
