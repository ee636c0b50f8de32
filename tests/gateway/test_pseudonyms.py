"""Stand-ins for identities: one a provider and quarter, from random keys that are there before they are needed."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.gateway.pseudonyms import Pseudonyms, quarter_of
from ruxa.kernel.errors import NotFound, Unavailable

ORGANISATION, OTHER = uuid4(), uuid4()


class Kept:
    """Keys by provider and quarter, and who asked for which."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.away = False

    async def key_of(self, provider: str, quarter: str) -> bytes:
        if self.away:
            raise Unavailable("away", code="database_away")
        self.asked.append((provider, quarter))
        return f"{provider} {quarter}".encode().ljust(32)


@pytest.mark.parametrize(
    ("day", "quarter"), [("2026-01-01", "2026q1"), ("2026-03-31", "2026q1"), ("2026-12-31", "2026q4")]
)
def test_quarters(day: str, quarter: str) -> None:
    assert quarter_of(date.fromisoformat(day)) == quarter


async def test_differs_by_provider_organisation_and_quarter_and_is_stable_within() -> None:
    kept = Kept()
    pseudonyms = Pseudonyms(kept.key_of, ["a", "b"])
    await pseudonyms.turn(date(2026, 11, 24))
    first = pseudonyms.of("a", ORGANISATION)("ada")
    assert len(first) == 29
    assert first.startswith("rxp")
    others = {
        pseudonyms.of("b", ORGANISATION)("ada"), pseudonyms.of("a", OTHER)("ada"), pseudonyms.of("a", ORGANISATION)("b")
    }  # fmt: skip
    await pseudonyms.turn(date(2026, 12, 31))
    assert pseudonyms.of("a", ORGANISATION)("ada") == first
    await pseudonyms.turn(date(2027, 1, 1))
    others.add(pseudonyms.of("a", ORGANISATION)("ada"))
    assert len(others | {first}) == 5
    assert len(kept.asked) == 4, "each key is fetched once"


async def test_the_next_quarter_begins_while_the_key_store_is_away() -> None:
    kept = Kept()
    pseudonyms = Pseudonyms(kept.key_of, ["a"])
    await pseudonyms.turn(date(2026, 12, 24))
    assert kept.asked == [("a", "2026q4")]
    await pseudonyms.turn(date(2026, 12, 25))
    kept.away = True
    await pseudonyms.turn(date(2027, 1, 1))
    assert pseudonyms.of("a", ORGANISATION)("ada").startswith("rxp")


async def test_without_a_key_no_identity_leaves() -> None:
    kept = Kept()
    kept.away = True
    pseudonyms = Pseudonyms(kept.key_of, ["a"])
    with pytest.raises(Unavailable):
        await pseudonyms.turn(date(2027, 1, 1))
    with pytest.raises(Unavailable) as caught:
        pseudonyms.of("a", ORGANISATION)("ada")
    assert caught.value.code == "keys_missing"


async def test_the_vaults_keys_are_random_equal_everywhere_and_gone_30_days_after_their_quarter(
    database: Database,
) -> None:
    vault, other = await database.vault(), await database.vault()
    today = database.clock.now().date()
    now = quarter_of(today)
    key = await vault.pseudonym_key("openai", now)
    assert await other.pseudonym_key("openai", now) == key
    assert await vault.pseudonym_key("anthropic", now) != key
    assert await vault.destroy_pseudonyms() == []
    # Three quarters back it is over for longer than 30 days.
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("UPDATE keystore.key SET day = day - 275 WHERE kind = 'pseudonym'")
    destroyed = await vault.destroy_pseudonyms()
    assert sorted(one.key_class for one in destroyed) == ["anthropic", "openai"]
    assert await vault.acknowledged(destroyed, 10)
    for one in (vault, other):
        with pytest.raises(NotFound):
            await one.pseudonym_key("openai", "2020q1")
