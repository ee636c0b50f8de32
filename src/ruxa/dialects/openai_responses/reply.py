"""A whole response: read into a ``Reply``, written from one."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.call import Carried, Media, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.openai_responses import output as out
from ruxa.dialects.openai_responses.figures import CALLS, Figures, finish_of, usage_of
from ruxa.dialects.openai_responses.items import read_part, read_reasoning, read_tool_call
from ruxa.dialects.openai_responses.words import DIALECT, plain
from ruxa.dialects.openai_responses.write import Incomplete
from ruxa.dialects.reply import Asked, Choice, Reply, Said, joined
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

_encode = msgspec.json.Encoder().encode
_NOT_SO = "The provider's answer is not a JSON object of the expected shape."


class _Response(msgspec.Struct, gc=False):
    id: str = ""
    model: str = ""
    status: str = ""
    output: list[msgspec.Raw] = []
    usage: Figures | None = None
    incomplete_details: Incomplete | None = None


class _Kind(msgspec.Struct, gc=False):
    type: str = ""


class _Message(msgspec.Struct, gc=False):
    content: list[msgspec.Raw] = []


class _Part(msgspec.Struct, gc=False):
    logprobs: msgspec.Raw = ABSENT


class _Image(msgspec.Struct, gc=False):
    result: str | None = None
    output_format: str | None = None


_decode = msgspec.json.Decoder(_Response).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_image = msgspec.json.Decoder(_Image).decode


def read_reply(body: bytes) -> Reply:
    """See ``translator.Translator``."""
    losses: list[Loss] = []
    try:
        told = _decode(body)
        choice = Choice()
        calls = False
        for raw in told.output:
            parts, logprobs = read_item(raw, losses)
            calls = calls or _decode_kind(raw).type in CALLS
            choice.parts += parts
            choice.logprobs = joined(choice.logprobs, logprobs)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidCall):
        raise UpstreamBroken(_NOT_SO) from None
    reason = told.incomplete_details.reason if told.incomplete_details is not None else None
    choice.finish = finish_of(told.status, reason, calls)
    choice.detail = reason or ""
    if choice.finish == "stop" and any(isinstance(part, Refusal) for part in choice.parts):
        choice.finish, choice.detail = "filter", "refusal"
    usage = None if told.usage is None else usage_of(told.usage)
    return Reply(id=told.id, model=told.model, choices=[choice], usage=usage, losses=tuple(losses))


def read_item(raw: msgspec.Raw, losses: list[Loss]) -> tuple[list[Said], bytes]:
    """One item of an output as parts, and the logprobs of its text. Raises InvalidCall or DecodeError."""
    kind = _decode_kind(raw).type
    match kind:
        case "message":
            parts: list[Said] = []
            logprobs = b""
            for at, inner in enumerate(_decode_message(raw).content):
                part = read_part(inner, f"content[{at}]", losses)
                if isinstance(part, Text | Refusal | Carried):
                    parts.append(part)
                found = _decode_part(inner).logprobs
                logprobs = joined(logprobs, bytes(found)) if given(found) and len(found) > 2 else logprobs
            return parts, logprobs
        case "reasoning":
            thinking = read_reasoning(Fields.of(raw, "reasoning"))
            return ([thinking] if thinking.text or thinking.signature else []), b""
        case "function_call" | "custom_tool_call":
            return [read_tool_call(Fields.of(raw, kind), custom=kind == "custom_tool_call")], b""
        case "image_generation_call":
            image = _decode_image(raw)
            if image.result:
                media_type = f"image/{image.output_format or 'png'}"
                return [Media(kind="image", media_type=media_type, data=image.result)], b""
        case _:
            pass
    return [Carried(dialect=DIALECT, kind=plain(kind), raw=bytes(raw))], b""


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """See ``translator.Translator``."""
    frame = out.Frame(asked)
    choice = reply.choices[0] if reply.choices else Choice(finish="other")
    status, reason = out.ending(choice.finish)
    items = _items(frame, choice, "incomplete" if status == "incomplete" else "completed")
    error = out.FAILED if status == "failed" else None
    return _encode(frame.response(status, items, reason=reason, error=error, usage=reply.usage))


def _items(frame: out.Frame, choice: Choice, last: out.Status) -> list[out.Fields | msgspec.Raw]:
    """The output. last: the status of what was said or asked for last."""
    items: list[out.Fields | msgspec.Raw] = []
    said: list[object] | None = None
    logprobs = choice.logprobs
    for part in choice.parts:
        number = len(items)
        match part:
            case Text() | Refusal():
                if said is None:
                    said = []
                    items.append(message(frame, number, said, "completed"))
                said.append(refusal(part.text) if isinstance(part, Refusal) else text(part.text, logprobs))
                if isinstance(part, Text):
                    logprobs = b""
                continue
            case Thinking():
                if not (part.text or part.signature):
                    continue
                items.append(thinking(frame, number, part))
            case ToolCall():
                if part.signature:
                    items.append(mark(frame, number, part))
                items.append(frame.tool_item(len(items), part, "completed"))
            case Media():
                if part.kind != "image" or not part.data:
                    continue
                items.append(image(frame, number, part))
            case Carried():
                if part.dialect != DIALECT:
                    continue
                items.append(msgspec.Raw(part.raw))
        said = None
    final = items[-1] if items else None
    if isinstance(final, dict) and choice.parts and isinstance(choice.parts[-1], Text | Refusal | ToolCall):
        final["status"] = last
    return items


def message(frame: out.Frame, number: int, content: list[object], status: out.Status) -> out.Fields:
    """What the model says."""
    item: out.Fields = {"id": frame.item_id("msg_", number), "type": "message", "status": status}
    return {**item, "role": "assistant", "content": content}


def text(said: str, logprobs: bytes = b"") -> out.Fields:
    """Text of a message."""
    told: object = msgspec.Raw(logprobs) if logprobs else []
    return {"type": "output_text", "annotations": [], "logprobs": told, "text": said}


def refusal(said: str) -> out.Fields:
    """The model says why it does not answer (W75)."""
    return {"type": "refusal", "refusal": said}


def thinking(frame: out.Frame, number: int, part: Thinking) -> out.Fields:
    """Thinking, whose ever: its text as a summary, its proof encrypted or packed."""
    words = [{"type": "summary_text", "text": part.text}] if part.text else []
    item: out.Fields = {"id": frame.item_id("rs_", number), "type": "reasoning", "summary": words}
    return {**item, "encrypted_content": out.proof(part.origin, part.signature, redacted=part.redacted)}


def mark(frame: out.Frame, number: int, call: ToolCall) -> out.Fields:
    """Another vendor's proof on a call, before it: the dialect has no place for it on the call itself."""
    return thinking(frame, number, Thinking(signature=call.signature, origin=call.origin))


def image(frame: out.Frame, number: int, part: Media) -> out.Fields:
    """An image that the model made."""
    form = part.media_type.rpartition("/")[2] or "png"
    item: out.Fields = {"id": frame.item_id("ig_", number), "type": "image_generation_call", "status": "completed"}
    return {**item, "result": part.data, "output_format": form}
