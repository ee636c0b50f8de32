"""Cases: what a caller sends, what the provider is to get, what it answers, what the caller is to get back.

A file of ``cases/`` is one row of the table of wire cases; its runs are the directions it concerns, and each run is
done once with a whole answer and once streamed unless it says otherwise::

    id = "W13"                  # of the row
    title = "Two tool calls, their results, then text"
    group = "tools"             # for the score
    source = "tldw_chatbook PR 659"
    wish = true                 # stricter than what the vendors' formats demand

    [[run]]
    name = "three"              # only where two runs have the same direction
    from = "OC"                 # the caller's dialect: OC, OR, AM, GG; a list: each of them
    to = "AM"                   # the provider's; absent when no provider is to be asked
    model = "claude-sonnet-4-5" # at the provider; else the dialect's own of MODELS
    modes = ["whole"]           # else whole and stream
    usage = false               # a streaming caller of OC does not ask for usage
    live = true                 # concerns a running gateway: its paths, its memory, its identities
    request = '''{...}'''       # the caller's body, sent to the byte; {{model}} and the like are filled in
    answer = '''{...}'''        # the provider's whole answer; its stream is made from it, unless
    frames = '''...'''          # its stream is written out, one frame a line
    sent = [{...}]              # checks of what reached the provider (see look.py)
    got = [{...}]               # checks of what reached the caller; a stream is put together first; without them
                                # and without an answer of its own: that the plain answer came

Where ``from`` or ``to`` is a list, ``request`` and ``got`` may be tables by the caller's dialect, ``answer``,
``frames``, ``model`` and ``sent`` by the provider's. More than one exchange: ``[[run.step]]`` with the same fields;
``keep = { name = "path" }`` takes a value from the answer, which later requests write as ``{{name}}``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Literal

import msgspec

from ruxa.egress.conformance import material
from ruxa.kernel.errors import NotFound

Code = Literal["OC", "OR", "AM", "GG"]
Mode = Literal["whole", "stream"]

CODES: tuple[Code, ...] = ("OC", "OR", "AM", "GG")
DIALECTS: dict[Code, str] = {
    "OC": "openai_chat",
    "OR": "openai_responses",
    "AM": "anthropic_messages",
    "GG": "gemini_generate",
}
# How the gateway's operator names the scripted provider of each dialect, and the model where a run says none.
PROVIDERS: dict[Code, str] = {"OC": "wire-openai", "OR": "wire-responses", "AM": "wire-anthropic", "GG": "wire-gemini"}
MODELS: dict[Code, str] = {"OC": "gpt-5.1", "OR": "gpt-5.1", "AM": "claude-opus-4-6", "GG": "gemini-2.5-flash"}
# A provider of OpenAI's dialect that refuses what is not in the old table.
PROVIDER_OF = {"compat-chat": "wire-compat"}
VERBS = {"whole": "generateContent", "stream": "streamGenerateContent?alt=sse"}
PATHS: dict[Code, str] = {"OC": "/v1/chat/completions", "OR": "/v1/responses", "AM": "/v1/messages", "GG": ""}


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"is_": "is", "of": "in"}):
    """One thing to find; ``look.py`` says what each field means."""

    at: str | None = None
    header: str | None = None
    of: Literal["events"] | None = None
    is_: Any = msgspec.UNSET
    is_not: Any = msgspec.UNSET
    json: str | None = None
    any_of: list[Any] | None = None
    absent: bool = False
    present: bool = False
    has: str | list[str] | None = None
    has_not: str | list[str] | None = None
    matches: str | None = None
    order: list[str] | None = None
    len: int | None = None
    least: int | None = None
    below: str | None = None
    events: list[str] | None = None
    grammar: bool = False
    any: list[list[Check]] | None = None
    only: Mode | None = None


Text = str | dict[str, str]
Checks = list[Check] | dict[str, list[Check]]


class Written(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One exchange as the file has it. path, method, headers: of the caller's request, where they are the point;
    code: the status the caller is to get (200; a list: one of them); status and answer_headers: of the provider's
    answer; cut: its stream in pieces of so many bytes; dies_after: its connection ends after so many frames; asked:
    how many requests it is to get (one; with ``to`` absent none; -1: any number); instead: this exchange goes to
    another provider than the run's."""

    method: str = "POST"
    path: Text = ""
    headers: dict[str, str] = {}
    request: Text | None = None
    answer: Text | None = None
    frames: Text | None = None
    status: int = 200
    answer_headers: dict[str, str] = {}
    cut: int | None = None
    dies_after: int | None = None
    code: int | list[int] = 200
    asked: int | None = None
    instead: Code | None = None
    sent: Checks = []
    got: Checks = []
    keep: dict[str, str] = {}


class WrittenRun(Written, kw_only=True, rename={"from_": "from", "steps": "step"}):
    """One ``[[run]]``."""

    name: str = ""
    from_: Code | list[Code]
    to: Code | list[Code] | None = None
    model: Text = ""
    modes: tuple[Mode, ...] = ("whole", "stream")
    usage: bool = True
    live: bool = False
    lossy: list[str] | None = None
    steps: list[Written] | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"runs": "run"}):
    id: str
    title: str
    group: str
    source: str
    wish: bool = False
    runs: list[WrittenRun]


class Step(msgspec.Struct, kw_only=True):
    """One exchange of one run in one mode, nothing left to choose; ``request`` may still hold ``{{names}}`` kept."""

    method: str
    path: str
    headers: dict[str, str]
    request: str
    answer: str
    frames: str | None
    status: int
    answer_headers: dict[str, str]
    cut: int | None
    dies_after: int | None
    code: list[int]
    asked: int
    target: Code | None
    model: str
    sent: list[Check]
    got: list[Check]
    keep: dict[str, str]


