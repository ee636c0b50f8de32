"""The logins: each forbidden read and write is attempted and refused, and the gateway sees no table at all."""

from __future__ import annotations

import psycopg
import pytest

from fixtures_access import House, Person
from fixtures_database import Database
from ruxa.kernel.datamap import parse
from ruxa.store.logins import Login

# login -> table -> columns it may read; "*" is all of them. What is not here is refused.
READS: dict[Login, dict[str, set[str]]] = {
    "ruxa_gateway": {},
    "ruxa_keystore": {},
    "ruxa_console": {
        "organisation": {"*"},
        "member": {"*"},
        "membership": {"*"},
        "session": {"*"},
        "one_time_link": {"*"},
        "terms_version": {"*"},
        "terms_acceptance": {"*"},
        "key": {"*"},
        "key_secret": {"*"},
        "provider_key": {"*"},
        "mail": {"*"},
        "throttle": {"*"},
    },
    "ruxa_operator": {
        "organisation": {"*"},
        "member": {
            "id", "email_index", "email_sealed", "name_sealed", "password_set_at", "locale", "staff_role", "adult_at",
            "verified_at", "suspended_at", "synthetic", "created_at",
        },
        "membership": {"*"},
        "session": {"id", "member_id"},
        "one_time_link": {"*"},
        "terms_version": {"*"},
        "terms_acceptance": {"*"},
        "key": {"*"},
        "key_secret": {"*"},
        "provider_key": {"*"},
    },
    "ruxa_worker": {
        "organisation": {
            "id", "organisation_ref", "synthetic", "output_tokens_default", "suspended_at", "created_at", "closed_at",
            "erased_at",
        },
        "member": {"id", "verified_at", "created_at", "synthetic"},
        "session": {"id", "seen_at", "idle_s", "ends_at"},
        "one_time_link": {"member_id", "used_at", "expires_at", "created_at"},
        "key": {"id", "organisation_id", "kind", "budget_micros", "budget_period", "expires_at", "revoked_at"},
        "key_secret": {"key_id", "expires_at"},
        "key_change": {"at"},
        "mail": {"*"},
        "throttle": {"touched_at"},
    },
}  # fmt: skip

# login -> what it may change beyond reading: (table, column) for UPDATE.
UPDATES: dict[Login, set[tuple[str, str]]] = {
    "ruxa_gateway": set(),
    "ruxa_keystore": set(),
    "ruxa_console": {
        *(
            ("organisation", one)
            for one in ("name_sealed", "output_tokens_default", "limits", "suspended_at", "suspended_why", "closed_at")
        ),
        *(
            ("member", one)
            for one in (
                "email_index", "name_sealed", "password_hash", "password_set_at", "locale", "adult_at", "verified_at",
                "suspended_at",
            )
        ),
        ("membership", "role"),
        ("membership", "accepted_at"),
        ("membership", "limits"),
        *(("session", one) for one in ("token_hash", "organisation_id", "proved_at", "seen_at")),
        ("one_time_link", "used_at"),
        *(
            ("key", one)
            for one in (
                "revoked_at", "name_sealed", "scopes", "models", "requests_per_minute", "tokens_per_minute",
                "concurrency", "store_days", "budget_micros", "budget_period", "conditions", "guard", "habits",
                "expires_at",
            )
        ),
        ("key_secret", "expires_at"),
        *(("throttle", one) for one in ("mark", "attempts", "refused", "blocked_until", "touched_at")),
    },
    "ruxa_worker": {
        ("mail", one)
        for one in (
            "recipient_sealed", "variables_sealed", "organisation_sealed", "state", "attempts", "next_at", "sent_at",
            "fault",
        )
    },
}  # fmt: skip
UPDATES["ruxa_operator"] = {
    one for one in UPDATES["ruxa_console"] if one[0] not in ("member", "session", "throttle")
} | {("organisation", "synthetic")} | {
    ("member", one) for one in ("email_index", "name_sealed", "locale", "staff_role", "verified_at", "suspended_at")
}  # fmt: skip

DELETES: dict[Login, set[str]] = {
    "ruxa_gateway": set(),
    "ruxa_keystore": set(),
    "ruxa_console": {"membership", "session", "one_time_link", "key_secret", "provider_key", "throttle"},
    "ruxa_operator": {"membership", "session", "one_time_link", "key_secret", "provider_key"},
    "ruxa_worker": {
        "member", "session", "one_time_link", "key", "key_secret", "key_change", "mail", "throttle",
    },
}  # fmt: skip


