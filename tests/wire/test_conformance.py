"""The public cases through the dialects alone: each direction of each case, whole and streamed, without a socket.

What only a running gateway can show (fetched URLs, paths, keys, pseudonyms) is in ``test_conformance_live.py``.
"""

from __future__ import annotations

import pytest

from conformance_ways import Straight
from ruxa.egress.conformance import case, runner

RUNS = [run for each in case.load() for run in each.runs if not run.live]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
async def test_case(run: case.Run) -> None:
    assert await runner.judge(run, Straight(), own=True) == ""


def test_every_row_of_the_table_has_its_case() -> None:
    assert [each.id for each in case.load()] == [f"W{number:02}" for number in range(1, 81)]
