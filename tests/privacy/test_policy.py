"""The policy as data: complete, versioned, and never promising less than the house does."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path

import msgspec
import pytest

from ruxa.access import terms
from ruxa.kernel import bounds, datamap
from ruxa.privacy import policy

FILE = Path(policy.__file__).with_name("policy") / f"{policy.VERSION}.toml"


def test_every_clause_is_there_once_and_says_something() -> None:
    found = policy.current()
    assert (found.effective, found.updated) == (date(2025, 12, 30), date(2026, 1, 6))
    assert [clause.id for clause in found.clauses] == [f"P{number}" for number in range(93)]
    promises = [clause.promise for clause in found.clauses]
    assert len(set(promises)) == 93
    assert all(promise.endswith(".") and 20 < len(promise) < 140 for promise in promises)
    assert [clause.id for clause in found.clauses if clause.kind == "attestation"] == ["P54"]
    both = [clause.id for clause in found.clauses if clause.kind == "machine and attestation"]
    assert both == ["P28", "P38", "P41", "P43", "P47", "P49", "P71", "P72", "P74", "P85"]


def test_the_hash_is_the_files() -> None:
    assert policy.sha256() == hashlib.sha256(FILE.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        ('id = "P5"', 'id = "P4"'),
        ('id = "P92"', 'id = "P93"'),
        ('kind = "machine"', 'kind = "hope"'),
        ("usage_days = 90", 'usage_days = "90"'),
        ("usage_days = 90", "usage_days = 90\nusage_hours = 1"),
        ("effective = 2025-12-30", "effective = 7"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(change: tuple[str, str]) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert change[0] in text
    with pytest.raises(msgspec.ValidationError):
        policy.read(text.replace(*change, 1).encode())


def test_the_house_keeps_nothing_longer_than_it_promises() -> None:
    limits = policy.current().limits
    assert policy.loose(limits) == []
    assert policy.loose(limits, {"usage_days": 91, "content_days": 30}) == ["usage_days"]
    assert policy.loose(msgspec.structs.replace(limits, content_days=29)) == ["content_days"]


def test_the_data_maps_words_say_what_the_policy_says() -> None:
    """The retention classes are told in words; their numbers are the policy's."""
    limits = policy.current().limits

    def number(word: str) -> int:
        found = re.search(r"\d+", datamap.KEEPS[word])
        assert found, word
        return int(found[0])

    assert number("account") == limits.account_closed_days
    assert number("transactions") == limits.transaction_years
    assert number("support") == limits.support_years
    assert number("sign_up") == limits.sign_up_unproved_h
    assert number("outbox") == limits.outbox_days
    assert number("usage") + bounds.EPOCH_DAYS == limits.usage_days
    assert number("content") + bounds.EPOCH_DAYS == limits.content_days


def test_the_terms_name_the_policys_age() -> None:
    for locale in terms.LOCALES:
        assert str(policy.current().limits.age_years) in terms.document("terms", locale).text
