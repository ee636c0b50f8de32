"""The runner: does each run of each case by some way to a gateway, and judges both sides.

``Way`` is the way: over HTTP to a running gateway (``wire.py``), or straight through translators in tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import msgspec

from ruxa.egress.conformance import frames, look, streams
from ruxa.egress.conformance.case import DIALECTS, Case, Run, Step, fill
from ruxa.egress.conformance.client import Asked, Came
from ruxa.egress.conformance.look import Seen
from ruxa.egress.sandbox.script import Script

GOT_MAX = 1200
ANY_NUMBER = -1
# Google takes its fields in both spellings; inside these are names that are the caller's.
_CALLERS = {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"}


class Heard(msgspec.Struct, kw_only=True):
    """A request as it reached the provider."""

    path: str
    headers: dict[str, str]
    body: bytes


class Way(Protocol):
    """One exchange: the caller's request in, what the provider heard and what the caller got out."""

    async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
        """Do it."""
        ...


class Part(msgspec.Struct, kw_only=True):
    """How one run went. got: what did not hold and what came instead, '' when all held."""

    id: str
    ok: bool
    got: str


class Result(msgspec.Struct, kw_only=True):
    """How one case went: it holds when every run of it does."""

    id: str
    ok: bool
    got: str
    title: str
    group: str
    wish: bool
    parts: list[Part]


class Score(msgspec.Struct, kw_only=True):
    """All of it: cases, and their runs."""

    passed: int
    failed: int
    runs_passed: int
    runs_failed: int
    groups: dict[str, tuple[int, int]]
    cases: list[Result]


async def run_all(cases: Sequence[Case], way: Way, *, own: bool, told: Callable[[Result], None]) -> Score:
    """Every case in order. own: the gateway is Ruxa, so the names of losses count; told: called after each case."""
    results: list[Result] = []
    for case in cases:
        parts = [
            Part(id=run.id, ok=not found, got=found) for run in case.runs for found in [await judge(run, way, own)]
        ]
        bad = [f"{part.id}: {part.got}" for part in parts if not part.ok]
        result = Result(
            id=case.id,
            ok=not bad,
            got="\n".join(bad),
            title=case.title,
            group=case.group,
            wish=case.wish,
            parts=parts,
        )
        results.append(result)
        told(result)
    return score(results)


def score(results: list[Result]) -> Score:
    """The sums."""
    groups: dict[str, tuple[int, int]] = {}
    for result in results:
        good, every = groups.get(result.group, (0, 0))
        groups[result.group] = (good + result.ok, every + 1)
    passed = sum(result.ok for result in results)
    runs = [part.ok for result in results for part in result.parts]
    return Score(
        passed=passed,
        failed=len(results) - passed,
        runs_passed=sum(runs),
        runs_failed=len(runs) - sum(runs),
        groups=groups,
        cases=results,
    )


async def judge(run: Run, way: Way, own: bool) -> str:
    """What does not hold in a run, '' when all does."""
    kept: dict[str, str] = {}
    for number, step in enumerate(run.steps, 1):
        asked = request(run, step, kept)
        heard, came = await way.exchange(run, step, asked)
        try:
            found = _judge(run, step, heard, came, own)
            answer = seen(run, came)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
            found, answer = [f"what came has no known shape ({type(fault).__name__}: {fault})"], Seen(text="")
        if found:
            where = f"step {number}, " if len(run.steps) > 1 else ""
            if came.status not in step.code:
                found.append(f"the caller got {came.body[:400].decode(errors='replace')}")
            return (where + "; ".join(found))[:GOT_MAX]
        for name, path in step.keep.items():
            value = look.find(answer.body, path)
            if value is look.MISSING:
                return f"the answer has no {path}, which the next request needs"
            kept[name] = json.dumps(value, ensure_ascii=False)
    return ""


def request(run: Run, step: Step, kept: dict[str, str]) -> Asked:
    """The caller's request, without the key."""
    headers = {"content-type": "application/json"} if step.method == "POST" else {}
    if run.source == "AM":
        headers["anthropic-version"] = "2023-06-01"
    body = fill(step.request, kept).encode()
    return Asked(method=step.method, path=step.path, headers={**headers, **step.headers}, body=body)


def seen(run: Run, came: Came) -> Seen:
    """The caller's answer."""
    headers = {**came.headers, ":status": str(came.status)}
    if run.mode == "stream" and came.status == 200:
        return streams.seen(run.source, came.body, headers, run.usage, came.complete)
    text = came.body.decode(errors="replace")
    return Seen(text=text, body=look.parse(text), headers=headers)


def _judge(run: Run, step: Step, heard: list[Heard], came: Came, own: bool) -> list[str]:
    found: list[str] = []
    if came.status not in step.code:
        found.append(f"status {came.status}, not {' or '.join(map(str, step.code))}")
    if step.asked not in (len(heard), ANY_NUMBER):
        found.append(f"the provider was asked {len(heard)} times, not {step.asked}")
    if heard and step.target is not None:
        told = heard[-1].body.decode(errors="replace")
        body = look.parse(told)
        sent = Seen(text=told, body=_camel(body) if step.target == "GG" else body, headers=heard[-1].headers)
        found += look.problems(step.sent, sent, run.mode, "sent")
    if not found:
        answer = seen(run, came)
        found += look.problems(step.got, answer, run.mode, "got")
        if own and came.status == 200 and run.mode == "stream":
            found += [f"got: {fault}" for fault in answer.faults[:3]]
        if own and run.lossy:
            names = {name.strip() for name in came.headers.get("ruxa-lossy", "").split(",")}
            found += [f"ruxa-lossy lacks {name}" for name in run.lossy if name not in names]
    return found


def script(step: Step, files: dict[str, tuple[str, bytes]]) -> Script | None:
    """The provider's part of an exchange, None when none is to be asked; files: what it serves beside."""
    code = step.target
    if code is None:
        return None

    def whole(body: bytes) -> bytes:
        told: Any = look.parse(body)
        name = look.find(told, "tools.0.name")
        return fill(step.answer, {"sent.tools.0.name": name if isinstance(name, str) else ""}).encode()

    def stream(body: bytes) -> list[bytes]:
        asked_usage = look.find(look.parse(body), "stream_options.include_usage") is True
        if step.frames is not None:
            return frames.spelled(code, step.frames, asked_usage)
        return frames.stream(code, whole(body).decode(), asked_usage)

    return Script(
        dialect=DIALECTS[code],
        answer=whole,
        frames=stream,
        status=step.status,
        headers=step.answer_headers,
        cut=step.cut is not None,
        dies_after=step.dies_after,
        files=files,
    )


def _camel(value: Any) -> Any:
    """A request for Google with its own field names in one spelling."""
    if isinstance(value, list):
        return [_camel(entry) for entry in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in cast(dict[str, Any], value).items():
        head, *rest = name.split("_")
        known = head + "".join(word[:1].upper() + word[1:] for word in rest)
        made[known] = inner if known in _CALLERS else _camel(inner)
    return made
