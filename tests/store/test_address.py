"""Addresses: the URL of each login, options kept, passwords never shown."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from ruxa.kernel.errors import InvalidCall
from ruxa.store.address import Address
from ruxa.store.logins import Logins

LOGINS = Logins(bytes(range(32)))


def test_a_socket_with_any_path() -> None:
    address = Address.at_socket("/tmp/a dir/with?odd&chars", 5432, LOGINS)
    found = conninfo_to_dict(address.url("ruxa_gateway"))
    assert found == {
        "user": "ruxa_gateway",
        "password": LOGINS.password("ruxa_gateway"),
        "dbname": "ruxa",
        "host": "/tmp/a dir/with?odd&chars",
        "port": "5432",
    }
    assert address.given_url("postgres") is None
    assert conninfo_to_dict(address.admin_url("postgres"))["user"] == "ruxa_admin"


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("postgresql://me:se%2Fcret@db.example:6543/mine?sslmode=verify-full", "mine"),
        ("postgresql://me:se%2Fcret@db.example:6543/postgres?sslmode=verify-full", "ruxa"),
        ("postgresql://me:se%2Fcret@db.example:6543?sslmode=verify-full", "ruxa"),
        ("host=db.example port=6543 user=me password=se/cret sslmode=verify-full", "ruxa"),
    ],
)
def test_a_given_url_keeps_host_and_options(url: str, database: str) -> None:
    address = Address.of_url(url, LOGINS)
    found = conninfo_to_dict(address.url("ruxa_worker"))
    assert (found["host"], found["port"], found["sslmode"]) == ("db.example", "6543", "verify-full")
    assert (found["dbname"], found["user"]) == (database, "ruxa_worker")
    assert found["tcp_user_timeout"] == "10000"
    given = address.given_url("other")
    assert given is not None
    assert conninfo_to_dict(given)["password"] == "se/cret"
    assert conninfo_to_dict(given)["dbname"] == "other"
    assert "cret" not in repr(address)
    assert repr(address) == f"<address db.example:6543 {database}>"


def test_what_the_url_says_of_the_network_is_kept() -> None:
    address = Address.of_url("postgresql://me@db.example/mine?tcp_user_timeout=500", LOGINS)
    assert conninfo_to_dict(address.url("ruxa_worker"))["tcp_user_timeout"] == "500"


@pytest.mark.parametrize("url", ["postgresql://me:topsecret@[bad", "nonsense=topsecret", "postgresql:///mine", ""])
def test_what_cannot_be_read_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        Address.of_url(url, LOGINS)
    assert "topsecret" not in caught.value.public + caught.value.detail
    assert caught.value.__cause__ is None
