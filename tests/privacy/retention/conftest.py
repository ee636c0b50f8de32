"""Retention: a house whose clock can be moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures_database import Database
from retention_house import RetentionHouse, open_house


@pytest.fixture
async def house(shipped: None, database: Database, tmp_path: Path) -> RetentionHouse:
    return await open_house(database, tmp_path)
