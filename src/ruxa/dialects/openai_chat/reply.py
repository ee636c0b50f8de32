"""Reads and writes whole chat completions."""

from __future__ import annotations

import msgspec

from ruxa.dialects.call import Media, Refusal, Text, Thinking, ToolCall, unwrapped
from ruxa.dialects.dialect import Finish
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_chat import reasoning
from ruxa.dialects.openai_chat.answers import Choice as Told
from ruxa.dialects.openai_chat.answers import Message, audio_of, decode_whole, image_of, texts_of
from ruxa.dialects.openai_chat.figures import WORDS, figures_of, finish_of, usage_of
from ruxa.dialects.openai_chat.messages import signed, written_call
from ruxa.dialects.reply import Asked, Choice, Reply, Said, made_id
from ruxa.kernel.errors import UpstreamBroken

AUDIO_KEPT_S = 3600
"""How long an answer's audio is said to last; it is not kept here at all."""

_encode = msgspec.json.Encoder().encode


def read_reply(body: bytes) -> Reply:
    """See ``translator.Translator``."""
    try:
        told = decode_whole(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not a chat completion.") from None
    if not told.choices:
        raise UpstreamBroken("The provider's answer holds no choice.")
    losses: list[Loss] = []
    return Reply(
        id=told.id or "",
        model=told.model or "",
        choices=[_choice(each, losses) for each in told.choices],
        usage=None if told.usage is None else usage_of(told.usage),
        losses=tuple(losses),
    )


def _choice(told: Told, losses: list[Loss]) -> Choice:
    message = told.message or Message()
    parts: list[Said] = []
    thinking, text = texts_of(message)
    details = reasoning.read(message.reasoning_details or ())
    if details:
        parts += details
    elif thinking:
        parts.append(Thinking(text=thinking))
    origin, mark = message.signature()
    if message.audio is not None:
        text += message.audio.transcript or ""
    if text or mark:
        parts.append(Text(text=text, signature=mark, origin=origin))
    if message.refusal:
        parts.append(Refusal(text=message.refusal))
    if message.audio is not None and message.audio.data:
        parts.append(audio_of([message.audio.data]))
    parts += [image for each in message.images or () if (image := image_of(each)) is not None]
    parts += [call.whole() for call in message.calls()]
    if message.annotations:
        losses.append(Loss("annotations"))
    finish = finish_of(told.finish_reason) or "stop"
    if finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
        finish = "tool"  # so it is when the caller named the tool
    detail = told.finish_reason if finish in ("other", "error") and told.finish_reason else ""
    return Choice(parts=parts, finish=finish, detail=detail, logprobs=told.tokens())


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """See ``translator.Translator``."""
    numbers = iter(range(1 << 30))
    body: dict[str, object] = {
        "id": reply.id or made_id(asked, "chatcmpl-"),
        "object": "chat.completion",
        "created": asked.created_s,
        "model": asked.model,
        "choices": [
            _told(choice, index, asked, [made_id(asked, "call_", next(numbers)) for _ in _calls(choice)])
            for index, choice in enumerate(reply.choices or [Choice(finish="filter")])
        ],
    }
    if reply.usage is not None:
        body["usage"] = figures_of(reply.usage)
    return _encode(body)


def _calls(choice: Choice) -> list[ToolCall]:
    return [part for part in choice.parts if isinstance(part, ToolCall)]


def _told(choice: Choice, index: int, asked: Asked, ids: list[str]) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
    texts = [part for part in choice.parts if isinstance(part, Text)]
    thoughts = [part for part in choice.parts if isinstance(part, Thinking)]
    calls = [known(part, asked) for part in _calls(choice)]
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal))
    pictures = [part for part in choice.parts if isinstance(part, Media) and part.kind == "image"]
    sound = next((part for part in choice.parts if isinstance(part, Media) and part.kind == "audio"), None)
    said = "".join(part.text for part in texts)
    if sound is not None:
        message["audio"] = sounded(sound, said, asked)
    elif texts or not (calls or refusal or choice.finish == "filter"):
        message["content"] = said
    if not choice.parts and choice.finish == "error":
        refusal = failed(choice.detail)
    if refusal:
        message["refusal"] = refusal
    marked = [part for part in texts if part.signature]
    if marked:
        message.update(signed(marked[-1].origin, marked[-1].signature))
    text = "".join(part.text for part in thoughts)
    if text:
        message["reasoning_content"] = text
    if not reasoning.plain(thoughts):
        message["reasoning_details"] = reasoning.write(thoughts)
    if pictures:
        message["images"] = [pictured(part, number) for number, part in enumerate(pictures)]
    if calls and asked.call.functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [_called(part, made) for part, made in zip(calls, ids, strict=True)]
    logprobs = {"content": msgspec.Raw(choice.logprobs), "refusal": None} if choice.logprobs else None
    told: dict[str, object] = {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": word_of(choice.finish, asked),
    }
    if choice.detail:
        told["native_finish_reason"] = choice.detail
    return told


def _called(part: ToolCall, made: str) -> dict[str, object]:
    call = written_call(part, part.id or made)
    return {**call, **signed(part.origin, part.signature)} if part.signature else call


def known(part: ToolCall, asked: Asked) -> ToolCall:
    """The call as its caller knows the tool: one of free text comes back as free text."""
    if part.custom or not is_free(part.name, asked):
        return part
    return msgspec.structs.replace(part, custom=True, arguments=unwrapped(part.arguments))


def is_free(name: str, asked: Asked) -> bool:
    """Whether the caller gave that tool as one of free text."""
    return any(tool.kind == "custom" and tool.name == name for tool in asked.call.tools)


def word_of(finish: Finish, asked: Asked) -> str:
    """The finish reason; callers with the older words get the older one."""
    return "function_call" if finish == "tool" and asked.call.functions else WORDS[finish]


def failed(detail: str) -> str:
    """What is said where an answer broke off with nothing in it, so that it is not an empty success (W42)."""
    return (
        f"The model ended its answer with an error: {detail}."
        if detail
        else "The model ended its answer with an error."
    )


def sounded(part: Media, transcript: str, asked: Asked) -> dict[str, object]:
    """Audio as an answer has it."""
    return {
        "id": made_id(asked, "audio_"),
        "data": part.data,
        "expires_at": asked.created_s + AUDIO_KEPT_S,
        "transcript": transcript,
    }


def pictured(part: Media, number: int) -> dict[str, object]:
    """An image that the model made, as OpenRouter's answers have it."""
    url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}, "index": number}
