"""The table of SQLSTATEs: what the caller may mend, what comes back, what is our fault."""

from __future__ import annotations

import logging

import psycopg
import psycopg_pool
import pytest

from ruxa.kernel.errors import Broken, Conflict, RuxaError, Unavailable
from ruxa.store import fault


def _error(state: str | None) -> psycopg.Error:
    error = psycopg.errors.lookup(state)("CANARY in the driver's text") if state else psycopg.OperationalError("CANARY")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [
        ("23505", Conflict, "23505"),
        ("23P01", Conflict, "23P01"),
        ("P0001", Conflict, "P0001"),
        ("08006", Unavailable, "database_away"),
        ("57P01", Unavailable, "database_away"),
        ("57P03", Unavailable, "database_away"),
        (None, Unavailable, "database_away"),
        ("53100", Unavailable, "database_full"),
        ("53300", Unavailable, "database_busy"),
        ("40001", Unavailable, "database_busy"),
        ("40P01", Unavailable, "database_busy"),
        ("55P03", Unavailable, "database_busy"),
        ("57014", Unavailable, "database_busy"),
        ("25P03", Unavailable, "database_busy"),
        ("42P01", Broken, "internal_error"),
        ("42501", Broken, "internal_error"),
        ("22P02", Broken, "internal_error"),
        ("25P02", Broken, "internal_error"),
        ("25006", Unavailable, "database_away"),
    ],
)
def test_every_state_has_one_meaning(state: str | None, kind: type[RuxaError], code: str) -> None:
    found = fault.of(_error(state))
    assert type(found) is kind
    assert found.code == code
    assert found.detail == f"sqlstate={state or 'none'}"
    assert "CANARY" not in found.public + found.detail


def test_a_pool_that_waited_in_vain_is_away() -> None:
    assert fault.of(psycopg_pool.PoolTimeout("CANARY")).code == "database_away"


class Kept(logging.Handler):
    """What reaches the root logger, and with it every sink somebody configures."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.mark.parametrize("name", ["psycopg", "psycopg.pool", "procrastinate", "procrastinate.worker.worker"])
def test_the_drivers_own_log_lines_reach_nobody(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    kept = Kept()
    logging.getLogger().addHandler(kept)
    try:
        logging.getLogger(name).error("error ignored: %s", "CANARY")
        logging.getLogger("else").error("heard")
    finally:
        logging.getLogger().removeHandler(kept)
    assert kept.said == ["heard"]
    assert "CANARY" not in "".join(capfd.readouterr())
