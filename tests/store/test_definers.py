"""Functions that act with their owner's rights: each says where it looks names up, nobody has one they need not."""

from __future__ import annotations

import psycopg

from fixtures_database import Database

# What the gateway, which meets strangers, may have done for it: it reads no name and no address, erases nothing, writes
# nothing to the audit log. A new one is written here after thinking about arguments that lie.
OF_THE_GATEWAY = {
    "access.grant_of", "access.grant_of_key", "access.key_changes", "access.mark_keys_used",
    # The own provider keys of one organisation; what they give back is sealed.
    "access.provider_keys_of",
    # Files and batches of one organisation; what they give back is sealed.
    "content.batch_begin", "content.batch_cancel", "content.batch_claim", "content.batch_close", "content.batch_delete",
    "content.batch_done", "content.batch_end", "content.batch_find", "content.batch_list", "content.batch_outcomes",
    "content.batch_renew", "content.batches_open", "content.file_count", "content.file_delete", "content.file_find",
    "content.file_list", "content.line_begin", "content.line_end",
    # Answers for who asks the same again, of one key; what they give back is sealed.
    "content.repeat_begin", "content.repeat_end", "content.repeat_drop", "content.cached", "content.cache",
    # Responses to go on from, of one key; what they give back is sealed.
    "content.response_delete", "content.response_find",
    "ledger.balance", "ledger.hold_place", "ledger.hold_settle", "ledger.lease_abandon", "ledger.lease_close",
    "ledger.lease_grow", "ledger.lease_open", "ledger.lease_trim", "ledger.route_close", "ledger.run_begin",
    "ledger.run_end", "ledger.runs_open", "ledger.segment_acknowledge", "ledger.segment_begin",
    "ledger.segment_refuse", "ledger.usage_flush", "ledger.usage_stage",
    # The plan of one organisation, by its reference: a book's name and a moment.
    "ledger.plan_of",
    "privacy.count_sends",
}  # fmt: skip
# Who may end something for good: no login that answers requests.
ENDING = {
    "privacy.erasure_clear", "privacy.erasure_clear_late", "privacy.erasure_freeze", "ruxa.partition_drop",
}  # fmt: skip

_DEFINERS = """
    SELECT n.nspname || '.' || p.proname, coalesce(p.proconfig, '{}'),
        ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.rolname LIKE 'ruxa\\_%' AND r.rolname <> 'ruxa_owner'
            AND NOT r.rolsuper AND has_function_privilege(r.oid, p.oid, 'EXECUTE')),
        EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


async def _definers(database: Database) -> list[tuple[str, list[str], list[str], bool]]:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        return [tuple(row) for row in await (await admin.execute(_DEFINERS)).fetchall()]


def _wrong(found: list[tuple[str, list[str], list[str], bool]]) -> set[str]:
    return {name for name, config, _, public in found if public or "search_path=pg_catalog, pg_temp" not in config}


async def test_each_looks_names_up_in_the_catalog_only_and_is_nobodys_by_default(database: Database) -> None:
    found = await _definers(database)
    assert len(found) > 50
    assert _wrong(found) == set()


async def test_one_without_a_path_or_for_everybody_is_seen(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        body = "LANGUAGE sql SECURITY DEFINER {} RETURN 1"
        await admin.execute("CREATE FUNCTION privacy.pathless() RETURNS integer " + body.format(""))
        await admin.execute("REVOKE ALL ON FUNCTION privacy.pathless() FROM PUBLIC")
        await admin.execute(
            "CREATE FUNCTION privacy.everybodys() RETURNS integer "
            + body.format("SET search_path = pg_catalog, pg_temp")
        )
    assert _wrong(await _definers(database)) == {"privacy.pathless", "privacy.everybodys"}


async def test_the_gateway_has_what_it_needs_and_no_login_with_a_door_ends_anything(database: Database) -> None:
    found = await _definers(database)
    assert {name for name, _, logins, _ in found if "ruxa_gateway" in logins} == OF_THE_GATEWAY
    ending = {name: set(logins) for name, _, logins, _ in found if name in ENDING}
    assert ending.keys() == ENDING
    assert ending.pop("ruxa.partition_drop") == {"ruxa_worker", "ruxa_operator"}
    assert set().union(*ending.values()) == {"ruxa_erase"}