def columns(database: Database) -> list[tuple[str, str]]:
    with psycopg.connect(database.admin_url) as admin:
        return admin.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'access' "
            "ORDER BY table_name, ordinal_position"
        ).fetchall()


def allowed(connection: psycopg.Connection, sql: str) -> bool:
    """Attempts it; False when PostgreSQL says 42501 (insufficient privilege)."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql)  # pyright: ignore[reportArgumentType]
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.RaiseException:
        return True
    except psycopg.Error as error:
        if error.sqlstate == "RX301":
            return True
        raise
    return True


@pytest.mark.parametrize("login", list(READS))
def test_each_read_and_change_is_attempted(fresh_database: Database, login: Login) -> None:
    wrong: list[str] = []
    with psycopg.connect(fresh_database.url(login), autocommit=True) as connection:
        tables: set[str] = set()
        for table, column in columns(fresh_database):
            tables.add(table)
            may_read = bool(READS[login].get(table, set()) & {"*", column})
            if allowed(connection, f"SELECT {column} FROM access.{table} LIMIT 1") != may_read:
                wrong.append(f"read {table}.{column}: expected {may_read}")
            may_change = (table, column) in UPDATES[login]
            if allowed(connection, f"UPDATE access.{table} SET {column} = DEFAULT WHERE false") != may_change:
                wrong.append(f"change {table}.{column}: expected {may_change}")
        for table in sorted(tables):
            may_delete = table in DELETES[login]
            if allowed(connection, f"DELETE FROM access.{table} WHERE false") != may_delete:
                wrong.append(f"delete {table}: expected {may_delete}")
            if allowed(connection, f"TRUNCATE access.{table}"):
                wrong.append(f"truncate {table}")
        for sql in (
            "CREATE TABLE access.mine (a int)",
            "ALTER TABLE access.member ADD mine int",
            "SET ROLE ruxa_owner",
        ):
            if allowed(connection, sql):
                wrong.append(sql)
    assert not wrong, "\n".join(wrong)


def test_the_gateway_reads_no_personal_column(fresh_database: Database) -> None:
    """By the data map itself: whatever is declared personal in this schema, the gateway's login is refused it."""
    with psycopg.connect(fresh_database.admin_url) as admin:
        found = admin.execute(
            """
            SELECT c.relname, a.attname, col_description(c.oid, a.attnum)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'access' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            """
        ).fetchall()
    personal = [(table, column) for table, column, comment in found if parse(comment) is not None]
    assert len(personal) > 40
    with psycopg.connect(fresh_database.url("ruxa_gateway"), autocommit=True) as gateway:
        assert not [one for one in personal if allowed(gateway, "SELECT {1} FROM access.{0}".format(*one))]


def test_functions_are_called_by_whom_they_are_made_for(fresh_database: Database) -> None:
    calls = (
        "SELECT access.grant_of('\\x00'::bytea)",
        "SELECT access.key_changes(0)",
        "SELECT access.mark_keys_used('{}'::uuid[])",
    )
    for login in READS:
        with psycopg.connect(fresh_database.url(login), autocommit=True) as connection:
            # The console answers keys on /api/v1; what a key may do is all it learns, too.
            expected = [login in ("ruxa_gateway", "ruxa_console"), login == "ruxa_gateway", login == "ruxa_gateway"]
            assert [allowed(connection, call) for call in calls] == expected, login
            for trigger in ("tell_key_change", "tell_secret_change", "end_playground"):
                assert not allowed(connection, f"SELECT access.{trigger}()")


async def test_every_sealed_column_holds_an_envelope_and_no_clear_text(house: House) -> None:
    person = Person()
    await house.join(person)
    with psycopg.connect(house.database.admin_url) as admin:
        for table, column in columns(house.database):
            if column.endswith("_sealed"):
                for (value,) in admin.execute(f"SELECT {column} FROM access.{table}").fetchall():  # pyright: ignore
                    # Version 1, AES-256-GCM, key id 8, nonce 12, tag 16.
                    assert value is None or (value[:2] == b"\x01\x01" and len(value) >= 2 + 8 + 12 + 16)