class Run(msgspec.Struct, kw_only=True):
    """One direction of a case in one mode. lossy: names that Ruxa's ``ruxa-lossy`` has to hold (other gateways have
    no such header); usage: a streaming caller of OC asks for it."""

    id: str
    case: str
    source: Code
    mode: Mode
    usage: bool
    live: bool
    lossy: list[str]
    steps: list[Step]


class Case(msgspec.Struct, kw_only=True):
    """One row."""

    id: str
    title: str
    group: str
    source: str
    wish: bool
    runs: list[Run]


def load(wanted: str | None = None) -> list[Case]:
    """The cases in order of their ids; ``wanted``: the one of that id, or one run of it (``W13.OC-AM.stream``).

    Raises NotFound.
    """
    folder = files("ruxa.egress.conformance").joinpath("cases")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if wanted is not None:
        names = [name for name in names if name.removesuffix(".toml").lower() == wanted.partition(".")[0].lower()]
    cases = [_read(folder.joinpath(name).read_text(encoding="utf-8")) for name in names]
    if wanted is not None and "." in wanted:
        for case in cases:
            case.runs = [run for run in case.runs if f"{run.id}.".lower().startswith(f"{wanted}.".lower())]
    if not any(case.runs for case in cases):
        raise NotFound(f"There is no case {wanted}; they are W01 to W80.")
    return cases


def models() -> list[tuple[Code, str]]:
    """Every model that the cases ask for, with the dialect of its provider."""
    steps = (step for case in load() for run in case.runs for step in run.steps)
    return sorted({(step.target, step.model) for step in steps if step.target is not None})


def _read(text: str) -> Case:
    told = msgspec.convert(tomllib.loads(text), _File)
    runs = [run for written in told.runs for run in _expand(told.id, written)]
    return Case(id=told.id, title=told.title, group=told.group, source=told.source, wish=told.wish, runs=runs)


def _expand(case: str, written: WrittenRun) -> Iterator[Run]:
    sources: list[Code] = written.from_ if isinstance(written.from_, list) else [written.from_]
    targets: list[Code | None] = [*written.to] if isinstance(written.to, list) else [written.to]
    for source in sources:
        for target in targets:
            for mode in written.modes:
                way = source if target is None else f"{source}-{target}"
                model = _one(written.model, target) or ("" if target is None else MODELS[target])
                yield Run(
                    id=".".join(part for part in (case, way, written.name, mode) if part),
                    case=case,
                    source=source,
                    mode=mode,
                    usage=written.usage,
                    live=written.live,
                    lossy=written.lossy or [],
                    steps=[
                        _step(each, source, target, mode, model, written.usage) for each in written.steps or [written]
                    ],
                )


def _step(written: Written, source: Code, target: Code | None, mode: Mode, model: str, usage: bool) -> Step:
    if written.instead is not None:
        target, model = written.instead, MODELS[written.instead]
    values = {"upstream_model": model, **material.VALUES}
    if target is not None:
        values["model"] = public(target, model)
    request = _one(written.request, source)
    if request is None:
        request = material.REQUESTS[source] if written.method == "POST" else ""
    if mode == "stream" and request:
        request = _streamed(request, source, usage)
    answer = _one(written.answer, target)
    if answer is None:
        answer = material.ANSWERS[target] if target is not None else ""
    frames = _one(written.frames, target)
    got = _checks(written.got, source)
    if not got and written.answer is None and frames is None and written.code == 200 and target is not None:
        got = [Check(at=material.SAID_AT[source], is_=material.SAID)]
    path = _one(written.path, source) or PATHS[source] or f"/v1beta/models/{{{{model}}}}:{VERBS[mode]}"
    return Step(
        method=written.method,
        path=fill(path, values),
        headers={name: fill(value, values) for name, value in written.headers.items()},
        request=fill(request, values),
        answer=fill(answer, values),
        frames=None if frames is None else fill(frames, values),
        status=written.status,
        answer_headers=written.answer_headers,
        cut=written.cut,
        dies_after=written.dies_after,
        code=written.code if isinstance(written.code, list) else [written.code],
        asked=(0 if target is None else 1) if written.asked is None else written.asked,
        target=target,
        model=model,
        sent=[_filled(check, values) for check in _checks(written.sent, target)],
        got=[_filled(check, values) for check in got],
        keep=written.keep,
    )


def public(target: Code, model: str) -> str:
    """A model's name at the gateway."""
    return f"{PROVIDER_OF.get(model, PROVIDERS[target])}/{model}"


def _one(text: Text | None, code: Code | None) -> str | None:
    if isinstance(text, dict):
        return text.get(code or "")
    return text


def _checks(checks: Checks, code: Code | None) -> list[Check]:
    return checks.get(code or "", []) if isinstance(checks, dict) else checks


def _filled(check: Check, values: Mapping[str, str]) -> Check:
    """The same check with what it compares filled in."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return fill(value, values)
        if isinstance(value, list):
            return [filled(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
        return _filled(value, values) if isinstance(value, Check) else value

    return msgspec.structs.replace(check, **{name: filled(getattr(check, name)) for name in check.__struct_fields__})


def _streamed(request: str, source: Code, usage: bool) -> str:
    """The request as a streaming caller of that dialect makes it."""
    if source == "GG" or not request.lstrip().startswith("{") or '"stream":' in request:
        return request
    asked = '"stream":true,'
    if source == "OC" and usage and "stream_options" not in request:
        asked += '"stream_options":{"include_usage":true},'
    return "{" + asked + request.lstrip()[1:]


_NAME = re.compile(r"\{\{([a-z_0-9.]+)\}\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """``{{name}}`` replaced where the name is known."""
    return _NAME.sub(lambda found: values.get(found[1], found[0]), text)
