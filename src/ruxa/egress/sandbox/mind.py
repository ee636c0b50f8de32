"""What the sandbox says: a plan of thinking, tool calls and text, made from what it understood of a prompt.

Deterministic: the same prompt gives the same plan. A token is a word of at most twelve characters.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, Literal

import msgspec

from ruxa.egress.sandbox.fields import items, mapping

TOKEN = re.compile(r"\s*\S{1,12}|\s+\Z")
MARK = re.compile(r"\[\[([a-z0-9-]+)(?:=([^\]]*))?\]\]")
IMAGE_TOKENS = 85
DOCUMENT_TOKENS = 250
AUDIO_TOKENS = 50
TOKENS_MAX = 100_000
_SIGNING = b"sandbox signature"


class Media(msgspec.Struct, frozen=True):
    """A part that is not text: its kind (image, document, audio, video), media type and bytes, or a URL."""

    kind: Literal["image", "document", "audio", "video"]
    media_type: str
    data: bytes = b""
    url: str = ""

    def shown(self) -> str:
        """``image/png, 70 bytes, sha256 1a2b3c4d5e6f7a8b``."""
        if self.url:
            return f"{self.media_type} at {self.url}"
        return f"{self.media_type}, {len(self.data)} bytes, sha256 {hashlib.sha256(self.data).hexdigest()[:16]}"

    @property
    def tokens(self) -> int:
        """Input tokens it counts as."""
        return {"image": IMAGE_TOKENS, "document": DOCUMENT_TOKENS}.get(self.kind, AUDIO_TOKENS)


class Offer(msgspec.Struct, frozen=True):
    """A tool the caller offers, with the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any]


class Result(msgspec.Struct, frozen=True):
    """What a tool gave back in the last turn."""

    name: str
    text: str
    is_error: bool = False


