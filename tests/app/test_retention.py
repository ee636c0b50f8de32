"""Retention's wiring: the job, its metric, and the commands of a real installation whose clock is moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures_database import Database
from retention_house import open_house, reading
from ruxa.app import retention
from ruxa.egress.objects import Objects
from ruxa.gateway import metrics
from ruxa.kernel.errors import Unavailable


async def test_a_run_leaves_its_time_as_a_metric_and_a_pause_too(
    shipped: None, database: Database, tmp_path: Path
) -> None:
    house = await open_house(database, tmp_path)
    await retention.run(house.tools(reading=reading()))
    text = metrics.render(metrics.read_others(house.data / "run" / "metrics", "w0")).decode()
    (done,) = [line for line in text.splitlines() if line.startswith("ruxa_retention_done_s ")]
    assert abs(int(done.split()[1]) - house.began.timestamp()) < 60
    assert "ruxa_retention_paused 0" in text
    await retention.run(house.tools(reading=reading(shift_ms=-3_600_000)))
    text = metrics.render(metrics.read_others(house.data / "run" / "metrics", "w0")).decode()
    assert "ruxa_retention_paused 1" in text
    assert done in text


async def test_a_job_that_leaves_something_fails_and_is_tried_again(
    shipped: None, database: Database, tmp_path: Path
) -> None:
    class Away(Objects):
        async def folders(self, prefix: str) -> list[str]:
            raise Unavailable("The object store can't be reached now.", code="storage_away")

    house = await open_house(database, tmp_path)
    away = Away.of_folder(house.data / "objects")
    with pytest.raises(Unavailable) as caught:
        await retention.run(house.tools(objects=away))
    assert caught.value.code == "retention_failed"
    await retention.run(house.tools())
