"""The catalogue of providers: it claims of a recipient only what is known here, and permits only what it lists."""

from __future__ import annotations

from ruxa.egress.providers import catalogue, load
from ruxa.kernel.settings import ProviderSettings

FETCHERS = {
    "openai": {"url:image", "url:document"},  # a file by URL: responses only
    "anthropic": {"url:image", "url:document"},
    "google": {"url:file"},
}


def test_nothing_is_claimed_of_what_a_vendor_keeps() -> None:
    for name, row in catalogue().items():
        told = (row.facts.retention_days, row.facts.trains, row.facts.zero_retention)
        assert told == ((0, False, True) if name == "sandbox" else (None, None, None)), name


def test_only_the_named_vendors_are_let_fetch_a_url() -> None:
    for name, row in catalogue().items():
        if name != "sandbox":
            assert set(row.allowed) == FETCHERS.get(name, set()), name


def test_a_provider_of_the_operators_own_fetches_nothing() -> None:
    mine = ProviderSettings(base_url="http://127.0.0.1:9/v1", dialect="openai_chat")
    assert load({"lab": mine}, lambda reference: reference).ready["lab"].terms.allowed == frozenset()
