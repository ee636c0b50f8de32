"""Books: a real database with prices and credit, and the shortest way to lend, charge and prove."""

from __future__ import annotations

import pytest

from books import Books
from fixtures_database import Database


@pytest.fixture
async def books(database: Database) -> Books:
    """An empty ledger with the test price, and a pool for each login that touches money."""
    return await Books.open(database)