class Prompt(msgspec.Struct, kw_only=True):
    """A request as the sandbox understood it. ``user``: the text of the last user turn; ``history``: all text."""

    model: str
    system: str = ""
    user: str = ""
    history: list[str] = []
    media: list[Media] = []
    results: list[Result] = []
    tools: list[Offer] = []
    choice: str = "auto"  # auto | none | any | the name of a tool
    parallel: bool = True
    thinking: bool = False
    cap: int | None = None
    stops: list[str] = []
    schema: dict[str, Any] | None = None  # structured output is asked for
    cached_tokens: int = 0
    written_tokens: int = 0

    @property
    def marks(self) -> dict[str, str]:
        """The ``[[marks]]`` of the last user text."""
        return dict(MARK.findall(self.user))

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached ones included."""
        texts = sum(len(tokens(text)) for text in [self.system, *self.history])
        offered = sum(4 + len(tokens(str(tool.schema))) for tool in self.tools)
        return 3 + texts + offered + sum(media.tokens for media in self.media)


class Call(msgspec.Struct, frozen=True):
    """One tool call; ``id`` is the bare part, dialects add their own prefix."""

    id: str
    name: str
    arguments: dict[str, Any]


class Plan(msgspec.Struct, kw_only=True):
    """What will be said, in order: thinking, text pieces (one a token), calls; and how it ends."""

    thinking: list[str] = []
    signature: str = ""
    pieces: list[str] = []
    calls: list[Call] = []
    ending: Literal["stop", "length", "tool", "stop_sequence", "refusal"] = "stop"
    stop_sequence: str | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """Text and calls, without thinking."""
        return len(self.pieces) + sum(8 + len(tokens(str(call.arguments))) for call in self.calls)

    @property
    def thinking_tokens(self) -> int:
        """Thinking alone."""
        return len(self.thinking)


def tokens(text: str) -> list[str]:
    """The text cut into tokens; together they are the text."""
    return TOKEN.findall(text)


def number(marks: dict[str, str], name: str, default: int, most: int = TOKENS_MAX) -> int:
    """The number a mark gives, bounded; the default when it is absent or no number."""
    value = marks.get(name, "")
    return min(int(value), most) if value.isdecimal() and len(value) < 10 else default


def sign(thinking: str) -> str:
    """The signature over a thinking text; only the sandbox can make it."""
    return base64.b64encode(hmac.new(_SIGNING, thinking.encode(), hashlib.sha256).digest()).decode()


def make(prompt: Prompt) -> Plan:
    """The plan for a prompt."""
    marks = prompt.marks
    plan = Plan()
    if prompt.thinking:
        plan.thinking = tokens(f"The user wrote {len(words(prompt.user))} words. I will answer briefly.")
        plan.signature = sign("".join(plan.thinking))
    if "refuse" in marks:
        plan.ending = "refusal"
        return plan
    plan.calls = _calls(prompt)
    if plan.calls:
        plan.ending = "tool"
    else:
        text = _text(prompt)
        plan.pieces = tokens(text)
        if "tokens" in marks:
            wanted = number(marks, "tokens", 0)
            plan.pieces = [f" word{index}" if index else "word0" for index in range(wanted)]
        _stop(prompt, plan)
    if prompt.cap is not None:
        _cut(prompt.cap, plan)
    return plan


def words(text: str) -> list[str]:
    """The words of a text without its marks."""
    return MARK.sub("", text).split()


def _text(prompt: Prompt) -> str:
    plain = " ".join(words(prompt.user))
    if prompt.schema is not None:
        return msgspec.json.encode(example(prompt.schema, plain)).decode()
    if "echo" in prompt.marks:
        return MARK.sub("", prompt.user)
    said: list[str] = []
    for result in prompt.results:
        failed = " failed and" if result.is_error else ""
        said.append(f"The tool {result.name}{failed} returned: {result.text[:400]}")
    if prompt.media:
        said.append("I received " + "; ".join(media.shown() for media in prompt.media) + ".")
    if plain and not prompt.results:
        shown = plain if len(plain) <= 200 else plain[:199] + "…"
        said.append(f"You wrote {len(plain.split())} words: {shown}")
    if prompt.system:
        said.append(f"(system: {len(prompt.system)} characters)")
    return "Sandbox: " + "\n".join(said or ["hello."])


def _stop(prompt: Prompt, plan: Plan) -> None:
    """Ends the text before the first stop sequence."""
    text = plan.text
    found = [(text.find(stop), stop) for stop in prompt.stops if stop and stop in text]
    if found:
        at, plan.stop_sequence = min(found)
        plan.pieces = tokens(text[:at])
        plan.ending = "stop_sequence"


def _cut(cap: int, plan: Plan) -> None:
    """Bounds thinking, then text, by the cap; tool calls are left out when they do not fit."""
    room = cap - len(plan.thinking)
    if room <= 0:
        plan.thinking = plan.thinking[:cap]
        plan.pieces, plan.calls, plan.ending = [], [], "length"
    elif plan.calls and plan.output_tokens > room:
        plan.calls, plan.ending = [], "length"
    elif len(plan.pieces) > room:
        plan.pieces, plan.ending = plan.pieces[:room], "length"


def _calls(prompt: Prompt) -> list[Call]:
    """Which tools to call: the named or required one, else those whose names the prompt mentions."""
    if prompt.choice == "none" or not prompt.tools or (prompt.results and prompt.choice == "auto"):
        return []
    text = prompt.user.lower()
    named = prompt.marks.get("tool", "").lower()
    chosen = [tool for tool in prompt.tools if (tool.name.lower() == named if named else _mentions(text, tool.name))]
    if prompt.choice not in ("auto", "any"):
        chosen = [tool for tool in prompt.tools if tool.name == prompt.choice]
    elif not chosen and (prompt.choice == "any" or "use the tool" in text or "call the tool" in text):
        chosen = prompt.tools[:1]
    repeat = number(prompt.marks, "calls", 1, 16)
    chosen = [tool for tool in chosen for _ in range(repeat)]
    if not prompt.parallel:
        chosen = chosen[:1]
    return [_call(prompt, tool, index) for index, tool in enumerate(chosen)]


def _mentions(text: str, name: str) -> bool:
    name = name.lower()
    return name in text or name.replace("_", " ") in text


def _call(prompt: Prompt, tool: Offer, index: int) -> Call:
    plain = " ".join(words(prompt.user))
    seed = f"{index}\0{tool.name}\0{plain}\0{len(prompt.history)}"
    arguments = _told(prompt) or example(tool.schema or {"type": "object"}, plain, index)
    return Call(
        id=hashlib.sha256(seed.encode()).hexdigest()[:24],
        name=tool.name,
        arguments=mapping(arguments),
    )


def _told(prompt: Prompt) -> dict[str, Any]:
    """The arguments that the prompt itself gives (``[[arguments={...}]]``, JSON without lists), {} when none."""
    try:
        return mapping(msgspec.json.decode(prompt.marks.get("arguments", "{}")))
    except msgspec.DecodeError:
        return {}


def example(schema: dict[str, Any], text: str, index: int = 0, depth: int = 0) -> Any:
    """A value that fits a JSON Schema: words and numbers of the text where strings and numbers are asked for."""
    if depth > 12:
        return None
    for name in ("anyOf", "oneOf", "allOf"):
        if options := items(schema.get(name)):
            return example(mapping(options[0]), text, index, depth + 1)
    if "const" in schema:
        return schema["const"]
    if values := items(schema.get("enum")):
        return values[0]
    kind = str(
        (items(schema.get("type")) or [schema.get("type", "object" if "properties" in schema else "string")])[0]
    ).lower()
    if kind == "object":
        properties = mapping(schema.get("properties"))
        return {
            name: example(mapping(inner), text, index + at, depth + 1)
            for at, (name, inner) in enumerate(properties.items())
        }
    if kind == "array":
        return [example(mapping(schema.get("items")) or {"type": "string"}, text, index, depth + 1)]
    if kind in ("integer", "number"):
        found = re.findall(r"-?\d+", text)
        return int(found[index % len(found)]) if found else 1
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    names = re.findall(r"(?<!^)\b[A-Z][\w-]+", text) or re.findall(r"\w+", text) or ["text"]
    return names[index % len(names)]
