"""Call: what a caller asks of a model, in no vendor's words - the form through which every two dialects translate.

A dialect reads its own request into a ``Call`` and writes its request from one; what the call cannot hold, or the
other dialect cannot carry, becomes a ``Loss`` with a name. Order is kept everywhere: turns, parts of a turn, tools.
Numbers and tool arguments keep their spelling. Nothing here is changed in place once it is read.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from ruxa.dialects.dialect import Name
from ruxa.dialects.losses import Loss

Origin = Literal["anthropic", "google", "openai", ""]
"""Whose signature stands on a piece of thinking: it means something to that vendor only; '' is nobody's."""

Number = int | float

NAME_CHARS_MAX = 64
FREE_TEXT = (
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)
"""The schema of a ``custom`` tool where the dialect has only tools with a schema; see ``wrapped``."""


class Cache(msgspec.Struct, frozen=True):
    """A mark: what stands up to here may be kept in the provider's prompt cache. ttl: ``5m`` or ``1h``."""

    ttl: Literal["5m", "1h"] = "5m"


class Text(msgspec.Struct, kw_only=True, tag=True):
    """Text, exact. signature: Gemini signs text parts too."""

    text: str
    cache: Cache | None = None
    signature: str = ""
    origin: Origin = ""


class Media(msgspec.Struct, kw_only=True, tag=True):
    """An image, document, audio or video, given by exactly one of ``data`` (base64, as sent), ``url``, ``file_id`` or
    (a document) ``text``.

    media_type: '' when the sender said none; detail: how closely an image is looked at (``low``, ``high``, ``auto``);
    title: a document's name or title; context: what is said of a document; cited: citations are asked for.
    """

    kind: Literal["image", "document", "audio", "video"]
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str = ""
    title: str = ""
    context: str = ""
    detail: str = ""
    cited: bool = False
    cache: Cache | None = None
    signature: str = ""
    origin: Origin = ""


class Thinking(msgspec.Struct, kw_only=True, tag=True):
    """A model's thinking. text: '' when hidden; signature: the vendor's proof, sent back unchanged or not at all.

    redacted: the thinking itself is encrypted in ``signature`` (Anthropic's ``redacted_thinking``, OpenAI's
    ``encrypted_content``); summary: the text is a summary of it; id: OpenAI's id of a reasoning item.
    """

    text: str = ""
    signature: str = ""
    origin: Origin = ""
    redacted: bool = False
    summary: bool = False
    id: str = ""


class ToolCall(msgspec.Struct, kw_only=True, tag=True):
    """The model asks for a tool. arguments: JSON text of an object exactly as written (never '' once read: ``{}``);
    for a ``custom`` tool free text. signature: Gemini signs the first call of a turn. namespace: OpenAI's."""

    id: str
    name: str
    arguments: str = "{}"
    custom: bool = False
    namespace: str = ""
    cache: Cache | None = None
    signature: str = ""
    origin: Origin = ""


class ToolResult(msgspec.Struct, kw_only=True, tag=True):
    """What a tool gave back; stands in a user's turn. name: '' when the dialect does not say it (``names`` finds it).

    parts: Text and Media (and Carried); data: the JSON text of a structured result (Gemini's ``response``), '' when
    the result is ``parts``; error: the tool failed.
    """

    call_id: str
    name: str = ""
    parts: list[Part] = []
    data: str = ""
    error: bool = False
    custom: bool = False
    cache: Cache | None = None


class Refusal(msgspec.Struct, kw_only=True, tag=True):
    """The model says why it does not answer."""

    text: str


class Carried(msgspec.Struct, kw_only=True, tag=True):
    """A block that only its own dialect knows: written back there byte for byte, a ``Loss`` of ``kind`` elsewhere."""

    dialect: Name
    kind: str
    raw: bytes


Part = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Carried


class Turn(msgspec.Struct, kw_only=True):
    """One message. ``system`` may stand anywhere; tool results stand in a ``user`` turn, tool calls in ``assistant``.

    name: the author's name (OpenAI); developer: OpenAI's newer word for ``system``; phase and id: OpenAI's responses;
    at: where it stood in the caller's body, in that vendor's notation (``messages[2]``): the param of what a writer
    refuses or loses.
    """

    role: Literal["system", "user", "assistant"]
    parts: list[Part] = []
    name: str = ""
    developer: bool = False
    id: str = ""
    phase: str = ""
    at: str = ""


class Tool(msgspec.Struct, kw_only=True):
    """A tool the model may ask for. schema: JSON Schema of the arguments as sent, b'' when none was given.

    kind: ``function``; ``custom`` (free text, OpenAI; ``schema`` holds its ``format``); ``hosted``: run by the
    provider - ``raw`` is its definition and ``dialect`` whose it is. namespace: OpenAI's group of tools; about: what
    the group says of itself.
    """

    name: str
    kind: Literal["function", "custom", "hosted"] = "function"
    description: str = ""
    schema: bytes = b""
    strict: bool | None = None
    namespace: str = ""
    about: str = ""
    cache: Cache | None = None
    raw: bytes = b""
    dialect: Name | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """auto, any (one of ``names`` when there are some, else any tool), or none."""

    mode: Literal["auto", "any", "none"]
    names: tuple[str, ...] = ()


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model should think. None everywhere: not said.

    mode: ``off``, ``on`` (with ``budget`` tokens), ``adaptive``; effort: none, minimal, low, medium, high, xhigh, max;
    shown: whether the thinking (or its summary) is to be part of the answer.
    """

    mode: Literal["off", "on", "adaptive"] | None = None
    effort: str | None = None
    budget: int | None = None
    shown: bool | None = None


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer's text has to be: ``json`` (any) or ``schema`` (that JSON Schema, as sent)."""

    kind: Literal["json", "schema"]
    name: str = ""
    description: str = ""
    schema: bytes = b""
    strict: bool | None = None


