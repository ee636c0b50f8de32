"""Whole answers: a message of Anthropic's as a neutral reply, and a neutral reply as such a message."""

from __future__ import annotations

import msgspec

from ruxa.dialects import signature
from ruxa.dialects.anthropic_messages.blocks import DIALECT, read_blocks
from ruxa.dialects.anthropic_messages.fields import Fields
from ruxa.dialects.anthropic_messages.figures import Figures, usage_of
from ruxa.dialects.anthropic_messages.stops import Stop, StopDetails, read_stop, write_stop, write_usage
from ruxa.dialects.anthropic_messages.structured import ANSWER_TOOL, VALUE_TOOL, unwrapped
from ruxa.dialects.call import Carried, Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult, wrapped
from ruxa.dialects.losses import Loss
from ruxa.dialects.media import closed
from ruxa.dialects.reply import Asked, Choice, Reply, Said, made_id
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

UNPARSED = "unparsed_arguments"
"""The one member of a tool's input whose arguments were no JSON object: the text as the model gave it (W43)."""

_KNOWN = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"})
_encode = msgspec.json.Encoder().encode
_decode_figures = msgspec.json.Decoder(Figures).decode
_decode_details = msgspec.json.Decoder(StopDetails).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_reply(body: bytes) -> Reply:
    """See ``translator.Translator``."""
    try:
        return _read(Fields(msgspec.Raw(body), "message"))
    except (InvalidCall, msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("The provider's answer is no message of the expected shape.") from None


def _read(fields: Fields) -> Reply:
    losses: list[Loss] = []
    parts = read_blocks(fields.need("content"), "content", "assistant", losses)
    said, answered = _said(parts)
    details = fields.raw("stop_details")
    end = read_stop(
        fields.text_or("stop_reason") or None,
        fields.text_or("stop_sequence") or None,
        None if details is None else _decode_details(details),
    )
    if end.refusal:
        said.append(Refusal(text=end.refusal))
    called = any(isinstance(part, ToolCall) for part in said)
    finish = "stop" if answered and end.finish == "tool" and not called else end.finish
    usage = fields.raw("usage")
    fields.rest(_KNOWN, losses)
    return Reply(
        id=fields.text_or("id"),
        model=fields.text_or("model"),
        choices=[Choice(parts=said, finish=finish, detail=end.detail, stop=end.stop)],
        usage=None if usage is None else usage_of(_decode_figures(usage)),
        losses=tuple(losses),
    )


def _said(parts: list[Part]) -> tuple[list[Said], bool]:
    """The parts of an answer, the reserved tool's input as the text it is; and whether there was one."""
    said: list[Said] = []
    answered = False
    for part in parts:
        if isinstance(part, ToolCall) and part.name in (ANSWER_TOOL, VALUE_TOOL):
            answered = True
            said.append(Text(text=unwrapped(part.name, part.arguments)))
        elif not isinstance(part, ToolResult):
            said.append(part)
    return said, answered


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """See ``translator.Translator``. Anthropic's callers can't ask for more than one answer: the first is theirs."""
    choice = reply.choices[0] if reply.choices else Choice(finish="other")
    content: list[dict[str, object] | msgspec.Raw] = []
    tools = 0
    for part in choice.parts:
        content += part_blocks(part, asked, tools)
        tools += isinstance(part, ToolCall)
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal))
    end = Stop(choice.finish, choice.detail, choice.stop, refusal)
    return _encode(
        {
            **head(reply.id, asked),
            "content": content,
            **write_stop(end, bool(tools)),
            "usage": write_usage(reply.usage),
        }
    )


def head(given: str, asked: Asked) -> dict[str, object]:
    """The first members of a message. given: the provider's id, kept when it is one of Anthropic's."""
    return {
        "id": given if given.startswith("msg_") else made_id(asked, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
    }


def part_blocks(part: Said, asked: Asked, tools: int) -> list[dict[str, object] | msgspec.Raw]:
    """The blocks of one part. tools: how many tool calls came before it.

    A signature that another vendor set on a text or a tool call stands in a block of empty thinking before it, and is
    given back to the part when the history returns. Empty texts are left out: Anthropic takes none back.
    """
    match part:
        case Text():
            texts: list[dict[str, object]] = [{"type": "text", "text": part.text}] if part.text else []
            return [*sign(part.signature, part.origin), *texts]
        case Thinking():
            return thinking_blocks(part)
        case ToolCall():
            call: dict[str, object] = {
                "type": "tool_use",
                "id": part.id or made_id(asked, "toolu_", tools),
                "name": part.name,
                "input": _input(part),
            }
            return [*sign(part.signature, part.origin), call]
        case Media():
            return [{"type": "text", "text": media_text(part)}]
        case Carried():
            return [msgspec.Raw(part.raw)] if part.dialect == DIALECT else []
        case Refusal():
            return []


def sign(proof: str, origin: signature.Origin) -> list[dict[str, object] | msgspec.Raw]:
    """A block of empty thinking that bears another part's signature."""
    if not proof:
        return []
    return [{"type": "thinking", "thinking": "", "signature": signature.pack(origin, proof)}]


def thinking_blocks(part: Thinking) -> list[dict[str, object] | msgspec.Raw]:
    """Thinking with its signature: bare when it is Anthropic's, packed when it is not. Hidden thinking is redacted."""
    if not part.text and not part.signature:
        return []
    proof = signature.write(part.origin, part.signature, "anthropic")
    if not part.text and (part.redacted or part.origin != "anthropic"):
        return [{"type": "redacted_thinking", "data": proof}]
    return [{"type": "thinking", "thinking": part.text, "signature": proof}]


def _input(part: ToolCall) -> object:
    if part.custom:
        return msgspec.Raw(wrapped(part.arguments).encode())
    if not part.arguments.strip():
        return {}
    try:
        _decode_object(part.arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {UNPARSED: part.arguments}
    return msgspec.Raw(part.arguments.encode())


def media_text(media: Media) -> str:
    """A picture that a model made, as text: Anthropic's answers hold none, and nothing of it is lost this way."""
    target = media.url or (closed(media.media_type, media.data) if media.data else media.file_id)
    return f"![{media.kind}]({target})" if media.kind == "image" else f"[{media.kind}]({target})"
