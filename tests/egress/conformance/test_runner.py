"""The runner judges both sides: a way that says nothing of sense passes no run, and strange answers break nothing."""

from __future__ import annotations

import pytest

from ruxa.egress.conformance import case, runner
from ruxa.egress.conformance.case import Run, Step
from ruxa.egress.conformance.client import Asked, Came
from ruxa.egress.conformance.runner import Heard

CASES = case.load()
RUNS = [run for each in CASES for run in each.runs]


class Dumb:
    """Asks as often as it should and answers with the right status, but nothing of sense."""

    def __init__(self, body: bytes, kind: str = "application/json") -> None:
        self.body = body
        self.kind = kind

    async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
        heard = [Heard(path="/", headers={}, body=self.body)] * max(step.asked, 0)
        headers = {"content-type": self.kind}
        return heard, Came(status=step.code[0], headers=headers, body=self.body, complete=True)


class Deaf(Dumb):
    """Never answers."""

    async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
        return [], Came(status=0, headers={}, body=b"no answer in time", complete=False)


@pytest.mark.parametrize(
    "way",
    [
        Dumb(b"{}"),
        Dumb(b"null"),
        Dumb(b""),
        Dumb(b"\xff\xfe"),
        Dumb(b'{"choices":[{"message":5}],"content":{"x":[]},"candidates":"a","output":[1],"error":[]}'),
        Dumb(b'data: {"choices":5,"type":[],"candidates":[[]],"response":"x","delta":[]}\n\n', "text/event-stream"),
        Dumb(b"data: {}\n\ndata: [DONE]\n\n", "text/event-stream"),
    ],
)
async def test_no_run_holds_by_saying_nothing(way: Dumb) -> None:
    held = [run.id for run in RUNS if not await runner.judge(run, way, own=False)]
    assert [name for name in held if name not in ("W80.AM.head.whole", "W80.AM.get.whole")] == []


async def test_nothing_holds_for_a_gateway_that_never_answers() -> None:
    score = await runner.run_all(CASES, Deaf(b""), own=True, told=lambda _: None)
    assert (score.passed, score.failed, score.runs_passed) == (0, 80, 0)
    assert sum(every for _, every in score.groups.values()) == 80
    assert "status 0, not 200" in score.cases[0].got


async def test_losses_count_for_ruxa_alone() -> None:
    (run,) = (run for run in RUNS if run.id == "W78.GG-AM.older.whole")
    step = run.steps[0]

    class Silent(Dumb):
        async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
            said = b'{"candidates":[{"content":{"parts":[{"text":"It is said."}]},"finishReason":"STOP"}]}'
            heard = [Heard(path="/", headers={}, body=b'{"top_k":40}')]
            return heard, Came(status=200, headers={}, body=said, complete=True)

    assert step.sent
    assert await runner.judge(run, Silent(b""), own=False) == ""
    assert await runner.judge(run, Silent(b""), own=True) == "ruxa-lossy lacks safety_settings"


def test_a_case_or_a_run_of_it_can_be_chosen() -> None:
    assert [each.id for each in case.load("w13")] == ["W13"]
    assert [run.id for each in case.load("W13.OC-AM.stream") for run in each.runs] == ["W13.OC-AM.stream"]
    for unknown in ("W99", "W13.GG-GG", "../W13"):
        with pytest.raises(Exception, match="There is no case"):
            case.load(unknown)


def test_every_run_has_a_name_of_its_own_and_something_to_show() -> None:
    names = [run.id for run in RUNS]
    assert len(names) == len(set(names))
    for run in RUNS:
        assert any(step.sent or step.got or step.keep for step in run.steps) or run.case == "W80", run.id