class Call(msgspec.Struct, kw_only=True):
    """One request for an answer. None or empty: the caller did not say.

    choices: answers asked for; cap: output tokens at most; penalties, ``logit_bias`` (JSON text) and the like are
    OpenAI's and Gemini's; identity: the caller's own end user (never sent as it is); cache_key: the caller's hint for
    prompt caching (likewise); verbosity: low, medium, high; modalities: ``text``, ``image``, ``audio``;
    functions: the caller speaks OpenAI's older words (``functions``, ``function_call``) and is answered in them;
    completes: it asks by OpenAI's completions, and is answered with text alone;
    echo: members of the request that the caller's own dialect repeats in its answers (OpenAI's responses), a JSON
    object that no other dialect reads; losses: what the reading dialect could not put into this form.
    """

    model: str
    turns: list[Turn]
    tools: list[Tool] = []
    choice: ToolChoice | None = None
    parallel: bool | None = None
    reasoning: Reasoning | None = None
    format: Format | None = None
    stream: bool = False
    usage: bool = False
    choices: int = 1
    cap: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None
    logit_bias: bytes = b""
    logprobs: int | None = None
    verbosity: str | None = None
    modalities: tuple[str, ...] = ()
    identity: str = ""
    cache_key: str = ""
    functions: bool = False
    completes: bool = False
    echo: bytes = b""
    losses: tuple[Loss, ...] = ()


class Embedding(msgspec.Struct, kw_only=True):
    """A request for vectors. inputs: texts, or token lists (``int``) where the dialect knows them; purpose: Gemini's
    ``taskType``; base64: float32 little-endian instead of a list of numbers."""

    model: str
    inputs: list[str | list[int]]
    dimensions: int | None = None
    base64: bool = False
    purpose: str = ""
    title: str = ""
    single: bool = False
    identity: str = ""
    losses: tuple[Loss, ...] = ()


class Vectors(msgspec.Struct, kw_only=True):
    """The answer to ``Embedding``, one vector an input in order; tokens: of all inputs, None when not told."""

    vectors: list[list[float]]
    tokens: int | None = None


class _Free(msgspec.Struct, forbid_unknown_fields=True):
    input: str


_decode_free = msgspec.json.Decoder(_Free).decode


def merged(call: Call) -> list[Turn]:
    """The turns with neighbours of one role made one (system apart), as dialects with strict alternation want them.

    Within a user's turn the tool results come first, in order (W13).
    """
    turns: list[Turn] = []
    for turn in call.turns:
        last = turns[-1] if turns else None
        if last is None or last.role != turn.role or turn.role == "system":
            turns.append(msgspec.structs.replace(turn, parts=list(turn.parts)))
        else:
            last.parts.extend(turn.parts)
    for turn in turns:
        if turn.role == "user":
            turn.parts.sort(key=lambda part: not isinstance(part, ToolResult))
    return turns


def identified(call: Call) -> Call:
    """The call with an id on every tool call and result, for dialects that match by id what others match by name.

    A call without one gets ``call_`` and its number in the conversation, the same in every later turn; a result
    without one belongs to the first call of its name, else the first of all, that has no result yet.
    """
    if not any(
        (isinstance(part, ToolCall) and not part.id) or (isinstance(part, ToolResult) and not part.call_id)
        for turn in call.turns
        for part in turn.parts
    ):
        return call
    waiting: list[tuple[str, str]] = []
    turns: list[Turn] = []
    made = 0
    for turn in call.turns:
        parts = list(turn.parts)
        for at, part in enumerate(parts):
            if isinstance(part, ToolCall):
                if not part.id:
                    part = parts[at] = msgspec.structs.replace(part, id=f"call_{made}")
                made += 1
                waiting.append((part.id, part.name))
            elif isinstance(part, ToolResult):
                mine = part.call_id
                if not mine:
                    fitting = [call_id for call_id, name in waiting if name == part.name]
                    mine = next(iter(fitting), waiting[0][0] if waiting else f"call_{made}")
                    parts[at] = msgspec.structs.replace(part, call_id=mine)
                waiting = [each for each in waiting if each[0] != mine]
        turns.append(msgspec.structs.replace(turn, parts=parts))
    return msgspec.structs.replace(call, turns=turns)


def flat(namespace: str, name: str) -> str:
    """A tool's name where the dialect knows no namespaces; the same on the way out and in a history that comes back.

    No vendor takes more than ``NAME_CHARS_MAX`` everywhere: a longer one ends in a mark made from the whole.
    """
    if not namespace:
        return name
    whole = f"{namespace}__{name}"
    if len(whole) <= NAME_CHARS_MAX:
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: NAME_CHARS_MAX - 9]}_{mark}"


def offered(call: Call) -> dict[str, Tool]:
    """The caller's tools by the name that a dialect without namespaces has for them: the way back from ``flat``."""
    return {flat(tool.namespace, tool.name): tool for tool in call.tools if tool.kind != "hosted"}


def wrapped(text: str) -> str:
    """Free text for a ``custom`` tool as JSON arguments, where the dialect has only tools with a schema."""
    return msgspec.json.encode({"input": text}).decode()


def unwrapped(arguments: str) -> str:
    """The free text in arguments that follow ``FREE_TEXT``; arguments of another form as they are."""
    try:
        return _decode_free(arguments).input
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return arguments


def names(call: Call) -> dict[str, str]:
    """The tool's name of each call id: what a dialect that matches results by name needs (W14)."""
    return {part.id: part.name for turn in call.turns for part in turn.parts if isinstance(part, ToolCall)}
