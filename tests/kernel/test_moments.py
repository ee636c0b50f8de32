"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ruxa.kernel import moments
from ruxa.kernel.errors import InvalidCall

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "past", "found"),
    [
        ("1h", True, NOW - timedelta(hours=1)),
        ("1d12h", False, NOW + timedelta(hours=36)),
        ("+1h", True, NOW + timedelta(hours=1)),
        ("2027-01-31", True, datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00:00Z", True, datetime(2027, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_what_is_a_moment(text: str, past: bool, found: datetime) -> None:
    assert moments.read(text, NOW, "--since", past=past) == found


@pytest.mark.parametrize("text", ["", "yesterday", "1x", "9999999999999d", "2026-13-01"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidCall, match=f"--since: {text!r} is no time"):
        moments.read(text, NOW, "--since", past=True)
    with pytest.raises(InvalidCall, match="since is no time") as error:
        moments.read(text, NOW, "since", past=True, param="since")
    assert error.value.param == "since"
