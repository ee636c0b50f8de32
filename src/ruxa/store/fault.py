"""The seam where the driver's errors become ours: SQLSTATE and constraint only, never a value, never chained.

A driver's text, its cause and its context quote the row (X34), so an error made here must be raised outside the
``except`` block that caught the driver's, else Python keeps the original as its context.
"""

from __future__ import annotations

import logging

import psycopg
import psycopg_pool

from ruxa.kernel.errors import Broken, Conflict, RuxaError, Unavailable

DriverError = psycopg.Error

# The drivers and the queue write errors' texts, with their values, to the standard log: they have nobody to tell here.
for _name in ("psycopg", "psycopg.pool", "procrastinate"):
    _log = logging.getLogger(_name)
    _log.addHandler(logging.NullHandler())
    _log.propagate = False

_BUSY = frozenset({"40001", "40P01", "55P03", "53300"})
_AWAY_TEXT = "The database is away and is coming back; try again."
_BUSY_TEXT = "The database is busy; try again."


def of(error: psycopg.Error) -> RuxaError:
    """Our error for the driver's.

    Constraint (class 23) and our functions (class RX, P0001): Conflict, code = constraint or SQLSTATE. Connection:
    Unavailable ``database_away``; disk: ``database_full``; locks, deadlock, time: ``database_busy``. Else Broken.
    ``detail`` is always ``sqlstate=... [constraint=...]``.
    """
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg_pool.PoolTimeout):
            return Unavailable(_AWAY_TEXT, code="database_away", detail="sqlstate=none", retry_after_s=1)
        return Broken("The store refused a statement.", detail=f"driver={type(error).__name__}")
    constraint = error.diag.constraint_name
    detail = f"sqlstate={state}" + (f" constraint={constraint}" if constraint else "")
    family = state[:2]
    # 25006: the server has become a standby, which takes no writes until somebody is primary again.
    if family == "23":
        return Conflict("This contradicts what is stored.", code=constraint or state, detail=detail)
    if family == "RX" or state == "P0001":
        return Conflict("This contradicts what is stored.", code=state, detail=detail)
    if family == "08" or state in ("57P01", "57P02", "57P03", "57P04", "25006"):
        return Unavailable(_AWAY_TEXT, code="database_away", detail=detail, retry_after_s=1)
    if state in ("53100", "58030"):
        return Unavailable("The database's disk is full.", code="database_full", detail=detail, retry_after_s=30)
    if state in _BUSY or state in ("57014", "25P03"):
        return Unavailable(_BUSY_TEXT, code="database_busy", detail=detail, retry_after_s=1)
    return Broken("The store refused a statement.", detail=detail)
